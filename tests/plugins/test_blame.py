"""What is not there is blamed on the plugin that would bring it, where it is asked for."""

from dataclasses import dataclass

import pytest

from flujo import Flujo, Step
from flujo.exceptions import BlueprintError, ConfigurationError, MissingPolicyError
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import create_default_registry, create_plugin_manager, plugin_options
from flujo.runner.pipeline_resolver import PipelineResolver


@dataclass(frozen=True, eq=False)
class Vote(Step):
    kind = "vote"


FILES = {
    "kind": "steps: [{name: a, kind: acme}]",
    "skill": "steps: [{name: a, agent: {id: acme.fetch}}]",
    "agent provider": "agents: {writer: {model: 'acme:large'}}\nsteps: [{name: a, uses: agents.writer}]",
}


@pytest.fixture
def acme(fake_dist):
    fake_dist("flujo-policy-acme", "import no_such_driver", version="0.3.1")


@pytest.mark.parametrize("what", FILES)
def test_what_a_file_names_and_is_not_there_is_blamed_on_the_plugin_that_failed(acme, tmp_path, what):
    (tmp_path / "flujo.toml").touch()
    (tmp_path / "p.yaml").write_text(FILES[what])
    resolver = PipelineResolver(create_plugin_manager(), get_config_manager(tmp_path).settings())

    with pytest.raises(BlueprintError) as caught:
        resolver.resolve(tmp_path / "p.yaml")

    told = caught.value.findings[0].help
    assert f"{what} 'acme" in told
    assert (
        "probably comes with flujo-policy-acme 0.3.1, which is not loaded (import-failed: ModuleNotFoundError" in told
    )
    assert "see `flujo plugins show flujo-policy-acme`" in told


SAID = [
    ("kinds", "sql", "kind 'sql' comes with flujo-plugin-acme 1.0, which is not loaded (import-failed: "),
    ("skills", "house.fetch", "skill 'house.fetch' comes with flujo-plugin-acme 1.0, which is not loaded"),
    ("commands", "sql", "3 plugins are not loaded"),
    ("kinds", "acme", "kind 'acme' probably comes with flujo-plugin-acme 1.0"),
    ("", "house.fetch", "skill 'house.fetch' comes with flujo-plugin-acme 1.0, which is not loaded"),
    ("", "acme", "'acme' probably comes with flujo-plugin-acme 1.0"),
    ("commands", "morse send", "command 'morse send' comes with flujo-plugin-acme 1.0, which is not loaded"),
    ("kinds", "morse", "kind 'morse' comes with flujo-plugin-acme 1.0, which is not loaded"),
]


