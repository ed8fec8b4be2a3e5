"""What a template may call: filters, and a few methods of text and mappings."""

import inspect
from collections.abc import Mapping
from typing import Any, Final

from flujo.domain.scope import Scope
from flujo.exceptions import TemplateResolutionError
from flujo.infra.filters import Filter
from flujo.infra.references import Evaluate
from flujo.infra.values import MISSING, kind_of, names_of, read_item

__all__ = ["METHODS", "bind", "filtered", "method"]

#: The methods that may be called, with the least and the most arguments each takes.
METHODS: Final[Mapping[str, tuple[int, int]]] = {
    "endswith": (1, 1),
    "get": (1, 2),
    "lower": (0, 0),
    "startswith": (1, 1),
    "strip": (0, 1),
    "upper": (0, 0),
}

#: Exceptions by which a plugin's filter says that it can't take a value.
_FILTER_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def bind(function: Filter, arguments: list[Evaluate], named: dict[str, Evaluate]) -> dict[str, Any]:
    """The arguments of a filter by name. Raises `TypeError` when it can't be called with these."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return {}  # some functions written in C don't tell
    return signature.bind(None, *arguments, **named).arguments


def filtered(
    name: str, function: Filter, value: Evaluate, arguments: list[Evaluate], named: dict[str, Evaluate]
) -> Evaluate:
    """A call of the filter `function`, with the value that `value` gives and further arguments."""

    def evaluate(scope: Scope) -> Any:
        given = [argument(scope) for argument in arguments]
        options = {key: argument(scope) for key, argument in named.items()}
        subject = value(scope)
        try:
            return function(subject, *given, **options)
        except _FILTER_ERRORS as error:
            raise TemplateResolutionError(f"filter {name!r} can't take {kind_of(subject)}: {error}") from error

    return evaluate


def method(base: Evaluate, word: str, arguments: list[Evaluate], label: str) -> Evaluate:
    """A call of one of `METHODS`. `get` reads like a dotted name; the others belong to text."""
    if word == "get":
        return _get(base, arguments, label)

    def evaluate(scope: Scope) -> Any:
        texts = [base(scope), *(argument(scope) for argument in arguments)]
        for text in texts:
            if not isinstance(text, str):
                raise TemplateResolutionError(f"{label}.{word}() works on text, not on {kind_of(text)}")
        return getattr(str, word)(*texts)

    return evaluate


def _get(base: Evaluate, arguments: list[Evaluate], label: str) -> Evaluate:
    key = arguments[0]
    fallback = arguments[1] if len(arguments) > 1 else lambda _: None

    def evaluate(scope: Scope) -> Any:
        value, wanted = base(scope), key(scope)
        if names_of(value) is None:
            raise TemplateResolutionError(f"{label}.get() works on a mapping, not on {kind_of(value)}")
        found = read_item(value, wanted)
        return fallback(scope) if found is MISSING else found

    return evaluate
