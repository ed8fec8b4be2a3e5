"""Where settings come from, and what is said of those nobody knows."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flujo.exceptions import SettingsError
from flujo.infra.config_manager import DEFAULT_STATE_URI, get_config_manager, invalidate_config_cache


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A project folder with a configuration home of its own and no settings in the environment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("FLUJO_STATE_URI", "FLUJO_BLUEPRINT_ALLOWED_IMPORTS", "FLUJO_TEMPLATE_UNDEFINED_VARIABLES"):
        monkeypatch.delenv(name, raising=False)
    invalidate_config_cache()
    project = tmp_path / "project"
    project.mkdir()
    return project


def write_user_file(project: Path, text: str) -> None:
    file = project.parent / "xdg" / "flujo" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_without_a_file_the_start_folder_is_the_root_and_defaults_hold(home):
    manager = get_config_manager(home)
    settings = manager.settings()
    assert (settings.root, settings.state_uri, manager.declared) == (home, DEFAULT_STATE_URI, False)
    assert settings.blueprint_allowed_imports == ()
    assert settings.origins["state_uri"] == "default"


def test_the_nearest_flujo_toml_upwards_is_the_project(home):
    (home / "flujo.toml").write_text('state_uri = "memory:"\n')
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    manager = get_config_manager(deep)
    assert (manager.root, manager.declared) == (home, True)


def test_a_pyproject_counts_only_with_a_flujo_table(home):
    (home / "pyproject.toml").write_text('[tool.flujo]\nstate_uri = "memory:"\n')
    inner = home / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\nname = "flujo-user"\n')
    settings = get_config_manager(inner).settings()
    assert (settings.root, settings.state_uri) == (home, "memory:")


def test_a_broken_pyproject_that_never_names_flujo_is_left_alone(home):
    (home / "pyproject.toml").write_text("[[[")
    assert not get_config_manager(home).declared


def test_flag_beats_environment_beats_flujo_toml_beats_pyproject_beats_user_file(home):
    write_user_file(home, 'state_uri = "user:"\n')
    assert get_config_manager(home).settings().state_uri == "user:"
    (home / "pyproject.toml").write_text('[tool.flujo]\nstate_uri = "pyproject:"\n')
    assert get_config_manager(home).settings().state_uri == "pyproject:"
    (home / "flujo.toml").write_text('state_uri = "file:"\n')
    manager = get_config_manager(home)
    assert manager.settings().state_uri == "file:"
    environ = {"FLUJO_STATE_URI": "env:"}
    assert manager.settings(environ=environ).state_uri == "env:"
    assert manager.settings(environ=environ, state_uri="flag:").state_uri == "flag:"


def test_each_value_knows_its_origin(home):
    (home / "flujo.toml").write_text('# ours\nstate_uri = "memory:"\n[template]\nundefined_variables = "strict"\n')
    settings = get_config_manager(home).settings(environ={"FLUJO_BLUEPRINT_ALLOWED_IMPORTS": "skills, helpers"})
    assert settings.blueprint_allowed_imports == ("skills", "helpers")
    assert settings.origins == {
        "state_uri": f"{home}/flujo.toml:2",
        "blueprint_allowed_imports": "FLUJO_BLUEPRINT_ALLOWED_IMPORTS",
        "template.undefined_variables": f"{home}/flujo.toml:4",
        "log.format": "default",
        "log.level": "default",
    }


def test_an_origin_is_the_keys_own_line_and_not_that_of_another_tables(home):
    (home / "pyproject.toml").write_text('[tool.other]\nstate_uri = "x"\n[tool.flujo]\n"state_uri" = "memory:"\n')
    assert get_config_manager(home).settings().origins["state_uri"] == f"{home}/pyproject.toml:4"


def test_an_origin_without_a_plain_line_names_the_file(home):
    (home / "flujo.toml").write_text('"stat\\u0065_uri" = "memory:"\n')
    assert get_config_manager(home).settings().origins["state_uri"] == f"{home}/flujo.toml"


def test_every_value_is_listed_by_its_name_those_of_tables_as_they_are_written(home):
    (home / "flujo.toml").write_text("[pricing.m]\nusd_per_call = 0.5\n[budgets.default]\nmax_calls = 2\n")
    assert get_config_manager(home).settings(environ={}, state_uri="memory:").values == {
        "state_uri": "memory:",
        "blueprint_allowed_imports": (),
        "template.undefined_variables": "strict",
        "log.format": "human",
        "log.level": "warning",
        "pricing.m.usd_per_call": 0.5,
        "budgets.default.max_calls": 2,
    }


def test_each_limit_that_holds_knows_its_line(home):
    (home / "flujo.toml").write_text(
        "[budgets.default]\nmax_calls = 9\ntotal_tokens_limit = 5\n[budgets.pipeline.'a-*']\nmax_calls = 2\n"
    )
    settings = get_config_manager(home).settings()
    origins = {"max_calls": f"{home}/flujo.toml:5", "total_tokens_limit": f"{home}/flujo.toml:3"}
    assert (settings.limit_origins("a-b"), settings.limit_origins("b")) == (
        origins,
        {**origins, "max_calls": f"{home}/flujo.toml:2"},
    )


def test_every_order_of_sources_gives_the_value_of_the_first_that_has_one(home):
    """Flag, environment, flujo.toml, pyproject.toml, the user's file, default: whichever of them are there."""
    toml, pyproject = home / "flujo.toml", home / "pyproject.toml"
    write_user_file(home, "")
    user = home.parent / "xdg" / "flujo" / "config.toml"
    for there in itertools.product((True, False), repeat=5):
        flag, environ, in_toml, in_pyproject, in_user = there
        toml.write_text('state_uri = "toml:"\n' if in_toml else "")
        pyproject.write_text('[tool.flujo]\nstate_uri = "pyproject:"\n' if in_pyproject else "[tool.flujo]\n")
        user.write_text('state_uri = "user:"\n' if in_user else "")
        settings = get_config_manager(home, force_reload=True).settings(
            environ={"FLUJO_STATE_URI": "environment:"} if environ else {}, state_uri="flag:" if flag else None
        )
        names = ("flag:", "environment:", "toml:", "pyproject:", "user:")
        first = next((name for name, given in zip(names, there, strict=True) if given), DEFAULT_STATE_URI)
        assert settings.state_uri == first
        origins = {
            "flag:": "--state",
            "environment:": "FLUJO_STATE_URI",
            "toml:": f"{toml}:1",
            "pyproject:": f"{pyproject}:2",
            "user:": f"{user}:1",
        }
        assert settings.origins["state_uri"] == origins.get(first, "default")


