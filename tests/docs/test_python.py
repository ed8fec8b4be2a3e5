"""docs/reference/python.md has the names that the library has, and its examples print what they show."""

import inspect
import subprocess
import sys

import pytest

from flujo import Backoff, Flujo, PipelineContext, PipelineResult, Price, StepConfig, UsageLimits
from flujo.domain.callables import INJECTED
from flujo.domain.decorators import StepOptions

pytestmark = pytest.mark.usefixtures("unmeasured")
PAGE = "python"
EXAMPLES = [
    "Retry",
    "Timeout and fallback",
    "Steps made of steps",
    "Agents",
    "The context",
    "Fields that live elsewhere",
    "Log lines",
    "Lines of steps",
    "Resume",
    "Human answers",
    "Budgets",
]


def public(cls):
    return {name for name in vars(cls) if not name.startswith("_") and callable(getattr(cls, name))}


def test_the_parameters_that_are_filled_in_are_those_there_are(page):
    assert page(PAGE).names("parameter") == INJECTED


def test_the_settings_of_a_step_are_those_it_takes(page):
    assert page(PAGE).names("setting") == {*StepOptions.__annotations__, "config"} - set(StepConfig.model_fields)


@pytest.mark.parametrize("model", [StepConfig, Backoff])
def test_the_fields_of_a_config_are_those_there_are_with_their_defaults(page, model):
    table = page(PAGE).since(f"### {model.__name__}").table("field")
    shown = {name: cells[0].strip("`") for name, cells in table.items()}
    assert shown == {
        name: "Backoff()" if name == "backoff" else repr(field.default) for name, field in model.model_fields.items()
    }


def test_the_fields_of_the_context_are_those_there_are(page):
    assert page(PAGE).since("## The context").names("field") == set(PipelineContext.model_fields)


@pytest.mark.parametrize("values", [UsageLimits, Price])
def test_the_fields_of_limits_and_prices_are_those_there_are_with_their_defaults(page, values):
    table = page(PAGE).table(f"field of {values.__name__}")
    parameters = inspect.signature(values).parameters
    assert {name: cells[0].strip("`") for name, cells in table.items()} == {
        name: repr(parameter.default) for name, parameter in parameters.items()
    }


def test_the_arguments_and_methods_of_flujo_are_those_there_are(page):
    assert page(PAGE).names("argument") == set(inspect.signature(Flujo).parameters)
    assert page(PAGE).names("method") == public(Flujo)


def test_the_fields_of_a_result_are_those_there_are(page):
    properties = {name for name, value in vars(PipelineResult).items() if isinstance(value, property)}
    assert page(PAGE).names("field of the result") == {*PipelineResult._fields, *properties}


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=EXAMPLES)
def test_the_examples_print_what_is_shown(page, number, tmp_path):
    examples, outputs = page(PAGE).blocks("python"), page(PAGE).blocks("text")
    assert len(examples) == len(outputs) == len(EXAMPLES)
    (tmp_path / "example.py").write_text(examples[number], encoding="utf-8")
    command = [sys.executable, "-W", "error", "example.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", outputs[number])
