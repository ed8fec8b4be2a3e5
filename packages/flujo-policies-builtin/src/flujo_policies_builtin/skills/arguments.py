"""Where a skill's arguments come from: the step's `params`, or a mapping as its `input`."""

from collections.abc import Mapping
from typing import Any

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["MISSING", "gather", "required"]

#: An argument that nobody gave; None is a value.
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()


def gather(skill: str, data: Any, main: str, **params: Any) -> dict[str, Any]:
    """Every argument of `skill` that was given, by name.

    With any of `params` given they count, and `data` is the argument called `main` where that is missing. Without,
    a mapping as `data` holds the arguments, and anything else is `main`. Raises `ConfigurationError` for an
    argument the skill does not have.
    """
    given = {name: value for name, value in params.items() if value is not MISSING}
    if not given and isinstance(data, Mapping):
        unknown = sorted(str(name) for name in data if name not in params)
        if unknown:
            raise ConfigurationError(
                f"skill {skill!r} has no argument {unknown[0]!r}",
                suggestion=did_you_mean(unknown[0], params, what="its arguments are"),
            )
        return dict(data)
    return {main: data, **given}


def required(skill: str, arguments: Mapping[str, Any], name: str) -> Any:
    """The argument called `name`. Raises `ConfigurationError` where it was not given."""
    if name not in arguments:
        raise ConfigurationError(
            f"skill {skill!r} needs {name!r}", suggestion=f"give it in the step's params, or as input: {{{name}: ...}}"
        )
    return arguments[name]
