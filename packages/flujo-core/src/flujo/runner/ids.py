"""Run ids: short, lower case, and in the order the runs began."""

import secrets

__all__ = ["new_run_id"]

#: Crockford's base 32: no letter that looks like a digit, and its order is the order of the numbers.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS = 9
_CHANCE_DIGITS = 5


def new_run_id(now: float) -> str:
    """An id for a run that begins at `now` (seconds since the epoch): milliseconds, then 25 bits of chance."""
    return _base32(int(now * 1000), _TIME_DIGITS) + _base32(secrets.randbits(25), _CHANCE_DIGITS)


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
