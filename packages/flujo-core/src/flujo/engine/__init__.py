"""Runs one step at a time: the order of concerns, and nothing of YAML, databases or terminals."""
