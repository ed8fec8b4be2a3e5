"""What a step's `input` may hold: template text, or mappings and lists with template text in them."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from flujo.domain.interfaces import Template
from flujo.domain.scope import Scope
from flujo.exceptions import ConfigurationError, TemplateResolutionError
from flujo.infra.expressions import Expression, compile_expression
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
        self._text: Callable[[str], Template] = lru_cache(_REMEMBERED)(lambda text: compile_text(text, known))
        self._expression: Callable[[str], Expression] = lru_cache(_REMEMBERED)(
            lambda text: compile_expression(text, known)
        )

    def compile(self, source: Any, /) -> Template:
        """Compile template text, or a mapping or list with templates in its values; anything else is constant.

        Raises `TemplateResolutionError`, with line and column in the text, for what the language doesn't have.
        """
        return self._compile(source, 0)

    def compile_expression(self, source: str, /) -> Expression:
        """Compile a condition, bare or in `{{ }}`. Raises `TemplateResolutionError` with line and column."""
        return self._expression(source)

    def _compile(self, source: Any, depth: int) -> Template:
        if depth > _MAX_NESTING:
            raise TemplateResolutionError(f"mappings and lists are nested more than {_MAX_NESTING} deep")
        if isinstance(source, str):
            return self._text(source)
        if isinstance(source, Mapping):
            return _Record({key: self._compile(value, depth + 1) for key, value in source.items()})
        if isinstance(source, list | tuple):
            return _Series([self._compile(value, depth + 1) for value in source])
        return _Constant(source)


class _Constant(NamedTuple):
    value: Any
    names: frozenset[str] = frozenset()

    def render(self, _: Scope, /) -> Any:
        return self.value


class _Record(NamedTuple):
    """A mapping: made anew each time, so that whoever gets it may change it."""

    values: dict[Any, Template]

    @property
    def names(self) -> frozenset[str]:
        return _all_names(self.values.values())

    def render(self, scope: Scope, /) -> dict[Any, Any]:
        return {key: value.render(scope) for key, value in self.values.items()}


class _Series(NamedTuple):
    """A list: made anew each time, so that whoever gets it may change it."""

    values: list[Template]

    @property
    def names(self) -> frozenset[str]:
        return _all_names(self.values)

    def render(self, scope: Scope, /) -> list[Any]:
        return [value.render(scope) for value in self.values]


def _all_names(templates: Iterable[Template]) -> frozenset[str]:
    return frozenset(name for template in templates for name in template.names)
