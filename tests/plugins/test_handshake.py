"""For which contract a plugin was written, and what is known of it before and after it is imported."""

import importlib
import sys
from typing import ClassVar

import pytest

from flujo.plugins import PluginOptions, create_plugin_manager, hookimpl, plugin_options

SKILL = """
    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("acme.greet", "m:greet", summary="greet")
"""


@pytest.fixture
def announce(fake_dist, tmp_path):
    """An installed plugin whose distribution names a contract: `announce(value, module=)`."""

    def write(value: str, head: str = "") -> None:
        fake_dist("flujo-acme", f"{head}\n{SKILL}" if not head else head + SKILL.replace("\n    ", "\n"))
        [entries] = [each for each in tmp_path.rglob("entry_points.txt") if "flujo_acme" in str(each)]
        entries.write_text(entries.read_text() + f"\n[flujo.plugin_api]\nflujo-acme = {value}\n")
        importlib.invalidate_caches()

    return write


def test_a_plugin_for_another_contract_is_not_even_imported(announce, record_of):
    announce("flujo.plugins:API_2")

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert (record.status, record.phase, record.api) == ("incompatible", "api", "2.0")
    assert record.error == "needs plugin API '2.0', this flujo-core offers '1.0'"
    assert "flujo-core" in record.suggestion
    assert "flujo_acme" not in sys.modules


@pytest.mark.parametrize(("value", "api"), [("flujo.plugins:API_1", "1.0"), ("flujo.plugins:API_1_0", "1.0")])
def test_a_plugin_for_this_contract_is_loaded(announce, record_of, value, api):
    announce(value)

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert (record.status, record.api) == ("active", api)


def test_a_contract_that_is_named_wrongly_is_told(announce, record_of):
    announce("flujo.plugins:LATEST")

    record = record_of(create_plugin_manager(), "flujo-acme")

    told = "its distribution names plugin API 'flujo.plugins:LATEST', expected a version such as '1.0'"
    assert (record.status, record.error) == ("incompatible", told)


@pytest.mark.parametrize(
    ("value", "head"),
    [("flujo.plugins:API_1", "FLUJO_PLUGIN_API = '1.7'\n"), ("flujo.plugins:API_1_7", "")],
)
def test_a_plugin_for_a_newer_minor_version_is_loaded_with_a_note(announce, record_of, value, head):
    announce(value, head)

    manager = create_plugin_manager()

    note = "it was written for plugin API 1.7, this flujo-core offers 1.0"
    record = record_of(manager, "flujo-acme")
    assert (record.status, record.api, record.note) == ("active", "1.7", note)
    assert manager.notices() == [f"plugin flujo-acme 1.0: {note}"]
    assert manager.problems() == []


@pytest.mark.parametrize("value", ["'1.x'", "''", "'one'"])
def test_a_module_that_names_no_version_is_incompatible(announce, record_of, value):
    announce("flujo.plugins:API_1", f"FLUJO_PLUGIN_API = {value}\n")

    assert record_of(create_plugin_manager(), "flujo-acme").error.startswith("it names plugin API")


class Loud:
    FLUJO_PLUGIN_SETTINGS: ClassVar = {"volume": "how loud, from 0 to 11"}

    @hookimpl
    def flujo_register_skills(self, registrar):
        registrar.skill("loud.greet", "m:greet", summary="")


@pytest.fixture
def loud():
    """The record of a plugin that says which settings it has: `loud(settings)`."""

    def load(settings):
        options = PluginOptions(settings={"loud": settings})
        return create_plugin_manager(Loud(), options=options, discover=False).records[0]

    return load


def test_a_plugin_says_what_may_be_set_for_it(loud):
    record = loud({"volume": 11})

    assert (record.status, record.takes) == ("active", {"volume": "how loud, from 0 to 11"})


def test_a_setting_that_a_plugin_does_not_have_is_refused(loud):
    record = loud({"volum": 11})

    assert (record.status, record.error) == ("register-failed", "unknown setting 'volum'")
    assert record.suggestion == "did you mean 'volume'?"


@pytest.mark.parametrize("said", [["volume"], {"volume": int}, {1: "loud"}])
def test_what_says_of_no_setting_what_it_means_is_refused(loud, monkeypatch, said):
    monkeypatch.setattr(Loud, "FLUJO_PLUGIN_SETTINGS", said)

    assert loud({}).error == f"FLUJO_PLUGIN_SETTINGS is {said!r}, expected what each setting means, by its name"


