"""docs/performance.md has every scenario that is measured, and figures of each."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/performance.md").read_text(encoding="utf-8")


def test_every_scenario_is_explained_and_has_figures():
    measured = re.findall(
        r'^    "(S\d+)": \(', (ROOT / "benchmarks/__main__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    scenarios, figures = PAGE.split("## Figures")

    assert len(measured) > 10
    assert re.findall(r"^\| (S\d+) \|", scenarios, re.MULTILINE) == measured
    assert list(dict.fromkeys(re.findall(r"^\| (S\d+) ", figures, re.MULTILINE))) == measured
