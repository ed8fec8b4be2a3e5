"""What flujo costs, measured beside hand-written code that does the same work."""
