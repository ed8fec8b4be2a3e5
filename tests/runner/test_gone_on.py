"""A failure that the run has gone on from stays what it was, however often the run is resumed."""

from typing import Any

import pytest

from flujo import Flujo, Pipeline, RunStatus, Step, StepConfig, branch, human, loop, map_, parallel
from flujo.infra.memory import InMemoryBackend

ONCE = StepConfig(max_retries=0)


class Flaky:
    """Fails until it is mended, and counts its calls."""

    def __init__(self) -> None:
        self.mended = False
        self.calls = 0

    async def __call__(self, data: Any) -> Any:
        self.calls += 1
        if data == "bad" and not self.mended:
            raise ValueError("bad luck")
        return data


@pytest.fixture
def flaky():
    return Flaky()


async def gone_on(pipeline: Pipeline[Any, Any], flaky: Flaky, data: Any = "x") -> tuple[Any, int]:
    """What the run comes to that is answered after what failed was mended, and how many calls that made."""
    flujo = Flujo(pipeline, state_backend=InMemoryBackend())
    paused = await flujo.run(data, run_id="r")
    assert paused.status is RunStatus.PAUSED, paused.error
    before, flaky.mended = flaky.calls, True
    result = await flujo.resume("r", answer="go on")
    assert result.status is RunStatus.COMPLETED, result.error
    replayed = await flujo.replay("r")
    assert (replayed.output, replayed.usage) == (result.output, result.usage)
    return result, flaky.calls - before


def branches(flaky: Flaky, after: Step[Any, Any]) -> Step[Any, Any]:
    good, bad = Step("good", flaky), Step("bad", flaky, input="bad", config=ONCE)
    return parallel("both", {"a": good, "b": [bad, after]}, on_branch_failure="ignore")


async def test_an_ignored_branch_is_not_tried_again_once_a_later_step_has_seen_what_came_of_it(flaky):
    seen = Step("seen", sorted)
    later = branches(flaky, Step("after", flaky)) >> seen >> human("ask", "go on?", sink_to="scratchpad.answer")
    done = Step("done", lambda data: data, input="{{ steps.both }}")

    result, calls = await gone_on(later >> done, flaky)

    assert (result.output, calls) == ({"a": "x"}, 0)
    both = result.step_history[0]
    assert [(line.path, line.success) for line in both.children] == [
        ("parallel:both/a", True),
        ("parallel:both/b", False),
    ]


@pytest.mark.parametrize("on_error", ["skip", "collect"])
async def test_items_that_failed_stay_what_the_question_after_them_showed(flaky, on_error):
    items = map_("all", Step("each", flaky, config=ONCE), on_error=on_error)
    done = Step("done", lambda data: data, input="{{ steps.all }}")

    result, calls = await gone_on(items >> human("ask", "{{ previous_step }}") >> done, flaky, ["a", "bad"])

    assert (result.output, calls) == (["a"] if on_error == "skip" else ["a", {"error": "bad luck"}], 0)


async def test_all_items_can_have_failed(flaky):
    items = map_("all", Step("each", flaky, config=ONCE), on_error="skip")

    result, calls = await gone_on(items >> human("ask", "go on?"), flaky, ["bad"])

    assert (result.step_history[0].output, calls) == ([], 0)


async def test_an_earlier_turn_of_a_loop_stays_what_decided_that_there_is_another(flaky):
    turns = iter(["bad", "fine"])
    body = Step("next", lambda data: next(turns)) >> parallel(
        "both", {"a": Step("good", lambda data: 1), "b": Step("bad", flaky, config=ONCE)}, on_branch_failure="ignore"
    )
    until = loop("l", body, until="'b' in output")
    done = Step("done", lambda data: data, input="{{ steps.l }}")

    result, calls = await gone_on(until >> human("ask", "go on?") >> done, flaky)

    assert (result.output, calls) == ({"a": 1, "b": "fine"}, 0)


async def test_what_stands_in_other_steps_stays_too(flaky):
    both = branches(flaky, Step("after", flaky)) >> Step("own", flaky)
    inner = branch("maybe", on="previous_step", branches={"x": both})

    _, calls = await gone_on(inner >> human("ask", "go on?"), flaky)

    assert calls == 0


async def test_a_failure_that_nothing_has_gone_on_from_is_tried_again(flaky):
    asking = parallel(
        "both",
        {"a": human("ask", "go on?"), "b": Step("bad", flaky, input="bad", config=ONCE)},
        on_branch_failure="ignore",
    )

    result, calls = await gone_on(asking, flaky)

    assert (result.output, calls) == ({"a": "go on", "b": "bad"}, 1)


async def test_a_background_step_that_gave_up_is_tried_again_although_the_run_went_on(flaky):
    aside = Step("aside", flaky, input="bad", config=StepConfig(max_retries=0, execution_mode="background"))

    _, calls = await gone_on(Pipeline([aside, human("ask", "go on?")]), flaky)

    assert calls == 1


async def test_a_step_that_is_new_among_those_that_the_run_has_passed_is_executed(flaky):
    first = Pipeline([branches(flaky, Step("after", flaky)), human("ask", "go on?")], name="p")
    new = Step("new", flaky) >> parallel("other", {"c": Step("c", flaky)})
    second = Pipeline([branches(flaky, Step("after", flaky)), *new.steps, human("ask", "go on?")], name="p")
    backend = InMemoryBackend()
    await Flujo(first, state_backend=backend).run("x", run_id="r")
    before, flaky.mended = flaky.calls, True

    result = await Flujo(second, state_backend=backend).resume("r", answer="go on", allow_changed=True)

    assert (result.status, flaky.calls - before) == (RunStatus.COMPLETED, 2)
