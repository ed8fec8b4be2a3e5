"""Each example prints exactly what its README shows, through the installed command."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.usefixtures("quick")
SHOWN = re.compile(r"^    flujo (.+)\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READMES = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*/README.md"))}
RUNS = [(name, command, shown) for name, text in READMES.items() for command, shown in SHOWN.findall(text)]


@pytest.fixture
def project(tmp_path):
    """A copy of the examples, in the place that the commands of their pages start from."""
    ignored = shutil.ignore_patterns("out", ".flujo", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)
    return tmp_path


def flujo(command, cwd, text=None):
    source = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    arguments = ["flujo", *shlex.split(command)]
    return subprocess.run(arguments, cwd=cwd, capture_output=True, encoding="utf-8", check=False, **source)


@pytest.mark.parametrize(("name", "command", "shown"), RUNS, ids=[name for name, *_ in RUNS])
def test_an_example_prints_what_its_page_shows(project, name, command, shown):
    done = flujo(command, project)
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


def test_every_example_shows_what_it_prints():
    assert {path.parent.name for path in EXAMPLES.glob("*/pipeline.yaml")} - {name for name, *_ in RUNS} == {
        "approval",
        "tickets",
    }
    assert [name for name, text in READMES.items() if SHOWN.sub("", text).count("\n") > 21] == []


def test_a_piped_diff_is_reviewed_like_one_from_a_file(project):
    diff = (EXAMPLES / "review/change.diff").read_text(encoding="utf-8")
    piped = flujo("run examples/review/pipeline.yaml", project, diff)
    named = flujo("run examples/review/pipeline.yaml --input @examples/review/change.diff", project)
    assert piped.returncode == named.returncode == 0
    assert piped.stdout == named.stdout


def test_text_that_is_no_diff_is_refused_by_the_step_that_reads_it(project):
    done = flujo("run examples/review/pipeline.yaml --input hello", project)
    assert (done.returncode, done.stdout) == (1, "")
    assert "step 'parse' failed: ValueError: the input is no diff: it changes no file" in done.stderr


def test_rejected_orders_are_kept_in_a_file(project):
    assert flujo("run examples/batch/pipeline.yaml", project).returncode == 0
    kept = (project / "examples/batch/out/rejected.txt").read_text(encoding="utf-8")
    told = [line.partition(":")[0] for line in kept.splitlines()]
    assert told == ["O-017", "O-041", "O-058", "'orders.jsonl' line 73 is not json", "83"]
