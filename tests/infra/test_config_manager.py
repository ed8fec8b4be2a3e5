"""Where settings come from, and what is said of those nobody knows."""

from pathlib import Path

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
    }


def test_an_origin_without_a_plain_line_names_the_file(home):
    (home / "flujo.toml").write_text('"state_uri" = "memory:"\n')
    assert get_config_manager(home).settings().origins["state_uri"] == f"{home}/flujo.toml"


def test_an_empty_variable_is_no_setting(home):
    assert get_config_manager(home).settings(environ={"FLUJO_STATE_URI": ""}).state_uri == DEFAULT_STATE_URI


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ('state_url = "x"', "did you mean 'state_uri'?"),
        ('[template]\nundefined_variable = "strict"', "did you mean 'template.undefined_variables'?"),
        (
            "[zzz]\nx = 1",
            "settings are blueprint_allowed_imports, budgets, pricing, state_uri, template.undefined_variables",
        ),
        ("[budget.default]", "did you mean 'budgets'?"),
    ],
)
def test_an_unknown_setting_names_its_file_and_the_nearest_known_one(home, text, suggestion):
    (home / "flujo.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"flujo\.toml has no setting") as caught:
        get_config_manager(home)
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state_uri = 3", "state_uri can't be 3 .*flujo.toml:1.: expected a text that is not empty"),
        ('state_uri = " "', "expected a text"),
        ('blueprint_allowed_imports = ["a", 1]', "expected a list of module names"),
        ('[template]\nundefined_variables = "silent"', "always an error"),
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


def test_a_file_that_is_not_utf8_is_refused_with_the_byte(home):
    (home / "flujo.toml").write_bytes(b'# \xff\nstate_uri = "x"')
    with pytest.raises(SettingsError, match="is not UTF-8: byte 0xff at 2"):
        get_config_manager(home)


def test_a_file_that_can_not_be_read_is_refused(home):
    (home / "flujo.toml").mkdir()
    with pytest.raises(SettingsError, match="can't be read: Is a directory"):
        get_config_manager(home)


def test_a_tool_entry_that_is_no_table_is_no_project(home):
    (home / "pyproject.toml").write_text('tool = "flujo"\n')
    assert not get_config_manager(home).declared


def test_files_are_read_once_until_they_change(home):
    (home / "flujo.toml").write_text('state_uri = "one:"\n')
    first = get_config_manager(home)
    assert get_config_manager(home) is first
    (home / "flujo.toml").write_text('state_uri = "three:"\n')
    assert get_config_manager(home).settings().state_uri == "three:"


def test_a_reload_can_be_forced(home):
    first = get_config_manager(home)
    assert get_config_manager(home, force_reload=True) is not first
    second = get_config_manager(home)
    invalidate_config_cache()
    assert get_config_manager(home) is not second


def test_the_working_directory_is_the_default_start(home, monkeypatch):
    monkeypatch.chdir(home)
    assert get_config_manager().root == home
