"""A completed run that is handed out again: it is what it was, and nothing of it is executed."""

import asyncio
from typing import Any

import pytest

from flujo import Flujo, OpenContext, Pipeline, Step, StepConfig, import_, map_, parallel
from flujo.domain.events import StepFinished, StepStarted
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock, RecordingSink

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


async def work(data: Any) -> Any:
    CALLS.append(data)
    await asyncio.sleep(0)
    if data == "bad":
        raise ValueError("bad luck")
    return data


async def stuck(data: Any) -> Any:
    CALLS.append("stuck")
    await asyncio.Event().wait()


async def handed_out(step: Step[Any, Any], input: Any = "x", **options: Any) -> tuple[Any, Any]:
    """The run, and what it is when it is handed out: the same, with the calls that the first one made."""
    backend = InMemoryBackend()
    options = {"context_model": OpenContext, "clock": FakeClock(), **options}
    first = await Flujo(step, state_backend=backend, **options).run(input, run_id="r")
    before, called = (await backend.get("r"), await backend.load("r")), list(CALLS)

    again = await Flujo(step, state_backend=backend, **options).resume("r")

    assert (first.status, again.status) == ("completed", "completed"), (first.error, again.error)
    assert again.output == first.output
    assert again.final_pipeline_context == first.final_pipeline_context
    assert again.usage == first.usage
    assert called == CALLS
    assert (await backend.get("r"), await backend.load("r")) == before
    return first, again


@pytest.mark.parametrize("on_error", ["skip", "collect"])
async def test_items_that_failed_for_good_are_not_tried_again(on_error):
    step = map_("all", Step("work", work), on_error=on_error)

    first, again = await handed_out(step, ["a", "bad", "b"])

    assert first.output == {"skip": ["a", "b"], "collect": ["a", {"error": "bad luck"}, "b"]}[on_error]
    failed = again.step_history[0].children[1].children[0]
    assert (failed.path, failed.success, failed.recalled) == ("map:all[1]/work", False, True)
    assert (failed.error.type, failed.error.message) == ("ValueError", "bad luck")


async def test_a_branch_that_was_ignored_is_not_tried_again():
    step = parallel("both", {"a": Step("work", work, input="bad"), "b": Step("work", work)}, on_branch_failure="ignore")

    first, _ = await handed_out(step)

    assert first.output == {"b": "x"}


async def test_what_was_cancelled_is_not_tried_again_and_did_not_fail_first():
    branches = {"a": [Step("stuck", stuck), Step("after", work)], "b": Step("work", work, input="bad")}
    step = map_("all", parallel("both", branches), on_error="collect")

    first, _ = await handed_out(step, ["x"])

    assert first.output == [{"error": "bad luck"}]


async def test_what_a_time_limit_has_cancelled_is_not_tried_again():
    child = Pipeline([Step("stuck", stuck)], name="child", config=StepConfig(timeout_s=0.01))
    step = parallel("both", {"a": child, "b": Step("work", work)}, on_branch_failure="ignore")

    _, again = await handed_out(step)

    assert "'stuck' was cancelled before it had a result" in again.step_history[0].children[0].error.message


async def test_a_child_that_was_skipped_is_not_tried_again():
    child = Pipeline([Step("one", work), Step("two", work, input="bad")], name="child")
    step = import_("child", child, on_failure="skip") >> Step("after", work)

    first, _ = await handed_out(step)

    assert first.output is None


async def test_a_composite_that_failed_for_good_with_its_fallback_is_not_tried_again():
    child = Pipeline(
        [Step("two", work, input="bad")],
        name="child",
        config=StepConfig(max_retries=2),
        fallback=Step("instead", work, input="bad"),
    )
    step = parallel("both", {"a": child, "b": Step("work", work)}, on_branch_failure="ignore")

    first, again = await handed_out(step)

    for result in (first, again):
        assert result.step_history[0].children[0].error.message == "bad luck"


async def test_a_composite_is_not_retried_when_nothing_is_executed():
    child = Pipeline([Step("two", work, input="bad")], name="child", config=StepConfig(max_retries=2))
    step = parallel("both", {"a": child, "b": Step("work", work)}, on_branch_failure="ignore")

    await handed_out(step)

    assert CALLS.count("bad") == 3


async def test_a_fallback_is_not_begun_for_a_primary_that_was_cancelled():
    child = Pipeline([Step("stuck", stuck)], name="child", fallback=Step("instead", work))
    late = Pipeline([child], name="late", config=StepConfig(timeout_s=0.01))
    step = parallel("both", {"a": late, "b": Step("work", work)}, on_branch_failure="ignore")

    first, _ = await handed_out(step)

    assert (first.output, CALLS) == ({"b": "x"}, ["stuck", "x"])


async def test_listeners_hear_how_a_failed_step_ended_and_of_no_start():
    sink, backend = RecordingSink(), InMemoryBackend()
    step = map_("all", Step("work", work), on_error="skip")
    await Flujo(step, state_backend=backend).run(["bad"], run_id="r")

    await Flujo(step, state_backend=backend, sinks=[sink]).resume("r")

    assert not [event for event in sink.of_type(StepStarted) if event.name == "work"]
    assert [event.result.success for event in sink.of_type(StepFinished) if event.path.endswith("/work")] == [False]
