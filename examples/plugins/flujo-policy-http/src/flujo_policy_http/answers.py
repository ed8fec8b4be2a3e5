"""Reading an answer: its status, its length, what is in it."""

import json
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from flujo_policy_http.errors import HttpRefused, HttpUnavailable
from flujo_policy_http.request import place
from flujo_policy_http.step import HttpStep

__all__ = ["expected", "problem", "retry_after", "value_of"]

_TOO_MANY = 429
_SERVER = 500

#: So much of an answer is told where it is a failure.
_TOLD = 200


def expected(step: HttpStep, response: httpx.Response) -> bool:
    """Whether the status of `response` is one that the step takes."""
    return response.status_code in step.expect if step.expect else response.is_success


async def problem(response: httpx.Response, secrets: Mapping[str, str], now: float) -> HttpRefused | HttpUnavailable:
    """What an answer that nobody expects stands for, with the beginning of its text. `now` is in epoch seconds."""
    request, status = response.request, response.status_code
    said = await _beginning(response, secrets)
    message = f"{request.method} {place(request.url)} answered {status}{said}"
    if status != _TOO_MANY and status < _SERVER:
        refused = HttpRefused(message)
        refused.status = status
        return refused
    unavailable = HttpUnavailable(message)
    unavailable.status = status
    unavailable.retry_after_s = retry_after(response.headers.get("retry-after"), now)
    return unavailable


def retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a header `Retry-After` asks to wait for, a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)


async def value_of(step: HttpStep, response: httpx.Response, secrets: Mapping[str, str]) -> Any:
    """What is in the answer, as the step has it. Raises `HttpRefused` for what is too long, encoded or no such text."""
    text = _text(await _content(step, response), response)
    for name, secret in secrets.items():
        if secret in text:
            raise HttpRefused(f"the answer repeats the secret {name!r}, which no record may hold")
    if step.answer == "text":
        return text
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        raise HttpRefused(f"the answer is no JSON: {error}", suggestion="say answer: text", cause=error) from error


async def _content(step: HttpStep, response: httpx.Response) -> bytes:
    coding = response.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise HttpRefused(f"the answer is encoded as {coding!r}, which nobody asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > step.max_bytes:
            raise HttpRefused(f"the answer has more than {step.max_bytes} bytes", suggestion="raise max_bytes")
    return bytes(content)


def _text(content: bytes, response: httpx.Response) -> str:
    charset = response.charset_encoding or "utf-8"
    try:
        return content.decode(charset)
    except (LookupError, UnicodeDecodeError) as error:
        raise HttpRefused(f"the answer is no text in {charset!r}", cause=error) from error


async def _beginning(response: httpx.Response, secrets: Mapping[str, str]) -> str:
    """The first line or so of an answer, without secrets."""
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > 4 * _TOLD:
            break
    text = " ".join(content.decode("utf-8", "replace").split())
    for secret in secrets.values():
        text = text.replace(secret, "***")
    shown = "".join(letter for letter in text if letter.isprintable())[:_TOLD]
    return f": {shown}" if shown else ""
