"""Making a request of a step, and where it may go."""

import os
import re
from collections.abc import Mapping
from operator import gt
from string import Template
from typing import Any, NamedTuple

import httpx

from flujo import StepRun
from flujo.exceptions import ConfigurationError
from flujo.plugins import ExecutionFrame, StepExecutor
from flujo_policy_http.errors import HostNotAllowed, HttpRefused
from flujo_policy_http.settings import HttpSettings, Origin
from flujo_policy_http.step import HttpStep, literal_part, says_origin, secret_names

__all__ = ["Asked", "allowed", "asked", "check_secrets", "hop", "parsed", "place"]

#: What a part of a url may not bring when a template puts it there: it would end the part, or leave it.
_MARKS = ("?", "#", "&", "\\", "/..", "%2e", "%2f", "%5c")

#: A part that stands for the one it is in (RFC 3986, 5.2.4).
_DOT = re.compile(r"/\.(?=[/?#]|$)")

#: Headers that go on with a redirect to another origin; the step's own ones stay behind.
_CARRIED = frozenset({"accept", "accept-encoding", "content-length", "content-type", "host", "idempotency-key"})


class Asked(NamedTuple):
    """A request, and what is secret in it."""

    request: httpx.Request
    secrets: Mapping[str, str]


def asked(core: StepExecutor, frame: ExecutionFrame, step: HttpStep, settings: HttpSettings) -> Asked:
    """The request of `step`, with its templates rendered. Raises `HostNotAllowed` and `HttpRefused`."""
    scope = frame.scope()
    url = _url(step, core.render(step.url, scope))
    allowed(url, settings)
    secrets = _secrets(step, settings)
    headers = {name: str(value) for name, value in core.render(step.headers, scope).items()}
    headers |= {name: Template(value).substitute(secrets) for name, value in step.secret_headers.items()}
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise HttpRefused(f"the value of header {name!r} is no line of ascii text")
    run = StepRun(frame.run.run_id, frame.path, frame.attempt)
    headers |= {"Accept-Encoding": "identity", "Idempotency-Key": run.idempotency_key}
    body, query = core.render(step.body, scope), _query(core.render(step.query, scope))
    sent: dict[str, Any] = {"content": body.encode()} if isinstance(body, str) else {"json": body}
    address = url.copy_merge_params(query) if query else url
    return Asked(httpx.Request(step.method, address, headers=headers, **(sent if body is not None else {})), secrets)


def parsed(step: HttpStep, text: str) -> httpx.URL:
    """`text` as the url of `step`. Raises `HttpRefused` for what is none."""
    try:
        return httpx.URL(text)
    except httpx.InvalidURL as error:
        raise HttpRefused(f"the url of step {step.name!r} is none: {error}", cause=error) from error


def place(url: httpx.URL) -> str:
    """Where `url` leads to, for a message: without its query, which may be private."""
    return f"{_origin(url)}{url.path}"


def allowed(url: httpx.URL, settings: HttpSettings) -> None:
    """Raise `HostNotAllowed` for a url that the settings do not allow."""
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise HostNotAllowed("the url is none of a host on the web, expected https://HOST/PATH without a user")
    origin = _origin(url)
    if not settings.allows(origin):
        raise HostNotAllowed(
            f"requests may not go to {str(origin)!r}",
            suggestion=f"add it to 'allow' in the settings of flujo-policy-http, which has {_listed(settings)}",
        )


def check_secrets(step: HttpStep, settings: HttpSettings) -> None:
    """Raise `ConfigurationError` for a secret that the settings do not let files name."""
    for name in secret_names(step.secret_headers):
        if name not in settings.secrets:
            raise ConfigurationError(
                f"step {step.name!r} may not send the variable {name!r}",
                suggestion="add it to 'secrets' in the settings of flujo-policy-http",
            )


def hop(response: httpx.Response, settings: HttpSettings) -> httpx.Request:
    """The request that a redirect asks for, if it may go there; to another origin it takes no header of the step's.

    Raises `HostNotAllowed`, for a way back from https to http too.
    """
    request, before = response.next_request, response.request.url
    assert request is not None
    allowed(request.url, settings)
    if before.scheme == "https" != request.url.scheme:
        raise HostNotAllowed(f"{place(before)} redirects from https to http")
    if _origin(before) != _origin(request.url):
        for name in set(request.headers) - _CARRIED:
            del request.headers[name]
    return request


def _origin(url: httpx.URL) -> Origin:
    host = url.raw_host.decode().lower().rstrip(".")
    port = url.port or (443 if url.scheme == "https" else 80)
    return Origin(url.scheme, f"[{host}]" if ":" in host else host, port)


def _url(step: HttpStep, text: Any) -> httpx.URL:
    """The url that the template `step.url` came to: what data put into it must stay within its place."""
    text, written = str(text), literal_part(step.url)
    if written.strip() and any(map(gt, _counts(step, text), _counts(step, written))):
        raise HttpRefused(
            f"the data of step {step.name!r} would change the url, not only fill it in",
            suggestion="say under query what stands behind the '?'",
        )
    return parsed(step, text)


def _counts(step: HttpStep, text: str) -> list[int]:
    """How often what ends a part of a url stands in `text`: a '/' too, unless data says the origin."""
    marks = (*_MARKS, "/") if says_origin(step.url) else _MARKS
    return [len(_DOT.findall(text)), *(text.lower().count(mark) for mark in marks)]


def _query(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in values.items() if value is not None}
    for name, value in found.items():
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, str | int | float) for part in parts):
            raise HttpRefused(f"{name!r} in query is a {type(value).__name__}, expected a text, a number or a list")
    return found


def _secrets(step: HttpStep, settings: HttpSettings) -> dict[str, str]:
    """The values of the secrets that the step sends. Raises `ConfigurationError` for one that is not set."""
    check_secrets(step, settings)
    found = {name: os.environ.get(name, "") for name in secret_names(step.secret_headers)}
    if missing := [name for name, value in found.items() if not value]:
        raise ConfigurationError(f"step {step.name!r} needs the variable {missing[0]!r}, which is not set")
    return found


def _listed(settings: HttpSettings) -> str:
    return ", ".join(map(str, settings.allow)) or "nothing"
