"""A request as a step of a pipeline. Data only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any, ClassVar, Literal

from flujo import Step

__all__ = ["METHODS", "HttpStep", "http", "literal_part", "says_origin", "secret_names"]

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

#: Methods that change nothing, so that another request disturbs nobody.
_SAFE = METHODS[:3]

#: Headers that the request makes itself; a second one of them is how requests are smuggled.
_OWN = frozenset({"accept-encoding", "connection", "content-length", "host", "idempotency-key", "transfer-encoding"})

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_IN_BRACES = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass(frozen=True, eq=False, kw_only=True)
class HttpStep(Step[Any, Any]):
    """One request; its output is the answer.

    `url`, `headers`, `query` and `body` are templates. A `body` that is a text is sent as it is, anything else as
    JSON. In the values of `secret_headers` stand `${NAME}`s, environment variables that the settings of the plugin
    allow; what they hold is in no record. `expect` are the status codes that will do, all from 200 to 299 by default.
    `answer` says whether the output is the JSON of the answer or its text, and `output_schema`, a JSON Schema or a
    type, what it has to be. An answer has at most `max_bytes` bytes; at most `max_redirects` redirects are followed,
    each of which has to be allowed. Raises `ConfigurationError` for what can't be asked.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    expect: Sequence[int] = ()
    answer: Literal["json", "text"] = "json"
    output_schema: Any = None
    max_bytes: int = 1_048_576
    max_redirects: int = 3

    kind: ClassVar[str] = "http"
    templates: ClassVar[tuple[str, ...]] = ("url", "headers", "query", "body")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.effects == "none" and self.method not in _SAFE:
            object.__setattr__(self, "effects", "external")
        if wrong := [*self._wrong_request(), *self._wrong_headers(), *self._wrong_answer()]:
            self._refuse("; it ".join(what for what, _ in wrong), "; ".join(advice for _, advice in wrong))

    def _wrong_request(self) -> Iterator[tuple[str, str]]:
        url: object = self.url
        if self.run is not None:
            yield "sends a request, and runs nothing", "let a step before it make what is sent"
        if self.method not in METHODS:
            yield f"has method {self.method!r}", f"methods are {', '.join(METHODS)}"
        if not isinstance(url, str) or not url.strip():
            yield "has no url", "say where the request goes"
        if self.body is not None and self.method in _SAFE:
            yield f"has a body, which {self.method} does not send", "say query, or another method"

    def _wrong_headers(self) -> Iterator[tuple[str, str]]:
        names = [name.lower() for name in (*self.headers, *self.secret_headers)]
        for name in names:
            if not _HEADER.fullmatch(name):
                yield f"has a header {name!r}", "a header's name has letters, digits and '-'"
            if name in _OWN:
                yield f"has the header {name!r}", "leave it out: every request has the right one"
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"has the header {twice[0]!r} twice", "say it once, in headers or in secret_headers"
        for name, value in self.secret_headers.items():
            if not Template(value).is_valid() or not secret_names({name: value}):
                yield f"has a secret header {name!r} without ${{NAME}}", "name the variable that holds the secret"

    def _wrong_answer(self) -> Iterator[tuple[str, str]]:
        if not all(type(code) is int and 200 <= code <= 599 for code in self.expect):
            yield f"expects {list(self.expect)!r}", "expect is a list of status codes from 200 to 599"
        if self.answer not in ("json", "text"):
            yield f"has answer {self.answer!r}", "answer is json or text"
        if self.max_bytes < 1 or self.max_redirects < 0:
            yield "lets no answer through", "max_bytes is at least 1, max_redirects at least 0"

    @property
    def output_type(self) -> Any:
        """What `output_schema` declares; `Any` for a JSON Schema, and text for an answer that is text."""
        if self.output_schema is None or isinstance(self.output_schema, Mapping):
            return str if self.answer == "text" and self.output_schema is None else Any
        return self.output_schema


def http(name: str, url: str, *, method: str = "GET", **options: Any) -> HttpStep:
    """Send one request. Options are those of every step and of `HttpStep`. Raises `ConfigurationError`."""
    return HttpStep(name, url=url, method=method, **options)


def literal_part(text: str, filler: str = "") -> str:
    """`text` with `filler` in the place of what templates put into it."""
    return _IN_BRACES.sub(filler, text)


def says_origin(url: str) -> bool:
    """Whether it is written in `url` where it leads to, whatever templates put into the rest."""
    return "{" not in "/".join(url.split("/", 3)[:3])


def secret_names(headers: Mapping[str, str]) -> list[str]:
    """The environment variables that secret headers hold."""
    return [name for value in headers.values() for name in Template(value).get_identifiers()]
