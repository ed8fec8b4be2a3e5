"""Which plugins load: options, the environment and the project's settings, all before anything is imported."""

import pickle
import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from flujo.exceptions import PluginError, SettingsError
from flujo.plugins import PluginOptions, PluginRecord, PluginStatus, create_plugin_manager, plugin_options
from flujo.plugins.records import FIRST_PARTY
from flujo.plugins.screening import check_required

SKILL = """
    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("{name}.greet", "m:greet", summary="greet")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write a project's flujo.toml and stand there: `project(text)`."""

    def write(text: str = "") -> Path:
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        (root / "flujo.toml").write_text(text)
        monkeypatch.chdir(root)
        return root

    return write


@pytest.fixture
def two(fake_dist):
    """Two installed plugins of strangers: flujo-skill-bells and acme-tools."""
    fake_dist("flujo-skill-bells", SKILL.format(name="bells"), entry="bells")
    fake_dist("acme-tools", SKILL.format(name="acme"))


RECORD = PluginRecord("acme:acme", "acme", "1.0", "installed", "acme", status=PluginStatus.ACTIVE)


def loaded(manager):
    return {record.dist for record in manager.records if record.loaded} - FIRST_PARTY


def options(**given):
    return plugin_options(**{"environ": {}, **given})


def test_without_switches_every_installed_plugin_loads(two):
    assert loaded(create_plugin_manager(options=options())) == {"flujo-skill-bells", "acme-tools"}


@pytest.mark.parametrize("given", [{"no_plugins": True}, {"environ": {"FLUJO_NO_PLUGINS": "1"}}])
def test_safe_mode_leaves_what_is_flujos_own(two, given):
    manager = create_plugin_manager(options=options(**given))

    assert loaded(manager) == set()
    assert "flujo.builtins.stringify" in manager.contributions.skills
    assert "sqlite" in manager.contributions.backends
    assert "acme_tools" not in sys.modules


@pytest.mark.parametrize(
    "name", ["flujo-skill-bells", "Flujo_Skill.Bells", "skill-bells", "bells", "flujo_skill_bells"]
)
def test_a_plugin_that_is_blocked_by_any_of_its_names_is_never_imported(two, record_of, name):
    manager = create_plugin_manager(options=options(switches=[f"no:{name}"]))

    record = record_of(manager, "flujo-skill-bells")
    assert (record.status, record.phase, record.load_ms) == ("disabled", "switches", None)
    assert record.error == f"by -P no:{name}"
    assert manager.problems() == []
    assert "flujo_skill_bells" not in sys.modules
    assert loaded(manager) == {"acme-tools"}


def test_a_plugin_of_flujos_own_can_be_blocked_by_its_name(record_of):
    manager = create_plugin_manager(options=options(switches=["no:flujo-policies-builtin"]))

    assert record_of(manager, "flujo-policies-builtin").status == "disabled"
    assert "step" not in manager.contributions.kinds


@pytest.mark.parametrize(
    "given", [{"switches": ["no:bels"]}, {"switches": ["bels"]}, {"environ": {"FLUJO_PLUGINS": "bels"}}]
)
def test_a_name_that_no_plugin_has_is_an_error(two, given):
    with pytest.raises(PluginError, match="no plugin is called 'bels'") as caught:
        create_plugin_manager(options=options(**given))
    assert "flujo-skill-bells" in caught.value.suggestion


@pytest.mark.parametrize(
    ("value", "expected"),
    [("bells", {"flujo-skill-bells"}), ("bells, acme-tools", {"flujo-skill-bells", "acme-tools"}), ("", set())],
)
def test_a_list_in_the_environment_is_all_of_strangers_that_loads(two, value, expected):
    manager = create_plugin_manager(options=options(environ={"FLUJO_PLUGINS": value}))

    assert loaded(manager) == expected
    assert "step" in manager.contributions.kinds


