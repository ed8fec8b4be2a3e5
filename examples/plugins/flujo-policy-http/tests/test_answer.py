"""What an answer comes to: an output, another attempt, or a failure."""

import gzip
import socket
import threading

import httpx
import pytest
from pydantic import BaseModel

from flujo import ConfigurationError, StepConfig
from flujo_policy_http import HttpUnavailable, http
from flujo_policy_http.answers import retry_after


async def test_an_answer_may_be_text(service, run):
    service.says("/a", "grüße".encode("latin-1"), Content_Type="text/plain; charset=iso-8859-1")

    assert (await run(http("x", f"{service.url}/a", answer="text"))).output == "grüße"


async def test_an_answer_without_content_is_nothing(service, run):
    service.says("/a", b"", 204)

    assert (await run(http("x", f"{service.url}/a", method="DELETE"))).output is None


@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (b"<html>", {}, "the answer is no JSON: "),
        (b"\xff\xfe\xfa", {}, "the answer is no text in 'utf-8'"),
        (b"[]", {"Content_Type": "text/plain; charset=klingon"}, "the answer is no text in 'klingon'"),
        (b"[" + b"1," * 40 + b"1]", {}, "the answer has more than 64 bytes"),
        (gzip.compress(b"0" * 10**6), {"Content_Encoding": "gzip"}, "the answer is encoded as 'gzip'"),
    ],
)
async def test_an_answer_that_can_not_be_taken_fails_without_another_attempt(service, run, content, headers, problem):
    service.says("/a", content, **headers)
    result = await run(http("x", f"{service.url}/a", max_bytes=64, config=StepConfig(max_retries=3)))

    assert result.error.message.startswith(problem)
    assert (result.error.code, len(service.got)) == ("HTTP-3", 1)


class Order(BaseModel):
    total: int


@pytest.mark.parametrize("schema", [Order, {"type": "object", "properties": {"total": {"type": "integer"}}}])
async def test_an_answer_must_fit_its_schema(service, run, schema):
    service.says("/good", {"total": 3})
    service.says("/bad", {"total": "many"})
    good = await run(http("x", f"{service.url}/good", output_schema=schema))
    bad = await run(http("x", f"{service.url}/bad", output_schema=schema))

    assert good.output == (Order(total=3) if schema is Order else {"total": 3})
    assert bad.error.message.startswith("the answer does not fit")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_is_busy_or_broken_is_asked_again(service, run, clock, status):
    service.says("/a", status=status, Retry_After="7")
    service.says("/a", "done")
    result = await run(http("x", f"{service.url}/a", config=StepConfig(max_retries=2)))

    assert (result.output, clock.slept) == ("done", [7.0])


async def test_a_service_that_wants_more_time_than_there_is_is_not_asked_again(service, run, clock):
    service.says("/a", status=429, Retry_After="3600")
    result = await run(http("x", f"{service.url}/a", config=StepConfig(max_retries=2)))

    assert (result.status, len(service.got), clock.slept) == ("failed", 1, [])
    assert result.exception.status == 429


async def test_a_refusal_is_told_with_the_beginning_of_the_answer_and_without_the_query(service, run):
    service.says("/a", {"detail": "no such order " + "x" * 2000}, 404)
    result = await run(http("x", f"{service.url}/a?key=private", config=StepConfig(max_retries=3)))

    assert result.error.message.startswith(f'GET {service.url}/a answered 404: {{"detail": "no such order x')
    assert len(result.error.message) < 300
    assert (result.exception.status, len(service.got)) == (404, 1)


async def test_a_refusal_without_a_word_is_told_by_its_code(service, run):
    service.says("/a", b"", 404)

    assert (await run(http("x", f"{service.url}/a"))).error.message == f"GET {service.url}/a answered 404"


async def test_other_codes_may_be_expected(service, run):
    service.says("/a", {"known": False}, 404)

    assert (await run(http("x", f"{service.url}/a", expect=[200, 404]))).output == {"known": False}


async def test_nobody_there_is_worth_another_attempt(run, plugins, clock):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    step = http("x", url, config=StepConfig(max_retries=1, retry_on=(HttpUnavailable,), backoff={"initial_s": 2}))
    result = await run(step, manager=plugins(url))

    assert (result.status, clock.slept) == ("failed", [2.0])
    assert result.error.message.startswith(f"GET {url}/ failed: ConnectError")
    assert isinstance(result.exception.__cause__, httpx.ConnectError)


async def test_a_service_that_is_silent_is_left_after_the_step_s_time(service, run):
    service.hold = threading.Event()
    service.says("/slow")
    result = await run(http("x", f"{service.url}/slow", config=StepConfig(timeout_s=0.05)))

    assert result.error.code == "FLUJO-204"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Wed, 21 Oct 2026 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:28:10 -0000", 10.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert retry_after(value, 1792567680.0) == seconds


async def test_what_is_no_schema_is_refused_before_anything_runs(service, run):
    with pytest.raises(ConfigurationError, match="JSON Schema"):
        await run(http("x", service.url, output_schema={"type": "wrong"}))
