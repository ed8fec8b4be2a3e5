"""Steps one after the other."""

from typing import Any

import pytest

from flujo import OpenContext, Pipeline, Step
from flujo.domain.outcomes import RunStatus, Success
from flujo.domain.usage import Usage
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepPolicy
from flujo.exceptions import BlueprintError, PausedException, PipelineAbortSignal
from flujo.plugins import create_default_registry


def add(text: str) -> Step[str, str]:
    return Step(text, lambda data: data + text)


def boom(data: str) -> str:
    raise ValueError(f"boom on {data}")


async def test_each_step_gets_the_output_of_the_one_before(run):
    result = await run(Pipeline([add("a"), add("b"), add("c")]), "x")

    assert result.output == "xabc"
    assert [(r.path, r.output) for r in result.step_history] == [("a", "xa"), ("b", "xab"), ("c", "xabc")]


async def test_an_empty_pipeline_hands_on_its_input(run):
    assert (await run(Pipeline([]), "x")).output == "x"


async def test_a_nested_pipeline_is_a_step_with_its_own_history(run):
    result = await run(Pipeline([add("a"), Pipeline([add("b"), add("c")], name="inner"), add("d")]), "x")

    assert result.output == "xabcd"
    inner = result.step_history[1]
    assert (inner.path, inner.kind, inner.output) == ("sub:inner", "pipeline", "xabc")
    assert [child.path for child in inner.children] == ["sub:inner/b", "sub:inner/c"]


async def test_nothing_runs_after_a_step_that_failed(run):
    after: list[str] = []
    pipeline = Pipeline([add("a"), Pipeline([Step("b", boom), Step("c", after.append)], name="inner"), add("d")])

    result = await run(pipeline, "x")

    assert after == []
    assert (result.status, result.error.message, result.error.path) == ("failed", "boom on xa", "sub:inner/b")
    assert [(r.path, r.success) for r in result.step_history] == [("a", True), ("sub:inner", False)]
    assert [child.path for child in result.step_history[1].children] == ["sub:inner/b"]


@pytest.mark.parametrize("signal", [PausedException("who?"), PipelineAbortSignal("enough")])
async def test_a_signal_stops_every_pipeline_around_it(run, signal):
    after: list[str] = []

    def raise_it(_: str) -> str:
        raise signal

    result = await run(Pipeline([Pipeline([Step("ask", raise_it)], name="inner"), Step("after", after.append)]))

    assert after == []
    assert result.status is not RunStatus.COMPLETED


async def test_a_template_sees_the_outputs_of_its_own_pipeline_and_of_those_around_it(run):
    inner = Pipeline([add("b"), Step("seen", input="{{ steps.a.output }}|{{ steps.b.output }}")], name="inner")

    result = await run(Pipeline([add("a"), inner]), "x")

    assert result.output == "xa|xab"


async def test_outputs_inside_a_pipeline_are_not_seen_outside(run):
    inner = Pipeline([add("b")], name="inner")

    result = await run(Pipeline([inner, Step("peek", input="{{ steps.b.output }}")]), "x")

    assert "'b'" in result.error.message


class Priced(StepPolicy[Step[Any, Any]]):
    """Answers for three tokens, and fails on the step called `end`."""

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        return Step

    async def execute(self, core, frame):
        if frame.step.name == "end":
            raise ValueError("end")
        return Success(frame.data, Usage(calls=1, tokens_out=3))


@pytest.mark.parametrize("last", ["c", "end"])
async def test_what_the_steps_used_adds_up_whatever_the_end(run, last):
    registry = create_default_registry()
    registry.register(Priced())
    inner = Pipeline([Step("a"), Step("b")], name="inner")

    result = await run(Pipeline([inner, Step(last)]), registry=registry)

    assert result.step_history[0].usage == Usage(calls=2, tokens_out=6)
    assert result.usage.tokens_out == (9 if last == "c" else 6)


class Bare:
    """An executor that tells nothing of a step but its output."""

    async def execute(self, frame):
        return Success(f"{frame.data}{frame.path}")


async def test_a_sequence_needs_no_more_of_an_executor_than_outcomes():
    pipeline = Pipeline([Step("a"), Step("b")])
    policy = create_default_registry().require(pipeline)

    outcome = await policy.execute(Bare(), ExecutionFrame(pipeline, "x", None, OpenContext()))

    assert outcome == Success("xab")


SEQUENCE = """
  - name: inner
    kind: pipeline
    steps:
      - { name: a, input: "{{ previous_step }}!" }
      - { name: b, agent: flujo.builtins.stringify }
  - { name: c }
"""


async def test_a_file_nests_a_sequence(run, load):
    result = await run(load(SEQUENCE), "x")

    assert result.output == "x!"
    assert [child.path for child in result.step_history[0].children] == ["sub:inner/a", "sub:inner/b"]


def test_a_sequence_in_a_file_is_retried_as_a_whole_only_if_the_file_says_so(load):
    assert load(SEQUENCE).steps[0].config.max_retries == 0
    assert load(SEQUENCE).steps[0].steps[0].config.max_retries == 1

    again = load(SEQUENCE.replace("kind: pipeline", "kind: pipeline\n    config: { max_retries: 2, timeout_s: 5 }"))
    assert (again.steps[0].config.max_retries, again.steps[0].config.timeout_s) == (2, 5.0)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[]", "at least 1"),
        ("[{ name: a }, { name: a }]", "two steps are named 'a'"),
        ("[{ name: a, agent: flujo.builtins.nope }]", "flujo.builtins.nope"),
    ],
)
def test_a_mistake_inside_a_sequence_is_told_once(load, steps, message):
    with pytest.raises(BlueprintError) as caught:
        load(f"  - {{ name: inner, kind: pipeline, steps: {steps} }}\n")

    assert [message in finding.message for finding in caught.value.findings] == [True]
