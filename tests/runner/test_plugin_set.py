"""The plugins that a run began with: noted with it, compared when it goes on, and told of where they differ."""

import json

import pytest

from flujo import Flujo, Pipeline, Step, agent, load_pipeline, step
from flujo.domain.events import PluginChanged, RunStarted
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import DefinitionChanged
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import PluginManager, create_default_registry, create_plugin_manager, hookimpl
from flujo.plugins.discovery import installed_plugins
from flujo.plugins.records import Candidate
from flujo.testing import RecordingSink
from flujo_policies_builtin.step import FunctionPolicy
from flujo_state_sqlite.backend import open_sqlite


class Steps:
    """A plugin whose policy runs plain steps, in place of the built-in one."""

    def __init__(self, override=True):
        self.override = override

    @hookimpl
    def flujo_register_policies(self, registrar):
        if self.override is not None:
            registrar.policy(Step, FunctionPolicy, override=self.override)


class Agents:
    """A plugin with a provider of agents."""

    @hookimpl
    def flujo_register_agents(self, registrar):
        registrar.provider("acme", lambda declaration, context: None)


class Skills:
    """A plugin with skills: one by its place, and one as it is."""

    @hookimpl
    def flujo_register_skills(self, registrar):
        registrar.skill("acme.work", f"{__name__}:shout", summary="say it louder")
        registrar.skill("acme.whisper", whisper, summary="say it softly")


def shout(data: str) -> str:
    return data.upper()


def whisper(data: str) -> str:
    return data.lower()


def manager(**plugins):
    """The installed plugins, and some more: each by its distribution, with its version and itself."""
    more = [
        Candidate(f"{dist}:{dist}", dist, version, "installed", dist, lambda plugin=plugin: plugin)
        for dist, (version, plugin) in plugins.items()
    ]
    return PluginManager([*installed_plugins(), *more])


BUILT_IN = next(r.provider for r in create_plugin_manager().records if r.dist == "flujo-policies-builtin")


class Breaking:
    """A step that fails until it is mended."""

    broken = True


@step
def work(data: str) -> str:
    if Breaking.broken:
        raise KeyboardInterrupt
    return data


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request, tmp_path):
    backend = InMemoryBackend() if request.param == "memory" else open_sqlite("sqlite:///runs.db", tmp_path)
    yield backend
    await backend.close()


@pytest.fixture
def flujo(backend):
    """Make a runner of the pipeline with these plugins: `flujo(plugins, sink=)`."""

    def make(plugins, *sinks):
        return Flujo(Pipeline([work], name="p"), plugins=plugins, state_backend=backend, sinks=sinks)

    return make


@pytest.fixture
async def begun(flujo, backend):
    """Begin the run "r" with plugins, and stop it where it can be resumed: `await begun(plugins)`."""

    async def begin(plugins):
        Breaking.broken = True
        with pytest.raises(KeyboardInterrupt):
            await flujo(plugins).run("x", run_id="r")
        Breaking.broken = False
        return await backend.get("r")

    return begin


async def told(runner, sink, **options):
    result = await runner.resume("r", **options)
    return result.output, [event[1:] for event in sink.events if isinstance(event, PluginChanged)]


async def test_a_run_notes_the_plugins_that_its_steps_need(begun):
    row = await begun(manager(acme=("1.0", Steps()), other=("3.0", Agents())))

    assert json.loads(row.tags["plugins"]) == {"acme 1.0": ["step"], BUILT_IN: ["pipeline"]}


async def test_a_plugin_of_the_same_version_is_not_told_of(begun, flujo):
    await begun(manager(acme=("1.0", Steps())))
    sink = RecordingSink()

    assert await told(flujo(manager(acme=("1.0", Steps())), sink), sink) == ("x", [])


async def test_a_plugin_of_another_version_is_told_of_once_the_run_has_begun(begun, flujo):
    await begun(manager(acme=("1.0", Steps())))
    sink = RecordingSink()

    assert await told(flujo(manager(acme=("1.2", Steps())), sink), sink) == ("x", [("acme 1.0", "acme 1.2")])
    assert isinstance(sink.events[0], RunStarted)


async def test_another_plugin_that_runs_a_kind_of_step_is_refused_unless_it_is_allowed(begun, flujo):
    await begun(manager(acme=("1.0", Steps())))

    with pytest.raises(DefinitionChanged) as caught:
        await flujo(manager()).resume("r")

    assert str(caught.value) == f"steps of kind 'step' were run by acme 1.0 when run 'r' began, and by {BUILT_IN} now"
    assert "name it under [policies] in flujo.toml" in caught.value.suggestion
    sink = RecordingSink()
    assert await told(flujo(manager(), sink), sink, allow_changed=True) == ("x", [("acme 1.0", "")])


async def test_a_policy_that_is_given_in_code_is_its_owners_choice(begun, flujo):
    await begun(manager(acme=("1.0", Steps())))
    sink = RecordingSink()

    output, changes = await told(flujo(create_plugin_manager(Steps()), sink), sink)

    assert (output, changes) == ("x", [("", "Steps"), ("acme 1.0", "")])


async def test_a_completed_run_is_handed_out_whatever_the_plugins_are(begun, flujo):
    await begun(manager(acme=("1.0", Steps())))
    await flujo(manager(acme=("1.0", Steps()))).resume("r")

    assert (await flujo(manager()).resume("r")).output == "x"


async def test_a_run_of_a_registry_made_by_hand_notes_nothing(backend):
    registry = PolicyRegistry()
    registry.register(FunctionPolicy())
    registry.register(create_default_registry().require(Pipeline()))
    Breaking.broken = False

    await Flujo(work, registry=registry, state_backend=backend).run("x", run_id="r")

    assert dict((await backend.get("r")).tags) == {}


async def test_a_run_of_which_nothing_is_noted_goes_on_with_any_plugins(backend, flujo):
    registry = create_default_registry()
    Breaking.broken = True
    with pytest.raises(KeyboardInterrupt):
        await Flujo(Pipeline([work], name="p"), registry=registry, state_backend=backend).run("x", run_id="r")
    Breaking.broken = False
    sink = RecordingSink()

    assert await told(flujo(manager(acme=("1.0", Steps())), sink), sink) == ("x", [])


async def test_the_provider_of_an_agent_is_noted(backend):
    async def answer(data):
        return data

    await Flujo(
        agent("ask", answer, model="acme:large"), plugins=manager(other=("3.0", Agents())), state_backend=backend
    ).run("x", run_id="r")

    assert json.loads((await backend.get("r")).tags["plugins"])["other 3.0"] == []


@pytest.mark.parametrize(("skill", "output"), [("acme.work", "AB"), ("acme.whisper", "ab")])
async def test_the_plugin_of_a_skill_that_a_step_calls_is_noted(backend, tmp_path, skill, output):
    plugins = manager(acme=("1.0", Skills()), other=("3.0", Agents()))
    (tmp_path / "p.yaml").write_text(f"steps: [{{name: a, agent: {skill}}}]")

    runner = Flujo(load_pipeline(tmp_path / "p.yaml", plugins=plugins), plugins=plugins, state_backend=backend)

    assert (await runner.run("aB", run_id="r")).output == output
    noted = json.loads((await backend.get("r")).tags["plugins"])
    assert (noted["acme 1.0"], "other 3.0" in noted) == ([], False)


async def test_the_plugin_of_a_skill_that_no_step_calls_is_not_noted(begun):
    row = await begun(manager(acme=("1.0", Skills())))

    assert json.loads(row.tags["plugins"]) == {BUILT_IN: ["pipeline", "step"]}
