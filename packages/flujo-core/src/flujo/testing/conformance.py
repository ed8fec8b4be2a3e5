"""What all conformance classes share: nobody leaves out a promise without saying why."""

from typing import Any

__all__ = ["Conformance"]

#: Where the tests stand that everyone has to pass.
_STANDARD = "flujo.testing."


class Conformance:
    """Tests that a plugin's author subclasses. A subclass that puts something in the place of one of them raises
    `TypeError`, unless it is marked with `pytest.mark.xfail(reason=...)`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith(_STANDARD):
            return
        for name, value in vars(cls).items():
            if name.startswith("test") and _is_standard(cls, name) and not _says_why(value):
                raise TypeError(
                    f"{cls.__qualname__}.{name} takes the place of a standard test, "
                    "expected a mark: pytest.mark.xfail(reason=...)"
                )


def _is_standard(cls: type, name: str) -> bool:
    return any(name in vars(base) for base in cls.__mro__[1:] if base.__module__.startswith(_STANDARD))


def _says_why(test: object) -> bool:
    marks = vars(test).get("pytestmark", ()) if callable(test) else ()
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
