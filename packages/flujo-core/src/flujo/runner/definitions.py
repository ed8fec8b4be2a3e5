"""What differs between the pipeline a run began with and the one it is to go on with."""

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["describe_change"]


def describe_change(before: str, after: str) -> str:
    """Name the steps that were added, removed, changed or moved between two canonical texts."""
    old, new = (dict(_steps(json.loads(text), "")) for text in (before, after))
    removed = [path for path in old if path not in new]
    added = [path for path in new if path not in old]
    changed = [path for path in old if path in new and old[path] != new[path]]
    parts = [
        f"{what} {', '.join(repr(path) for path in paths)}"
        for what, paths in (("removed", removed), ("added", added), ("changed", changed))
        if paths
    ]
    return "; ".join(parts) or "the order of the steps changed"


def _steps(definition: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for step in definition.get("steps", ()):
        here = f"{path}/{step['name']}" if path else step["name"]
        yield here, {key: value for key, value in step.items() if key != "steps"}
        yield from _steps(step, here)
