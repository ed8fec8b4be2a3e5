"""`config show` and `where`: what a project is configured with, and where it is; how commands log."""

import json
import re
from pathlib import Path

import pytest

import flujo_cli

URI = "db://ann:hunter2@host/x?token=abc"


def test_every_setting_is_shown_with_its_value_and_on_demand_its_origin(flujo, project):
    (project / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n[pricing."m"]\nusd_per_call = 0.5\n')
    shown = [line.split() for line in flujo("config", "show").out.splitlines()]
    assert shown[0] == ["SETTING", "VALUE"]
    assert ["blueprint_allowed_imports", '["skills"]'] in shown
    assert ["pricing.m.usd_per_call", "0.5"] in shown
    told = flujo("--log-level", "debug", "config", "show", "--origin").out
    assert f"pricing.m.usd_per_call        0.5                        {project}/flujo.toml:3\n" in told
    assert "log.level                     debug                      --log-level\n" in told
    assert f"{project}/pyproject.toml" in told.partition("FILE")[2]


def test_the_settings_are_an_object_for_programs(flujo, project, monkeypatch):
    monkeypatch.setenv("FLUJO_LOG_FORMAT", "json")
    told = flujo("config", "show", "--json").json
    assert (told["schema"], told["root"]) == ("flujo.config/1", str(project))
    assert told["settings"]["log.format"] == {"value": "json", "origin": "FLUJO_LOG_FORMAT"}
    assert told["settings"]["blueprint_allowed_imports"]["value"] == ["skills"]
    assert told["files"][0] == {"file": f"{project}/flujo.toml", "state": "read"}


@pytest.mark.parametrize("words", [["config", "show"], ["where"]])
def test_a_variable_that_nothing_reads_is_told_and_no_error(flujo, monkeypatch, words):
    monkeypatch.setenv("FLUJO_STATE_URL", "x")
    monkeypatch.setenv("FLUJO_INPUT", "x")
    ran = flujo(*words)
    told = "flujo reads no variable FLUJO_STATE_URL, unless a plugin does; did you mean 'FLUJO_STATE_URI'?"
    assert (ran.code, ran.err) == (0, f"warning: {told}\n")


def test_every_variable_that_flujo_reads_is_known(flujo, monkeypatch):
    packages = Path(flujo_cli.__file__).parents[3]
    named = {
        name
        for file in packages.glob("flujo-c*/src/**/*.py")
        for name in re.findall(r'environ\w*, "(FLUJO_\w+)"|get\("(FLUJO_\w+)"', file.read_text("utf-8"))
        for name in name
        if name
    }
    assert {"FLUJO_INPUT", "FLUJO_STRICT_CONTEXT", "FLUJO_PLUGINS"} <= named
    for name in named:
        monkeypatch.setenv(name, "")
    assert flujo("config", "show").err == ""


def test_the_places_of_a_project_are_told_and_nothing_is_made(flujo, project):
    told = flujo("where").out
    assert f"project         {project}\n" in told
    assert f"state           {project}/.flujo/state.db          not there yet\n" in told
    assert not (project / ".flujo").exists()
    flujo("run", "--input", "x")
    places = {each["what"]: each for each in flujo("where", "--json").json["places"]}
    assert places["state"] == {
        "what": "state",
        "place": f"{project}/.flujo/state.db",
        "exists": True,
        "note": "there",
    }
    assert places["workers"]["place"] == f"{project}/.flujo/state.db.workers"


def test_where_there_is_no_project_is_said(flujo, project):
    (project / "flujo.toml").unlink()
    assert "no settings: the working directory" in flujo("where").out


def test_a_state_that_lies_in_no_file_is_told(flujo):
    assert flujo("where", "--state", "memory:").out.splitlines()[-1].split() == ["state", "memory:", "in", "no", "file"]


def test_a_state_that_can_not_be_opened_is_told_and_no_error(flujo):
    ran = flujo("where", "--state", "sqlite:nowhere")
    assert ran.code == 0
    assert "'sqlite:nowhere' is not the address of an sqlite state" in ran.out


@pytest.mark.parametrize(
    "words",
    [("where",), ("config", "show"), ("config", "show", "--json"), ("where", "--json"), ("runs", "list", "--json")],
)
def test_a_password_in_a_state_s_address_is_never_shown(flujo, monkeypatch, words):
    monkeypatch.setenv("FLUJO_STATE_URI", URI)
    ran = flujo(*words)
    assert "hunter2" not in ran.out + ran.err
    assert "abc" not in ran.out + ran.err


def test_the_next_command_does_not_show_the_password_of_a_state(flujo):
    flujo("run", "--input", "x", "--run-id", "r1")
    ran = flujo("runs", "show", "r2", "--state", "sqlite:///.flujo/state.db?token=abcdef")
    assert "abcdef" not in ran.out + ran.err


def lines(ran):
    """The log lines among what was written to stderr."""
    return [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]


def test_at_level_info_the_begin_and_the_end_of_a_run_are_logged_with_its_id(flujo):
    ran = flujo("--log-level", "info", "--log-format", "json", "run", "--input", "x", "--run-id", "r1")
    begun, ended = lines(ran)
    assert (begun["event"], begun["run_id"], begun["pipeline"]) == ("the run begins", "r1", "test")
    assert (ended["event"], ended["level"], ended["status"]) == ("the run has ended", "info", "completed")


def test_at_level_debug_each_step_is_logged_with_its_path(flujo, monkeypatch):
    monkeypatch.setenv("FLUJO_LOG_LEVEL", "debug")
    told = flujo("run", "--input", "x", "--run-id", "r1").err
    assert "debug: the step begins (run_id=r1, path=echo, kind=step)\n" in told
    assert "debug: the step has ended (run_id=r1, path=echo, success=True" in told


def test_by_default_nothing_is_logged_of_a_run_that_goes_well(flujo):
    assert "run_id=" not in flujo("run", "--input", "x").err


def test_the_settings_of_the_project_say_how_is_logged_and_the_command_line_goes_before_them(flujo, project):
    with (project / "flujo.toml").open("a") as file:
        file.write('[log]\nlevel = "info"\nformat = "json"\n')
    assert len(lines(flujo("run", "--input", "x"))) == 2
    assert lines(flujo("--log-level", "error", "run", "--input", "x")) == []


def test_an_error_is_shown_without_secrets(flujo, project, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "sk-12345")
    (project / "skills" / "ask.py").write_text("def ask(data):\n    raise ValueError('no access with sk-12345')\n")
    (project / "pipeline.yaml").write_text('steps: [{name: ask, uses: "skills.ask:ask"}]\n')
    for options in ((), ("--json",)):
        ran = flujo("--debug", "--log-level", "debug", "run", "--input", "x", *options)
        assert "sk-12345" not in ran.out + ran.err
        assert "no access with ***" in ran.out + ran.err


BROKEN = ("x = [", 'nothing = "known"', 'log.level = "loud"', "[budgets]\nusd = -1")
LOOKS = ("runs list", "runs show r1", "runs trace r1", "why echo --run r1", "inbox", "db check", "gc")
LOOKS += ("db backup copy.db",)


@pytest.mark.parametrize(
    ("words", "broken"), [*((words, BROKEN[0]) for words in LOOKS), *(("runs list", each) for each in BROKEN)]
)
def test_a_broken_file_of_settings_keeps_nobody_from_looking_at_a_state_that_is_named(flujo, project, words, broken):
    """They are told, and left out: the state lies where it did from the project's folder."""
    flujo("run", "--input", "x", "--run-id", "r1")
    (project / "flujo.toml").write_text(broken)

    ran = flujo(*words.split(), "--state", "sqlite:///.flujo/state.db")

    assert ran.code == 0
    assert ran.err.startswith("warning: no settings of files are heeded: ")
    assert ran.err.count("flujo.toml") == 1
    assert words != "runs list" or "r1" in ran.out


def test_the_variable_names_the_state_as_well_and_a_folder_below_has_the_same_root(flujo, project, monkeypatch):
    flujo("run", "--input", "x", "--run-id", "r1")
    (project / "flujo.toml").unlink()
    (project / "pyproject.toml").write_text("[tool.flujo]\nx = [")
    monkeypatch.setenv("FLUJO_STATE_URI", "sqlite:///.flujo/state.db")
    monkeypatch.chdir(project / "skills")
    ran = flujo("runs", "list")
    assert (ran.code, "r1" in ran.out) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        "runs list",
        "run --input x --state sqlite:///.flujo/state.db",
        "resume r1 --state sqlite:///.flujo/state.db",
        "runs answer r1 --answer y --state sqlite:///.flujo/state.db",
    ],
)
def test_broken_settings_stop_what_runs_and_what_asks_them_for_the_state(flujo, project, words):
    flujo("run", "--input", "x", "--run-id", "r1")
    (project / "flujo.toml").write_text("x = [")
    ran = flujo(*words.split())
    assert (ran.code, ran.out) == (2, "")
    assert "flujo.toml is not TOML" in ran.err