def test_a_project_disables_and_enables_plugins(two, project, record_of):
    root = project('[plugins]\ndisable = ["acme-tools"]\n')
    manager = create_plugin_manager()
    assert loaded(manager) == {"flujo-skill-bells"}
    assert record_of(manager, "acme-tools").error == f"by plugins.disable ({root / 'flujo.toml'}:2)"

    project('[plugins]\nenable = ["acme-tools"]\n')
    manager = create_plugin_manager()
    assert loaded(manager) == {"acme-tools"}
    told = record_of(manager, "flujo-skill-bells").error
    assert told == f"by plugins.enable ({root / 'flujo.toml'}:2), which does not name it"


def test_one_sort_of_contribution_of_a_plugin_can_be_disabled(two, project, record_of):
    project('[plugins]\ndisable = ["acme-tools:skills", "bells:commands", "bells:nonsense"]\n')

    manager = create_plugin_manager()

    assert loaded(manager) == {"flujo-skill-bells", "acme-tools"}
    assert record_of(manager, "acme-tools").contributes == {}
    assert "acme.greet" not in manager.contributions.skills
    assert "bells.greet" in manager.contributions.skills


def test_a_plugin_that_is_named_loads_whatever_else_is_switched_off(two, project):
    project('[plugins]\ndisable = ["acme-tools"]\n')

    assert "acme-tools" in loaded(create_plugin_manager(options=options(switches=["acme-tools"])))
    for environ in ({"FLUJO_NO_PLUGINS": "1"}, {"FLUJO_PLUGINS": ""}, {"FLUJO_DISABLE_PLUGIN_AUTOLOAD": "1"}):
        assert loaded(create_plugin_manager(options=options(switches=["acme-tools"], environ=environ))) == {
            "acme-tools"
        }


def test_without_autoload_nothing_is_looked_for(two, project):
    root = project()
    (root / "flujo_plugins.py").write_text("raise SystemExit('never imported')")

    manager = create_plugin_manager(options=options(environ={"FLUJO_DISABLE_PLUGIN_AUTOLOAD": "1"}))

    assert manager.records == ()


def test_a_manager_that_does_not_discover_reads_neither_environment_nor_settings(monkeypatch, project):
    project('[plugins]\nrequire = ["no-such-plugin"]\n')
    monkeypatch.setenv("FLUJO_PLUGINS", "no-such-plugin")

    assert create_plugin_manager(discover=False).records == ()


def test_the_environment_of_the_process_counts(two, monkeypatch):
    monkeypatch.setenv("FLUJO_PLUGINS", "bells")

    assert loaded(create_plugin_manager()) == {"flujo-skill-bells"}


@pytest.mark.parametrize("value", ["", "0"])
def test_a_switch_that_is_empty_or_zero_is_off(two, value):
    assert loaded(create_plugin_manager(options=options(environ={"FLUJO_NO_PLUGINS": value}))) != set()


LOCAL = """
from flujo.plugins import hookimpl
from helper import NAME

@hookimpl
def flujo_register_skills(registrar):
    registrar.skill(NAME, "flujo_plugins:greet", summary="greet", override=True)

def greet():
    return "hello"
"""


def test_a_plugin_file_beside_the_settings_is_loaded_with_what_stands_beside_it(project, record_of):
    root = project()
    (root / "flujo_plugins.py").write_text(LOCAL)
    (root / "helper.py").write_text("NAME = 'tools.greet'")

    manager = create_plugin_manager()

    record = record_of(manager, "flujo_plugins")
    assert (record.status, record.source, record.file) == ("active", "local", str(root / "flujo_plugins.py"))
    assert manager.contributions.skills["tools.greet"].provider == "flujo_plugins"
    assert manager.contributions.skills.reason("tools.greet").startswith("the project's own plugin files")
    assert record_of(create_plugin_manager(options=options(no_plugins=True)), "flujo_plugins").status == "disabled"


