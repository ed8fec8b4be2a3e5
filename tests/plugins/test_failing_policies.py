"""What fails in a step that a plugin's policy runs is told with the plugin."""

import pytest

from flujo import Flujo, Pipeline, Step, StepConfig
from flujo.domain.events import StepRetried
from flujo.exceptions import PluginError
from flujo.plugins import PluginManager, create_default_registry, create_plugin_manager, hookimpl
from flujo.plugins.discovery import installed_plugins
from flujo.plugins.records import Candidate
from flujo.testing import RecordingSink
from flujo_policies_builtin.step import FunctionPolicy


class Faulty(FunctionPolicy):
    """A policy that fails before it has called anything."""

    async def execute(self, core, frame):
        raise ValueError("no route to acme")


class Fetch(Step):
    """A kind of step that the plugin brings."""

    kind = "fetch"


class Unknown(Step):
    """A kind that nobody has a policy for, but the plugin for everything."""

    kind = "unknown"


class Unready(Step):
    """A kind of step that the plugin can't prepare."""

    kind = "unready"


class Clumsy(FunctionPolicy):
    def prepare(self, step):
        raise KeyError(step.name)


class Acme:
    @hookimpl
    def flujo_register_policies(self, registrar):
        registrar.policy(Fetch, Faulty)
        registrar.policy(Unready, Clumsy)
        registrar.fallback(Faulty)


def manager():
    acme = Candidate("flujo-policy-acme:acme", "flujo-policy-acme", "0.3.1", "installed", "acme", Acme)
    return PluginManager([*installed_plugins(), acme])


@pytest.mark.parametrize("kind", [Fetch, Unknown])
async def test_a_step_says_which_plugin_failed_and_so_do_the_run_and_what_it_stands_in(kind):
    result = await Flujo(Pipeline([Pipeline([kind("a")], name="inner")]), plugins=manager()).run("x")

    [inner] = result.step_history
    assert [line.error.plugin for line in (inner, *inner.children)] == ["flujo-policy-acme 0.3.1"] * 2
    assert (result.error.plugin, result.error.path) == ("flujo-policy-acme 0.3.1", "sub:inner/a")
    assert result.error.message == "no route to acme"


def test_a_step_that_a_plugin_fails_to_prepare_is_told_with_the_plugin():
    with pytest.raises(PluginError, match=r"^plugin flujo-policy-acme 0\.3\.1 can't prepare step 'b': KeyError: 'b'$"):
        Flujo(Pipeline([Step("a", str.upper), Unready("b")]), plugins=manager())


def test_what_a_policy_that_was_put_in_by_hand_raises_is_left_as_it_is():
    registry = create_default_registry(manager())
    registry.register_factory(Unready, Clumsy)
    with pytest.raises(KeyError, match="b"):
        Flujo(Unready("b"), registry=registry)


async def test_an_attempt_that_failed_says_it_too():
    sink = RecordingSink()
    step = Fetch("a", config=StepConfig(max_retries=1))

    await Flujo(step, plugins=manager(), sinks=[sink]).run("x")

    [retried] = [event for event in sink.events if isinstance(event, StepRetried)]
    assert retried.error.plugin == "flujo-policy-acme 0.3.1"


async def test_a_step_that_falls_back_says_which_plugin_failed_first():
    step = Fetch("a", fallback=Step("b", lambda data: data))

    result = await Flujo(step, plugins=manager()).run("x")

    assert (result.output, result.step_history[0].error.plugin) == ("x", "flujo-policy-acme 0.3.1")


async def test_a_recorded_failure_still_says_it(tmp_path):
    async with Flujo(Fetch("a"), plugins=manager(), state_uri="sqlite:///runs.db", root=tmp_path) as flujo:
        await flujo.run("x", run_id="r")

    async with Flujo(Fetch("a"), plugins=manager(), state_uri="sqlite:///runs.db", root=tmp_path) as flujo:
        [run] = await flujo.runs()
        replayed = await flujo.replay("r")
    assert run.error.plugin == "flujo-policy-acme 0.3.1"
    assert replayed.step_history[0].error.plugin == "flujo-policy-acme 0.3.1"


@pytest.mark.parametrize("how", ["flujo's own", "by hand"])
async def test_a_policy_of_flujos_own_or_one_that_is_put_in_by_hand_names_no_plugin(how):
    registry = create_default_registry(manager())
    if how == "by hand":
        registry.register(FunctionPolicy())

    result = await Flujo(Step("a", lambda data: 1 / 0), registry=registry).run("x")

    assert (result.error.type, result.error.plugin) == ("ZeroDivisionError", None)


async def test_a_plugin_that_is_given_in_code_is_named_as_it_is_called():
    result = await Flujo(Fetch("a"), plugins=create_plugin_manager(Acme())).run("x")

    assert result.error.plugin == "Acme"
