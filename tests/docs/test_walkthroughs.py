"""The tutorial, the how-tos and the pages for authors of plugins: what they say to write and type gives what they show.

A block after a line that ends with `NAME`: is the file of that name. In a console block a line with `$` is typed, one
with `>` goes on with it, and the others are what a terminal shows of it. Any other Python is run, and prints the text
block after it. In what is shown, … stands for whatever differs each time, within a line.
"""

import os
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import pytest

from flujo import Flujo

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOW_TOS = sorted(set((DOCS / "how-to").glob("*.md")) - {DOCS / "how-to/README.md"})
PLUGINS = sorted((DOCS / "plugins").rglob("*.md"))
PAGES = [DOCS / "tutorial.md", DOCS / "security.md", DOCS / "rehearse.md", *HOW_TOS, *PLUGINS]
BLOCK = re.compile(r"^(?:(?P<before>\S[^\n]*)\n\n?)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
#: What is typed, and what is run: whatever builds a package is installed here, and nothing is fetched for it.
OFFLINE = {"pip install ": "pip install --no-build-isolation ", "python -m build ": "python -m build --no-isolation "}
FILE = re.compile(r"`([\w./-]+)`:$")


class Block(NamedTuple):
    """One fenced block: the name of the file that it is, or none, its language, and its text."""

    name: str
    language: str
    text: str


def blocks(page):
    text = page.read_text(encoding="utf-8").partition("\n## What it is handed\n")[0]  # the rest is the reference
    for found in BLOCK.finditer(text):
        name = FILE.search(found["before"] or "")
        yield Block(name[1] if name else "", found["language"], found["text"])


def environment(folder, page, quick_flujo):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "FLUJO", "XDG", "PYTEST"))}
    path = os.pathsep.join(map(str, (quick_flujo.parent, Path(sys.executable).parent, os.environ["PATH"])))
    user = {"HOME": str(folder), "USER": "ann", "LOGNAME": "ann", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    plain = "-p no:randomly -p no:cacheprovider"  # pytest as it is without plugins, but for pages that name one
    plain += "" if "asyncio_mode" in page.read_text(encoding="utf-8") else " -p no:asyncio"
    return {**kept, **user, "PATH": path, "PYTEST_ADDOPTS": plain, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def typed(console):
    """Each command of a console block, with what is shown of it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        more = next((number for number, line in enumerate(lines) if number and not line.startswith("> ")), len(lines))
        yield "".join(line.removeprefix("> ") for line in lines[:more]), "".join(lines[more:])


def unfetched(command):
    return reduce(lambda line, typed: line.replace(typed, OFFLINE[typed]), OFFLINE, command)


def told(text):
    """The lines of a text, each without how wide its columns are."""
    return re.sub(" *$", "", re.sub(" +", " ", text), flags=re.MULTILINE).rstrip("\n")


def same(shown, printed):
    pattern = r"[^\n]*".join(re.escape(part) for part in told(shown).split("…"))
    return re.fullmatch(pattern, told(printed)) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_gives_what_it_shows(page, tmp_path, quick_flujo):
    folder, status = tmp_path / "work", 0
    folder.mkdir()
    known = environment(tmp_path, page, quick_flujo)
    shell = {"cwd": folder, "env": known, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}

    def run(*command):
        return subprocess.run(command, stderr=subprocess.STDOUT, text=True, check=False, timeout=120, **shell)

    everything = list(blocks(page))
    for block, after in zip(everything, [*everything[1:], Block("", "", "")], strict=True):
        if block.name:
            (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.name).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            done = run(sys.executable, "-W", "error", "-c", block.text)
            assert same(after.text if after.language == "text" and not after.name else "", done.stdout), done.stdout
        elif block.language == "console":
            for command, shown in typed(block.text):
                done = run("bash", "-c", f"(exit {status}); {unfetched(command)}\nexit $?")
                status = done.returncode
                assert same(shown, done.stdout), f"$ {command}{done.stdout}"


def test_every_page_has_something_that_is_run():
    assert [page.stem for page in PAGES if not any(b.language in ("console", "python") for b in blocks(page))] == []


def test_the_index_names_every_how_to():
    index = (DOCS / "how-to/README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(([\w-]+)\.md\)", index)) == [page.stem for page in HOW_TOS]


def test_every_method_has_a_how_to():
    methods = {name for name in vars(Flujo) if not name.startswith("_")} - {"broken_sinks"}
    index = (DOCS / "how-to/README.md").read_text(encoding="utf-8")
    examples = "\n".join(b.text for page in HOW_TOS for b in blocks(page) if b.language == "python")
    assert {name for name in methods if f"`{name}`" not in index} == set()
    assert {name for name in methods if f".{name}(" not in examples} - {"run_stream", "resume_async", "fork"} == set()