def test_a_plugin_file_where_no_project_is_declared_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "flujo_plugins.py").write_text("raise SystemExit('never imported')")
    monkeypatch.chdir(tmp_path)

    manager = create_plugin_manager()
    assert "local" not in {record.source for record in manager.records}
    told = f"'{tmp_path / 'flujo_plugins.py'}' is not loaded: no flujo.toml beside it makes its folder a project"
    assert [manager.blame(facet, "greet") for facet in ("kinds", "skills", "")] == [told, told, told]


def test_a_project_names_further_plugin_files(project, record_of):
    root = project('[plugins]\nlocal = ["tools/mine.py", "tools/lost.py", "plain.yaml"]\n')
    (root / "tools").mkdir()
    (root / "tools" / "mine.py").write_text("raise ValueError('half made')")
    (root / "plain.yaml").touch()

    manager = create_plugin_manager()

    record = record_of(manager, "mine")
    assert (record.status, record.error) == ("import-failed", "ValueError: half made")
    assert record.traceback.startswith(f'  File "{root / "tools" / "mine.py"}", line 1, in <module>')
    assert record.traceback.count("File") == 1
    assert record_of(manager, "lost").error == f"there is no plugin file {str(root / 'tools' / 'lost.py')!r}"
    plain = record_of(manager, "plain")
    assert plain.error == f"{str(root / 'plain.yaml')!r} is no plugin file"
    assert plain.suggestion == "plugins.local lists paths of .py files"


def test_a_plugin_file_that_is_named_in_two_ways_is_loaded_once(project):
    root = project('[plugins]\nlocal = ["tools/mine.py", "tools/../tools/mine.py", "flujo_plugins.py"]\n')
    (root / "tools").mkdir()
    for file in (root / "tools" / "mine.py", root / "flujo_plugins.py"):
        file.write_text("raise ValueError")

    records = create_plugin_manager().records
    assert [record.name for record in records if record.source == "local"] == ["flujo_plugins", "mine"]


