"""How a template reaches data: names, dotted names, and items in brackets."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final, TypeAlias

from flujo.domain.scope import Scope
from flujo.infra.values import MISSING, absent, missing_from, names_of, read, read_item

__all__ = ["RESERVED", "Evaluate", "either", "field", "item", "name"]

#: An expression, checked and ready: what it is worth in a scope.
Evaluate: TypeAlias = Callable[[Scope], Any]


def _last_answer(scope: Scope) -> Any:
    """What a person has answered last."""
    if scope.context is None or not scope.context.hitl_history:
        raise missing_from("there is no 'resume_input' here, as nobody has answered", None, _ROOTS, verb="there is")
    return scope.context.hitl_history[-1].human_response


_ROOTS: Final[Mapping[str, Evaluate]] = {
    "context": attrgetter("context"),
    "input": attrgetter("input"),
    "previous_step": attrgetter("previous"),
    "resume_input": _last_answer,
    "steps": attrgetter("outputs"),
}

#: Names that mean the same everywhere; nothing may take them over.
RESERVED: Final = frozenset(_ROOTS)


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


def either(base: Evaluate, word: str) -> Evaluate:
    """`previous_step.output`, `steps.a.value`: the key or field `word` if there is one, else the whole value."""

    def evaluate(scope: Scope) -> Any:
        value = base(scope)
        found = read(value, word)
        return value if found is MISSING else found

    return evaluate
