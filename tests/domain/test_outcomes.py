"""Outcomes, results and the form errors are kept in."""

import pytest

from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, Paused, PipelineResult, RunStatus, StepResult, Success
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import SettingsError


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_error_is_described_by_type_message_place_and_step():
    info = ErrorInfo.of(raised(ValueError("no lamp")), "map/a")
    assert (info.type, info.message, info.path) == ("ValueError", "no lamp", "map/a")
    assert info.code is info.suggestion is None
    file, line = info.location.rsplit(":", 1)
    assert (file, line) == (__file__, str(raised.__code__.co_firstlineno + 2))


def test_the_location_is_where_it_was_raised_not_where_it_was_caught():
    def deep():
        return {}["lamp"]

    with pytest.raises(KeyError) as caught:
        deep()
    assert ErrorInfo.of(caught.value).location == f"{__file__}:{deep.__code__.co_firstlineno + 1}"


def test_an_error_of_ours_keeps_code_and_advice_and_points_at_no_code():
    info = ErrorInfo.of(raised(SettingsError("no such setting", suggestion="did you mean 'state'?")))
    assert info == ErrorInfo("SettingsError", "no such setting", "FLUJO-101", "did you mean 'state'?")


@pytest.mark.parametrize("error", [ValueError(), ValueError(""), TimeoutError(), SystemExit()])
def test_an_error_without_a_message_is_called_by_its_type(error):
    info = ErrorInfo.of(error)
    assert info.message == info.type == type(error).__name__
    assert info.location is None


def test_an_error_s_description_can_be_compared_and_not_changed():
    info = ErrorInfo("E", "m")
    assert info == ErrorInfo("E", "m")
    with pytest.raises(AttributeError):
        info.message = "other"


@pytest.mark.parametrize("outcome", [Success(), Failure(ValueError()), Paused("why?"), Aborted("enough")])
def test_an_outcome_costs_nothing_and_has_no_parts_unless_it_says_so(outcome):
    assert (outcome.usage, outcome.children, outcome.step_result) == (NO_USAGE, (), None)


@pytest.mark.parametrize("status", RunStatus)
def test_only_a_completed_run_is_a_success(status):
    result = PipelineResult("r1", status, None, None)
    assert result.success == (status == "completed")


def test_a_run_s_cost_and_tokens_are_those_of_its_usage():
    usage = Usage(calls=2, tokens_in=10, tokens_out=5, cost_usd="0.25")
    result = PipelineResult("r1", RunStatus.COMPLETED, "x", None, usage=usage)
    assert (result.total_cost_usd, result.total_tokens) == (0.25, 15)


def test_a_step_s_result_is_a_line_of_history_with_its_parts_under_it():
    part = StepResult("b", path="a/b")
    whole = StepResult("a", output=1, path="a", children=(part,))
    assert whole == StepResult("a", output=1, path="a", children=(StepResult("b", path="a/b"),))
    assert (whole.success, whole.attempts, whole.recalled, whole.error) == (True, 1, False, None)
