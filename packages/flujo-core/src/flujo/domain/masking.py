"""What nobody may read in a log line or an error: passwords in addresses, credentials, values of secret variables."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["MASK", "is_secret_name", "masked", "unsecret"]

#: What stands in the place of a secret.
MASK = "***"

#: Words, apart from each other or at the end of a name, that say that a name stands for a secret.
_SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:pwd|passphrase|secrets?|token|authorization)$|passw(?:or)?d$|secret[_-]|"
    r"(?:api|access|private|secret|signing|encryption)[_-]?key$",
    re.IGNORECASE,
)
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})

#: A shorter value is also a word or a number that stands in any text.
_SHORTEST = 6

#: `scheme://user:PASSWORD@host`: up to the last @ before the path.
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:)[^\s/]*(?=@)", re.IGNORECASE)
_IN_QUERY = re.compile(r"([?&;]([\w.-]+)=)([^\s&;#'\"]+)")
_IN_HEADER = re.compile(
    r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|digest|token)\s+)?)[^\s'\",;]+", re.IGNORECASE
)


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether what is called `name` is a secret, as far as its name says: OPENAI_API_KEY, db.password."""
    return name not in _NO_SECRETS and _SECRET_NAME.search(name) is not None


def masked(text: str, environ: Mapping[str, str] | None = None) -> str:
    """`text` without secrets: `***` stands in the place of each.

    Secrets are the values of variables in `environ` (default: the process's) whose names look like it, from six
    characters on; passwords in addresses; query parameters with such names; what follows `Authorization:`.
    """
    for secret in _secrets(os.environ if environ is None else environ):
        text = text.replace(secret, MASK)
    if "://" in text:
        text = _IN_ADDRESS.sub(rf"\1{MASK}", text)
    if "=" in text:
        text = _IN_QUERY.sub(lambda found: found[1] + (MASK if is_secret_name(found[2]) else found[3]), text)
    return _IN_HEADER.sub(rf"\1{MASK}", text) if "authorization" in text.lower() else text


def unsecret(name: str, value: Any) -> Any:
    """A setting called `name`, plain data, without secrets: what a name says is one, and those in its texts."""
    if is_secret_name(name):
        return MASK
    if isinstance(value, Mapping):
        return {each: unsecret(each, inner) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [unsecret(name, each) for each in value]
    return masked(value) if isinstance(value, str) else value


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """The longest first, so that one that begins with another is hidden whole; a path is not a secret."""
    values = {environ.get(name, "").strip() for name in environ if is_secret_name(name)}
    secrets = (value for value in values if len(value) >= _SHORTEST and not value.startswith(("/", "~")))
    return sorted(secrets, key=lambda value: (-len(value), value))
