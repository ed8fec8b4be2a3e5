"""What the README shows is a project without a mistake, and a step."""

import re
from dataclasses import fields
from pathlib import Path

from flujo import Step
from flujo_policy_http import HttpStep

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def shown(language):
    return re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[1]


def test_its_file_is_valid_with_its_settings(flujo_cli, flujo_project):
    flujo_project.write("flujo.toml", shown("toml"))
    flujo_project.write("pipeline.yaml", shown("yaml"))
    done = flujo_cli("validate", "pipeline.yaml")

    assert (done.code, done.err) == (0, "")


def test_its_python_makes_a_step():
    made = {}
    exec(shown("python"), made)

    assert isinstance(made["rates"], HttpStep)


def test_its_table_names_every_key_of_a_request():
    rows = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)

    assert set(rows) == {each.name for each in fields(HttpStep)} - {each.name for each in fields(Step)}
