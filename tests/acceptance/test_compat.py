"""Pipelines in the schema that existing files have, each run by `flujo` in a folder of its own.

The cases are read from the folder named by FLUJO_COMPAT_DIR, or from `../shared/compat` beside the checkout.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("quick")
CHECKOUT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("FLUJO_COMPAT_DIR") or CHECKOUT.parent / "shared" / "compat")

#: What a case may need to be run here.
SUPPORTED = {
    "agents",
    "conditional",
    "fallback",
    "hitl",
    "import",
    "invariants",
    "loop",
    "map",
    "parallel",
    "state_machine",
    "step",
    "teleport",
}


def case_files() -> list[Path]:
    """The cases that need nothing beyond what is supported."""
    files = sorted(CASES.glob("*/case.json"))
    return [file for file in files if set(json.loads(file.read_text())["needs"]) <= SUPPORTED]


def listing(folder: Path) -> set[str]:
    """Every file but the state and the interpreter's own."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".flujo"} & set(path.relative_to(folder).parts)
    }


def run_case(case: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the case's command in `folder`, with `--json` where an output is expected."""
    arguments = case["cmd"][1:]
    if "output" in case["expect"] and "--json" not in arguments:
        arguments = [*arguments, "--json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLUJO_")}
    return subprocess.run(
        ["flujo", *arguments],
        cwd=folder,
        input=case["stdin"].encode(),
        env={**clean, **case["env"]},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not CASES.is_dir(), reason=f"there are no cases in {CASES}; name their folder in FLUJO_COMPAT_DIR")
@pytest.mark.parametrize("file", case_files(), ids=lambda file: file.parent.name)
def test_a_pipeline_in_the_existing_schema_behaves_as_expected(file, tmp_path):
    case = json.loads(file.read_text())
    folder = tmp_path / file.parent.name
    shutil.copytree(file.parent, folder)
    before = listing(folder)
    done = run_case(case, folder)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode in case["expect"]["exit_any"], f"{out}\n{err}"
    assert "Traceback" not in out + err
    assert listing(folder) == before
    if "output" in case["expect"]:
        # As text, because the order of keys counts.
        assert json.dumps(json.loads(out)["output"]) == json.dumps(case["expect"]["output"])
