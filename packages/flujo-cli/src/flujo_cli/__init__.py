"""The flujo command line: run, resume, validate and inspect pipelines."""
