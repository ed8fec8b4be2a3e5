"""What a step's `input` may hold: template text, or mappings and lists with template text in them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

from flujo.exceptions import ConfigurationError, TemplateResolutionError
from flujo.infra.expressions import Compiled, compile_expression
from flujo.infra.filters import FILTERS, Filter
from flujo.infra.text import compile_text

__all__ = ["Templates"]

#: How many texts one compiler remembers, and how deep mappings and lists may be nested.
_REMEMBERED: Final = 1024
_MAX_NESTING: Final = 64


class Templates:
    """The template language, with further `filters`. Compiled texts are remembered.

    A text without `{{` and `{%` is itself; a text that is one `{{ expression }}` keeps its value's type; any other
    is text. A filter is called with the value before the bar and the arguments in brackets; one that takes a name
    that exists raises `ConfigurationError`.
    """

    def __init__(self, filters: Mapping[str, Filter] | None = None) -> None:
        more = dict(filters or {})
        taken = sorted(more.keys() & {*FILTERS, "d", "default"})
        if taken:
            raise ConfigurationError(
                f"there is a filter {taken[0]!r} already", suggestion="give the filter a name of its own"
            )
        known = {**FILTERS, **more}
        self._text = lru_cache(_REMEMBERED)(partial(compile_text, filters=known))
        self._expression = lru_cache(_REMEMBERED)(partial(compile_expression, filters=known))

    def compile(self, source: Any, /) -> Compiled:
        """Compile template text, or a mapping or list with templates in its values; anything else is constant.

        Raises `TemplateResolutionError`, with line and column in the text, for what the language doesn't have.
        """
        return self._compile(source, 0)

    def compile_expression(self, source: str, /) -> Compiled:
        """Compile a condition, bare or in `{{ }}`. Raises `TemplateResolutionError` with line and column."""
        return self._expression(source)

    def _compile(self, source: Any, depth: int) -> Compiled:
        if depth > _MAX_NESTING:
            raise TemplateResolutionError(f"mappings and lists are nested more than {_MAX_NESTING} deep")
        if isinstance(source, str):
            return self._text(source)
        # A mapping or list is made anew each time, so that whoever gets it may change it.
        if isinstance(source, Mapping):
            parts = {key: self._compile(value, depth + 1) for key, value in source.items()}
            return Compiled(
                _names(parts.values()), lambda scope: {key: part.render(scope) for key, part in parts.items()}
            )
        if isinstance(source, list | tuple):
            items = [self._compile(value, depth + 1) for value in source]
            return Compiled(_names(items), lambda scope: [item.render(scope) for item in items])
        return Compiled(frozenset(), lambda _: source)


def _names(parts: Iterable[Compiled]) -> frozenset[str]:
    return frozenset().union(*(part.names for part in parts))
