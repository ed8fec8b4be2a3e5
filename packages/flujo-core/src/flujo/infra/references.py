"""How a template reaches data: names, dotted names, items in brackets, and the few methods it may call."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

from flujo.domain.scope import Scope
from flujo.exceptions import TemplateResolutionError
from flujo.infra.values import MISSING, absent, kind_of, missing_from, names_of, read, read_item

__all__ = ["METHODS", "RESERVED", "Evaluate", "field", "item", "method", "name", "previous_output"]

#: An expression, checked and ready: what it is worth in a scope.
Evaluate: TypeAlias = Callable[[Scope], Any]

_ROOTS: Final[Mapping[str, Evaluate]] = {
    "context": attrgetter("context"),
    "input": attrgetter("input"),
    "previous_step": attrgetter("previous"),
    "steps": attrgetter("outputs"),
}

#: Names that mean the same everywhere; nothing may take them over.
RESERVED: Final = frozenset(_ROOTS)

#: The methods that may be called, with the least and the most arguments each takes.
METHODS: Final[Mapping[str, tuple[int, int]]] = {
    "endswith": (1, 1),
    "get": (1, 2),
    "lower": (0, 0),
    "startswith": (1, 1),
    "strip": (0, 1),
    "upper": (0, 0),
}


def name(word: str) -> Evaluate:
    """The value of a bare name: a root, what the kind of step around adds, or a field of the context."""
    return _ROOTS[word] if word in _ROOTS else _bare(word)


def _bare(word: str) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        if word in scope.extras:
            return scope.extras[word]
        value = read(scope.context, word)
        if value is not MISSING:
            return value
        known = [*scope.extras, *_ROOTS, *(names_of(scope.context) or ())]
        raise missing_from(f"there is no {word!r} here", word, known, verb="there is")

    return evaluate


def field(base: Evaluate, word: str, label: str) -> Evaluate:
    """The key or field `word` of what `base` gives; `label` is how `base` is written."""

    def evaluate(scope: Scope) -> Any:
        value = base(scope)
        found = read(value, word)
        if found is MISSING:
            raise absent(value, word, label)
        return found

    return evaluate


def item(base: Evaluate, key: Evaluate, label: str) -> Evaluate:
    """What stands under `key` in what `base` gives."""

    def evaluate(scope: Scope) -> Any:
        value, index = base(scope), key(scope)
        found = read_item(value, index)
        if found is MISSING:
            raise absent(value, index, label)
        return found

    return evaluate


def previous_output(scope: Scope) -> Any:
    """`previous_step.output`: the key or field `output` where there is one, otherwise the whole value."""
    found = read(scope.previous, "output")
    return scope.previous if found is MISSING else found


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
    fallback = arguments[1] if len(arguments) > 1 else _nothing

    def evaluate(scope: Scope) -> Any:
        value, wanted = base(scope), key(scope)
        if names_of(value) is None:
            raise TemplateResolutionError(f"{label}.get() works on a mapping, not on {kind_of(value)}")
        found = read_item(value, wanted)
        return fallback(scope) if found is MISSING else found

    return evaluate


def _nothing(_: Scope) -> None:
    return None
