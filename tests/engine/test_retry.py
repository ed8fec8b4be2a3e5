"""Whether a failed attempt is followed by another: a decision from values alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import StepConfig
from flujo.engine.retry import retry_delay
from flujo.exceptions import ConfigurationError, ContextFieldError, ExecutionError, PausedException, TypeMismatchError

RETRIES = StepConfig(max_retries=2)


@given(st.integers(0, 5), st.integers(1, 10))
def test_there_are_as_many_retries_as_configured(retries, attempt):
    delay = retry_delay(StepConfig(max_retries=retries), attempt, RuntimeError(), "s")

    assert (delay is not None) == (attempt <= retries)


@pytest.mark.parametrize(
    "error",
    [PausedException("?"), ConfigurationError("x"), ContextFieldError("x"), TypeMismatchError("x"), SystemExit()],
)
def test_what_can_not_come_out_differently_is_not_retried(error):
    assert retry_delay(RETRIES, 1, error, "s") is None


def test_only_what_retry_on_names_is_retried():
    config = StepConfig(max_retries=2, retry_on=(ConnectionError, ConfigurationError))

    assert retry_delay(config, 1, ConnectionResetError(), "s") == 0
    assert retry_delay(config, 1, ConfigurationError("named on purpose"), "s") == 0
    assert retry_delay(config, 1, ValueError(), "s") is None


def test_control_flow_is_not_retried_even_when_named():
    assert retry_delay(StepConfig(max_retries=2, retry_on=(PausedException,)), 1, PausedException("?"), "s") is None


def test_what_no_retry_on_names_is_not_retried():
    assert retry_delay(StepConfig(max_retries=2, no_retry_on=(ValueError,)), 1, UnicodeError(), "s") is None


def test_the_wait_is_the_configured_backoff():
    config = StepConfig(max_retries=5, backoff={"initial_s": 1, "factor": 3, "max_s": 5})

    assert [retry_delay(config, attempt, RuntimeError(), "s") for attempt in (1, 2, 3)] == [1, 3, 5]


@pytest.mark.parametrize(("asked", "delay"), [(None, 4), (3, 4), (7, 7), (10, 10), (10.5, None)])
def test_what_an_error_asks_for_is_waited_for_up_to_the_longest_wait(asked, delay):
    config, error = StepConfig(max_retries=2, backoff={"initial_s": 4, "max_s": 10}), ExecutionError("busy")
    error.retry_after_s = asked

    assert retry_delay(config, 1, error, "s") == delay
