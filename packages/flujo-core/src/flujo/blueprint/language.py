"""The templates and expressions in a file, each checked where it stands."""

from collections.abc import Callable, Mapping
from functools import partial
from operator import eq
from typing import Any

from flujo.blueprint.diagnostics import Report
from flujo.blueprint.document import Document, places_where
from flujo.blueprint.inputs import Visible, mistakes
from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.steps import Step
from flujo.domain.validation import Finding, Location
from flujo.exceptions import TemplateResolutionError

__all__ = ["LanguageChecker"]

#: Keys whose values are paths in the context that the file is seen to set.
_SETS = ("sink_to", "parent")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


class LanguageChecker:
    """Notes in `report` what is wrong with the templates and expressions of one document.

    `raw` is always the mapping in the document that holds the text, or has it somewhere inside; `path` is the step's.
    """

    def __init__(self, document: Document, report: Report, language: TemplateCompiler) -> None:
        self._document = document
        self._report = report
        self._language = language
        self._fields = {
            str(container[key]).partition(".")[0]
            for container, key in places_where(document.data, _is_text)
            if key in _SETS
        }

    def check_input(self, value: Any, raw: Mapping[str, Any], path: str, sees: Visible) -> None:
        """Check every text in a step's `input` on its own: its grammar, and the names of the steps that it `sees`."""
        places = [(raw, "input")] if isinstance(value, str) else list(places_where(value, _is_text))
        for container, key in places:
            if self._report.full:
                return
            for wrong in mistakes(container[key], self._language, sees, self._fields):
                at = self._inside((container, key), wrong.line, wrong.column)
                self._note(wrong.code, wrong.message, wrong.advice, path, at or self._document.at(raw))

    def check_step(self, step: Step[Any, Any], raw: Mapping[str, Any], path: str) -> None:
        """Compile what the kind's own fields hold."""
        for name in step.expressions:
            self._compile(getattr(step, name), self._language.compile_expression, raw, path)
        for name in step.templates:
            self._compile(getattr(step, name), self._language.compile, raw, path)

    def check_invariants(self, raw: Mapping[str, Any], path: str) -> None:
        """Compile the expressions in `static_invariants`."""
        self._compile(raw.get("static_invariants"), self._language.compile_expression, raw, path)

    def _compile(self, value: Any, compiled: Callable[[str], Any], raw: Mapping[str, Any], path: str) -> None:
        for container, key in places_where([value], _is_text):
            text = container[key]
            try:
                compiled(text)
            except TemplateResolutionError as error:
                place = next(places_where(raw, partial(eq, text)), None)
                at = self._inside(place, error.line, error.column) or self._document.at(raw)
                self._note("V-T02", error.message, error.suggestion, path, at)

    def _inside(self, place: tuple[Any, Any] | None, line: int | None, column: int | None) -> Location | None:
        """Where in the text at `place` its own line and column are, as far as both are known."""
        at = self._document.value(*place) if place else None
        if place is None or at is None or line is None or column is None:
            return at
        return self._document.inside(at, place[0][place[1]], line, column)

    def _note(self, code: str, message: str, advice: str | None, path: str, at: Location | None) -> None:
        self._report.add(Finding(code, message, path=path, help=advice, location=at))
