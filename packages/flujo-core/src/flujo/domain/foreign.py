"""Running code that isn't ours: plugins and projects may raise anything while they are loaded."""

from collections.abc import Callable
from typing import TypeVar

from flujo.exceptions import FlujoError

__all__ = ["attempt"]

T = TypeVar("T")


def attempt(
    action: Callable[[], T],
    failed: Callable[[str, BaseException], FlujoError],
    *,
    but: type[FlujoError] = FlujoError,
) -> T:
    """Do `action`; whatever it raises except `but` becomes the error that `failed` makes.

    `failed` is given the exception in one line, "KeyError: 'x'", and the exception itself.
    """
    try:
        return action()
    except but:
        raise
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything at all
        first = (str(error).splitlines() or [""])[0][:300]
        raise failed(f"{type(error).__name__}: {first}".rstrip(": "), error) from error
