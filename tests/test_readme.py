"""The README says only what is true: its example prints what it shows, and its commands work."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> tuple[str, str]:
    """The two set-up commands, each without what prepares the environment."""
    job, tests = (block.strip() for block in blocks("sh"))
    start = "python3 -m venv .venv && .venv/bin/pip install -q -r requirements-dev.txt && .venv/bin/"
    assert job.startswith(start)
    assert tests.startswith(start)
    return job.removeprefix(start), tests.removeprefix(start)


def test_the_example_prints_what_is_shown(tmp_path):
    (tmp_path / "example.py").write_text(blocks("python")[0], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == blocks("text")[0]


def test_the_main_job_prints_what_is_shown(tmp_path):
    left_out = shutil.ignore_patterns("out", ".flujo", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=left_out)
    name, *arguments = shlex.split(commands()[0])
    done = subprocess.run([COMMANDS / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == blocks("text")[1]


def test_the_pipeline_file_takes_piped_input(tmp_path):
    (tmp_path / "test_pipe.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    command = [COMMANDS / "flujo", "run", "test_pipe.yaml"]
    done = subprocess.run(command, cwd=tmp_path, input="test input\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "test input\n"), done.stderr


def test_the_second_command_is_the_gate_and_the_one_that_ci_runs():
    pattern = re.search(r"grep -E '(.+)' README\.md", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    found = [line for line in README.splitlines() if re.search(pattern, line)]
    assert commands()[1] == "nox"
    assert [line.endswith("/nox") for line in found] == [True]


def test_make_all_runs_what_the_second_command_runs_which_is_every_check():
    """The Makefile is read: who only has what CI needs has no make."""
    makefile, noxfile = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "noxfile.py"))
    assert re.search(r"^all: .*\n((?:\t.*\n)*)", makefile, re.MULTILINE)[1] == "\t$(NOX)\n"
    assert re.search(r"^NOX = (.+)$", makefile, re.MULTILINE)[1] == f".venv/bin/{commands()[1]}"
    checks = re.search(r"^nox\.options\.sessions = (\[.+\])$", noxfile, re.MULTILINE)[1]
    assert ast.literal_eval(checks) == ["lint", "types", "docs", "wheels", "tests", "plain", "plugins"]


REFERENCE = [page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob("docs/reference/*.md"))]
EXAMPLES = [page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob("examples/*/README.md"))]


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/migrating.md", *EXAMPLES, *REFERENCE]
)
def test_links_lead_somewhere(page):
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_of_the_reference_and_every_example_is_linked():
    assert [page for page in REFERENCE if f"]({page})" not in README] == []
    assert [page for page in EXAMPLES if f"]({Path(page).parent})" not in README] == []


def test_every_command_the_readme_names_exists():
    done = subprocess.run([COMMANDS / "flujo", "--help"], capture_output=True, text=True, check=True)
    named = set(re.findall(r"`?flujo (run|runs|resume|validate|plugins)\b", README))
    assert {name for name in named if name not in done.stdout} == set()
