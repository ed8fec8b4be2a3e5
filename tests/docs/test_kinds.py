"""docs/kinds: a page's file and its Python are one pipeline, print what the page shows, and fail as it says."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from flujo import Flujo, FlujoError, OpenContext
from flujo.domain.canonical import canonical
from flujo.infra.config_manager import Settings
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import PipelineResolver

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/kinds"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
pytestmark = pytest.mark.usefixtures("quick")
#: What comes after a page's Python: the pipeline that it made, as text.
CANONICAL = """
from flujo.domain.canonical import canonical
print(canonical(pipeline.definition()))
"""
CHANGE = re.compile(r"^\| `(.+?)` → `(.+?)` \| (.+?) \| .+ \|$", re.MULTILINE)


class Project(NamedTuple):
    """A page's files in a folder of their own, and what the page shows of them."""

    folder: Path
    page: str
    example: str
    commands: list[list[str]]
    shown: str
    paths: list[str]

    def option(self, name, number=0):
        return self.commands[number][self.commands[number].index(name) + 1]

    def resolve(self):
        settings = Settings(self.folder, blueprint_allowed_imports=("skills",))
        return PipelineResolver(create_plugin_manager(), settings).resolve(self.folder / "pipeline.yaml")

    def run(self):
        flujo = Flujo(self.resolve(), context_model=OpenContext, root=self.folder)
        done = flujo.run_sync(self.option("--input"), run_id="example")
        if done.pending:
            done = asyncio.run(flujo.resume(done, json.loads(self.option("--answer-json", 1))))
        return done


def first(language, text):
    return re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


def flujo(command, folder):
    assert command[0] == "flujo"
    arguments = ["flujo", *command[1:], "--quiet"]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.fixture(params=PAGES)
def project(request, tmp_path):
    """Each page in turn. A block that begins with `# NAME` is the file of that name; the first YAML the pipeline."""
    page = (FOLDER / f"{request.param}.md").read_text(encoding="utf-8")
    (tmp_path / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n', encoding="utf-8")
    (tmp_path / "pipeline.yaml").write_text(first("yaml", page), encoding="utf-8")
    for name, text in re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    console = first("console", page).splitlines(keepends=True)
    commands = [shlex.split(line.removeprefix("$ ")) for line in console if line.startswith("$ ")]
    shown = "".join(line for line in console if not line.startswith("$ "))
    example = first("python", page.split("## In Python")[1])
    paths = first("text", page.split("## Paths")[1]).split()
    return Project(tmp_path, page, example, commands, shown, paths)


def test_the_file_prints_what_is_shown(project):
    *questions, last = project.commands
    for command in questions:
        asked = flujo(command, project.folder)
        assert (asked.stdout, asked.returncode) == ("", 6)
    done = flujo(last, project.folder)
    assert (done.stderr, done.stdout) == ("", project.shown)


def test_the_python_prints_the_same_and_is_the_same_pipeline(project):
    (project.folder / "example.py").write_text(project.example + CANONICAL, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == f"{project.shown}{canonical(project.resolve().definition())}\n"


def test_the_paths_are_those_of_a_run(project):
    def paths(results):
        return [path for result in results for path in (result.path, *paths(result.children))]

    assert paths(project.run().step_history) == project.paths


def test_the_changes_are_refused_as_is_said(project):
    changes = [[cell.replace("\\|", "|") for cell in row] for row in CHANGE.findall(project.page)]
    text = (project.folder / "pipeline.yaml").read_text(encoding="utf-8")
    assert len(changes) >= 2
    for old, new, says in changes:
        assert text.count(old) == 1, old
        (project.folder / "pipeline.yaml").write_text(text.replace(old, new), encoding="utf-8")
        try:
            message = project.run().error.message
        except FlujoError as error:
            message = str(error)
        assert says.replace("`", "") in message.replace("`", "")


@pytest.mark.parametrize("page", ["README", *PAGES])
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (FOLDER / f"{page}.md").read_text(encoding="utf-8"))
    assert [target for target in targets if not (FOLDER / target).exists()] == []


def test_the_index_names_every_page():
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+)\.md\)", index)) == PAGES


def test_every_installed_kind_is_named_by_a_heading():
    headings = {name for page in PAGES for name in (FOLDER / f"{page}.md").read_text().splitlines()[0][2:].split(", ")}
    assert set(create_plugin_manager().contributions.kinds) - headings == set()
