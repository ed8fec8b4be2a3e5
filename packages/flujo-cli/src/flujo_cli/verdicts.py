"""Yes or no in the words of a question's schema."""

from collections.abc import Mapping
from typing import Any

import click

__all__ = ["verdict"]


def verdict(approved: bool, schema: Any, fields: Mapping[str, Any]) -> Any:
    """The answer that approves or rejects, with more `fields` where the question takes an object.

    An object has the property `decision` (a word) or `approved` (true or false); where the schema is no object, the
    answer is the word, or true or false. Raises `click.UsageError` for fields that say neither.
    """
    parts: Mapping[str, Any] = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    if "decision" in parts:
        return {"decision": _said(approved, _resolved(schema, parts["decision"]), free=True), **fields}
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


def _resolved(schema: Mapping[str, Any], part: Any) -> Any:
    """The part itself, where it only refers to a definition of the schema."""
    name = str(part.get("$ref", "")).removeprefix("#/$defs/") if isinstance(part, Mapping) else ""
    return schema.get("$defs", {}).get(name, part)