def test_who_interrupts_the_import_of_a_plugin_is_told_of_which(fake_dist, capsys):
    fake_dist("acme-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        create_plugin_manager()
    assert capsys.readouterr().err == "flujo: interrupted while plugin acme-slow 1.0 was imported\n"


def test_a_plugin_file_that_is_called_as_flujos_own_is_not_flujos_own(project, record_of):
    root = project('[plugins]\nlocal = ["flujo-core.py"]\n')
    (root / "flujo-core.py").write_text("raise ImportError")

    record = record_of(create_plugin_manager(options=options(no_plugins=True)), "flujo-core")

    assert (record.source, record.status) == ("local", "disabled")


def test_where_problems_are_not_borne_the_first_one_raises(fake_dist):
    fake_dist("flujo-broken", "import no_such_thing_at_all", version="0.3.1")

    with pytest.raises(PluginError, match=r"plugin flujo-broken 0\.3\.1 is not loaded \(import-failed"):
        create_plugin_manager(options=options(environ={"FLUJO_PLUGINS_STRICT": "1"}))
    assert create_plugin_manager(options=options(environ={"FLUJO_PLUGINS_STRICT": "1"}, switches=["no:broken"]))


@pytest.mark.parametrize("bounds", ["", ">=1.0", ">=1.0, <2", "== 1", "!=1.1", ">0.9", "<=1.0.0"])
def test_a_plugin_that_is_required_and_there_is_loaded(two, project, bounds):
    project(f'[plugins]\nrequire = ["acme-tools{bounds}"]\n')

    assert "acme-tools" in loaded(create_plugin_manager())


@pytest.mark.parametrize("sign", ["==", "!=", ">=", "<=", ">", "<"])
def test_a_version_is_within_bounds_as_installers_read_them(sign):
    for version in (
        "1.1",
        "1.2",
        "1.2.0",
        "1.2rc1",
        "1.2.dev3",
        "1.2a1.dev2",
        "1.2.post1",
        "1.2+local.9",
        "1.3rc1",
        "2",
    ):
        for bound in ("1.2", "1.2.0", "1", "2"):
            record = replace(RECORD, version=version)
            wanted = SpecifierSet(f"{sign}{bound}").contains(version, prereleases=True)
            needs = PluginOptions(require=(f"acme{sign}{bound}",))
            with nullcontext() if wanted else pytest.raises(PluginError, match=f"version '{re.escape(version)}' is"):
                check_required([record], needs)


def test_nothing_is_required_of_the_plugins_that_safe_mode_keeps_out():
    away = replace(RECORD, status=PluginStatus.DISABLED)
    required = PluginOptions(require=("acme>=2", "not-installed", "flujo-policies-builtin"))
    builtin = replace(RECORD, dist="flujo-policies-builtin")

    check_required([away, builtin], required._replace(safe=True))
    for needs, there in [(required, [away, builtin]), (required._replace(safe=True), [away])]:
        with pytest.raises(PluginError, match="is required"):
            check_required(there, needs)


@pytest.mark.parametrize("version", ["", "unknown"])
def test_a_version_that_is_none_is_within_no_bounds_but_fits_where_there_are_none(version):
    record = replace(RECORD, version=version)
    check_required([record], PluginOptions(require=("acme",)))
    with pytest.raises(PluginError, match="is installed"):
        check_required([record], PluginOptions(require=("acme>=1",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acme-tools>=1.2", r"'acme-tools>=1\.2' is required \(plugins.require \(.*:2\)\), but version '1\.0' is inst"),
        ("acme-tools<1", "but version '1.0' is installed"),
        ("acme-tool", "but it is not installed"),
        ("flujo-broken", r"but plugin flujo-broken 1\.0 is not loaded \(import-failed"),
        ("acme-tools~1", "is no requirement"),
        ("acme-tools=99.9", "is no requirement"),
        ("acme-tools!99", "is no requirement"),
    ],
)
def test_a_plugin_that_is_required_and_not_there_is_an_error(two, fake_dist, project, text, message):
    fake_dist("flujo-broken", "import no_such_thing_at_all")
    project(f'[plugins]\nrequire = ["{text}"]\n')

    with pytest.raises(PluginError, match=message):
        create_plugin_manager()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[plugins]\nblock = ["x"]', "flujo.toml:2 has no setting 'plugins.block'"),
        ('[plugins]\ndisable = "x"', r"plugins.disable can't be 'x' \(.*flujo.toml:2\): expected a list of names"),
        ("[plugins]\nlocal = [1]", r"plugins.local can't be \[1\]"),
        ("plugins = 7", r"plugins can't be 7 \(.*flujo.toml:1\): expected a table"),
        ("[plugins]\nsettings = 7", "plugins.settings can't be 7"),
        ("[plugins.settings]\nacme = 7", r"plugins.settings.acme can't be 7 \(.*:2\): expected a table"),
        ("[kinds]\nsql = 7", r"kinds.sql can't be 7 \(.*flujo.toml:2\): expected a distribution's name"),
    ],
)
def test_settings_that_can_not_be_are_refused_with_their_place(project, text, message):
    project(text)

    with pytest.raises(SettingsError, match=message):
        create_plugin_manager()


def test_a_nearer_file_counts_before_the_users_own(project, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "flujo").mkdir(parents=True)
    (tmp_path / "home" / "flujo" / "config.toml").write_text(
        '[plugins]\ndisable = ["a"]\nenable = ["b"]\n[kinds]\nsql = "a"\nhttp = "a"\n[plugins.settings.a]\nx = 1\n'
    )
    project('[plugins]\ndisable = ["c"]\n[kinds]\nsql = "c"\n')

    found = options()

    assert (found.disable, found.enable) == (("c",), ("b",))
    assert found.pins == {"kinds": {"sql": "c", "http": "a"}}
    assert found.settings == {"a": {"x": 1}}


def test_a_plugin_is_given_its_own_table_of_the_settings(fake_dist, project):
    fake_dist(
        "flujo-skill-bells",
        """
        @hookimpl
        def flujo_register_skills(registrar):
            registrar.skill(registrar.settings["id"], "m:x", summary="")
        """,
    )
    project('[plugins.settings.Flujo_Skill_Bells]\nid = "bells.mine"\n[plugins.settings.other]\nid = "x.y"\n')

    assert "bells.mine" in create_plugin_manager().contributions.skills


