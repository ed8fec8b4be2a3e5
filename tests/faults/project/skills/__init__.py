"""The code of the pipelines that are killed."""
