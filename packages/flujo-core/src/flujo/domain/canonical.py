"""One document and one hash for a definition, whatever it was written in."""

import hashlib
import json
from typing import Any

__all__ = ["canonical", "digest"]


def canonical(definition: dict[str, Any]) -> str:
    """The definition as JSON with sorted keys and no spaces: equal definitions give equal text."""
    return json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(definition: dict[str, Any]) -> bytes:
    """Sixteen bytes that name the definition (BLAKE2b of its canonical text)."""
    return hashlib.blake2b(canonical(definition).encode("utf-8", "surrogatepass"), digest_size=16).digest()
