"""Policies from plugins, and policies put in by hand."""

import sys
from typing import Any, ClassVar

import pytest

from flujo import Flujo, LoopStep, ParallelStep, Pipeline, Step
from flujo.domain.outcomes import Success
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import MissingPolicyError, PluginError, PolicyConflictError
from flujo.plugins import create_default_registry, create_plugin_manager, hookimpl


class MockPolicy(StepPolicy[Step[Any, Any]]):
    """Answers every step with the same text."""

    made = 0

    def __init__(self, answer: str = "mocked") -> None:
        self.answer = answer
        type(self).made += 1

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        return Step

    async def execute(self, core, frame):
        return Success(self.answer)


class Other(Step[Any, Any]):
    """Another kind of step."""

    kind: ClassVar[str] = "other"


class Plugin:
    """Registers `factory` for `handles`, or as the fallback for None."""

    def __init__(self, handles, factory):
        self.handles = handles
        self.factory = factory

    @hookimpl
    def flujo_register_policies(self, registrar):
        if self.handles is None:
            registrar.fallback(self.factory)
        else:
            registrar.policy(self.handles, self.factory)


def registry_of(*plugins, discover=False):
    return create_default_registry(create_plugin_manager(*plugins, discover=discover))


async def test_a_mock_policy_comes_in_through_the_plugin_manager():
    manager = create_plugin_manager(Plugin(Step, MockPolicy("from a plugin")))

    result = await Flujo(Pipeline([Step("a", lambda data: "real")]), plugins=manager).run("x")

    assert result.output == "from a plugin"


async def test_a_mock_policy_comes_in_through_a_registry_made_by_hand():
    registry = PolicyRegistry()
    registry.register(MockPolicy("by hand"))

    result = await Flujo(Step("a", lambda data: "real"), registry=with_sequences(registry)).run("x")

    assert result.output == "by hand"


def with_sequences(registry):
    registry.register(create_default_registry().require(Pipeline()))
    return registry


def test_an_executor_takes_the_registry_of_a_manager():
    core = ExecutorCore(policy_registry=registry_of(Plugin(Step, MockPolicy())))

    core.prepare(Step("a"))
    with pytest.raises(MissingPolicyError):
        core.prepare(Pipeline([Step("a")]))


@pytest.mark.parametrize("handles", [Step, "flujo.domain.steps:Step"])
@pytest.mark.parametrize("factory", [MockPolicy, MockPolicy("instance"), lambda: MockPolicy("made")])
def test_a_policy_is_registered_as_an_instance_a_class_or_a_function(handles, factory):
    registry = registry_of(Plugin(handles, factory))

    assert isinstance(registry.require(Step("a")), MockPolicy)
    assert registry.list_registered() == [Step]


def test_a_policy_is_made_once_and_only_when_a_step_needs_it():
    MockPolicy.made = 0
    registry = registry_of(Plugin(Step, MockPolicy))
    assert MockPolicy.made == 0

    assert registry.require(Step("a")) is registry.require(Step("b"))
    assert MockPolicy.made == 1


def test_a_policy_registered_by_hand_comes_before_the_plugins():
    registry, by_hand = registry_of(Plugin(Step, MockPolicy)), MockPolicy()
    registry.register(by_hand)

    assert registry.require(Step("a")) is by_hand


def test_the_fallback_policy_runs_what_no_other_does():
    registry = registry_of(Plugin(Step, MockPolicy("step")), Plugin(None, lambda: MockPolicy("fallback")))

    assert registry.require(Step("a")).answer == "step"
    assert registry.require(Other("o")).answer == "fallback"
    assert registry.require(Other("p")) is registry.require(Other("o"))
    assert registry.list_registered() == [Step]


def test_the_policy_of_a_base_class_does_not_run_another_kind():
    registry = registry_of(Plugin(Step, MockPolicy))

    with pytest.raises(MissingPolicyError, match=r"no policy runs steps of type Other \('o'\)"):
        registry.require(Other("o"))