def test_a_plugin_can_ask_what_there_is(record_of):
    answers = {}

    class Asking:
        @hookimpl
        def flujo_register_skills(self, registrar):
            features = ("skills", "skills.skill", "lint_rules.rule", "lint_rules.fix", "policies.fallback", "teapots")
            answers.update({feature: registrar.supports(feature) for feature in features})

    create_plugin_manager(Asking(), discover=False)

    assert [feature for feature, there in answers.items() if not there] == ["lint_rules.fix", "teapots"]


def test_a_record_tells_where_a_plugin_is_and_how_long_its_import_took(announce, record_of, tmp_path):
    announce("flujo.plugins:API_1", "import time\ntime.sleep(0.02)\n")

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert record.file.endswith("flujo_acme.py")
    assert record.load_ms >= 20
    assert (record.phase, record.traceback, record.suggestion) == ("", "", "")


class Asked:
    @staticmethod
    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("asked.greet", "m:greet", summary="")


def test_what_was_not_imported_took_no_time(announce, record_of):
    announce("flujo.plugins:API_1")
    manager = create_plugin_manager(Asked, options=plugin_options(environ={}, switches=["no:flujo-acme"]))

    assert [record_of(manager, dist).load_ms for dist in ("Asked", "flujo-acme")] == [None, None]


def test_a_record_shows_the_plugins_own_part_of_a_traceback(fake_dist, record_of):
    fake_dist(
        "flujo-acme",
        """
        def inner():
            raise KeyError("lost")

        @hookimpl
        def flujo_register_skills(registrar):
            inner()
        """,
    )

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert (record.status, record.phase) == ("register-failed", "register")
    lines = record.traceback.splitlines()
    assert [line.rpartition(", in ")[2] for line in lines if line.startswith("  File")] == [
        "flujo_register_skills",
        "inner",
    ]
    assert lines[-1] == "KeyError: 'lost'"


def test_a_refused_contribution_shows_the_line_that_made_it(fake_dist, record_of):
    fake_dist("flujo-acme", SKILL.replace("acme.greet", "greet"))

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert 'registrar.skill("greet", "m:greet", summary="greet")' in record.traceback
    assert "is not a skill id" in record.traceback


def test_a_file_that_is_no_python_shows_where(fake_dist, record_of):
    fake_dist("flujo-acme", "def broken(:")

    assert "def broken(:" in record_of(create_plugin_manager(), "flujo-acme").traceback


def test_a_stale_copy_of_a_distribution_counts_once(fake_dist, tmp_path):
    fake_dist("flujo-acme", SKILL)
    [info] = tmp_path.rglob("flujo_acme-1.0.dist-info")
    stale = info.with_name("flujo_acme-0.9.dist-info")
    stale.mkdir()
    for file in info.iterdir():
        (stale / file.name).write_text(file.read_text().replace("Version: 1.0", "Version: 0.9"))
    importlib.invalidate_caches()

    found = [record for record in create_plugin_manager().records if record.dist == "flujo-acme"]

    assert [record.status for record in found] == ["active"]


BLAMED = [
    ("kinds", "acme", "kind 'acme' probably comes with flujo-policy-acme 0.3.1, which is not loaded (import-failed"),
    ("skills", "acme.fetch", "skill 'acme.fetch' probably comes with flujo-policy-acme 0.3.1"),
    ("policies", "flujo_policy_acme.steps:Acme", "probably comes with flujo-policy-acme 0.3.1"),
    ("kinds", "other", "plugin flujo-policy-acme 0.3.1 is not loaded (import-failed: ModuleNotFoundError"),
]


@pytest.mark.parametrize(("facet", "key", "told"), BLAMED)
def test_what_is_not_there_is_blamed_on_a_plugin_that_is_called_so_or_on_all_that_failed(fake_dist, facet, key, told):
    fake_dist("flujo-policy-acme", "import no_such_driver", version="0.3.1")

    blame = create_plugin_manager().blame(facet, key)

    assert told in blame
    assert blame.endswith("see `flujo plugins show flujo-policy-acme`")


def test_what_is_not_there_is_blamed_on_a_plugin_that_is_switched_off(fake_dist, monkeypatch):
    fake_dist("flujo-policy-acme", SKILL)
    monkeypatch.setenv("FLUJO_NO_PLUGINS", "1")

    manager = create_plugin_manager()

    assert manager.blame("kinds", "acme") == (
        "kind 'acme' probably comes with flujo-policy-acme 1.0, which is switched off by --no-plugins or "
        "FLUJO_NO_PLUGINS: only flujo's own plugins are loaded"
    )
    assert manager.blame("kinds", "other").startswith("switched off: flujo-policy-acme by --no-plugins")
