"""The tables of the keys of files: of pipelines by the models that the loader checks them with, and of settings."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from docs.sources import notes, table
from pydantic import AliasChoices, BeforeValidator
from pydantic.fields import FieldInfo

from flujo.blueprint.durations import Duration
from flujo.blueprint.schema import DocumentSpec, Spec, StepSpec
from flujo.domain.kinds import MergeStrategy, Reduce
from flujo.domain.pricing import Price
from flujo.domain.quota import UsageLimits
from flujo.domain.step_mistakes import checked_path
from flujo.domain.validation import NAME
from flujo.infra import config_manager, plugin_tables, spending
from flujo.plugins import create_plugin_manager

__all__ = ["file_keys", "setting_keys"]

#: Whose kinds these pages are about.
BUILT_IN = "flujo-policies-builtin "

#: What models leave to the builder, or to whoever reads it, by the names of the fields.
HELD = {
    "agents": "mapping of texts or lists of steps",
    "body": "list of steps, or one",
    "branches": "mapping of lists of steps, or of steps",
    "default_branch": "list of steps, or one",
    "fallback": "step",
    "init": "mapping",
    "input": "anything",
    "on_deadline": "`fail`, or mapping",
    "planner": "text or step",
    "propagation": "text or mapping",
    "router_agent": "text or step",
    "state": "mapping",
    "states": "mapping of lists of steps",
    "steps": "list of steps",
    "wrapped_step": "list of steps, or one",
}
#: Fields of texts that are one of a few, or a function.
CHOICES = {"merge_strategy": MergeStrategy, "reduce": Reduce}
PLAIN = {
    str: "text",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    Decimal: "number",
    Path: "text",
}
MANY = {str: "texts", Path: "texts"}
OF = {str: "mapping of texts", Any: "mapping", list[str]: "mapping of lists of texts"}

#: Names in descriptions that are written as code.
CODE = re.compile(r"(`[^`]*`)|(\{[^}]*\}|\b\w+[_:.]\w[\w.]*\b)")
LANGUAGE = re.compile(r"\b([Tt]emplates?|[Ee]xpressions?)\b")


def file_keys() -> dict[str, str]:
    """The tables of everything that a pipeline file can say, each by the dotted path to its keys.

    The models are those that files are checked with: the document's, what all kinds have in common, and each of flujo's
    own kinds', with what stands in them.
    """
    kinds = [
        spec for spec in create_plugin_manager().contributions.kinds.values() if spec.provider.startswith(BUILT_IN)
    ]
    models = {spec.model: spec.name for spec in kinds if not spec.summary.startswith("another name of")}
    assert models.keys() == {spec.model for spec in kinds}
    tables = [*_tables("document", DocumentSpec, {}), *_tables("every step", StepSpec, {})]
    for model, name in models.items():
        tables += _tables(name, model, StepSpec.model_fields)
    return dict(tables)


def _tables(path: str, model: type[Spec], known: Mapping[str, FieldInfo]) -> Iterator[tuple[str, str]]:
    """The table of the keys of `model` that are not `known`, and those of the mappings in it."""
    own = {name: field for name, field in model.model_fields.items() if not _same(known.get(name), field)}
    said = notes(model)
    rows = {_key(name, field): _row(name, field, said.get(name, "")) for name, field in own.items()}
    _, dot, key = path.rpartition(".")
    yield path, table(f"key{f' of {key}' if dot else ''} | type | default | meaning", rows)
    for name, field in own.items():
        for part in _parts(field.annotation):
            inner = known[name].annotation if name in known else None
            common = inner.model_fields if isinstance(inner, type) and issubclass(inner, Spec) else {}
            yield from _tables(f"{path}.{_key(name, field)}", part, common)


def _same(known: FieldInfo | None, field: FieldInfo) -> bool:
    return known is not None and known.annotation == field.annotation


def _parts(annotation: Any) -> Iterator[type[Spec]]:
    """The models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def _names(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    return [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [name]


def _key(name: str, field: FieldInfo) -> str:
    return _names(name, field)[0]


def _row(name: str, field: FieldInfo, note: str) -> tuple[str, ...]:
    assert field.description, f"{name!r} has no description"
    others = "".join(f"`{other}` is another name of this key." for other in _names(name, field)[1:])
    said = LANGUAGE.sub(
        r"[\1](templates.md)", CODE.sub(lambda found: found[1] or f"`{found[2]}`", f"{field.description}."), count=1
    )
    meaning = " ".join(part for part in (said, note, others) if part)
    return _type(name, field), _default(field), _cell(meaning)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is None:
        return _shown(field.default)
    return "empty" if field.default_factory in (list, dict) else "as below"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if value == "" or value == ():
        return "empty"
    return f"`{value if isinstance(value, str) else f'{value:g}' if type(value) is float else json.dumps(value)}`"


def _type(name: str, field: FieldInfo) -> str:
    limits = {type(each).__name__: each for each in field.metadata}
    said = HELD[name] if name in HELD and _is_open(field.annotation) else _words(field.annotation)
    if name in CHOICES:
        said = f"{_words(CHOICES[name])}; or `module:attr`"
    if any(isinstance(each, BeforeValidator) for each in field.metadata):  # a text that is made a mapping
        said = f"text or {said}"
    if any(getattr(each, "pattern", None) == f"^{NAME}$" for each in field.metadata):
        said = "name"
    if "MinLen" in limits:
        said += ", at least one" if said.startswith("list") else ", not empty"
    if "Le" in limits:
        return f"{said}, {limits['Ge'].ge} to {limits['Le'].le}"
    said += f", at least {limits['Ge'].ge}" if "Ge" in limits else ""
    return said + (f" above {limits['Gt'].gt}" if "Gt" in limits else "")


def _is_open(annotation: Any) -> bool:
    return annotation is Any or any(map(_is_open, get_args(annotation)))


def _words(annotation: Any) -> str:
    """A type in plain words."""
    assert annotation is not Any, "say in HELD what it holds"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _marked(annotation, inner)
    if origin in (Union, UnionType):
        left_out = (NoneType, int) if float in inner else (NoneType,)  # a whole number is a number, too
        return " or ".join(dict.fromkeys(_words(each) for each in inner if each not in left_out))
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner).replace(f", `{inner[-1]}`", f" or `{inner[-1]}`")
    return _many(origin, inner) if inner else PLAIN.get(annotation, "mapping")


def _marked(annotation: Any, inner: tuple[Any, ...]) -> str:
    if any(getattr(each, "func", None) is checked_path for each in inner):
        return "path"
    return "duration" if annotation == Duration else _words(inner[0])


def _many(origin: Any, inner: tuple[Any, ...]) -> str:
    if origin in (list, tuple):
        return f"list of {MANY.get(inner[0], 'mappings')}"
    return OF.get(inner[1], "mapping of mappings")


def setting_keys() -> dict[str, str]:
    """The tables of the settings of `flujo.toml`, by the tables that they stand in."""
    settings = get_type_hints(config_manager.Settings)
    defaults, said = config_manager.Settings(Path()), notes(config_manager.Settings)
    rows = {}
    for name in config_manager._KEYS:
        field = config_manager._field(name)
        variable, default = f"`{config_manager._variable(name)}`", _shown(getattr(defaults, field))
        rows[name] = (_words(settings[field]), default, variable, _cell(said[field]))
    return {
        "settings": table("key | type | default | variable | meaning", rows),
        "pricing": _amounts("pricing", Price, spending.PRICE_KEYS, "`0`"),
        "budgets": _amounts("budgets", UsageLimits, spending.BUDGET_KEYS, "none"),
        "plugins": table("key of plugins | type | meaning", dict(_plugins())),
    }


def _amounts(name: str, kind: type, keys: tuple[str, ...], default: str) -> str:
    hints, said = get_type_hints(kind), notes(kind)
    return table(
        f"key of {name} | type | default | meaning",
        {key: (_words(hints[key]), default, _cell(said[key])) for key in keys},
    )


def _plugins() -> Iterator[tuple[str, tuple[str, ...]]]:
    hints, said = get_type_hints(plugin_tables.PluginTables), notes(plugin_tables.PluginTables)
    for key in (*plugin_tables._LISTS, "settings"):
        yield key, (_words(hints[key]), _cell(said[key]))
