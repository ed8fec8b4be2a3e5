"""Errors: what they say, what they keep, how they are told apart."""

import copy
import importlib
import pickle

import pytest

from flujo import exceptions
from flujo.domain.validation import Finding, Location
from flujo.exceptions import (
    BlueprintError,
    ConfigurationError,
    ControlFlowError,
    ExecutionError,
    FlujoError,
    SettingsError,
    TemplateResolutionError,
)

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]

# Scripts and pages refer to codes: a code that is given never changes and is never given again.
CODES = {
    "FlujoError": "000",
    "ConfigurationError": "100",
    "SettingsError": "101",
    "PricingNotConfiguredError": "102",
    "MissingAgentError": "103",
    "MissingPolicyError": "104",
    "PolicyConflictError": "105",
    "PluginError": "106",
    "ExecutionError": "200",
    "UsageLimitExceededError": "201",
    "AgentIOValidationError": "202",
    "OrchestratorRetryError": "203",
    "StepTimeoutError": "204",
    "ReplayMismatchError": "205",
    "BackgroundTaskError": "206",
    "EffectInDoubt": "207",
    "ControlFlowError": "300",
    "PausedException": "301",
    "PipelineAbortSignal": "302",
    "InfiniteRedirectError": "303",
    "InfiniteFallbackError": "304",
    "ContextError": "400",
    "ContextFieldError": "401",
    "ContextInheritanceError": "402",
    "ContextIsolationError": "403",
    "ContextMergeError": "404",
    "ContextMutationError": "405",
    "StateProviderError": "406",
    "ValidationError": "500",
    "TypeMismatchError": "501",
    "TemplateResolutionError": "502",
    "BlueprintError": "503",
    "SchemaMismatchError": "504",
    "StateError": "600",
    "RunNotFound": "601",
    "RunOwnedElsewhere": "602",
    "RunNotPaused": "603",
    "AnswerRejected": "604",
    "ValueNotStorable": "605",
    "PayloadTooLarge": "606",
    "StateStorageFull": "607",
    "StateBackendBusy": "608",
    "StateCorrupt": "609",
    "StateUnavailable": "610",
    "DefinitionChanged": "611",
    "RunKeyTaken": "612",
    "RunPoisoned": "613",
}


class CustomError(ExecutionError, code="CUSTOM-1"):
    def __init__(self, user: int, reason: str) -> None:
        super().__init__(f"user {user}: {reason}")
        self.user = user


class HeirError(CustomError):
    pass


def again(error):
    """The error after every way it may travel."""
    yield copy.copy(error)
    yield copy.deepcopy(error)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(error, protocol))


def test_codes_are_the_published_ones():
    assert {error.__name__: error.default_code for error in ERRORS} == {n: f"FLUJO-{c}" for n, c in CODES.items()}


def test_every_class_under_the_root_is_a_public_name():
    seen, todo = set(), [FlujoError]
    while todo:
        error = todo.pop()
        seen.add(error)
        todo += [sub for sub in error.__subclasses__() if sub.__module__ == "flujo.exceptions"]
    assert seen == set(ERRORS)


def test_every_code_belongs_to_its_parents_hundred():
    for error in set(ERRORS) - {FlujoError}:
        parent = error.__base__.default_code
        assert parent == "FLUJO-000" or error.default_code[:7] == parent[:7]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_its_message_and_nothing_else(error):
    made = error("it broke", suggestion="mend it")
    assert str(made) == made.message == "it broke"
    assert made.suggestion == "mend it"
    assert made.code == error.default_code
    assert made.__cause__ is None


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_keeps_everything_wherever_it_travels(error):
    made = error("bäh\nzweite", suggestion="mend it", code="X-9", cause=OSError(2, "no file"))
    made.add_note("seen on a Monday")
    for other in again(made):
        assert type(other) is error
        assert (str(other), other.message, other.suggestion, other.code) == (str(made), made.message, "mend it", "X-9")
        assert repr(other.__cause__) == repr(made.__cause__)
        assert other.__notes__ == made.__notes__


def test_the_findings_of_a_blueprint_survive():
    finding = Finding("V-T01", "no", path="a", help="yes", location=Location("p.yaml", 3, 7))
    for other in again(BlueprintError("1 error", findings=(finding,))):
        assert other.findings == (finding,)


def test_the_place_in_a_template_survives():
    for other in again(TemplateResolutionError("no 'x'", line=2, column=5)):
        assert (other.line, other.column) == (2, 5)


def test_an_error_whose_constructor_wants_other_arguments_survives():
    for other in again(HeirError(7, "gone")):
        assert type(other) is HeirError
        assert (str(other), other.user, other.code) == ("user 7: gone", 7, "CUSTOM-1")


def test_a_code_is_inherited_unless_a_class_or_an_error_has_its_own():
    assert HeirError.default_code == "CUSTOM-1"
    assert SettingsError("x").code == "FLUJO-101"
    assert SettingsError("x", code="MINE").code == "MINE"


def test_the_cause_is_shown_as_python_shows_causes():
    cause = KeyError("lamp")
    with pytest.raises(ConfigurationError) as caught:
        raise ConfigurationError("no lamp", cause=cause)
    assert caught.value.__cause__ is cause
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["OrchestratorError", "FlujoFrameworkError"])
def test_an_old_name_is_the_root_and_warns_where_it_is_used(name):
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated, use FlujoError") as caught:
        old = getattr(exceptions, name)
    assert old is FlujoError
    assert [warning.filename for warning in caught] == [__file__]


def test_importing_an_old_name_warns_once():
    with pytest.warns(DeprecationWarning, match="use FlujoError") as caught:
        from flujo.exceptions import OrchestratorError
    assert OrchestratorError is FlujoError
    assert len(caught) == 1


def test_importing_the_module_warns_of_nothing():
    assert importlib.import_module("flujo.exceptions").FlujoError is FlujoError
    assert "OrchestratorError" not in vars(exceptions)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'flujo.exceptions' has no attribute 'FlujoEror'"):
        exceptions.FlujoEror  # noqa: B018


def test_handlers_of_a_branch_catch_their_own_and_no_signal():
    signals = [error for error in ERRORS if issubclass(error, ControlFlowError)]
    assert not any(issubclass(error, ExecutionError) for error in signals)
    assert all(issubclass(error, FlujoError) and issubclass(error, Exception) for error in ERRORS)
