"""What `Flujo` says of arguments that can't be so: each mistake by the argument's name."""

from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, Pipeline, RunStatus, Step, step
from flujo.exceptions import ConfigurationError


@step
async def double(data: int) -> int:
    return data * 2


@pytest.mark.parametrize(
    ("argument", "value", "told", "advice"),
    [
        ("context_model", dict, "context_model is 'dict', expected a subclass of PipelineContext", "OpenContext"),
        ("context_model", {}, "context_model is of type 'dict'", "class Mine"),
        ("initial_context_data", [1], "initial_context_data is of type 'list', expected a mapping by text", "{'name'"),
        (
            "initial_context_data",
            {1: 2},
            "initial_context_data is of type 'dict', expected a mapping by text",
            "{'name'",
        ),
        (
            "usage_limits",
            3,
            "usage_limits is of type 'int', expected UsageLimits or a mapping",
            "UsageLimits(max_calls",
        ),
        ("usage_limits", {"max_cals": 3}, "usage_limits has no limit 'max_cals'", "max_calls"),
        ("usage_limits", {"max_calls": -1}, "max_calls", ""),
        ("root", 3, "root is of type 'int', expected a path", "root='.'"),
        ("root", "", "root is '', expected a path", "root='.'"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: Any, told: str, advice: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Flujo(double, **{argument: value})

    assert told in caught.value.message
    assert advice in (caught.value.suggestion or "")


async def test_limits_may_be_a_mapping_when_a_run_begins_and_when_it_goes_on():
    async def ask(data: int, *, run: Any) -> int:
        return data

    flujo = Flujo(Step("ask", ask), usage_limits={"max_calls": 3, "total_cost_usd_limit": "0.10"})
    result = await flujo.run(1)

    assert (await flujo.resume(result, usage_limits={"max_calls": 1})).output == 1
    with pytest.raises(ConfigurationError, match="usage_limits has no limit 'calls'"):
        await flujo.resume(result, usage_limits={"calls": 1})


async def test_the_root_may_be_text(tmp_path):
    def where(data: int, *, run: Any) -> Path:
        return run.root

    assert (await Flujo(Step("where", where), root=str(tmp_path)).run(1)).output == tmp_path


async def test_a_pipeline_without_steps_hands_on_its_input():
    result = await Flujo(Pipeline([])).run({"a": 1})

    assert (result.status, result.output, result.step_history) == (RunStatus.COMPLETED, {"a": 1}, ())