def test_a_step_type_that_two_plugins_claim_fails_only_where_it_is_used():
    rivals = [Plugin(Other, MockPolicy), Plugin(Other, MockPolicy("second"))]
    registry = registry_of(*rivals, discover=True)

    assert registry.require(Step("a"))
    with pytest.raises(PolicyConflictError, match=r":Other' is claimed by Plugin and Plugin#2"):
        registry.require(Other("o"))


def test_a_class_and_its_name_are_one_step_type():
    registry = registry_of(Plugin(Pipeline, MockPolicy), Plugin("flujo.domain.steps:Pipeline", MockPolicy))

    with pytest.raises(PolicyConflictError, match=r"policy for step type 'flujo\.domain\.steps:Pipeline'"):
        registry.require(Pipeline())


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_such_module:Policy", "plugin Plugin offers 'no_such_module:Policy', which can't be loaded"),
        (lambda: 1 / 0, "plugin Plugin can't make the policy for 'flujo.domain.steps:Step': ZeroDivisionError"),
        (lambda: "policy", "plugin Plugin gives 'str' as the policy for 'flujo.domain.steps:Step'"),
        (object(), "can't make the policy for 'flujo.domain.steps:Step': TypeError: 'object' object is not callable"),
    ],
)
def test_a_policy_that_can_not_be_made_names_its_plugin(factory, message):
    registry = registry_of(Plugin(Step, factory))

    with pytest.raises(PluginError) as caught:
        registry.require(Step("a"))
    assert message in str(caught.value)


def test_a_step_type_that_is_named_where_it_is_only_handed_on_is_refused_where_it_is_used():
    registry = registry_of(Plugin(f"{__name__}:LoopStep", MockPolicy))

    with pytest.raises(PluginError) as caught:
        registry.get(LoopStep.__new__(LoopStep))
    assert str(caught.value) == (
        f"plugin Plugin has a policy for '{__name__}:LoopStep', which is defined as 'flujo.domain.kinds:LoopStep'"
    )
    assert caught.value.suggestion == "register it for 'flujo.domain.kinds:LoopStep'"


def test_an_empty_registry_says_what_to_install():
    with pytest.raises(MissingPolicyError) as caught:
        registry_of().require(Step("a"))

    assert caught.value.suggestion == "no step policies are installed: pip install flujo-policies-builtin"


def test_a_missing_policy_is_blamed_on_the_plugin_that_did_not_load():
    with pytest.raises(MissingPolicyError) as caught:
        registry_of(object()).require(Step("a"))

    assert caught.value.suggestion.startswith("plugin object is not loaded (rejected: no hooks found")


class Special(Step[Any, Any]):
    kind: ClassVar[str] = "special"


def test_of_a_missing_policy_only_the_plugins_that_seem_to_bring_it_are_blamed(fake_dist, monkeypatch):
    for name in ("flujo-policy-special", "flujo-other"):
        fake_dist(name, "import no_such_module")
    monkeypatch.setattr(Special, "__module__", "flujo_policy_special.steps")

    with pytest.raises(MissingPolicyError) as caught:
        create_default_registry().require(Special("s"))

    assert caught.value.suggestion.startswith(
        "policy for step type 'flujo_policy_special.steps:Special' probably comes with flujo-policy-special 1.0, which"
    )
    assert "flujo-other" not in caught.value.suggestion


def test_by_default_the_policies_are_those_of_everything_installed():
    assert set(create_default_registry().list_registered()) >= {Step, Pipeline, LoopStep, ParallelStep}


async def test_no_hook_is_called_while_a_pipeline_runs():
    flujo = Flujo(Pipeline([Step("a", lambda data: data), Step("b", lambda data: data)]))
    called: set[str] = set()

    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_filename) if event == "call" else None)
    try:
        result = await flujo.run("x")
    finally:
        sys.setprofile(None)

    assert result.output == "x"
    assert any("executor_core" in name for name in called)
    assert not any("pluggy" in name or "importlib_metadata" in name for name in called)
