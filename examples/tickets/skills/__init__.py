"""The example's own functions."""
