"""The pages of the reference that are made from the code are what the code gives."""

import runpy
from pathlib import Path

import pytest

import flujo
from flujo_cli.commands import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_gives(name):
    written = (DOCS / f"reference/{name}.md").read_text(encoding="utf-8")
    assert written.splitlines() == PAGES[name]().splitlines(), "run `nox -s reference`"


def test_every_public_name_and_every_command_has_its_heading(page):
    headings = page("api").text.splitlines()
    assert [name for name in flujo.__all__ if f"### {name}" not in headings] == []
    headings = page("commands").text.splitlines()
    assert [entry.path for entry in COMMANDS if f"## flujo {entry.path}" not in headings] == []
