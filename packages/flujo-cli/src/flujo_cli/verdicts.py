"""Yes or no in the words of a question's schema."""

from collections.abc import Mapping
from typing import Any

import click

__all__ = ["verdict"]


def verdict(approved: bool, schema: Any, fields: Mapping[str, Any], texts: Mapping[str, str]) -> Any:
    """The answer that approves or rejects, with more `fields` where the question takes an object.

    An object has the property `decision` (a word) or `approved` (true or false); where the schema is no object, the
    answer is the word, or true or false. A field that takes text has it from `texts`, as it was typed. Raises
    `click.UsageError` for fields that say neither, or the opposite.
    """
    raw: Mapping[str, Any] = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    parts = {name: _resolved(schema, part) for name, part in raw.items()}
    fields = {name: texts[name] if _is_text(parts.get(name), each) else each for name, each in fields.items()}
    for name in ("decision", "approved"):
        if name in fields and _says(fields[name]) is (not approved):
            words = ("approve", "reject") if approved else ("reject", "approve")
            raise click.UsageError(f"--set {name}={texts[name]} is not to {words[0]}: use `flujo runs {words[1]}`")
    if "decision" in parts:
        return {"decision": _said(approved, parts["decision"], free=True), **fields}
    if "approved" in parts or (fields and not parts):
        return {"approved": approved, **fields}
    if not fields:
        return _said(approved, schema, free=False)
    if not approved:
        raise click.UsageError("the question has neither 'decision' nor 'approved': give the answer by --answer-json")
    return dict(fields)


def _said(approved: bool, schema: Any, *, free: bool) -> Any:
    """The word that the schema has for it (`approve`, `approved`); `free` where any word will do."""
    word = "approve" if approved else "reject"
    known = schema.get("enum", ()) if isinstance(schema, Mapping) else ()
    fitting = [each for each in known if isinstance(each, str) and each.lower().startswith(word)]
    if fitting:
        return fitting[0]
    is_text = isinstance(schema, Mapping) and schema.get("type") == "string"
    return word if free or is_text else approved


def _says(value: Any) -> bool | None:
    """Whether a field approves; None where its words are others."""
    if isinstance(value, str) and value.lower().startswith(("approve", "reject")):
        return value.lower().startswith("approve")
    return value if isinstance(value, bool) else None


def _is_text(part: Any, value: Any) -> bool:
    """Whether a field takes nothing but text, and `value` was read as something else."""
    types = _types(part)
    return types - {"null"} == {"string"} and not isinstance(value, str) and (value is not None or "null" not in types)


def _types(part: Any) -> set[str]:
    if not isinstance(part, Mapping):
        return set()
    told = part.get("type", ())
    return {*([told] if isinstance(told, str) else told)}.union(*map(_types, part.get("anyOf", ())))


def _resolved(schema: Mapping[str, Any], part: Any) -> Any:
    """The part itself, where it only refers to a definition of the schema."""
    name = str(part.get("$ref", "")).removeprefix("#/$defs/") if isinstance(part, Mapping) else ""
    return schema.get("$defs", {}).get(name, part)
