"""Files that the older rules find something in: what `flujo validate` finds, and that the page for migrating says so.

The cases are read from the folder named by FLUJO_COMPAT_LINT_DIR, or from `../shared/compat-lint` beside the checkout.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("quick")
CHECKOUT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("FLUJO_COMPAT_LINT_DIR") or CHECKOUT.parent / "shared" / "compat-lint")
PAGE = (CHECKOUT / "docs/migrating.md").read_text(encoding="utf-8")

#: What is found in the case of each older rule: code, line and column.
FOUND: dict[str, list[tuple[str, int, int]]] = {
    "HITL-NESTED-001": [],
    "LOOP-001": [],
    "TEMPLATE-001": [],
    "V-A2": [],
    "V-A2-STRICT": [],
    "V-A6": [("V-A04", 3, 23)],
    "V-A7": [("V-A07", 3, 15), ("V-S02", 3, 85), ("V-S02", 3, 107)],
    "V-A8": [("V-A07", 3, 15), ("V-S02", 5, 32)],
    "V-C1": [],
    "V-C3": [],
    "V-CF1": [],
    "V-CTX1": [],
    "V-I6": [("V-S02", 4, 70)],
    "V-P1": [],
    "V-P2": [],
    "V-P3": [],
    "V-S1": [("V-A07", 3, 15)],
    "V-S2": [("V-A07", 3, 15)],
    "V-S3": [("V-A07", 3, 15)],
    "V-SM1": [],
    "V-T2": [],
    "V-T4": [("V-T03", 4, 56)],
    "V-T6": [],
}


def rule_of(file: Path) -> str:
    return str(json.loads(file.read_text(encoding="utf-8"))["rule_of_older_project"])


def told() -> dict[str, set[str]]:
    """What the page says is found, by older rule."""
    table = PAGE[PAGE.index("\n## Findings\n") :]
    rows = re.findall(r"^\| (`.+?) \| (.+?) \| .*\|$", table, re.MULTILINE)
    return {rule: set(re.findall(r"`(.+?)`", codes)) for rules, codes in rows for rule in re.findall(r"`(.+?)`", rules)}


@pytest.mark.skipif(
    not CASES.is_dir(), reason=f"there are no cases in {CASES}; name their folder in FLUJO_COMPAT_LINT_DIR"
)
@pytest.mark.parametrize("file", sorted(CASES.glob("*/case.json")), ids=rule_of)
def test_what_is_found_in_a_file_with_one_of_the_older_mistakes(file, tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(file.parent, folder)
    command = ["flujo", "validate", "pipeline.yaml", "--format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.stderr == ""
    findings = json.loads(done.stdout)["files"][0]["findings"]
    places = [(each["location"]["line"], each["location"]["column"]) for each in findings]
    assert [(each["code"], *place) for each, place in zip(findings, places, strict=True)] == FOUND[rule_of(file)]
    assert done.returncode == (0 if not findings else 3 if findings[0]["code"] == "V-A04" else 4)


def test_the_page_says_what_is_found():
    assert {rule: {code for code, *_ in findings} for rule, findings in FOUND.items()} == told()
