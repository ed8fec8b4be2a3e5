"""From a YAML file to a pipeline of steps, or to every finding about the file at once."""
