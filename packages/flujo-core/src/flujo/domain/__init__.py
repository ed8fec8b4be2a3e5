"""Plain data: what pipelines, steps, results, events and the engine's ports are. No behaviour with I/O."""
