"""The options that hold for every command, and those that several have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from flujo.infra.logging import LogFormat

__all__ = ["Options", "json_option", "state_option"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Options:
    """What holds for every command; `stands` is the folder the user stands in, before any `-C`."""

    stands: Path
    debug: bool = False
    log_format: LogFormat = "human"


def json_option(function: F) -> F:
    """Add `--json` as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON object to stdout.")(function)


def state_option(function: F) -> F:
    """Add `--state URI` as the argument `state`."""
    text = (
        "Where runs are recorded, like sqlite:///runs.db or memory: [default: FLUJO_STATE_URI, the project's setting]"
    )
    return click.option("--state", metavar="URI", help=text)(function)
