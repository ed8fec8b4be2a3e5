"""`@step`: every way to write it."""

import dataclasses
import warnings

import pytest

from flujo import Backoff, Step, StepConfig, step
from flujo.domain.decorators import StepOptions
from flujo.exceptions import ConfigurationError


def refusal(make):
    with pytest.raises(ConfigurationError) as caught:
        make()
    return f"{caught.value} | {caught.value.suggestion}"


def fetch(x: str) -> int:
    return len(x)


def test_a_bare_decorator_makes_a_step_named_after_the_function():
    made = step(fetch)
    assert type(made) is Step
    assert (made.name, made.run, made.config) == ("fetch", fetch, StepConfig())
    assert (made.input_type, made.output_type) == (str, int)


def test_empty_brackets_are_the_same_as_none():
    @step()
    async def work(x: str) -> int:
        return 1

    assert (work.name, work.input_type, work.output_type) == ("work", str, int)


def test_a_config_is_respected():
    config = StepConfig(max_retries=3, timeout_s=2.5, backoff=Backoff(initial_s=1))
    assert step(config=config, blocking=True)(fetch).config == config


def test_settings_alone_make_a_config_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = step(max_retries=2, no_retry_on=(OSError,), sink_to="answer", name="q", version="2")(fetch)
    assert made.config == StepConfig(max_retries=2, no_retry_on=(OSError,))
    assert (made.name, made.sink_to, made.version) == ("q", "answer", "2")


def test_a_step_s_own_fields_beside_a_config_are_no_override():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = step(config=StepConfig(max_retries=1), name="q", blocking=True)(fetch)
    assert (made.name, made.blocking, made.config.max_retries) == ("q", True, 1)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [({"max_retries": 5}, "max_retries; max_retries wins"),
     ({"timeout_s": 1, "max_retries": 5}, "max_retries, timeout_s; max_retries, timeout_s win")],
)  # fmt: skip
def test_overrides_win_over_a_config_with_one_warning_at_the_caller(overrides, named):
    config = StepConfig(max_retries=1, retry_on=(OSError,))
    with pytest.warns(UserWarning, match=f"^@step got both config and {named}$") as caught:
        made = step(config=config, blocking=True, **overrides)(fetch)
    assert [warning.filename for warning in caught] == [__file__]
    assert (made.config.max_retries, made.config.retry_on) == (5, (OSError,))
    assert config.max_retries == 1


@pytest.mark.filterwarnings("ignore:@step got both")
@pytest.mark.parametrize(
    ("config", "override", "value"),
    [
        (StepConfig(max_retries=3), {"max_retries": 0}, 0),
        (StepConfig(timeout_s=3), {"timeout_s": None}, None),
        (StepConfig(retry_on=(OSError,)), {"retry_on": ()}, ()),
    ],
)
def test_zero_none_and_nothing_are_values_like_any_other(config, override, value):
    (name,) = override
    assert getattr(step(config=config, **override)(fetch).config, name) == value


def test_a_setting_that_nobody_has_is_refused_with_the_nearest_name():
    assert refusal(lambda: step(max_retrys=2)) == "@step has no setting 'max_retrys' | did you mean 'max_retries'?"
    assert refusal(lambda: step(colour=2)).startswith("@step has no setting 'colour' | settings are backoff, ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_retries": True}, "@step: max_retries is True: input should be a valid integer"),
        ({"max_retries": -1}, "@step: max_retries is -1: input should be greater than or equal to 0"),
        ({"timeout_s": "soon"}, "@step: timeout_s is 'soon': input should be a valid number"),
        ({"retry_on": (int,)}, "@step: retry_on.0 is <class 'int'>: input should be a subclass of baseexception"),
    ],
)
def test_a_bad_value_is_refused(settings, message):
    assert refusal(lambda: step(**settings)).startswith(message)


def test_a_bad_value_of_the_step_is_refused():
    assert refusal(lambda: step(effects="some")(fetch)).startswith("step 'fetch' has effects 'some'")
    assert refusal(lambda: step(name="a b")(fetch)).startswith("'a b' is not a step name")


def test_a_config_of_another_type_is_refused():
    assert refusal(lambda: step(config={"max_retries": 2})) == (
        "@step: config is of type 'dict' | pass config=StepConfig(...)"
    )


def test_a_name_in_the_place_of_the_function_is_refused_with_advice():
    assert refusal(lambda: step("fetch")) == (
        "@step got 'fetch', which has no name of its own | write @step(name='fetch')"
    )
    assert refusal(lambda: step(7)).startswith("@step got 7, which has no name of its own")


class Agent:
    """Has no name of its own but its class's."""

    def run(self, data: str) -> int:
        return len(data)


def test_what_has_no_name_of_its_own_is_given_one():
    agent = Agent()
    assert step(name="agent")(agent).run is agent
    assert "write step(name=...)(it)" in refusal(lambda: step(agent))


def test_a_class_with_run_becomes_a_step():
    made = step(Agent)
    assert (made.name, made.input_type, made.output_type) == ("Agent", str, int)


def test_a_lambda_has_a_name_that_no_step_can_have():
    assert refusal(lambda: step(lambda x: x)).startswith("'<lambda>' is not a step name")


def test_the_list_of_options_names_every_setting():
    named = {*StepOptions.__annotations__, "execution_mode"}
    assert set(StepConfig.model_fields) <= named
    fields = {field.name for field in dataclasses.fields(Step)} - {"run", "config", "call"}
    assert named == fields | set(StepConfig.model_fields)


def test_a_step_is_no_function_to_decorate_again():
    assert refusal(lambda: step(name="again")(step(fetch))).startswith("step 'again' runs 'fetch', which is a step")
