"""What takes the place of a step that has failed for good: with which data, at which path, and after a crash."""

from typing import Any

import pytest

from flujo import Step, StepConfig
from flujo.domain.context import OpenContext
from flujo.domain.outcomes import Paused
from flujo.exceptions import PausedException


class Fails:
    """A function that never works, and counts its calls."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.error = error or RuntimeError("not yet")

    async def run(self, data: Any) -> str:
        self.calls += 1
        raise self.error


async def test_the_fallback_runs_with_the_primarys_input_and_its_result_is_the_steps(bench):
    primary = Step("a", Fails(), input="in-{{ previous_step }}", fallback=Step("b", lambda data: f"saved {data}"))

    outcome = await bench.execute(primary, "x")

    assert outcome.value == "saved in-x"
    assert outcome.step_result.fallback == "b"
    assert outcome.step_result.error.message == "not yet"
    assert [child.path for child in outcome.step_result.children] == ["a/fallback:b"]


async def test_a_recalled_step_still_says_that_its_fallback_gave_the_result(bench):
    primary = Step("a", Fails(), fallback=Step("b", lambda data: data))
    await bench.execute(primary, "x")

    outcome = await bench.execute(primary, "x")

    assert outcome.step_result.fallback == "b"
    assert outcome.step_result.error.message == "not yet"


async def test_when_the_fallback_fails_too_both_errors_are_told(bench):
    primary = Step("a", Fails(), fallback=Step("b", Fails(ValueError("nor I"))))

    outcome = await bench.execute(primary, "x")

    assert outcome.feedback == "not yet; then fallback 'b': nor I"


async def test_a_signal_never_reaches_the_fallback(bench):
    called = Fails()

    outcome = await bench.execute(Step("a", Fails(PausedException("?")), fallback=Step("b", called)), "x")

    assert isinstance(outcome, Paused)
    assert called.calls == 0


async def test_a_crash_in_a_fallback_spares_the_primary_and_its_retries_afterwards(bench):
    flaky, crashes = Fails(), [KeyboardInterrupt]

    def save(data):
        if crashes:
            raise crashes.pop()
        return "saved"

    step = Step("a", flaky, config=StepConfig(max_retries=1), fallback=Step("b", save))
    with pytest.raises(KeyboardInterrupt):
        await bench.execute(step, "x")
    assert flaky.calls == 2

    outcome = await bench.execute(step, "x")

    assert outcome.value == "saved"
    assert flaky.calls == 2
    assert outcome.step_result.error.message == "not yet"


@pytest.mark.parametrize(
    ("given", "seen"), [("in-{{ previous_step }}", "in-x"), ("{{ nothing.there }}", "x"), (lambda scope: 1 / 0, "x")]
)
async def test_after_a_crash_a_fallback_gets_what_it_got_before(bench, given, seen):
    got, crashes = [], [KeyboardInterrupt]

    def save(data):
        got.append(data)
        if crashes:
            raise crashes.pop()
        return "saved"

    step = Step("a", Fails(), input=given, fallback=Step("b", save))
    with pytest.raises(KeyboardInterrupt):
        await bench.execute(step, "x")

    await bench.execute(step, "x")

    assert got == [seen, seen]


async def test_what_a_fallback_writes_to_the_context_is_recorded_with_the_step(bench):
    step = Step("a", Fails(), fallback=Step("b", lambda data: "saved", sink_to="answer"))
    await bench.execute(step, "x")
    bench.context = OpenContext()

    await bench.execute(step, "x")

    assert bench.context.answer == "saved"


async def test_a_fallback_of_a_fallback_stands_under_it(bench):
    last = Step("c", lambda data: f"{data} by c")
    chain = Step("a", Fails(), fallback=Step("b", Fails(ValueError("nor I")), fallback=last))

    outcome = await bench.execute(chain, "x")

    (second,) = outcome.step_result.children
    assert (outcome.value, outcome.step_result.fallback, second.fallback) == ("x by c", "b", "c")
    assert [each.path for each in second.children] == ["a/fallback:b/fallback:c"]