def test_an_empty_variable_is_no_setting(home):
    assert get_config_manager(home).settings(environ={"FLUJO_STATE_URI": ""}).state_uri == DEFAULT_STATE_URI


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ('state_url = "x"', "did you mean 'state_uri'?"),
        ('[template]\nundefined_variable = "strict"', "did you mean 'template.undefined_variables'?"),
        (
            "[zzz]\nx = 1",
            "settings are agents, backends, blueprint_allowed_imports, budgets, commands, kinds, lint_rules, "
            "log.format, log.level, plugins, policies, pricing, sinks, skills, state_providers, state_uri, "
            "template.undefined_variables",
        ),
        ("[budget.default]", "did you mean 'budgets'?"),
    ],
)
def test_an_unknown_setting_names_its_file_and_the_nearest_known_one(home, text, suggestion):
    (home / "flujo.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"flujo\.toml:\d has no setting") as caught:
        get_config_manager(home)
    assert caught.value.suggestion == suggestion


def test_all_unknown_settings_of_a_file_are_told_at_once(home):
    (home / "flujo.toml").write_text('state_url = "x"\nstate_uri = "memory:"\nbudget = 1\n')
    with pytest.raises(SettingsError) as caught:
        get_config_manager(home)
    at = home / "flujo.toml"
    assert str(caught.value) == f"{at}:1 has no setting 'state_url'; {at}:3 has no setting 'budget'"
    assert caught.value.suggestion == "did you mean 'state_uri'?; did you mean 'budgets'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state_uri = 3", "state_uri can't be 3 .*flujo.toml:1.: expected a text that is not empty"),
        ('state_uri = " "', "expected a text"),
        ('blueprint_allowed_imports = ["a", 1]', "expected a list of module names"),
        ('[template]\nundefined_variables = "silent"', "can't be 'silent' .*: expected 'strict'"),
        ('blueprint_allowed_imports = ["*"]', r"expected names of modules, not '\*'"),
        ('blueprint_allowed_imports = ["skills", "a b"]', "expected names of modules, not 'a b'"),
        ('[log]\nlevel = "loud"', "log.level can't be 'loud' .*: expected 'debug' or 'info' or 'warning' or 'error'"),
        ('[log]\nformat = "xml"', "log.format can't be 'xml' .*: expected 'human' or 'json'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(home, text, message):
    (home / "flujo.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        get_config_manager(home).settings()


def test_text_that_is_no_toml_is_refused_with_its_place(home):
    (home / "flujo.toml").write_text("state_uri = \n")
    with pytest.raises(SettingsError, match=r"flujo\.toml is not TOML: invalid value \(at line 1, column 13\)"):
        get_config_manager(home)


def test_text_that_ends_in_the_middle_is_refused_with_its_last_line(home):
    (home / "flujo.toml").write_text("# x\nx = [")
    with pytest.raises(SettingsError, match=r"is not TOML: invalid value \(at line 2, the end\)"):
        get_config_manager(home)


def test_a_file_that_is_not_utf8_is_refused_with_the_byte(home):
    (home / "flujo.toml").write_bytes(b'# \xff\nstate_uri = "x"')
    with pytest.raises(SettingsError, match="is not UTF-8: byte 0xff at 2"):
        get_config_manager(home)


def test_a_file_that_can_not_be_read_is_refused(home):
    (home / "flujo.toml").mkdir()
    with pytest.raises(SettingsError, match="can't be read: Is a directory"):
        get_config_manager(home)


def test_advice_is_given_with_a_name_of_modules_that_is_none(home):
    (home / "flujo.toml").write_text('blueprint_allowed_imports = ["*"]')
    with pytest.raises(SettingsError) as caught:
        get_config_manager(home).settings()
    assert "['skills']" in caught.value.suggestion


@contextmanager
def nobody() -> Iterator[None]:
    """What is done inside has nobody's rights: the superuser may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_home(monkeypatch) -> Iterator[Path]:
    """A project that everybody may read: pytest's own folders are the user's alone."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_CONFIG_HOME", f"{folder}/xdg")
        (Path(folder) / "project").mkdir()
        yield Path(folder).resolve() / "project"


def test_the_users_own_file_that_can_not_be_reached_stops_nothing_and_is_told(open_home):
    write_user_file(open_home, 'state_uri = "user:"\n')
    file = open_home.parent / "xdg" / "flujo" / "config.toml"
    for locked in (file, file.parent):
        locked.chmod(0)
        with nobody():
            manager = get_config_manager(open_home, force_reload=True)
        assert manager.settings(environ={}).state_uri == DEFAULT_STATE_URI
        assert manager.looked[-1][:2] == (file, "can't be reached: Permission denied")
        locked.chmod(0o755)


def test_a_project_file_that_is_there_and_may_not_be_read_is_refused(open_home):
    (open_home / "flujo.toml").write_text("")
    (open_home / "flujo.toml").chmod(0)
    with nobody(), pytest.raises(SettingsError, match="can't be read: Permission denied"):
        get_config_manager(open_home)


def test_a_folder_above_that_may_not_be_looked_into_is_passed_over(open_home):
    locked = open_home / "locked"
    inner = locked / "inner"
    inner.mkdir(parents=True)
    (open_home / "flujo.toml").write_text("")
    locked.chmod(0)
    with nobody():
        manager = get_config_manager(inner)
    locked.chmod(0o755)
    assert manager.root == open_home
    assert {each.state for each in manager.looked[:4]} == {"can't be reached: Permission denied"}


def test_who_has_no_home_has_no_file_of_their_own(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "not/absolute")
    assert not any(each.own for each in get_config_manager(home).looked)
    monkeypatch.setenv("HOME", str(home))
    assert get_config_manager(home).looked[-1].file == home / ".config/flujo/config.toml"


def test_each_file_that_was_looked_for_is_told_with_what_became_of_it(home):
    (home / "pyproject.toml").write_text("[project]\n")
    (home.parent / "flujo.toml").write_text("")
    inner = home / "inner"
    inner.mkdir()
    assert [
        (each.file.relative_to(home.parent).as_posix(), each.state) for each in get_config_manager(inner).looked
    ] == [
        ("project/inner/flujo.toml", "not there"),
        ("project/inner/pyproject.toml", "not there"),
        ("project/flujo.toml", "not there"),
        ("project/pyproject.toml", "has no [tool.flujo]"),
        ("flujo.toml", "read"),
        ("pyproject.toml", "not there"),
        ("xdg/flujo/config.toml", "not there"),
    ]


def test_a_password_in_a_value_that_can_not_be_is_not_shown(home):
    (home / "flujo.toml").write_text('log.format = "db://ann:hunter2@host"')
    with pytest.raises(SettingsError, match=r"db://ann:\*\*\*@host"):
        get_config_manager(home).settings()


def test_a_tool_entry_that_is_no_table_is_no_project(home):
    (home / "pyproject.toml").write_text('tool = "flujo"\n')
    assert not get_config_manager(home).declared


def test_files_are_read_once_until_they_change(home):
    (home / "flujo.toml").write_text('state_uri = "one:"\n')
    first = get_config_manager(home)
    assert get_config_manager(home) is first
    (home / "flujo.toml").write_text('state_uri = "three:"\n')
    assert get_config_manager(home).settings().state_uri == "three:"


def test_a_file_that_another_has_taken_the_place_of_is_read_again(home):
    file, other = home / "flujo.toml", home / "other"
    file.write_text('state_uri = "one:"\n')
    assert get_config_manager(home).settings().state_uri == "one:"
    other.write_text('state_uri = "two:"\n')
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    assert get_config_manager(home).settings().state_uri == "two:"


def test_a_reload_can_be_forced(home):
    first = get_config_manager(home)
    assert get_config_manager(home, force_reload=True) is not first
    second = get_config_manager(home)
    invalidate_config_cache()
    assert get_config_manager(home) is not second


def test_the_working_directory_is_the_default_start(home, monkeypatch):
    monkeypatch.chdir(home)
    assert get_config_manager().root == home


def test_what_is_set_for_plugins_is_among_the_values_with_its_place(home):
    (home / "flujo.toml").write_text('[plugins]\ndisable = ["a"]\n[plugins.settings.b]\nx = 1\n[kinds]\nsql = "c"\n')

    settings = get_config_manager(home).settings(environ={})

    given = {"plugins.disable": ["a"], "plugins.settings.b.x": 1, "kinds.sql": "c"}
    assert given.items() <= dict(settings.values).items()
    assert [settings.origins[name].rpartition(":")[2] for name in given] == ["2", "4", "6"]
