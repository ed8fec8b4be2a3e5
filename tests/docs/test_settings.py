"""docs/reference/settings.md has the settings that there are; test_generated.py compares its tables with the code."""

from decimal import Decimal

from flujo.domain.quota import UsageLimits
from flujo.infra import config_manager
from flujo.infra.config_manager import get_config_manager
from flujo.infra.plugin_tables import PIN_TABLES
from flujo.infra.spending import BUDGET_KEYS, PRICE_KEYS
from flujo.runner import otel
from flujo_cli import variables


def test_every_setting_is_in_the_table_with_what_it_means(page):
    table = page("settings").table("key")
    assert set(table) == set(config_manager._KEYS)
    assert {name: cells for name, cells in table.items() if not all(cells)} == {}


def test_the_example_is_read(page, tmp_path):
    example = page("settings").blocks("toml")[0]
    (tmp_path / "flujo.toml").write_text(example, encoding="utf-8")
    settings = get_config_manager(tmp_path).settings(environ={})
    assert (settings.state_uri, settings.blueprint_allowed_imports) == ("sqlite:///runs.db", ("skills",))
    assert {origin.partition(":")[0] for origin in settings.origins.values()} == {str(tmp_path / "flujo.toml")}


def test_the_keys_of_prices_and_budgets_are_those_there_are(page):
    assert tuple(page("settings").table("key of pricing")) == PRICE_KEYS
    assert tuple(page("settings").table("key of budgets")) == BUDGET_KEYS


def test_the_examples_of_prices_and_budgets_are_read(page, tmp_path):
    (tmp_path / "flujo.toml").write_text("\n".join(page("settings").blocks("toml")), encoding="utf-8")
    settings = get_config_manager(tmp_path, force_reload=True).settings(environ={})
    assert settings.prices.find("search:web").usd_per_call == Decimal("0.01")
    assert settings.limits_for("tickets-new") == UsageLimits("0.5", None, 100)
    assert settings.limits_for("letters") == UsageLimits(5)


def test_the_settings_of_flujos_own_sink_are_those_it_takes(page):
    assert tuple(sorted(page("settings").table("key of sinks.otel"))) == otel._SETTINGS


def test_the_other_variables_are_those_that_are_read(page):
    shown = {name for name in page("settings").names("variable") if name.startswith("FLUJO_")}
    assert shown == set(variables._OTHERS)


def test_what_is_said_of_plugins_is_what_is_read(page, tmp_path):
    assert set(page("settings").table("key of plugins")) == {"disable", "enable", "require", "local", "settings"}
    example = next(block for block in page("settings").blocks("toml") if "[plugins]" in block)
    (tmp_path / "flujo.toml").write_text(example, encoding="utf-8")
    found = get_config_manager(tmp_path, force_reload=True).plugins
    assert found.pins == {"kinds": {"sql": "flujo-policy-db"}, "policies": {"flujo:LoopStep": "flujo-policies-builtin"}}
    assert found.settings == {"flujo-policy-http": {"allow": ["https://api.example.org"]}}
    assert found.local == (tmp_path / "tools/our_steps.py",)
    assert all(f"`{table}`" in page("settings").text for table in PIN_TABLES)


def test_the_order_of_sources_is_the_one_that_counts(page, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    places = [home / "flujo/config.toml", tmp_path / "pyproject.toml", tmp_path / "flujo.toml"]
    for place in places:
        place.parent.mkdir(exist_ok=True, parents=True)
        table = "[tool.flujo]\n" if place.name == "pyproject.toml" else ""
        place.write_text(f'{table}state_uri = "sqlite:///{place.name}"\n', encoding="utf-8")
        manager = get_config_manager(tmp_path, force_reload=True)
        assert manager.settings(environ={}).state_uri == f"sqlite:///{place.name}"
    environ = {"FLUJO_STATE_URI": "sqlite:///environment"}
    assert manager.settings(environ=environ).state_uri == "sqlite:///environment"
    assert manager.settings(environ=environ, state_uri="memory:").state_uri == "memory:"
    assert "1. the option" in page("settings").text
