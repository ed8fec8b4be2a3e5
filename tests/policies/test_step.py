"""One call: every form of callable, and what is handed to it."""

import asyncio
import contextvars
import functools
import threading
from typing import Any

import pytest

from flujo import Pipeline, Step, StepConfig
from flujo.exceptions import BlueprintError
from flujo.plugins import create_default_registry


async def double(data: str) -> str:
    return data * 2


def triple(data: str) -> str:
    return data * 3


class Shout:
    """An agent."""

    def __init__(self, mark: str = "!") -> None:
        self.mark = mark

    async def run(self, data: str, **_: Any) -> str:
        return data.upper() + self.mark


class Quiet:
    """An agent that needs no loop."""

    def run(self, data: str) -> str:
        return data.lower()


class Callable:
    """An object that can be called."""

    async def __call__(self, data: str) -> str:
        return f"called {data}"


def later(data: str) -> Any:
    return double(data)


def answer() -> str:
    return "no data needed"


@pytest.mark.parametrize(
    ("target", "params", "output"),
    [
        (double, {}, "AbAb"),
        (triple, {}, "AbAbAb"),
        (Shout, {}, "AB!"),
        (Shout, {"mark": "?"}, "AB?"),
        (Shout("."), {}, "AB."),
        (Quiet(), {}, "ab"),
        (Callable(), {}, "called Ab"),
        (functools.partial(triple), {}, "AbAbAb"),
        (functools.partial(double), {}, "AbAb"),
        (later, {}, "AbAb"),
        (answer, {}, "no data needed"),
        (lambda data, *, end: data + end, {"end": "."}, "Ab."),
        (None, {}, "Ab"),
    ],
)
async def test_whatever_can_be_called_with_the_data_is_a_step(run, target, params, output):
    result = await run(Step("s", target, params=params), "Ab")

    assert result.output == output


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_plain_function_runs_on_the_loop_unless_it_blocks(run, blocking):
    result = await run(Step("where", lambda _: threading.get_ident(), blocking=blocking))

    assert (result.output != threading.get_ident()) is blocking


async def test_a_blocking_function_sees_the_context_variables_of_the_run(run):
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    result = await run(Step("read", lambda _: variable.get(), blocking=True))

    assert result.output == "set"


async def test_stop_iteration_in_a_thread_fails_the_step_and_hangs_nobody(run):
    def exhausted(_: str) -> object:
        return next(iter(()))

    async with asyncio.timeout(10):
        result = await run(Step("next", exhausted, blocking=True))

    assert result.error.message == "the function raised StopIteration"


@pytest.mark.parametrize("blocking", [False, True])
async def test_context_resources_and_run_are_injected_by_name(run, blocking, tmp_path):
    def peek(data: str, *, context: Any, resources: Any, run: Any) -> list[Any]:
        return [data, context.who, resources["db"], run.path, run.attempt, run.root == tmp_path]

    step = Step("peek", peek, blocking=blocking)
    result = await run(step, initial_context_data={"who": "ann"}, resources={"db": "connection"})

    assert result.output == ["x", "ann", "connection", "peek", 1, True]


async def test_an_attempt_knows_its_number_and_keeps_its_key(run):
    keys = []

    async def flaky(_: str, *, run: Any) -> int:
        keys.append(run.idempotency_key)
        if run.attempt < 3:
            raise RuntimeError("again")
        return run.attempt

    result = await run(Step("flaky", flaky, config=StepConfig(max_retries=2)))

    assert result.output == 3
    assert len(set(keys)) == 1


async def test_without_anything_to_call_a_file_s_step_hands_on_its_input(run, load):
    pipeline = load("  - { name: a, input: 'say {{ previous_step }}' }\n  - { name: b }\n")

    assert (await run(pipeline, "hi")).output == "say hi"


HELPERS = """
import threading

from flujo import step

def where(_): return "here" if threading.current_thread() is threading.main_thread() else "elsewhere"

async def double(data): return data * 2

class Shout:
    def __init__(self, mark="!"): self.mark = mark
    async def run(self, data): return data.upper() + self.mark

@step(max_retries=4, timeout_s=9.0, blocking=True, params={"end": "."}, sink_to="kept", effects="local")
def finish(data: str, *, end: str) -> str: return data + end
"""


@pytest.mark.parametrize(
    ("call", "output"),
    [
        ("agent: { id: flujo.builtins.stringify }", "ab"),
        ("agent: flujo.builtins.stringify", "ab"),
        ("uses: flujo.builtins.stringify", "ab"),
        ("agent: { id: 'helpers:double' }", "abab"),
        ("agent: { path: 'helpers:double' }", "abab"),
        ("agent: 'helpers:double'", "abab"),
        ("uses: 'helpers:double'", "abab"),
        ("agent: { id: 'helpers:Shout', params: { mark: '?' } }", "AB?"),
        ("uses: 'helpers:Shout', params: { mark: '?' }", "AB?"),
        ("uses: 'helpers:where', blocking: true", "elsewhere"),
    ],
)
async def test_a_file_names_what_a_step_calls(run, load, call, output):
    pipeline = load(f"  - {{ name: a, {call} }}\n", HELPERS)

    assert (await run(pipeline, "ab")).output == output


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("agent: x.y, uses: x.y", "step 'a' has both 'agent' and 'uses'"),
        ("agent: x.y, params: { n: 1 }", "step 'a' has both 'agent' and 'params'"),
        ("agent: { id: flujo.builtins.stringify, path: 'x:y' }", "'path' and 'id' say the same"),
        ("agent: { params: { n: 1 } }", "missing key 'id'"),
        ("params: { n: 1 }", "step 'a' has params, but nothing to call"),
    ],
)
def test_a_file_that_does_not_say_what_to_call_is_refused(load, call, message):
    with pytest.raises(BlueprintError) as caught:
        load(f"  - {{ name: a, {call} }}\n")

    assert message in str(caught.value.findings[0].message)
    assert caught.value.findings[0].help


async def test_a_step_made_in_python_keeps_what_the_file_does_not_say(run, load):
    step = load("  - { name: end, uses: 'helpers:finish' }\n", HELPERS).steps[0]

    assert (step.name, step.sink_to, step.effects) == ("end", "kept", "local")
    assert (step.config.max_retries, step.config.timeout_s) == (4, 9.0)
    assert (await run(Pipeline([step]), "ab")).output == "ab."


async def test_what_the_file_says_of_a_step_made_in_python_wins(run, load):
    line = "{ name: end, uses: 'helpers:finish', params: { end: '?' }, sink_to: other, config: { timeout: 3 } }"
    step = load(f"  - {line}\n", HELPERS).steps[0]

    assert (step.sink_to, step.effects, step.blocking) == ("other", "local", True)
    assert (step.config.max_retries, step.config.timeout_s) == (4, 3.0)
    assert (await run(Pipeline([step]), "ab")).output == "ab?"


async def test_a_pipeline_made_in_python_is_a_step_of_a_file(run, load):
    helpers = HELPERS + "\nfrom flujo import Pipeline, Step\ninner = Pipeline([Step('d', double), Step('e', double)])\n"

    result = await run(load("  - { name: four, uses: 'helpers:inner' }\n", helpers), "a")

    assert result.output == "aaaa"
    assert [child.path for child in result.step_history[0].children] == ["sub:four/d", "sub:four/e"]


def test_each_policy_says_which_steps_it_runs():
    registry = create_default_registry()

    assert registry.require(Step("a")).handles_type is Step
    assert registry.require(Pipeline()).handles_type is Pipeline
