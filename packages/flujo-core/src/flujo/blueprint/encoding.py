"""From the bytes of a file to text that is safe to parse and to show."""

import re
from pathlib import Path

from flujo.blueprint.diagnostics import blueprint_error
from flujo.blueprint.document import place_of
from flujo.domain.validation import Finding, Location
from flujo.exceptions import BlueprintError

__all__ = ["MAX_BYTES", "decode", "read_bytes"]

#: The size of the largest file, in bytes.
MAX_BYTES = 1 << 20

_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

#: What YAML does not call printable (YAML 1.2, 5.1); lone surrogates are among it.
#: Written as what is forbidden, not as what isn't: a pattern of few characters compiles thirty times faster.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def read_bytes(path: Path) -> bytes:
    """The file's bytes, at most one more than allowed. Raises `BlueprintError` when it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _error("V-Y01", f"the file can't be read: {reason.lower()}", str(path)) from error


def decode(data: bytes, file: str) -> str:
    """The text of `data`, without a byte order mark. Raises `BlueprintError`."""
    if len(data) > MAX_BYTES:
        raise _error(
            "V-Y04",
            "the file is larger than 1 MiB",
            file,
            advice="keep data in files of its own, and let a step read it",
        )
    if data.startswith(_WIDE):
        raise _error("V-Y03", "the file is UTF-16 or UTF-32, expected UTF-8", file, advice="save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        message = f"byte {hex(data[error.start])} is not UTF-8"
        raise _error("V-Y03", message, file, before, len(before), advice="save the file as UTF-8") from error
    if bad := _FORBIDDEN.search(text):
        message = f"character U+{ord(bad[0]):04X} is not allowed"
        advice = "write it as an escape in double quotes, or leave it out"
        raise _error("V-Y03", message, file, text, bad.start(), advice=advice)
    return text


def _error(
    code: str, message: str, file: str, text: str = "", offset: int = 0, advice: str | None = None
) -> BlueprintError:
    location = Location(file, *place_of(text, offset))
    return blueprint_error([Finding(code, message, help=advice, location=location)])
