"""The ticket example gives exact figures, through the installed command."""

import importlib.util
import json
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tickets"
FLUJO = Path(sys.executable).with_name("flujo")


def load_generator():
    spec = importlib.util.spec_from_file_location("make_tickets", EXAMPLE / "make_tickets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator():
    yield load_generator()
    del sys.modules["make_tickets"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the example in a copy of its folder: the folder and what the command printed."""
    folder = tmp_path_factory.mktemp("example") / "tickets"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("out", ".flujo", "__pycache__"))
    done = subprocess.run(
        [FLUJO, "run", folder / "pipeline.yaml"],
        cwd=folder.parent,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def summary(run):
    folder, _ = run
    return json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))


def test_the_generator_writes_the_committed_file_byte_for_byte(generator):
    written = generator.as_csv(generator.make_tickets()).encode("utf-8")
    assert written == (EXAMPLE / "tickets.csv").read_bytes()


def test_the_run_answers_in_one_sentence(run):
    _, stdout = run
    assert stdout == "286 tickets, 14 rows rejected, 80 urgent: see out/summary.md\n"


def test_the_figures_are_exact(summary):
    assert (summary["accepted"], summary["rejected"]) == (286, 14)
    assert summary["categories"] == {"billing": 70, "shipping": 105, "access": 29, "bug": 39, "other": 43}
    assert summary["urgency"] == {"high": 80, "normal": 157, "low": 49}
    assert summary["languages"] == {"en": 184, "es": 44, "de": 58}


def test_money_is_added_up_to_the_cent(generator, summary):
    sound = [made for made in generator.make_tickets() if not made.fault and made.matter == "billing"]
    assert (
        Decimal(summary["disputed"]) == sum(Decimal(made.row["order_total"]) for made in sound) == Decimal("32138.42")
    )


def test_the_categories_are_those_the_tickets_were_made_from(generator, summary):
    matters = [made.matter for made in generator.make_tickets() if not made.fault]
    assert summary["categories"] == {matter: matters.count(matter) for matter in summary["categories"]}


def test_every_broken_row_is_rejected_with_the_field_at_fault(generator, summary):
    fields = {"date": "created_at", "body": "body", "total": "order_total", "twice": "id"}
    expected = [(number + 1, fields[fault]) for number, fault in sorted(generator.BROKEN.items())]
    assert [(item["row"], item["field"]) for item in summary["rejections"]] == expected
    assert all(item["reason"] for item in summary["rejections"])


def test_the_page_shows_the_same_figures(run):
    folder, _ = run
    page = (folder / "out" / "summary.md").read_text(encoding="utf-8")
    assert "286 tickets, 14 rows rejected, 32138.42 EUR in dispute." in page
    assert "- row 67, T-0061: id: stands in an earlier row" in page
