"""What is not there is blamed on the plugin that would bring it, where it is asked for."""

import pytest

from flujo import Flujo, Step
from flujo.exceptions import BlueprintError, ConfigurationError, MissingPolicyError
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import create_default_registry, create_plugin_manager, plugin_options
from flujo.runner.pipeline_resolver import PipelineResolver

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
]


@pytest.mark.parametrize(("facet", "key", "told"), SAID)
def test_what_a_distribution_says_that_it_brings_is_blamed_on_it_whatever_it_is_called(fake_dist, facet, key, told):
    folder = fake_dist("flujo-plugin-acme", "import no_such_driver")
    with (folder / "flujo_plugin_acme-1.0.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("\n[flujo.provides]\nsql = kinds\nhouse = skills\n")
    for name in ("one", "two"):
        fake_dist(f"flujo-{name}", "import no_such_driver")

    assert create_plugin_manager().blame(facet, key).startswith(told)


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
