"""What the pipeline calls."""
