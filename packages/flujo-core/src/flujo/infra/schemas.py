"""What an answer must look like, an agent's or a person's: a pydantic model, a type, or a JSON Schema."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticError

from flujo.domain.foreign import attempt
from flujo.domain.hints import show
from flujo.exceptions import ConfigurationError, SchemaMismatchError
from flujo.infra.repair import json_in

__all__ = ["OutputSchema"]

#: As many problems are told of one value.
_MOST = 50

#: A problem's text is at most so long; a longer one repeats the value that it is about.
_WIDTH = 200

#: Keywords that mean a list or a mapping, in a schema that does not say its "type".
_STRUCTURE = frozenset({"additionalProperties", "items", "prefixItems", "properties", "required"})

#: What JSON calls some values, which messages begin with.
_WORDS = {"True": "true", "False": "false", "None": "null"}

_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)

#: Where something is wrong in a value (`$.items[2].price`), and what.
Problem: TypeAlias = tuple[str, str]


class _Fitted(NamedTuple):
    """What a schema makes of a value, or what is wrong with it."""

    value: Any
    problems: tuple[Problem, ...] = ()


class OutputSchema(NamedTuple):
    """A schema, compiled once. `name` is what messages call it."""

    name: str
    fit: Callable[[Any], _Fitted]
    fit_json: Callable[[Any], _Fitted]
    takes_text: bool = True

    @classmethod
    def of(cls, spec: Any) -> "OutputSchema":
        """The schema that `spec` declares: a JSON Schema as a mapping, else a type that pydantic can check.

        Raises `ConfigurationError` for what is no such schema. A JSON Schema can refer to parts of itself; no other
        document is ever fetched. Its formats are not checked.
        """
        return _json_schema(spec) if isinstance(spec, Mapping) else _typed(spec)

    def check(self, value: Any, *, what: str = "the value") -> Any:
        """`value` as the schema has it: an instance of a model for a mapping.

        Of a text that does not fit as it is, the JSON in it is taken: between code fences or in prose, also with a
        comma before a closing bracket. Raises `SchemaMismatchError` with every problem; it calls the value `what`.
        """
        fitted = self._fit_text(value) if isinstance(value, str) else self.fit(value)
        if not fitted.problems:
            return fitted.value
        told = "; ".join(f"{path}: {problem}" for path, problem in fitted.problems)
        raise SchemaMismatchError(f"{what} does not fit {self.name}: {told}", problems=fitted.problems)

    def _fit_text(self, text: str) -> _Fitted:
        as_it_is = self.fit(text)
        if self.takes_text and not as_it_is.problems:
            return as_it_is
        try:
            value = json_in(text)
        except ValueError as error:
            is_meant = as_it_is.problems and ("{" in text or "[" in text)
            return _Fitted(None, (("$", str(error)),)) if is_meant else as_it_is
        return self.fit_json(value)


def _typed(hint: Any) -> OutputSchema:
    """The schema of a type. JSON is validated as JSON, where a strict model too takes text for a date."""

    def made() -> TypeAdapter[Any]:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        adapter.rebuild(raise_errors=True)
        return adapter

    adapter = attempt(
        made,
        lambda _, error: ConfigurationError(
            f"{_name(hint)} is no type of output that can be checked",
            suggestion="give a pydantic model, another type that pydantic can check, or a JSON Schema as a mapping",
            cause=error,
        ),
    )

    def fit(value: Any, validate: Callable[[Any], Any] = adapter.validate_python) -> _Fitted:
        try:
            return _Fitted(validate(value))
        except PydanticError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            return _Fitted(None, tuple(_of_pydantic(each, value) for each in found[:_MOST]))

    return OutputSchema(_name(hint), fit, lambda value: fit(value, lambda it: adapter.validate_json(json.dumps(it))))


def _name(hint: Any) -> str:
    return repr(hint if isinstance(hint, str) else show(hint)[0])


def _of_pydantic(error: Any, value: Any) -> Problem:
    """An error's place in `value`, without the branches of unions that pydantic counts as places."""
    parts: list[Any] = []
    *outer, last = error["loc"] or ("",)
    for part in (*outer, last):
        is_key = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if is_key:
            value = value[part]
            parts.append(part)
    if error["type"] == "missing":
        parts.append(last)
    message = error["msg"]
    return _path(parts), _short(message[:1].lower() + message[1:] if message[1:2].islower() else message)


def _json_schema(spec: Mapping[str, Any]) -> OutputSchema:
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - 0.06 s that few pipelines need

    schema = dict(spec)
    validator = attempt(
        lambda: _validator(schema),
        lambda said, error: ConfigurationError(f"the JSON Schema can't be read: {_short(said)}", cause=error),
    )

    def fit(value: Any) -> _Fitted:
        try:
            errors = [best_match([error]) for error in islice(validator.iter_errors(value), _MOST)]
        except RecursionError:
            return _Fitted(None, (("$", "it is nested too deep to be checked"),))
        return _Fitted(value, tuple(map(_of_json_schema, errors)))

    title = schema.get("title")
    takes_text = "type" in schema or not _STRUCTURE & schema.keys()
    return OutputSchema(repr(title) if title else "its schema", fit, fit, takes_text)


def _validator(schema: dict[str, Any]) -> Any:
    """The validator of the dialect that `schema` names; what it refers to must stand in the schema itself."""
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - as above
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415 - as above
    from referencing import Resource  # noqa: PLC0415 - as above
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY  # noqa: PLC0415 - as above

    cls = validator_for(schema, default=Draft202012Validator)
    try:
        cls.check_schema(schema)
    except SchemaError as error:
        message = f"the JSON Schema is wrong at {_path(error.absolute_path)}: {_short(error.message)}"
        raise ConfigurationError(message, cause=error) from error
    root = Resource.from_contents(schema, default_specification=DRAFT202012)
    for reference, resolver in _references(root, EMPTY_REGISTRY.resolver_with_root(root)):
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ConfigurationError(
                f"the JSON Schema refers to {reference!r}, which is not in it",
                suggestion="put what it refers to under '$defs': other documents are never fetched",
            ) from error
    return cls(schema, registry=EMPTY_REGISTRY)


def _references(resource: Any, resolver: Any) -> Iterator[tuple[str, Any]]:
    """Every `$ref` under `resource`, with what resolves it there."""
    contents = resource.contents
    if isinstance(contents, dict) and "$ref" in contents:
        yield contents["$ref"], resolver
    for inner in resource.subresources():
        yield from _references(inner, resolver.in_subresource(inner))


def _of_json_schema(error: Any) -> Problem:
    value, space, rest = str(error.message).partition(" ")
    message = _WORDS.get(value, value) + space + rest
    if len(message) > _WIDTH:
        message = f"it does not fit {error.validator!r}: {error.validator_value!r}"
    return _path(error.absolute_path), _short(message)


def _path(parts: Iterable[Any]) -> str:
    """`$.items[2].price`; a key that is no plain name stands in brackets."""
    steps = (f".{part}" if _PLAIN_KEY.fullmatch(str(part)) else f"[{part!r}]" for part in parts)
    return "$" + "".join(steps)


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
