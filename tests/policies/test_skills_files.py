"""Skills that read and write files: right, whole, and inside the project only."""

import os
from pathlib import Path
from typing import Any

import pytest

from flujo.engine.step_run import StepRun
from flujo.exceptions import ConfigurationError, ExecutionError, ValidationError
from flujo_policies_builtin.skills.files import read_csv, read_jsonl, read_text, write_text

SKILLS = {"read_text": read_text, "read_csv": read_csv, "read_jsonl": read_jsonl, "write_text": write_text}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def here(project: Path) -> StepRun:
    return StepRun("r", "step", 1, project)


def arguments(skill: str, path: Any) -> dict[str, Any]:
    return {"path": path, "text": "new"} if skill == "write_text" else {"path": path}


async def test_a_text_is_read_exactly(project, here):
    (project / "a.txt").write_bytes("\ufeffgrüß\r\n\n".encode())

    assert await read_text("a.txt", run=here) == "grüß\r\n\n"
    assert await read_text({"path": "a.txt"}, run=here) == "grüß\r\n\n"
    assert await read_text("ignored", path="a.txt", run=here) == "grüß\r\n\n"


async def test_an_absolute_path_inside_the_project_is_fine(project, here):
    (project / "a.txt").write_text("a")

    assert await read_text(str(project / "a.txt"), run=here) == "a"


async def test_csv_rows_are_mappings_of_text(project, here):
    (project / "t.csv").write_text('\ufeffid,body\n1,"two\nlines, ""quoted"""\n\n2,n/a\n')

    rows = await read_csv("t.csv", run=here)

    assert rows == [{"id": "1", "body": 'two\nlines, "quoted"'}, {"id": "2", "body": "n/a"}]


async def test_csv_may_have_another_delimiter(project, here):
    (project / "t.csv").write_text("a;b\n1;2,5\n")

    assert await read_csv("t.csv", delimiter=";", run=here) == [{"a": "1", "b": "2,5"}]
    assert await read_csv({"path": "t.csv", "delimiter": ";"}, run=here) == [{"a": "1", "b": "2,5"}]
    with pytest.raises(ConfigurationError, match="got ';;' as its delimiter, expected one character"):
        await read_csv("t.csv", delimiter=";;", run=here)


@pytest.mark.parametrize("content", ["", "a,b\n"])
async def test_a_csv_file_without_rows_gives_none(project, here, content):
    (project / "t.csv").write_text(content)

    assert await read_csv("t.csv", run=here) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n1\n", "'t.csv' line 3 has 1 values, its header has 2 names"),
        ("a,b\n1,2,3\n", "'t.csv' line 2 has 3 values, its header has 2 names"),
        ("a,b,a\n", "'t.csv' names a column twice: a, b, a"),
        ('a\n"x"y\n', "'t.csv' line 2 is not csv: ',' expected after '\"'"),
        ('a\n"x', "'t.csv' line 2 is not csv: unexpected end of data"),
    ],
)
async def test_a_csv_file_that_is_wrong_is_refused_with_the_line(project, here, content, message):
    (project / "t.csv").write_text(content)

    with pytest.raises(ValidationError) as caught:
        await read_csv("t.csv", run=here)
    assert str(caught.value) == message


async def test_jsonl_values_come_line_by_line(project, here):
    (project / "t.jsonl").write_text('{"a": "x\u2028y"}\n\n[1]\r\n"last"')

    assert await read_jsonl("t.jsonl", run=here) == [{"a": "x\u2028y"}, [1], "last"]


async def test_a_jsonl_line_that_is_wrong_is_named(project, here):
    (project / "t.jsonl").write_text("1\n\n{nope}\n")

    with pytest.raises(ValidationError, match=r"'t.jsonl' line 3 is not json: expecting property .* at column \d+$"):
        await read_jsonl("t.jsonl", run=here)


async def test_a_text_is_written_to_new_folders_and_over_what_was_there(project, here):
    by_input = await write_text({"path": "out/a.txt", "text": "grüß\r\n"}, run=here)
    assert by_input == {"path": "out/a.txt", "bytes": 8}
    assert (project / "out" / "a.txt").read_bytes() == "grüß\r\n".encode()

    await write_text("the data", path="out/a.txt", run=here)
    assert (project / "out" / "a.txt").read_text() == "the data"
    assert os.listdir(project / "out") == ["a.txt"]


