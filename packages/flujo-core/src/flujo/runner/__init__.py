"""The front door: `Flujo`, and what puts a run together."""
