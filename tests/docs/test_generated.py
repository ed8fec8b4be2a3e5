"""The pages of the reference, and the tables in them, that are made from the code are what the code gives."""

import subprocess
import sys
from pathlib import Path

import pytest

import flujo
from flujo.plugins.registrars import REGISTRARS
from flujo_cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
MADE = ("api", "commands", "errors", "events", "hooks", "modules", "pipeline-files", "settings")
PAGES = [f"reference/{name}" for name in MADE]
PAGES += [f"plugins/hooks/{name.removeprefix('flujo_register_')}" for name in REGISTRARS]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The pages as they are made now, in a process of its own: click remembers how a command was asked for help."""
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, "-m", "docs.generate", folder], cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_gives(made, name):
    expected = (made / f"{name}.md").read_text(encoding="utf-8")
    kept = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert kept.splitlines() == expected.splitlines(), "run `nox -s reference`"


def test_every_page_that_is_made_is_compared(made):
    assert sorted(path.relative_to(made).with_suffix("").as_posix() for path in made.rglob("*.md")) == sorted(PAGES)


def test_every_hook_has_its_page():
    hooks = {name.removeprefix("flujo_register_") for name in REGISTRARS}
    assert {path.stem for path in (ROOT / "docs/plugins/hooks").iterdir()} == hooks
    index = (ROOT / "docs/plugins/README.md").read_text(encoding="utf-8")
    assert {name for name in hooks if f"](hooks/{name}.md)" not in index} == set()


def test_every_public_name_and_every_command_has_its_heading(page):
    headings = page("api").text.splitlines()
    assert [name for name in flujo.__all__ if f"### {name}" not in headings] == []
    headings = page("commands").text.splitlines()
    assert [entry.path for entry in COMMANDS if f"## flujo {entry.path}" not in headings] == []
