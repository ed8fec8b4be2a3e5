"""Running code that isn't ours: plugins and projects may raise anything while they are loaded."""

from collections.abc import Callable
from typing import TypeVar

from flujo.exceptions import FlujoError

__all__ = ["attempt", "visible"]

T = TypeVar("T")


def attempt(
    action: Callable[[], T],
    failed: Callable[[str, BaseException], FlujoError],
    *,
    but: type[BaseException] | tuple[type[BaseException], ...] = FlujoError,
) -> T:
    """Do `action`; whatever it raises except `but` and KeyboardInterrupt becomes the error that `failed` makes.

    `failed` is given the exception in one line, "KeyError: 'x'", and the exception itself.
    """
    try:
        return action()
    except but:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's module may raise anything at all
        raise failed(f"{type(error).__name__}: {_first_line(error)}".rstrip(": "), error) from error


def visible(text: str) -> str:
    """`text` of strangers as one line in which nothing commands a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _first_line(error: BaseException) -> str:
    try:
        return visible((str(error).splitlines() or [""])[0][:300])
    except Exception as second:  # noqa: BLE001 - a stranger's exception may not be able to tell what it is
        return f"its text can't be had ({type(second).__name__})"
