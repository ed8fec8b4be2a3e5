"""How much work the loops of a template may do.

Outside loops an expression costs what it is long, which is bounded. Inside, the same expression runs once an item,
so what it reads and makes is paid for by size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flujo.domain.scope import Scope
from flujo.exceptions import TemplateResolutionError
from flujo.infra.references import Evaluate

__all__ = ["ITEM", "Budget", "LoopScope", "charged"]

#: What one text may spend, and what an item of a loop costs beside the nodes of the loop's body.
#: So a text goes round its loops 100,000 times at most.
_LIMIT: Final = 1_000_000
ITEM: Final = 10


class Budget:
    """What one rendering of a text has spent on its loops."""

    __slots__ = ("spent",)

    def __init__(self) -> None:
        self.spent = 0

    def spend(self, work: int) -> None:
        """Pay for `work`. Raises `TemplateResolutionError` when there is nothing left."""
        self.spent += work
        if self.spent > _LIMIT:
            raise TemplateResolutionError(
                "the template's loops go on for too long", suggestion="work through many items in a step of kind 'map'"
            )


def _free(_: int) -> None:
    """Cost nothing."""


@dataclass(frozen=True, slots=True)
class LoopScope(Scope):
    """The scope inside a loop; `spend` pays from the text's budget."""

    spend: Callable[[int], None] = _free


def charged(evaluate: Evaluate, *, characters: int = 64, items: int = 64) -> Evaluate:
    """`evaluate` inside a loop: so many `characters` of its text, or `items` of its list, cost as much as a node."""

    def pay(scope: Scope) -> Any:
        value = evaluate(scope)
        assert isinstance(scope, LoopScope)
        if isinstance(value, str):
            scope.spend(len(value) // characters)
        elif isinstance(value, list | tuple | Mapping):
            scope.spend(len(value) // items)
        return value

    return pay
