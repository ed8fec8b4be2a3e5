"""A mapping from the file checked against its model: a validated spec, or findings at the keys' places."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import AliasChoices, BaseModel
from pydantic import ValidationError as PydanticError

from flujo.blueprint.diagnostics import MOST, Report, brief
from flujo.blueprint.document import Document
from flujo.blueprint.schema import Spec
from flujo.domain.suggest import did_you_mean, nearest
from flujo.domain.validation import NAME_HELP, Finding, Location

__all__ = ["FREE", "validate"]

M = TypeVar("M", bound=Spec)

#: Keys that begin like this are the author's own: anchors and notes.
FREE = "x-"

#: pydantic's names of errors that say which shape was expected, in our words.
_SHAPES: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
}
_MOST_ERRORS = 10 * MOST
_SHOULD = re.compile(r"\w+ should (.*?)(?: after validation, not .*)?", re.DOTALL)


def validate(model: type[M], raw: Mapping[str, Any], document: Document, report: Report, path: str) -> M | None:
    """Check `raw`, a mapping of `document`, against `model`, and note in `report` what is wrong.

    What is wrong is then left out, as if it weren't there, so that the rest can be checked further; None when
    too little is left. Keys that begin with `x-` don't count. `path` is the step's, for the findings.
    """
    checker = _Checker(model, raw, document, path)
    try:
        return model.model_validate(checker.data)
    except PydanticError as error:
        errors = error.errors(include_url=False)[:_MOST_ERRORS]
    for finding in checker.findings(errors):
        report.add(finding)
        if report.full:
            return None
    try:
        return model.model_validate(checker.rest(errors))
    except PydanticError:
        return None  # something that the model needs was wrong, and that is noted


class _Checker:
    """One mapping, its model and its place in the file."""

    def __init__(self, model: type[Spec], raw: Mapping[str, Any], document: Document, path: str) -> None:
        self._model = model
        self._raw = raw
        self._document = document
        self._path = path
        self.data = {key: value for key, value in raw.items() if not key.startswith(FREE)}

    def findings(self, errors: Sequence[Any]) -> Iterator[Finding]:
        """pydantic's errors in our words. Of a union, the branches that don't have the value's shape are left out."""
        paths = [self._steps(error["loc"], error["type"]) for error in errors]
        shapes: dict[tuple[Any, ...], list[str]] = {}
        for error, where in zip(errors, paths, strict=True):
            if error["type"] not in _SHAPES:
                yield self._one(error, where)
            elif not any(len(other) > len(where) and other[: len(where)] == where for other in paths):
                shapes.setdefault(where, []).append(_SHAPES[error["type"]])
        for where, expected in shapes.items():
            wanted = " or ".join(
                w for w in dict.fromkeys(expected) if w != "a whole number" or "a number" not in expected
            )
            value = self._value(where)
            message = f"{self._label(where)} should be {wanted}, not {brief(value)}"
            quote = expected == ["text"] and isinstance(value, bool | int | float)
            yield self._finding("V-S03", message, self._at(where), f"quote it: '{brief(value)}'" if quote else None)

    def rest(self, errors: Sequence[Any]) -> dict[str, Any]:
        """The data without what `errors` are about; in the place of a bad name stands another."""
        data = self.data
        for error in errors:
            where = self._steps(error["loc"], error["type"])
            data = _without(data, where if error["type"] != "missing" else where[:-1])
        named = "name" not in self._model.model_fields or data.keys() & {"name", "step"}
        return data if named else {"name": "unnamed", **data}

    def _one(self, error: Any, where: tuple[Any, ...]) -> Finding:
        key = where[-1]
        match error["type"]:
            case "missing":
                at = self._at(where[:-1])
                return self._finding("V-S01", f"missing key {key!r}", at, _description(self._model_at(where[:-1]), key))
            case "extra_forbidden":
                return self._extra(key, self._model_at(where[:-1]), self._at(where, is_key=True))
            case "string_pattern_mismatch" if key in ("name", "step"):
                return self._finding("V-N01", f"{brief(error['input'])} is not a name", self._at(where), NAME_HELP)
            case "value_error":
                return self._finding("V-S03", str(error["ctx"]["error"]), self._at(where))
            case _:
                return self._other(error, where)

    def _extra(self, key: str, models: Sequence[type[BaseModel]], at: Location | None) -> Finding:
        known: dict[str, str] = {}
        for name, field in ((name, field) for model in models for name, field in model.model_fields.items()):
            alias = field.validation_alias
            known |= dict.fromkeys(map(str, alias.choices) if isinstance(alias, AliasChoices) else [name], name)
        if known.get(key, key) != key:
            return self._finding("V-S04", f"{key!r} and {known[key]!r} say the same", at, f"leave {key!r} out")
        home = next((name for name in known.values() if key in _keys_under(models, name)), None)
        advice = f"it belongs under {home!r}" if home else did_you_mean(key, known, what="known keys are")
        return self._finding("V-S02", f"unknown key {brief(key)}", at, advice)

    def _other(self, error: Any, where: tuple[Any, ...]) -> Finding:
        said = _SHOULD.fullmatch(error["msg"])
        text = f"should {said[1]}" if said else f"is wrong: {error['msg'].lower()}"
        value = error["input"]
        advice = None
        if error["type"] == "literal_error" and isinstance(value, str):
            near = nearest(value, re.findall(r"'([^']*)'", error["ctx"]["expected"]))
            advice = f"did you mean {near!r}?" if near else None
        found = "" if error["type"].startswith("too_") else f", not {brief(value)}"
        return self._finding("V-S03", f"{self._label(where)} {text}{found}", self._at(where), advice)

    def _steps(self, loc: Sequence[Any], kind: str) -> tuple[Any, ...]:
        """The keys and indexes of `loc` that stand in the data; names of union branches are not among them."""
        current: Any = self.data
        steps: list[Any] = []
        for part in loc:
            known = (
                part in current if isinstance(current, dict) else isinstance(current, list) and isinstance(part, int)
            )
            if known:
                current = current[part]
                steps.append(part)
        return (*steps, loc[-1]) if kind == "missing" else tuple(steps)

    def _value(self, where: Sequence[Any]) -> Any:
        current: Any = self.data
        for part in where:
            current = current[part]
        return current

    def _at(self, where: tuple[Any, ...], *, is_key: bool = False) -> Location | None:
        if not where:
            return self._document.at(self._raw)
        container: Any = self._raw if len(where) == 1 else self._value(where[:-1])
        find = self._document.key if is_key else self._document.value
        return find(container, where[-1])

    def _label(self, where: tuple[Any, ...]) -> str:
        """The last key of `where`; an item of a list is counted from 1."""
        key = where[-1]
        if isinstance(key, int):
            return f"item {key + 1} of {self._label(where[:-1])}"
        return repr(key)

    def _model_at(self, where: Sequence[Any]) -> list[type[BaseModel]]:
        """The models that may stand at `where`: several for a union."""
        models: list[type[BaseModel]] = [self._model]
        for part in where:
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            if fields:
                models = [found for field in fields for found in _models_in(field.annotation)]
        return models

    def _finding(self, code: str, message: str, at: Location | None, advice: str | None = None) -> Finding:
        return Finding(code, message, path=self._path, help=advice, location=at or self._document.at(self._raw))


def _without(data: dict[str, Any], where: Sequence[Any]) -> dict[str, Any]:
    """A copy of `data` without the key at `where`; a list on the way there is left out as a whole."""
    if not where or where[0] not in data:
        return data
    key, inner = where[0], data[where[0]]
    if len(where) > 1 and isinstance(inner, dict):
        return {**data, key: _without(inner, where[1:])}
    return {other: value for other, value in data.items() if other != key}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _keys_under(models: Sequence[type[BaseModel]], name: str) -> set[str]:
    """The keys of the mapping that the field `name` of one of `models` holds."""
    fields = (model.model_fields[name] for model in models if name in model.model_fields)
    return {key for field in fields for model in _models_in(field.annotation) for key in model.model_fields}


def _description(models: Sequence[type[BaseModel]], key: str) -> str | None:
    """What the missing key is for, by its model."""
    texts = (model.model_fields[key].description for model in models if key in model.model_fields)
    text = next(texts, None)
    return f"{key!r}: {text}" if text else None
