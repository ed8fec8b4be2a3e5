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
