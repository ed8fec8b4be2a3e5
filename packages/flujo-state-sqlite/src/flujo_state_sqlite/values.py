"""How values and errors lie in columns: small values in their row, large ones once, under their hash."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeAlias

from flujo.domain.outcomes import UNREADABLE, ErrorInfo
from flujo.exceptions import PayloadTooLarge, StateCorrupt
from flujo.infra.codec import lost
from flujo_state_sqlite.errors import RECOVER
from flujo_state_sqlite.schema import INLINE_LIMIT, VALUE_ENCODING

__all__ = [
    "FARTHEST",
    "NOT_OURS",
    "Cells",
    "check_encoding",
    "check_size",
    "check_source",
    "check_times",
    "error_from_text",
    "error_shown",
    "error_to_text",
    "keep",
    "kept_texts",
    "naming",
    "pack",
    "shown",
    "store_blobs",
    "texts_of",
    "unpack",
]

#: The two columns of one value: the value itself, or the hash of its blob; both None for no value.
Cells: TypeAlias = tuple[bytes | None, bytes | None]

#: What reading a row raises that flujo has not written.
NOT_OURS = (ValueError, TypeError, KeyError, ArithmeticError)

#: Seconds before and after 1970: a time beyond these is none of flujo's, and no calendar has it.
FARTHEST = 62_000_000_000.0

#: Longer messages are cut: an error is to be read by a person, whatever somebody puts into one.
_MESSAGE_LIMIT = 16 * 1024


def check_size(value: bytes | None, where: str, limit: int) -> int:
    """The number of bytes of `value`. Raises `PayloadTooLarge` above `limit`."""
    size = 0 if value is None else len(value)
    if size > limit:
        raise PayloadTooLarge(
            f"the value at {where!r} has {size:,} bytes, expected at most {limit:,}",
            suggestion="write it to a file and hand on its name",
        )
    return size


def pack(value: bytes | None) -> Cells:
    """The cells of `value`."""
    if value is None or len(value) <= INLINE_LIMIT:
        return value, None
    return None, _hash(value)


def store_blobs(connection: sqlite3.Connection, *values: bytes | None) -> None:
    """Store those of `values` that are too large for a row, each unless it is there."""
    for value in values:
        if value is not None and len(value) > INLINE_LIMIT:
            keep(connection, value)


def keep(connection: sqlite3.Connection, value: bytes) -> bytes:
    """Store `value` under its hash, unless it is there; the hash."""
    key = _hash(value)
    connection.execute(
        "INSERT INTO blob(hash, size, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, len(value), value)
    )
    return key


def unpack(connection: sqlite3.Connection, value: bytes | None, key: bytes | None) -> bytes | None:
    """The value that these cells stand for; where its blob is missing or changed, bytes that decode to that error."""
    if key is None:
        return value
    found = connection.execute("SELECT data FROM blob WHERE hash = ?", (key,)).fetchone()
    if found is None or _hash(found[0]) != key:
        return lost(f"a large value is missing from the state or was changed: {key.hex()}")
    data: bytes = found[0]
    return data


def check_encoding(number: int, where: str) -> None:
    """Raise `StateCorrupt` for values in an encoding this version doesn't know."""
    if number != VALUE_ENCODING:
        raise StateCorrupt(
            f"the values of {where!r} are in encoding {number}, expected {VALUE_ENCODING}",
            suggestion="upgrade flujo, if a newer one wrote them",
        )


def shown(text: bytes) -> str:
    """Stored text as it can be shown: what is no UTF-8 in it as numbers."""
    return text.decode(errors="backslashreplace")


@contextmanager
def naming(what: str, run_id: str, errors: tuple[type[Exception], ...] = (*NOT_OURS, StateCorrupt)) -> Iterator[None]:
    """Raise those `errors` as `StateCorrupt` about `what`, which is or belongs to the run of this id."""
    try:
        yield
    except errors as error:
        damaged = StateCorrupt(f"{what} can't be read: {error}", suggestion=RECOVER)
        damaged.run_id = run_id
        raise damaged from error


def check_times(*times: float | None) -> None:
    """Raise `ValueError` for a time that no calendar has; None is no time yet."""
    for each in times:
        if each is not None and not abs(each) <= FARTHEST:
            raise ValueError(f"{each!r} is no time")


def check_source(source: str) -> None:
    """Raise `ValueError` for what is no name of a file."""
    if "\0" in source:
        raise ValueError(f"{source!r} is no name of a file")


def kept_texts(data: bytes | None) -> dict[str, str]:
    """The texts of a pipeline's files; where they are missing or damaged, an empty one whose name says so."""
    try:
        return texts_of(data or b"{}")
    except ValueError:
        return {"(missing from the state, or changed)": ""}


def texts_of(text: str | bytes) -> dict[str, str]:
    """The JSON object of texts that was written. Raises `ValueError` for anything else."""
    found: dict[str, str] = json.loads(text)
    if type(found) is not dict or not all(type(each) is str for each in found.values()):
        raise ValueError(f"{text[:40]!r} is no JSON object of texts")
    return found


def error_to_text(error: ErrorInfo | None) -> str | None:
    """`error` as JSON, in ASCII: messages may hold anything."""
    if error is None:
        return None
    message = error.message
    if len(message) > _MESSAGE_LIMIT:
        message = f"{message[:_MESSAGE_LIMIT]}… ({len(message) - _MESSAGE_LIMIT:,} more characters)"
    return json.dumps(error._replace(message=message)._asdict())


def error_from_text(text: str | bytes | None) -> ErrorInfo | None:
    """The error that was written. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    if text is None:
        return None
    fields: dict[str, Any] = json.loads(text)
    error = ErrorInfo(**{name: fields[name] for name in _ERROR_FIELDS}, plugin=fields.get("plugin"))
    if not all(isinstance(each, str | None) for each in error) or None in (error.type, error.message, error.path):
        raise ValueError(f"{text[:40]!r} is no error")
    return error


def error_shown(text: bytes | None) -> ErrorInfo | None:
    """The error that was written, or one that says why it can't be read: it is to be looked at, not to go on by."""
    try:
        return error_from_text(text)
    except NOT_OURS as error:
        return ErrorInfo(UNREADABLE, str(error), StateCorrupt.default_code)


#: Those that are in every state; `plugin` came later.
_ERROR_FIELDS = ("type", "message", "code", "suggestion", "path", "location")


def _hash(value: bytes) -> bytes:
    return blake2b(value, digest_size=32).digest()
