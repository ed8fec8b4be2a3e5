"""docs/reference/errors.md has the codes that errors have; test_generated.py compares its tables with the code."""

import re
from pathlib import Path

import flujo_cli
from flujo import exceptions

PACKAGES = [Path(module.__file__).parent for module in (exceptions, flujo_cli)]


def test_the_codes_are_those_of_the_classes(page):
    files = [file for folder in PACKAGES for file in folder.rglob("*.py")]
    found = re.findall(r'class (\w+)\(.*code="(FLUJO-\d+)"', "\n".join(file.read_text("utf-8") for file in files))
    shown = {code: cells[0].strip("`") for code, cells in page("errors").table("error code").items()}
    assert shown == {"FLUJO-000": "FlujoError", **{code: name for name, code in found}}


def test_each_says_what_it_means_and_what_to_do(page):
    assert all(means and what_to_do for _, _, means, what_to_do in page("errors").table("error code").values())


def test_the_codes_of_findings_are_those_there_are_each_with_what_to_do(page):
    sources = Path(exceptions.__file__).parent.rglob("*.py")
    used = {code for file in sources for code in re.findall(r'"(V-\w+)"', file.read_text(encoding="utf-8"))}
    assert page("errors").names("code") == used
    assert all(means and what_to_do for _, means, what_to_do in page("errors").table("code").values())
