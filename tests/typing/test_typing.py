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


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What pyright says, by file and line. basedpyright brings its node along; its strict mode has pyright's rules."""
    folder = tmp_path_factory.mktemp("pyright")
    settings = {"include": [str(PROGRAM), str(SNIPPETS)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings | {"reportUnnecessaryTypeIgnoreComment": "warning"}))
    command = [sys.executable, "-m", "basedpyright", "--project", folder, "--pythonpath", sys.executable]
    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] == len(settings["include"])
    by_line = defaultdict(list)
    for each in answer["generalDiagnostics"]:
        by_line[Path(each["file"]), each["range"]["start"]["line"] + 1].append(each)
    return by_line


def test_a_users_program_passes_pyright_without_a_cast(told):
    assert [each for (file, _), found in told.items() if file == PROGRAM for each in found] == []


def test_pyright_says_of_each_type_what_mypy_says(told):
    lines = {number: found for (file, number), found in told.items() if file == SNIPPETS}
    errors = {number for number, found in lines.items() if any(each["severity"] == "error" for each in found)}
    types = {number: text for number, text in EXPECTED.items() if not text.startswith("[")}

    assert errors == EXPECTED.keys() - types.keys()
    assert [n for n, text in types.items() if not any(f'"{text}"' in each["message"] for each in lines[n])] == []
