"""What is logged of a run, event by event."""

import io
import logging
import typing

import pytest

from flujo import Flujo, LogSink, StepConfig, step
from flujo.domain import events
from flujo.infra.log_sink import LOG_LINES
from flujo.infra.logging import LOG_LEVELS, Logger


@step(config=StepConfig(max_retries=1))
def flaky(data: str, *, run) -> str:
    if run.attempt == 1:
        raise ConnectionError("no answer")
    return data


async def test_the_lines_of_a_run_have_its_id_and_the_steps_path():
    out = io.StringIO()
    async with Flujo(flaky, sinks=[LogSink(Logger(stream=out))]) as flujo:
        await flujo.run("x", run_id="r")
    begins, step_begins, failed, step_ended, ended = out.getvalue().splitlines()
    assert begins == "info: the run begins (run_id=r, pipeline=flaky)"
    assert step_begins == "debug: the step begins (run_id=r, path=flaky, kind=step)"
    told = "run_id=r, path=flaky, attempt=1, again_in_s=0.0, error=no answer"
    assert failed == f"info: an attempt failed ({told})"
    assert step_ended.startswith(
        "debug: the step has ended (run_id=r, path=flaky, success=True, attempts=2, duration_s="
    )
    assert ended.startswith("info: the run has ended (run_id=r, status=completed, duration_s=")


async def test_by_default_lines_go_to_pythons_logging(caplog):
    caplog.set_level(logging.INFO, "flujo")
    async with Flujo(flaky, sinks=[LogSink()]) as flujo:
        await flujo.run("x", run_id="r")
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3
    assert {record.flujo["run_id"] for record in caplog.records} == {"r"}


async def test_a_failed_run_tells_where_and_why():
    @step
    def fails(_: str) -> str:
        raise ValueError("broken")

    out = io.StringIO()
    async with Flujo(fails, sinks=[LogSink(Logger(stream=out, level="info"))]) as flujo:
        await flujo.run("x", run_id="r")
    assert "status=failed" in out.getvalue()
    assert "failed_at=fails, error=broken)" in out.getvalue()


@pytest.mark.parametrize("kind", [each for each in typing.get_args(events.Event) if each is not events.Chunk])
def test_every_event_but_a_part_of_an_output_has_a_line(kind):
    assert LOG_LINES[kind].level in LOG_LEVELS