def test_debug_names_a_plugin_before_it_is_imported_and_trace_each_hook(fake_dist, capsys):
    fake_dist("flujo-loud", "print('imported')\n" + SKILL.replace("\n    ", "\n").format(name="loud"))
    environ = {"FLUJO_PLUGINS_DEBUG": "1", "FLUJO_PLUGINS_TRACE": "1", "FLUJO_PLUGINS": "flujo-loud"}

    create_plugin_manager(options=options(environ=environ))

    told = capsys.readouterr().err.splitlines()
    assert "flujo: importing plugin flujo-loud 1.0 (flujo_loud)" in told
    assert "flujo: plugin flujo-loud 1.0: flujo_register_skills gave skills loud.greet" in told


def test_debug_without_a_stderr_says_nothing(two, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)

    assert create_plugin_manager(options=options(environ={"FLUJO_PLUGINS_DEBUG": "1"}))


def test_options_can_be_sent_to_another_process(project):
    project('[plugins]\ndisable = ["a"]\n[kinds]\nsql = "b"\n')

    assert pickle.loads(pickle.dumps(options())) == options()


def test_a_list_in_the_environment_is_about_the_projects_plugin_file_too(project, record_of):
    (project() / "flujo_plugins.py").write_text(LOCAL)
    (project() / "helper.py").write_text("NAME = 'mine.greet'")

    for value, status in (("", "disabled"), ("flujo_plugins", "active")):
        manager = create_plugin_manager(options=options(environ={"FLUJO_PLUGINS": value}))
        assert record_of(manager, "flujo_plugins").status == status


def test_where_problems_are_not_borne_the_error_says_why_it_is_one(fake_dist):
    fake_dist("flujo-broken", "import no_such_thing_at_all", version="0.3.1")

    with pytest.raises(PluginError) as caught:
        create_plugin_manager(options=options(environ={"FLUJO_PLUGINS_STRICT": "1"}))
    assert caught.value.suggestion.endswith("it is an error because of FLUJO_PLUGINS_STRICT")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[plugins]\ndisable = ["nobody"]', "plugins.disable (FILE:2) names 'nobody', which is no plugin here"),
        ('[plugins]\ndisable = ["bells:bad"]', "plugins.disable (FILE:2) names 'bells:bad', which is no plugin here"),
        ('[plugins]\nenable = ["nobody", "bells"]', "plugins.enable (FILE:2) names 'nobody', which is no plugin here"),
        ("[plugins.settings.nobody]\nx = 1", "plugins.settings.nobody (FILE:2) is for no plugin here"),
        ('[kinds]\nshuot = "bells"', "kinds.shuot (FILE:2) is about nothing that a plugin here offers"),
        ('[policies]\nLoopStep = "bells"', "policies.LoopStep (FILE:2) is about nothing that a plugin here offers"),
    ],
)
def test_a_setting_that_is_about_nothing_is_told_with_its_place(two, project, text, told):
    told = told.replace("FILE", str(project(text) / "flujo.toml"))

    assert create_plugin_manager().notices() == [told]
    with pytest.raises(PluginError) as caught:
        create_plugin_manager(options=options(environ={"FLUJO_PLUGINS_STRICT": "1"}))
    assert caught.value.message == told
    assert create_plugin_manager(options=options(environ={"FLUJO_DISABLE_PLUGIN_AUTOLOAD": "1"})).notices() == []


def test_settings_of_plugins_that_are_there_are_not_told_of(two, project):
    project(
        '[plugins]\ndisable = ["acme-tools"]\n[skills]\n"bells.greet" = "bells"\n"acme.lost" = "acme-tools"\n'
        '[policies]\n"flujo:LoopStep" = "flujo-policies-builtin"\n[plugins.settings.flujo_skill_bells]\nx = 1\n'
    )

    assert create_plugin_manager().notices() == []
