"""Run ids: short, lower case, and in the order the runs began."""

import re
import secrets

from flujo.exceptions import ConfigurationError

__all__ = ["check_key", "check_run_id", "new_run_id"]

_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_KEY_LENGTH = 200

#: Crockford's base 32: no letter that looks like a digit, and its order is the order of the numbers.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 14
_CHANCE_BITS = 25


def new_run_id(now: float) -> str:
    """An id for a run that begins at `now` (seconds since the epoch): milliseconds, then 25 bits of chance."""
    return _base32((int(now * 1000) << _CHANCE_BITS) + secrets.randbits(_CHANCE_BITS), _LENGTH)


def check_run_id(run_id: object) -> None:
    """Raise `ConfigurationError` for an id of the user's own that can't be shown, typed or stored safely."""
    if not isinstance(run_id, str) or not _OWN_ID.fullmatch(run_id):
        raise ConfigurationError(
            f"{run_id!r} is not a run id",
            suggestion="an id starts with a letter or digit, goes on with letters, digits, '_', '.' or '-', "
            "and has at most 64 characters",
        )


def check_key(key: object) -> None:
    """Raise `ConfigurationError` for an idempotency key that can't be shown, typed or stored safely."""
    if not isinstance(key, str):
        raise ConfigurationError(f"{key!r} is not an idempotency key", suggestion="a key is text")
    if not 0 < len(key) <= _KEY_LENGTH or not key.isprintable() or key != key.strip():
        raise ConfigurationError(
            f"{key[:_KEY_LENGTH]!r} is not an idempotency key",
            suggestion=f"a key is printable text of 1 to {_KEY_LENGTH} characters, without space around it",
        )


def _base32(number: int, width: int) -> str:
    return "".join([_DIGITS[number >> shift & 31] for shift in range(5 * width - 5, -1, -5)])