@pytest.mark.parametrize(("words", "is_told"), [("runs list", True), ("where", False), ("config show", False)])
def test_the_way_round_broken_settings_is_told_where_it_leads_somewhere(flujo, project, words, is_told):
    (project / "flujo.toml").write_text("# x\nx = [")
    ran = flujo(*words.split())
    assert (ran.code, f"{project / 'flujo.toml'} is not TOML: invalid value (at line 2, the end)" in ran.err) == (
        2,
        True,
    )
    way = "; meanwhile give the state's address, as in --state sqlite:///.flujo/state.db" if is_told else ""
    assert ran.err.endswith(f"  help: correct that line{way}\n")


@pytest.mark.parametrize("text", ["", "x = ["], ids=["whole", "broken"])
def test_an_address_that_can_not_be_is_no_fault_of_a_file(flujo, project, text):
    (project / "flujo.toml").write_text(text)
    ran = flujo("runs", "list", "--state", "b.db")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error[FLUJO-101] state_uri can't be 'b.db' (--state): expected an address with a scheme")


def test_a_state_that_can_not_be_is_told_beside_broken_settings(flujo, project, monkeypatch):
    (project / "flujo.toml").write_text("x = [")
    ran = flujo("runs", "list", "--state", "nowhere")
    assert (ran.code, ran.out) == (2, "")
    assert "expected an address with a scheme" in ran.err


def test_a_broken_file_of_one_s_own_leaves_the_folder_its_state(flujo, project, tmp_path):
    flujo("run", "--input", "x", "--run-id", "r1")
    (project / "flujo.toml").unlink()
    (tmp_path / "xdg" / "flujo").mkdir(parents=True)
    (tmp_path / "xdg" / "flujo" / "config.toml").write_text("x = [")
    ran = flujo("runs", "list", "--state", "sqlite:///.flujo/state.db")
    assert (ran.code, "r1" in ran.out, "config.toml is not TOML" in ran.err) == (0, True, True)