async def test_a_write_that_fails_leaves_what_was_there(project, here, monkeypatch):
    (project / "a.txt").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExecutionError, match=r"can't write 'a\.txt': no space left on device"):
        await write_text("new", path="a.txt", run=here)

    assert (project / "a.txt").read_text() == "old"
    assert os.listdir(project) == ["a.txt"]


@pytest.mark.parametrize("skill", SKILLS)
@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "/etc/passwd", "link/secret", "file-link", "~/../.."]
)
async def test_no_path_leads_out_of_the_project(project, here, tmp_path, skill, path):
    (tmp_path / "secret").write_text("secret")
    (project / "link").symlink_to(tmp_path)
    (project / "file-link").symlink_to(tmp_path / "secret")

    with pytest.raises((ConfigurationError, ExecutionError), match=r"outside the project|no such file") as caught:
        await SKILLS[skill](arguments(skill, path), run=here)
    assert "~" in path or isinstance(caught.value, ConfigurationError)
    assert (tmp_path / "secret").read_text() == "secret"


async def test_a_link_that_stays_in_the_project_is_followed(project, here):
    (project / "a.txt").write_text("a")
    (project / "b.txt").symlink_to("a.txt")

    await write_text("new", path="b.txt", run=here)

    assert (project / "a.txt").read_text() == "new"
    assert (project / "b.txt").is_symlink()


async def test_nothing_is_written_into_the_projects_state(here):
    with pytest.raises(ConfigurationError, match=r"path '\.flujo/state\.db' is inside the project's state"):
        await write_text("x", path="out/../.flujo/state.db", run=here)


@pytest.mark.parametrize("skill", SKILLS)
@pytest.mark.parametrize("path", ["", "a\0b", 7, None])
async def test_what_is_no_path_is_refused(here, skill, path):
    with pytest.raises(ConfigurationError, match=f"skill '{skill}' got .* as its path"):
        await SKILLS[skill](arguments(skill, path), run=here)


@pytest.mark.parametrize("skill", SKILLS)
async def test_without_a_project_no_file_is_touched(skill):
    with pytest.raises(ConfigurationError, match=f"skill '{skill}' needs a project's folder") as caught:
        await SKILLS[skill](arguments(skill, "a.txt"), run=StepRun("r", "step", 1))
    assert caught.value.suggestion == "pass Flujo(root=...)"


@pytest.mark.parametrize(
    ("path", "message"),
    [("nope.txt", "can't read 'nope.txt': no such file or directory"), (".", "can't read '.': is a directory")],
)
async def test_a_file_that_can_not_be_read_is_named_from_the_projects_folder(here, path, message):
    with pytest.raises(ExecutionError) as caught:
        await read_text(path, run=here)

    assert str(caught.value) == message


async def test_a_file_that_is_no_text_is_refused_with_the_byte(project, here):
    (project / "a.bin").write_bytes(b"ab\xff")

    for skill in (read_text, read_csv, read_jsonl):
        with pytest.raises(ValidationError, match=r"'a\.bin'( line 1)? is not utf-8 text: byte 2 is wrong"):
            await skill("a.bin", run=here)


async def test_only_text_is_written(here, project):
    with pytest.raises(ConfigurationError, match="skill 'write_text' got 'dict', expected text") as caught:
        await write_text({"a": 1}, path="a.json", run=here)

    assert "flujo.builtins.to_json" in caught.value.suggestion
    assert list(project.iterdir()) == []


async def test_a_text_that_is_no_unicode_is_not_written(here, project):
    with pytest.raises(ValidationError, match=r"'a\.txt' can't hold the text: character 1 is a lone surrogate"):
        await write_text("a\ud800", path="a.txt", run=here)

    assert list(project.iterdir()) == []


async def test_files_in_a_pipeline(run, load, tmp_path):
    (tmp_path / "in.csv").write_text("id\n1\n2\n")
    pipeline = load(
        """
  - { name: read, agent: flujo.builtins.read_csv }
  - { name: json, agent: flujo.builtins.to_json }
  - { name: save, agent: { id: flujo.builtins.write_text, params: { path: out/rows.json } }, effects: local }
  - { name: again, agent: flujo.builtins.read_text, input: "{{ previous_step.path }}" }
  - { name: rows, agent: flujo.builtins.from_json }
"""
    )

    assert (await run(pipeline, "in.csv")).output == [{"id": "1"}, {"id": "2"}]
