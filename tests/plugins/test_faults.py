"""What a plugin brings and that is no such thing is told as the plugin's fault."""

from pathlib import Path

import pytest

from flujo.exceptions import BlueprintError, FlujoError, PluginError
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import create_plugin_manager, hookimpl
from flujo.runner.pipeline_resolver import PipelineResolver

KIND = """
    from flujo.blueprint.schema import StepSpec

    class Spec(StepSpec):
        pass

    def nothing(spec, context):
        return None

    def raising(spec, context):
        raise KeyError("lost")

    @hookimpl
    def flujo_register_step_kinds(registrar):
        registrar.kind("shout", {model}, {build}, summary="shout")

    SIZE = 5
"""
BACKEND = """
    def raising(url, root):
        raise RuntimeError("boom")

    SIZE = 5

    @hookimpl
    def flujo_register_state_backends(registrar):
        registrar.backend("acme", {factory})
"""
AWAY = """
    import os
    os.chdir("/")

    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("mover.skill", "json:dumps", summary="as text")
"""


@pytest.fixture
def findings(tmp_path):
    """What is found wrong with a file of this text."""

    def resolve(text):
        root = tmp_path / "project"
        root.mkdir()
        (root / "flujo.toml").touch()
        (root / "p.yaml").write_text(text)
        with pytest.raises(BlueprintError) as caught:
            PipelineResolver(create_plugin_manager(), get_config_manager(root).settings()).resolve(root / "p.yaml")
        return [(finding.code, finding.message) for finding in caught.value.findings]

    return resolve


@pytest.mark.parametrize(
    ("model", "build", "message"),
    [
        ('"acme_pol:SIZE"', "nothing", "the schema of kind 'shout' of plugin acme-pol 1.0 is 5, expected a subclass"),
        ("dict", "nothing", "the schema of kind 'shout' of plugin acme-pol 1.0 is <class 'dict'>, expected a subclass"),
        ("Spec", '"acme_pol:SIZE"', "the builder of kind 'shout' of plugin acme-pol 1.0 is 5, expected a function"),
        ("Spec", "nothing", "the builder of kind 'shout' of plugin acme-pol 1.0 gave None, expected a step"),
    ],
)
def test_a_kind_that_is_none_is_a_finding_that_names_its_plugin(fake_dist, findings, model, build, message):
    fake_dist("acme-pol", KIND.format(model=model, build=build))

    [(code, told)] = findings("steps: [{name: a, kind: shout}]")

    assert code == "V-K02"
    assert told.startswith(message)


def test_a_builder_that_raises_is_a_finding_that_names_its_plugin(fake_dist, findings):
    fake_dist("acme-pol", KIND.format(model="Spec", build="raising"))

    [found] = findings("steps: [{name: a, kind: shout}]")

    assert found == ("V-A05", "building step 'a' raised KeyError: 'lost' (in plugin acme-pol 1.0)")


GAVE = "agent provider 'acme' of plugin acme-pol 1.0 gave {}, expected an object with 'run', or a function"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("None", GAVE.format("None")),
        ("3", GAVE.format("3")),
        ("{}['x']", "making an agent raised KeyError: 'x' (in plugin acme-pol 1.0)"),
    ],
)
def test_a_provider_that_gives_no_agent_is_a_finding_that_names_its_plugin(fake_dist, findings, given, message):
    fake_dist(
        "acme-pol",
        f"""
        @hookimpl
        def flujo_register_agents(registrar):
            registrar.provider("acme", lambda declaration, context: {given})
        """,
    )

    [(code, told)] = findings("agents: {writer: {model: 'acme:large'}}\nsteps: [{name: a, uses: agents.writer}]")

    assert (code, told) == ("V-A05", message)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("raising", "plugin acme-pol 1.0 can't open a 'acme' state: RuntimeError: boom"),
        ("lambda url, root: None", "plugin acme-pol 1.0 can't open a 'acme' state: it gave None, expected a Stat"),
        ('"acme_pol:SIZE"', "plugin acme-pol 1.0 can't open a 'acme' state: TypeError: 'int' object is not call"),
    ],
)
def test_a_state_that_can_not_be_opened_names_its_plugin(fake_dist, tmp_path, factory, message):
    fake_dist("acme-pol", BACKEND.format(factory=factory))

    with pytest.raises(PluginError) as caught:
        create_plugin_manager().open_backend("acme://secret@host", tmp_path)

    assert caught.value.message.startswith(message)


def test_an_error_that_a_state_backend_means_is_left_as_it_is(tmp_path):
    error = FlujoError("no disk")

    class Acme:
        @hookimpl
        def flujo_register_state_backends(self, registrar):
            def refuse(url, root):
                raise error

            registrar.backend("acme", refuse)

    with pytest.raises(FlujoError) as caught:
        create_plugin_manager(Acme()).open_backend("acme:x", tmp_path)
    assert caught.value is error


@pytest.mark.parametrize("source", [AWAY, AWAY + "    raise ValueError()\n"])
def test_a_plugin_that_goes_elsewhere_takes_nobody_along(fake_dist, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    fake_dist("flujo-mover", source)

    notices = create_plugin_manager().notices()

    line = "plugin flujo-mover 1.0: it changed the working directory to '/' when it was loaded, which was undone"
    assert (Path.cwd(), notices) == (tmp_path, [line])


def test_where_there_is_no_working_directory_plugins_are_loaded_all_the_same(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    class Plugin:
        @hookimpl
        def flujo_register_skills(self, registrar):
            registrar.skill("a.b", "json:dumps", summary="as text")

    assert create_plugin_manager(Plugin(), discover=False).records[0].loaded
