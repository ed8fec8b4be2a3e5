"""What all conformance classes share: nobody leaves out a promise without saying why."""

from collections.abc import Callable
from typing import Any

__all__ = ["Conformance"]

#: Where the tests stand that everyone has to pass.
_STANDARD = "flujo.testing."


class Conformance:
    """Tests that a plugin's author subclasses. A subclass where something takes the place of one of them, its own or
    a mixin's, raises `TypeError`, unless it is marked with `pytest.mark.xfail(reason=...)`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith(_STANDARD):
            return
        for name in filter(_is_standard(cls), dir(cls)):
            home = next(base for base in cls.__mro__ if name in vars(base))
            if not home.__module__.startswith(_STANDARD) and not _says_why(vars(home)[name]):
                raise TypeError(
                    f"{home.__qualname__}.{name} takes the place of a standard test, "
                    "expected a mark: pytest.mark.xfail(reason=...)"
                )


def _is_standard(cls: type) -> Callable[[str], bool]:
    standard = [vars(base) for base in cls.__mro__ if base.__module__.startswith(_STANDARD)]
    return lambda name: name.startswith("test") and any(name in each for each in standard)


def _says_why(test: object) -> bool:
    marks = vars(test).get("pytestmark", ()) if callable(test) else ()
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
