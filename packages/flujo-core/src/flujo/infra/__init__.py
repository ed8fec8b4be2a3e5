"""What touches the outside: time, values as bytes, templates, settings and logs."""