@pytest.mark.parametrize(("facet", "key", "told"), SAID)
def test_what_a_distribution_says_that_it_brings_is_blamed_on_it_whatever_it_is_called(fake_dist, facet, key, told):
    folder = fake_dist("flujo-plugin-acme", "import no_such_driver")
    with (folder / "flujo_plugin_acme-1.0.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("\n[flujo.provides]\nsql = kinds\nhouse = skills\nmorse = kinds.commands\n")
    for name in ("one", "two"):
        fake_dist(f"flujo-{name}", "import no_such_driver")

    assert create_plugin_manager().blame(facet, key).startswith(told)


VOTE = """
@hookimpl
def flujo_register_step_kinds(registrar):
    registrar.kind("vote", "vote:Spec", "vote:build", summary="vote")

@hookimpl
def flujo_register_policies(registrar):
    registrar.policy("vote:VoteStep", "vote:VotePolicy")

@hookimpl
def flujo_register_commands(registrar):
    registrar.command("poll open", "vote:poll", short_help="Vote.")
"""

DROPPED = [("kinds", "vote", "kind"), ("policies", "vote:VoteStep", "policy for step type"), ("", "VoteStep", "policy")]


@pytest.mark.parametrize(("facet", "key", "noun"), [*DROPPED, ("commands", "poll", "command")])
def test_what_is_missing_because_its_sort_is_switched_off_is_blamed_on_the_switch(fake_dist, facet, key, noun):
    fake_dist("vote", VOTE)
    switches = ["no:vote:kinds", "no:vote:policies", "no:vote:commands"]
    manager = create_plugin_manager(options=plugin_options(environ={}, switches=switches))

    told = manager.blame(facet, key)

    assert told.startswith(f"{noun}")
    assert "comes with vote 1.0, whose " in told
    assert " switched off by -P no:vote:" in told
    assert manager.blame("skills", "vote") == ""


def test_a_step_type_whose_policies_are_switched_off_is_not_to_be_installed(fake_dist):
    fake_dist("vote", VOTE.replace("vote:VoteStep", f"{__name__}:Vote"))
    options = plugin_options(environ={}, switches=["no:vote:policies"])

    with pytest.raises(MissingPolicyError) as caught:
        create_default_registry(create_plugin_manager(options=options)).require(Vote("a"))

    assert "comes with vote 1.0, whose policies are switched off by -P no:vote:policies" in caught.value.suggestion
    assert "install the plugin" not in caught.value.suggestion


def test_a_sink_that_is_not_there_is_blamed_on_the_plugin_that_failed(acme):
    with pytest.raises(ConfigurationError, match="there is no event sink 'acme'") as caught:
        Flujo(Step("a", lambda data: data), sinks=["acme"])
    assert "event sink 'acme' probably comes with flujo-policy-acme 0.3.1" in caught.value.suggestion

    with pytest.raises(ConfigurationError, match="there is no event sink 'acme'") as caught:
        Flujo(Step("a", lambda data: data), sinks=["acme"], registry=create_default_registry())
    assert "flujo-policy-acme" not in caught.value.suggestion


def test_a_policy_that_is_not_there_is_blamed_on_what_is_switched_off():
    options = plugin_options(environ={}, switches=["no:flujo-policies-builtin"])
    registry = create_default_registry(create_plugin_manager(options=options))

    with pytest.raises(MissingPolicyError) as caught:
        registry.require(Step("a"))
    assert caught.value.suggestion.startswith("switched off: flujo-policies-builtin by -P no:flujo-policies-builtin; ")


def test_many_plugins_that_may_not_be_to_blame_are_counted(fake_dist):
    for name in ("one", "two"):
        fake_dist(f"flujo-{name}", "import no_such_driver")
    assert create_plugin_manager().blame("kinds", "acme").count("flujo plugins show") == 2

    fake_dist("flujo-three", "import no_such_driver")

    assert create_plugin_manager().blame("kinds", "acme") == "3 plugins are not loaded, see `flujo plugins list`"
    assert "'two' probably comes with flujo-two" in create_plugin_manager().blame("kinds", "two")


def test_what_is_switched_off_is_named_where_nothing_seems_to_be_to_blame(fake_dist):
    for name in ("one", "two", "three"):
        fake_dist(f"acme-{name}", "import no_such_driver")

    def told(*names):
        switches = [f"no:{name}" for name in names]
        return create_plugin_manager(options=plugin_options(environ={}, switches=switches)).blame("kinds", "loud")

    assert told("acme-one", "acme-two", "acme-three") == (
        "switched off: acme-one by -P no:acme-one, acme-three by -P no:acme-three and 1 more, see `flujo plugins list`"
    )
    assert told("acme-one", "acme-two").endswith(
        "; switched off: acme-one by -P no:acme-one, acme-two by -P no:acme-two"
    )


def test_where_no_plugin_is_looked_for_that_is_why_nothing_is_there(tmp_path):
    manager = create_plugin_manager(options=plugin_options(environ={"FLUJO_DISABLE_PLUGIN_AUTOLOAD": "1"}))
    (tmp_path / "p.yaml").write_text(FILES["kind"])

    with pytest.raises(BlueprintError) as caught:
        PipelineResolver(manager, get_config_manager(tmp_path).settings()).resolve(tmp_path / "p.yaml")
    assert caught.value.findings[0].help == "no plugins are loaded: FLUJO_DISABLE_PLUGIN_AUTOLOAD"
