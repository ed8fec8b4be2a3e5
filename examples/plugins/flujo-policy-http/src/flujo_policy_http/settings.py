"""What a project lets its pipelines reach: the origins, and the secrets that may be sent to them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flujo.exceptions import SettingsError

__all__ = ["HttpSettings", "Origin"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Origin(NamedTuple):
    """A scheme, a host and a port; the host "*.example.com" stands for every host under example.com."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> "Origin":
        """The origin that `text` is: "https://api.example.com", "http://127.0.0.1:8080", or a host alone for https.

        Raises `ValueError` for anything else, a path and a user among it.
        """
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host = _host(parts.hostname)
        if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or parts.path.strip("/"):
            raise ValueError(f"{text!r} is no origin, expected one like 'https://api.example.com'")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"{text!r} is more than an origin, expected a scheme, a host and maybe a port")
        return cls(parts.scheme, host, parts.port or _PORTS[parts.scheme])

    def covers(self, other: "Origin") -> bool:
        """Whether `other`, which has no star, is this origin or one of those that it stands for."""
        if self[::2] != other[::2]:
            return False
        return other.host.endswith(self.host[1:]) if self.host.startswith("*.") else other.host == self.host

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def _host(name: str | None) -> str:
    return f"[{name}]" if name and ":" in name else (name or "").rstrip(".")


class HttpSettings(NamedTuple):
    """`allow` are the origins that requests may go to, `secrets` the environment variables that headers may hold.

    Without settings nothing is allowed.
    """

    allow: tuple[Origin, ...] = ()
    secrets: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "HttpSettings":
        """Read a table of settings. Raises `SettingsError` for what can't be meant."""
        if unknown := sorted(table.keys() - set(cls._fields)):
            raise SettingsError(f"unknown setting {unknown[0]!r}", suggestion=f"settings are {', '.join(cls._fields)}")
        secrets = _texts(table, "secrets")
        if wrong := [name for name in secrets if not _VARIABLE.fullmatch(name)]:
            raise SettingsError(f"{wrong[0]!r} in 'secrets' is no name of an environment variable")
        try:
            return cls(tuple(Origin.of(text) for text in _texts(table, "allow")), frozenset(secrets))
        except ValueError as error:
            raise SettingsError(f"'allow': {error}", cause=error) from error

    def allows(self, origin: Origin) -> bool:
        """Whether requests may go to `origin`."""
        return any(allowed.covers(origin) for allowed in self.allow)


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name, ())
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise SettingsError(f"{name!r} is {value!r}, expected a list of texts")
    return tuple(value)
