"""Every code once, with the whole text that the user sees."""

import re
from pathlib import Path

import pytest

import flujo
from flujo.blueprint.diagnostics import read_sources, render
from flujo.exceptions import BlueprintError

CASES = {
    "V-Y02": (
        'version: "0.1"\nsteps:\n  - name: [a\n',
        "error[V-Y02] pipeline.yaml:3:13: did not find expected ',' or ']' while parsing a flow sequence that begins "
        "at line 3\n"
        "    3 |   - name: [a\n"
        "      |             ^",
    ),
    "V-Y03": (
        b"steps:\n  - name: \xff\n",
        "error[V-Y03] pipeline.yaml:2:11: byte 0xff is not UTF-8\n"
        "    2 |   - name: \N{REPLACEMENT CHARACTER}\n"
        "      |           ^\n"
        "help: save the file as UTF-8",
    ),
    "V-Y04": (
        "x-a: &a {name: a}\nsteps:\n" + "  - *a\n" * 33,
        "error[V-Y04] pipeline.yaml:35:5: there are more than 32 aliases\n   35 |   - *a\n      |     ^",
    ),
    "V-Y05": (
        "steps:\n  - name: a\nsteps: []\n",
        "error[V-Y05] pipeline.yaml:3:1: the key 'steps' stands here twice\n"
        "    3 | steps: []\n"
        "      | ^\n"
        "help: the first is in line 1",
    ),
    "V-Y06": (
        "steps:\n  - name: !!python/name:os.system x\n",
        "error[V-Y06] pipeline.yaml:2:11: the tag '!!python/name:os.system' is not allowed\n"
        "    2 |   - name: !!python/name:os.system x\n"
        "      |           ^\n"
        "help: leave it out: values are plain data",
    ),
    "V-Y07": (
        "x-base: &base {}\nsteps:\n  - *bas\n",
        "error[V-Y07] pipeline.yaml:3:5: the alias 'bas' names no anchor before it\n"
        "    3 |   - *bas\n"
        "      |     ^\n"
        "help: did you mean 'base'?",
    ),
    "V-Y08": (
        "steps:\n  - name: a\n    input: {{ previous_step }}\n",
        "error[V-Y08] pipeline.yaml:3:13: a key should be text, not a mapping\n"
        "    3 |     input: {{ previous_step }}\n"
        "      |             ^\n"
        "help: quote text that begins with '{': \"{{ ... }}\"",
    ),
    "V-Y09": (
        "steps:\n  - name: a\n---\nsteps: []\n",
        "error[V-Y09] pipeline.yaml:3:1: the file holds more than one document\n    3 | ---\n      | ^",
    ),
    "V-Y10": (
        "steps:\n  - name: a\n    input: 1e999\n",
        "error[V-Y10] pipeline.yaml:3:12: the number is too large\n"
        "    3 |     input: 1e999\n"
        "      |            ^\n"
        "help: quote it if it is meant as text",
    ),
    "V-S01": (
        "steps:\n  - kind: step\n",
        "error[V-S01] pipeline.yaml:2:5: missing key 'name'\n"
        "    2 |   - kind: step\n"
        "      |     ^\n"
        "help: 'name': The step's name, unique among its siblings",
    ),
    "V-S02": (
        "steps:\n  - name: a\n    agnet: x\n",
        "error[V-S02] pipeline.yaml:3:5: unknown key 'agnet'\n"
        "    3 |     agnet: x\n"
        "      |     ^\n"
        "help: did you mean 'agent'?",
    ),
    "V-S03": (
        "steps:\n  - name: a\n    config: {max_retries: two}\n",
        "error[V-S03] pipeline.yaml:3:27: 'max_retries' should be a whole number, not 'two'\n"
        "    3 |     config: {max_retries: two}\n"
        "      |                           ^",
    ),
    "V-S04": (
        "steps:\n  - name: a\n    step: b\n",
        "error[V-S04] pipeline.yaml:3:5: 'step' and 'name' say the same\n"
        "    3 |     step: b\n"
        "      |     ^\n"
        "help: leave 'step' out",
    ),
    "V-K01": (
        "steps:\n  - {name: a, kind: pipelyne}\n",
        "error[V-K01] pipeline.yaml:2:21: unknown kind 'pipelyne'\n"
        "    2 |   - {name: a, kind: pipelyne}\n"
        "      |                     ^\n"
        "help: did you mean 'pipeline'?",
    ),
    "V-K02": (
        "steps:\n  - {kind: caught, name: a}\n",
        "error[V-K02] pipeline.yaml:2:26: step 'a' was caught\n"
        "    2 |   - {kind: caught, name: a}\n"
        "      |                          ^\n"
        "help: let it go",
    ),
    "V-A01": (
        "steps:\n  - {name: a, agent: flujo.builtins.stringfy}\n",
        "error[V-A01] pipeline.yaml:2:22: there is no skill 'flujo.builtins.stringfy'\n"
        "    2 |   - {name: a, agent: flujo.builtins.stringfy}\n"
        "      |                      ^\n"
        "help: did you mean 'flujo.builtins.stringify'?",
    ),
    "V-A02": (
        "steps:\n  - {name: a, agent: {id: 'os:system'}}\n",
        "error[V-A02] pipeline.yaml:2:27: module 'os' may not be imported by pipeline files\n"
        "    2 |   - {name: a, agent: {id: 'os:system'}}\n"
        "      |                           ^\n"
        "help: blueprint_allowed_imports in flujo.toml allows 'skills'",
    ),
    "V-A03": (
        "steps:\n  - {name: a, uses: ../skills/h.py}\n",
        "error[V-A03] pipeline.yaml:2:21: '../skills/h.py' is no reference to a skill\n"
        "    2 |   - {name: a, uses: ../skills/h.py}\n"
        "      |                     ^\n"
        "help: write a skill's id, or 'module:name' for a function or class of an allowed module",
    ),
    "V-A04": (
        "steps:\n  - {name: a, uses: 'skills.hlper:f'}\n",
        "error[V-A04] pipeline.yaml:2:21: there is no module 'skills.hlper'\n"
        "    2 |   - {name: a, uses: 'skills.hlper:f'}\n"
        "      |                     ^\n"
        "help: did you mean 'skills.helper'?",
    ),
    "V-A05": (
        "steps:\n  - {name: a, uses: 'skills.broken:f'}\n",
        "error[V-A05] pipeline.yaml:2:21: importing 'skills.broken' raised ZeroDivisionError: division by zero "
        "(skills/broken.py:2)\n"
        "    2 |   - {name: a, uses: 'skills.broken:f'}\n"
        "      |                     ^\n"
        "help: mend the code: what a pipeline names must load without errors",
    ),
    "V-A06": (
        "agents: {helper: {model: 'function:skills.helper:upper'}}\nsteps:\n  - {name: a, uses: agents.helpr}\n",
        "error[V-A06] pipeline.yaml:3:21: there is no agent 'helpr'\n"
        "    3 |   - {name: a, uses: agents.helpr}\n"
        "      |                     ^\n"
        "help: did you mean 'helper'?",
    ),
    "V-A07": (
        "agents: {helper: {model: 'openai:gpt'}}\nsteps:\n  - {name: a, agent: helper}\n",
        "error[V-A07] pipeline.yaml:1:26: no installed plugin provides 'openai' agents\n"
        "    1 | agents: {helper: {model: 'openai:gpt'}}\n"
        "      |                          ^\n"
        "help: installed providers are function, scripted; or install a plugin that provides it",
    ),
    "V-A08": (
        "agents: {helper: {model: 'scripted:answers.json'}}\nsteps:\n  - {name: a, agent: helper}\n",
        "error[V-A08] pipeline.yaml:1:26: there is no file 'answers.json'\n"
        "    1 | agents: {helper: {model: 'scripted:answers.json'}}\n"
        "      |                          ^\n"
        "help: write a path relative to this file, to a file under '.'",
    ),
    "V-I01": (
        "imports: {child: pipeline.yaml}\nsteps:\n  - {name: a, uses: imports.chld}\n",
        "error[V-I01] pipeline.yaml:3:21: there is no import 'chld'\n"
        "    3 |   - {name: a, uses: imports.chld}\n"
        "      |                     ^\n"
        "help: did you mean 'child'?",
    ),
    "V-I02": (
        "imports:\n  child: child.yml\nsteps:\n  - {name: a}\n",
        "error[V-I02] pipeline.yaml:2:10: there is no file 'child.yml'\n"
        "    2 |   child: child.yml\n"
        "      |          ^\n"
        "help: there is pipeline.yaml",
    ),
    "V-I03": (
        "steps:\n  - {name: a, kind: import, path: ./pipeline.yaml}\n",
        "error[V-I03] pipeline.yaml:2:35: the imports go in a circle: pipeline.yaml -> pipeline.yaml\n"
        "    2 |   - {name: a, kind: import, path: ./pipeline.yaml}\n"
        "      |                                   ^\n"
        "help: let one of the files do without the next",
    ),
    "V-N01": (
        "steps:\n  - name: a b\n",
        "error[V-N01] pipeline.yaml:2:11: 'a b' is not a name\n"
        "    2 |   - name: a b\n"
        "      |           ^\n"
        "help: a name starts with a letter or '_', goes on with letters, digits, '_', '.' or '-', at most 64 in all",
    ),
    "V-N02": (
        "steps:\n  - name: a\n  - name: a\n",
        "error[V-N02] pipeline.yaml:3:11: two steps are named 'a'\n"
        "    3 |   - name: a\n"
        "      |           ^\n"
        "help: names are addresses: give each step of a sequence its own",
    ),
    "V-T01": (
        "steps:\n  - {name: a, uses: 'skills.helper:count'}\n  - {name: b, uses: 'skills.helper:upper'}\n",
        "error[V-T01] pipeline.yaml:3:12: step 'a' gives int, but step 'b' takes str\n"
        "    3 |   - {name: b, uses: 'skills.helper:upper'}\n"
        "      |            ^\n"
        "help: change one of the annotations, or give 'b' an 'input' that converts",
    ),
    "V-T02": (
        "steps:\n  - name: a\n    input: '{{ previous_step | uppr }}'\n",
        "error[V-T02] pipeline.yaml:3:32: there is no filter 'uppr'\n"
        "    3 |     input: '{{ previous_step | uppr }}'\n"
        "      |                                ^\n"
        "help: did you mean 'upper'?",
    ),
    "V-T03": (
        "steps:\n  - name: fetch\n  - name: a\n    input: '{{ steps.fecth.output }}'\n",
        "error[V-T03] pipeline.yaml:4:22: there is no step 'fecth' before this one\n"
        "    4 |     input: '{{ steps.fecth.output }}'\n"
        "      |                      ^\n"
        "help: did you mean 'fetch'?",
    ),
    "V-T04": (
        "steps:\n  - name: a\n    input: '{{ steps.b.output }}'\n  - name: b\n",
        "error[V-T04] pipeline.yaml:3:22: the output of step 'b' is not yet produced here\n"
        "    3 |     input: '{{ steps.b.output }}'\n"
        "      |                      ^\n"
        "help: a template can read what the steps before its own have produced",
    ),
    "V-T05": (
        "steps:\n  - name: a\n    input: 'got {{ step.fetch }}'\n",
        "error[V-T05] pipeline.yaml:3:20: there is no 'step' in templates\n"
        "    3 |     input: 'got {{ step.fetch }}'\n"
        "      |                    ^\n"
        "help: did you mean 'steps'? A field of the context called 'step' is context.step",
    ),
}

HELPER = "def count(text: str) -> int: ...\ndef upper(text: str) -> str: ...\n"


@pytest.mark.parametrize("code", CASES)
def test_what_is_wrong_is_shown_with_place_and_advice(project, code):
    project.write("skills/helper.py", HELPER)
    project.write("skills/broken.py", "# first line\n1 / 0\n")
    text, shown = CASES[code]
    assert project.shown(text) == shown


def test_a_file_that_cannot_be_read_is_a_finding_too(project):
    shown = "error[V-Y01] nope.yaml:1:1: the file can't be read: no such file or directory"
    findings = project.check_at(project.root / "nope.yaml")
    assert project.cut(render(findings, read_sources(findings))) == shown
    with pytest.raises(BlueprintError, match=r"nope\.yaml:1:1: the file can't be read: no such file"):
        project.load_at(project.root / "nope.yaml")


def test_every_code_has_an_example_here():
    sources = Path(flujo.__file__).parent.rglob("*.py")
    used = {code for file in sources for code in re.findall(r'"(V-\w+)"', file.read_text(encoding="utf-8"))}
    assert {*CASES, "V-Y01", "V-L01"} == used  # rules are plugins' business
