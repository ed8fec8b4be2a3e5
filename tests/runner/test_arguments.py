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
        ("delete_on_completion", "no", "delete_on_completion is 'no', expected True or False", ""),
        ("source", 5, "source is of type 'int', expected text", ""),
        ("clock", 5, "clock is of type 'int', expected an object with the methods now, monotonic, sleep", ""),
        ("root", 3, "root is of type 'int', expected a path", "root='.'"),
        ("root", "", "root is '', expected a path", "root='.'"),
        ("state_uri", 5, "state_uri is of type 'int', expected text", "sqlite:///runs.db"),
        ("state_backend", 3, "state_backend is of type 'int', expected an object with the methods create_run", ""),
        ("registry", 3, "registry is of type 'int', expected PolicyRegistry", ""),
        ("plugins", 3, "plugins is of type 'int', expected PluginManager", ""),
        ("prices", [1], "prices is of type 'list', expected a mapping by text", "prices={'name'"),
        ("prices", {"a": 5}, "prices['a'] is of type 'int', expected Price", "prices={'a': Price("),
        ("state_providers", 3, "state_providers is of type 'int', expected a mapping by text", ""),
        ("state_providers", {"a": 3}, "state_providers['a'] is of type 'int', expected an object with the methods", ""),
        ("state_providers", {"a": dict}, "state_providers['a'] is 'dict', expected an object with", ""),
        ("sinks", "tree", "sinks is 'tree', expected a list of sinks", "write sinks=['tree']"),
        ("sinks", 3, "sinks is of type 'int', expected a list of sinks", "write sinks=[sink]"),
        ("files", 3, "files is of type 'int', expected a mapping by text", ""),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: Any, told: str, advice: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Flujo(double, **{argument: value})

    assert told in caught.value.message
    assert advice in (caught.value.suggestion or "")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda flujo: flujo.run(1, run_id=5), "5 is not a run id"),
        (lambda flujo: flujo.run(1, idempotency_key=5), "5 is not an idempotency key"),
        (lambda flujo: flujo.resume(5), "run is of type 'int', expected a run's id or its result"),
        (lambda flujo: flujo.replay(5), "run is of type 'int', expected a run's id or its result"),
        (lambda flujo: flujo.trace(None), "run is of type 'NoneType', expected a run's id or its result"),
        (lambda flujo: flujo.rerun_from("r", 5), "path is of type 'int', expected text"),
        (lambda flujo: flujo.settle("r", 5), "path is of type 'int', expected text"),
        (lambda flujo: flujo.answer_all("r", [5]), "answers is of type 'list', expected a mapping by text"),
        (lambda flujo: flujo.answer_all("r", None), "answers is of type 'NoneType', expected a mapping by text"),
        (lambda flujo: flujo.runs(status="paussed"), "there is no status 'paussed'"),
        (lambda flujo: flujo.runs(limit=-1), "limit is -1, expected a whole number from 0"),
        (lambda flujo: flujo.runs(prefix=3), "prefix is of type 'int', expected text"),
    ],
)
async def test_a_bad_argument_of_a_method_is_named(call: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await call(Flujo(double))

    assert caught.value.message == told


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
