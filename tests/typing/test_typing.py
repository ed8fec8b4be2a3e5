"""Types as a user's type checker sees them."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SNIPPETS = Path(__file__).with_name("snippets.py")
PROGRAM = Path(__file__).with_name("program.py")
CACHE = Path(__file__).parents[2] / ".mypy_cache" / "typing"
STRICT = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}", "--no-error-summary"]
EXPECTED = {
    number: text.group(1)
    for number, line in enumerate(SNIPPETS.read_text().splitlines(), 1)
    if (text := re.search(r"# [NE]: (.+)$", line))
}


@pytest.fixture(scope="module")
def said():
    """What mypy says, by line; installed packages are seen as a user's project sees them."""
    done = subprocess.run([*STRICT, SNIPPETS.name], capture_output=True, text=True, cwd=SNIPPETS.parent, check=False)
    assert done.stderr == ""
    by_line = defaultdict(str)
    for line in done.stdout.splitlines():
        _, number, text = line.split(":", 2)
        by_line[int(number)] += text.replace("flujo.domain.steps.", "")
    return by_line


@pytest.mark.parametrize("number", EXPECTED, ids=EXPECTED.get)
def test_a_type_is_what_the_snippet_says(said, number):
    assert EXPECTED[number] in said[number]


def test_nothing_else_is_wrong(said):
    assert {number: text for number, text in said.items() if number not in EXPECTED} == {}


def test_a_users_program_passes_mypy_without_a_cast():
    done = subprocess.run([*STRICT, PROGRAM.name], capture_output=True, text=True, cwd=PROGRAM.parent, check=False)

    assert (done.stdout, done.stderr) == ("", "")


def test_a_users_program_passes_pyright_without_a_cast(tmp_path):
    """basedpyright brings its node along; its strict mode has the rules of pyright's."""
    settings = {"include": [str(PROGRAM)], "typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", tmp_path, "--pythonpath", sys.executable]

    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False)

    assert json.loads(done.stdout)["generalDiagnostics"] == []
    assert json.loads(done.stdout)["summary"]["filesAnalyzed"] == 1
