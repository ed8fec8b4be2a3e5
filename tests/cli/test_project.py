"""Which project a command works in, and the command that leads back to it."""

from pathlib import Path

import pytest

from flujo.exceptions import ConfigurationError
from flujo_cli.project import Project


def around(file: str, **options: str) -> Project:
    return Project.around(Path(file), stands=Path.cwd(), **options)


def test_the_nearest_project_file_above_the_pipeline_wins(project):
    inner = project / "inner"
    inner.mkdir()
    (inner / "flujo.toml").touch()
    (inner / "p.yaml").touch()
    assert around("inner/p.yaml").root == inner
    assert around("pipeline.yaml").root == project


def test_without_a_project_file_the_working_directory_is_the_project(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "p.yaml").touch()
    monkeypatch.chdir(tmp_path)
    found = around("deep/p.yaml")
    assert (found.root, found.source(Path("deep/p.yaml"))) == (tmp_path, "deep/p.yaml")


def test_a_plugin_file_that_is_not_loaded_without_a_project_is_told(flujo, project):
    (project / "flujo_plugins.py").write_text("raise SystemExit('never imported')")
    (project / "pipeline.yaml").write_text("steps: [{name: a, kind: shout}]\n")
    told = f"'{project / 'flujo_plugins.py'}' is not loaded: no flujo.toml beside it makes its folder a project\n"
    (project / "flujo.toml").rename(project / "elsewhere.toml")
    assert flujo("plugins", "list").err == told
    assert flujo("validate", "pipeline.yaml").out.endswith(f"; {told}")


def test_a_pipeline_outside_the_project_is_refused_with_the_way_in(tmp_path, monkeypatch):
    (tmp_path / "p.yaml").touch()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ConfigurationError, match=r"'../p.yaml' is outside the project") as caught:
        around("../p.yaml")
    assert f"flujo -C {tmp_path}" in str(caught.value.suggestion)


def test_a_link_to_a_pipeline_outside_is_outside(tmp_path, monkeypatch):
    (tmp_path / "p.yaml").touch()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "p.yaml").symlink_to(tmp_path / "p.yaml")
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ConfigurationError, match="outside the project"):
        around("p.yaml")


@pytest.mark.parametrize("file", ["nope.yaml", "skills"])
def test_a_pipeline_that_is_no_file_is_refused(project, file):
    with pytest.raises(ConfigurationError, match=f"no pipeline file {file!r}"):
        around(file)


def test_the_next_command_is_plain_inside_the_project(project):
    assert around("pipeline.yaml").command("resume", "r1") == "flujo resume r1"


def test_the_next_command_leads_into_a_project_below(project, monkeypatch):
    monkeypatch.chdir(project.parent)
    assert around("project/pipeline.yaml").command("resume", "r1") == "flujo -C project resume r1"


def test_the_next_command_names_a_state_that_was_given(project, monkeypatch):
    given = around("pipeline.yaml", state="sqlite:///other state.db")
    assert given.command("resume", "r1") == "flujo resume r1 --state 'sqlite:///other state.db'"
    monkeypatch.setenv("FLUJO_STATE_URI", "sqlite:///env.db")
    assert around("pipeline.yaml").command("resume", "r1") == "flujo resume r1 --state sqlite:///env.db"


@pytest.mark.parametrize(("uri", "kept"), [("memory:", False), ("memory://", False), ("sqlite:///x.db", True)])
def test_only_a_run_in_memory_is_not_kept(project, uri, kept):
    assert around("pipeline.yaml", state=uri).keeps_runs is kept


def test_a_recorded_source_is_found_under_the_root(project):
    here = Project.here(stands=project)
    assert here.file_of("pipeline.yaml", "r1") == project / "pipeline.yaml"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "was not started from a pipeline file of this project"),
        ("../elsewhere.yaml", "was not started from a pipeline file of this project"),
        ("/etc/passwd", "was not started from a pipeline file of this project"),
        ("gone.yaml", "was started from 'gone.yaml', which is no longer in"),
    ],
)
def test_a_recorded_source_that_leads_nowhere_is_refused(project, source, message):
    with pytest.raises(ConfigurationError, match=message):
        Project.here(stands=project).file_of(source, "r1")


FLOWS = """\
from flujo import Step, human
shout = Step("shout", str.upper)
asks = human("ask", "well?") >> shout
"""


def test_a_pipeline_in_a_module_that_is_allowed_is_run_checked_and_resumed_by_its_name(flujo, project):
    (project / "skills" / "flows.py").write_text(FLOWS)
    assert flujo("run", "skills.flows:shout", "--input", "x").out == "X\n"
    assert flujo("validate", "skills.flows:shout").out == "skills.flows:shout: ok\n"
    assert "shout" in flujo("run", "skills.flows:shout", "--dry-run").out
    assert flujo("run", "skills.flows:asks", "--run-id", "r1").code == 6
    shown = flujo("runs", "show", "r1", "--json").json
    assert (shown["source"], shown["pipeline"]) == ("skills.flows:asks", "pipeline")
    assert flujo("resume", "r1", "--answer", "fine").out == "FINE\n"


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("flows:shout", 2, "module 'flows' may not be imported by pipeline files"),
        ("skills.flows:shoud", 3, "module 'skills.flows' has no 'shoud'"),
        ("skills.flaws:shout", 3, "there is no module 'skills.flaws'"),
        ("nothing", 2, "no pipeline file 'nothing'"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(flujo, project, target, code, message):
    (project / "skills" / "flows.py").write_text(FLOWS)
    ran = flujo("run", target)
    assert (ran.code, message in ran.err) == (code, True)
    assert target == "nothing" or message in flujo("validate", target).out
