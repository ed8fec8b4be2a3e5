"""What is wrong with requests, found by looking at the file."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from flujo.exceptions import ConfigurationError
from flujo.plugins import LintedFile, LintedStep, LintNote
from flujo_policy_http.errors import HostNotAllowed
from flujo_policy_http.request import allowed, check_secrets
from flujo_policy_http.settings import HttpSettings
from flujo_policy_http.step import HttpStep, literal_part, says_origin

__all__ = ["places", "secrets"]

_SECRET_NAME = re.compile(
    r"(^|[-_])(authorization|secret|token|password|passwd|api[-_]?key|access[-_]?key)$", re.IGNORECASE
)
_ADVICE = "put it into an environment variable, and say secret_headers: {%s: '${NAME}'}"


def secrets(file: LintedFile) -> Iterator[LintNote]:
    """Passwords and keys that are written in the url, the query or the headers of a request."""
    for each, step, url in _requests(file):
        if url.password:
            yield each.note("the url holds a password", "url", help=_ADVICE % "Authorization")
        named: list[tuple[str, Any, str]] = [(name, value, "url") for name, value in url.params.multi_items()]
        named += [(name, value, "query") for name, value in step.query.items()]
        named += [(name, value, "headers") for name, value in step.headers.items()]
        for name, value, key in named:
            if _SECRET_NAME.search(name) and isinstance(value, str) and value and literal_part(value) == value:
                yield each.note(f"{name!r} in {key} is a secret that everyone can read", key, help=_ADVICE % name)


def places(settings: HttpSettings, file: LintedFile) -> Iterator[LintNote]:
    """Hosts and secrets that the settings do not allow; where a template says the host, only the run can tell."""
    for each, step, url in _requests(file):
        try:
            check_secrets(step, settings)
        except ConfigurationError as error:
            yield each.note(error.message, "secret_headers", help=error.suggestion)
        try:
            if says_origin(step.url):
                allowed(url, settings)
        except HostNotAllowed as error:
            yield each.note(error.message, "url", help=error.suggestion)


def _requests(file: LintedFile) -> Iterator[tuple[LintedStep, HttpStep, httpx.URL]]:
    """The requests of a file, each with its url, in which a word stands for what a template puts there."""
    for each in file.steps:
        if isinstance(each.step, HttpStep):
            with suppress(httpx.InvalidURL):  # which is told when the pipeline is prepared
                yield each, each.step, httpx.URL(literal_part(each.step.url, "x"))
