"""What the operators of templates and conditions do, within bounds."""

import math
import operator
from collections.abc import Callable, Mapping, Set
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final

from flujo.exceptions import TemplateResolutionError
from flujo.infra.values import MAX_INT, bounded_text, holds, joined, kind_of, show

__all__ = ["ARITHMETIC", "COMPARISONS", "add", "bounded_number", "concat", "is_number", "orderable"]

_NUMBERS: Final = (int, float, Decimal)

#: Types of which two values have an order, when both are of exactly the same type.
_MOMENTS: Final = (date, time, timedelta)


def is_number(value: object) -> bool:
    """Whether `value` is a number to compute with; booleans are, as in Python."""
    return isinstance(value, _NUMBERS)


def orderable(left: object, right: object) -> bool:
    """Whether one of the two can be less than the other: numbers, texts, or moments of one type."""
    if is_number(left):
        return is_number(right)
    if isinstance(left, str):
        return isinstance(right, str)
    return isinstance(left, _MOMENTS) and type(left) is type(right)


def bounded_number(value: Any) -> Any:
    """`value`, a number, unless it is too large to compute with."""
    if isinstance(value, int):
        if -MAX_INT <= value <= MAX_INT:
            return value
    elif math.isfinite(value):
        return value
    raise TemplateResolutionError("a number in the template is too large", suggestion=f"numbers go to {MAX_INT}")


def _compare(symbol: str, apply: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if not orderable(left, right):
            raise TemplateResolutionError(
                f"can't compare {kind_of(left)} with {kind_of(right)} by {symbol!r}",
                suggestion="convert one of them, with `| int` or `| float` for instance",
            )
        try:
            return apply(left, right)
        except (TypeError, ArithmeticError) as error:  # times with and without a zone; a signalling NaN
            raise TemplateResolutionError(f"can't compare by {symbol!r}: {error}", cause=error) from error

    return compare


def _contains(item: Any, container: Any) -> bool:
    if isinstance(container, str):
        if isinstance(item, str):
            return item in container
        raise TemplateResolutionError(f"only text can be in text, not {kind_of(item)}")
    if isinstance(container, list | tuple):
        return item in container
    if isinstance(container, Mapping | Set):
        return holds(container, item)
    raise TemplateResolutionError(f"nothing can be in {kind_of(container)}", suggestion="'in' takes a list or text")


#: The comparisons, by the parser's names for them.
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": _compare("<", operator.lt),
    "lteq": _compare("<=", operator.le),
    "gt": _compare(">", operator.gt),
    "gteq": _compare(">=", operator.ge),
    "in": _contains,
    "notin": lambda item, container: not _contains(item, container),
}


def _compute(symbol: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compute(left: Any, right: Any) -> Any:
        if not (is_number(left) and is_number(right)):
            raise TemplateResolutionError(f"{symbol!r} takes numbers, not {kind_of(left)} and {kind_of(right)}")
        try:
            return bounded_number(apply(bounded_number(left), bounded_number(right)))
        except (TypeError, ValueError, ArithmeticError) as error:  # a zero divisor; a decimal with a float
            raise TemplateResolutionError(f"can't compute {symbol!r}: {error}", cause=error) from error

    return compute


_sum = _compute("+", operator.add)


def add(left: Any, right: Any) -> Any:
    """The sum of two numbers, or two texts joined."""
    if isinstance(left, str) and isinstance(right, str):
        return bounded_text(left + right)
    if isinstance(left, str) or isinstance(right, str):
        raise TemplateResolutionError(
            f"'+' takes two numbers or two texts, not {kind_of(left)} and {kind_of(right)}",
            suggestion="join text with '~', or convert with `| int`",
        )
    return _sum(left, right)


def concat(values: list[Any]) -> str:
    """The values as they print, one after the other."""
    return joined([show(value) for value in values])


#: Operators between two numbers, by the parser's names for them.
ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": add,
    "Sub": _compute("-", operator.sub),
    "Mul": _compute("*", operator.mul),
    "Div": _compute("/", operator.truediv),
    "FloorDiv": _compute("//", operator.floordiv),
    "Mod": _compute("%", operator.mod),
}
