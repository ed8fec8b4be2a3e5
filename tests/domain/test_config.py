"""How steps are run: bounds of settings, and waits between attempts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flujo import Backoff, StepConfig
from flujo.exceptions import ConfigurationError

FINITE = {"allow_nan": False, "allow_infinity": False}
BACKOFFS = st.builds(
    Backoff,
    initial_s=st.floats(0, 1e6, **FINITE),
    factor=st.floats(1, 1e300, **FINITE),
    max_s=st.floats(0, 1e9, **FINITE),
    jitter=st.floats(0, 1),
)
ATTEMPTS = st.integers(1, 10**6)


@given(BACKOFFS, ATTEMPTS, st.text())
def test_a_wait_lies_between_what_jitter_leaves_and_the_most(backoff, attempt, seed):
    full = backoff.model_copy(update={"jitter": 0.0}).delay(attempt, seed)
    wait = backoff.delay(attempt, seed)
    assert full <= backoff.max_s
    assert full * (1 - backoff.jitter) <= wait <= full


@given(BACKOFFS, st.lists(ATTEMPTS, min_size=2, max_size=6))
def test_waits_without_jitter_never_get_shorter(backoff, attempts):
    calm = backoff.model_copy(update={"jitter": 0.0})
    waits = [calm.delay(attempt, "s") for attempt in sorted(attempts)]
    assert all(one <= other for one, other in pairwise(waits))


@given(BACKOFFS, ATTEMPTS, st.text())
def test_the_same_seed_waits_the_same(backoff, attempt, seed):
    assert backoff.delay(attempt, seed) == Backoff(**backoff.model_dump()).delay(attempt, seed)


def test_jitter_is_the_same_on_every_machine_and_differs_by_seed_and_attempt():
    backoff = Backoff(initial_s=1, factor=1, jitter=0.5)
    waits = [backoff.delay(1, "run|a"), backoff.delay(2, "run|a"), backoff.delay(1, "run|b")]
    assert waits == pytest.approx([0.9828541, 0.7394092, 0.5538122], abs=1e-7)


def test_waits_double_up_to_the_most():
    backoff = Backoff(initial_s=0.5, max_s=3)
    assert [backoff.delay(attempt, "s") for attempt in (1, 2, 3, 4, 5000)] == [0.5, 1, 2, 3, 3]


def test_without_settings_there_is_no_wait_no_retry_and_no_limit():
    config = StepConfig()
    assert (config.max_retries, config.timeout_s, config.retry_on, config.no_retry_on) == (0, None, (), ())
    assert config.backoff.delay(9, "s") == 0


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["initial_s", "factor", "max_s", "jitter"])
def test_a_wait_out_of_bounds_is_refused(name, wrong):
    with pytest.raises(ConfigurationError, match=f"Backoff: {name} is"):
        Backoff(**{name: wrong})


@pytest.mark.parametrize(
    "settings",
    [
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"timeout_s": True},
        {"max_retries": None},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": float("inf")},
        {"retry_on": ValueError},
        {"retry_on": ("ValueError",)},
        {"no_retry_on": (int,)},
        {"backoff": {"factor": 0.5}},
        {"max_retry": 1},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_refused(settings):
    with pytest.raises(ConfigurationError, match=f"(?i){next(iter(settings))}"):
        StepConfig(**settings)


def test_a_refused_setting_is_named_with_its_value_and_an_unknown_one_with_its_neighbour():
    with pytest.raises(ConfigurationError) as caught:
        StepConfig(backoff={"factor": 0.5})
    assert caught.value.message == "Backoff: factor is 0.5: input should be greater than or equal to 1"
    with pytest.raises(ConfigurationError) as caught:
        StepConfig(max_retry=1)
    assert caught.value.message == "StepConfig has no field 'max_retry'"
    assert caught.value.suggestion == "did you mean 'max_retries'?"


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        StepConfig().max_retries = 3
    with pytest.raises(ValidationError, match="frozen"):
        Backoff().jitter = 1.0


def test_equal_settings_are_equal():
    assert StepConfig(max_retries=2, retry_on=[OSError]) == StepConfig(max_retries=2, retry_on=(OSError,))
