"""The digest of the code that a step runs: the same for the same code, another for other code."""

import functools
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import Pipeline, Step, branch, loop
from flujo.domain.code import code_digest

MODULE = """
import functools
import re
from dataclasses import dataclass

LIMIT = 3

@dataclass
class Settings:
    temperature: float = 0.2

class Agent:
    def __init__(self, model):
        self.model = model
        self.settings = Settings()
        self.words = frozenset({"a", "b", "c"})

    async def run(self, data: str) -> str:
        return f"{self.model} {data}" if data in {"x", "y", "z"} else data

def shorten(data, *, limit=10):
    def cut(text):
        return text[:limit]
    return [cut(each) for each in data if each not in ("a", None, 1.5, ...)]

pattern = re.compile("[a-z]+")
targets = [shorten, Agent("m"), Agent("m").run, functools.partial(shorten, limit=3), len, pattern.match]
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What a module with the text holds, after one replacement in it."""

    def make(before: str = "", after: str = "") -> dict[str, Any]:
        assert before in MODULE
        (tmp_path / "made.py").write_text(MODULE.replace(before, after) if before else MODULE)
        return runpy.run_path(str(tmp_path / "made.py"))

    return make


def digest_of(target: Any, **options: Any) -> str:
    return code_digest(Step("s", target, **options))


def test_the_digest_is_the_same_in_every_process(made, tmp_path):
    made()
    (tmp_path / "say.py").write_text(
        "from flujo import Step\nfrom flujo.domain.code import code_digest\nimport made\n"
        "print(*(code_digest(Step('s', each)) for each in made.targets))\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "say.py"], cwd=tmp_path, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(set(told[0])) == 6


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("text[:limit]", "text[limit:]", False),
        ("limit=10", "limit=11", False),
        ('("a", None', '("b", None', False),
        ("1.5, ...", "1.5, None", False),
        ("cut(each)", "each", False),
        ("def shorten", "# moved\n\n\ndef shorten", True),
        ("LIMIT = 3", "LIMIT = 4", True),
    ],
)
def test_a_function_is_its_code_and_not_where_it_stands(made, before, after, same):
    assert (digest_of(made()["shorten"]) == digest_of(made(before, after)["shorten"])) is same


def test_an_object_is_its_run_and_the_values_it_holds(made):
    agent = made()["Agent"]("m")
    others = [made(*change)["Agent"]("m") for change in (("0.2", "0.3"), ('"x", "y"', '"x", "w"'), ('"a", "b"', '"d"'))]

    assert digest_of(agent) == digest_of(made()["Agent"]("m"))
    assert digest_of(agent) not in {digest_of(other) for other in (*others, made()["Agent"]("n"))}
    assert digest_of(agent.run) != digest_of(made()["Agent"]("n").run)


def counting(factor: int) -> Any:
    calls, log = 0, []

    def count(data: int) -> int:
        nonlocal calls
        calls += 1
        log.append(data)
        return data * factor + len(log) + calls

    return count


def test_what_a_function_has_captured_counts_but_not_its_own_state():
    function = counting(2)
    before = digest_of(function)

    assert before == digest_of(counting(2)) != digest_of(counting(3))


class Recorder:
    def __init__(self, label: str) -> None:
        self.label = label
        self.calls = 0
        self.last = ""

    def run(self, data: str) -> str:
        self.calls += 1
        self.note(data)
        return data

    def note(self, data: str) -> None:
        self.last = data


def test_what_an_object_sets_while_it_runs_is_no_part_of_it():
    recorder = Recorder("a")
    before = digest_of(recorder)
    recorder.run("x")

    assert digest_of(recorder) == before
    assert digest_of(Recorder("b")) != before


def test_lists_and_mappings_count_as_they_are():
    def using(table: Any) -> Any:
        return lambda data: table[data]

    assert digest_of(using(["a"])) == digest_of(using(["a"])) != digest_of(using(["b"]))
    assert digest_of(using({"x": {1, 2}})) == digest_of(using({"x": {2, 1}})) != digest_of(using({"x": {1, 3}}))
    table: list[Any] = []
    table.append(table)
    assert digest_of(using(table)) == digest_of(using(table))


def test_captured_values_without_attributes_are_told_apart_by_what_they_show():
    def matching(pattern: str) -> Any:
        compiled = re.compile(pattern)
        return lambda data: compiled.match(data[1:])

    assert digest_of(matching("a")) == digest_of(matching("a"))
    assert digest_of(matching("a")) != digest_of(matching("b"))
    assert digest_of(re.compile("a").match) != digest_of(re.compile("b").match)


def test_a_function_that_captures_itself_and_one_that_is_not_filled_yet_have_digests():
    def factory() -> Any:
        def inner(data: int) -> int:
            return inner(data - 1) if data else later

        digest = digest_of(inner)
        later = 1
        return digest, digest_of(inner), later

    first, second, _ = factory()
    assert first != second


def test_a_partial_is_its_function_and_its_arguments():
    def add(data: int, *, more: int) -> int:
        return data + more

    one, same, two = (digest_of(functools.partial(add, more=more)) for more in (1, 1, 2))
    assert (one == same, one == two) == (True, False)


def test_a_class_is_its_run_and_its_annotations():
    class Wide(BaseModel):
        text: str

    class Narrow(BaseModel):
        text: int

    def uses(model: type) -> Any:
        return lambda data: model(text=data)

    assert digest_of(uses(Wide)) != digest_of(uses(Narrow))


def test_objects_are_looked_into_only_so_deep():
    @dataclass
    class Box:
        inner: Any = field(default=None)

    def nested(value: Any, depth: int) -> Any:
        for _ in range(depth):
            value = Box(value)
        return lambda data: (data, value)

    assert digest_of(nested(1, 3)) != digest_of(nested(2, 3))
    assert digest_of(nested(1, 9)) == digest_of(nested(2, 9))


def test_every_callable_of_every_step_counts():
    def body(*, check: int = 1, ends: int = 1, pick: int = 1, late: int = 1) -> Pipeline[Any, Any]:
        tidy = Step("tidy", validators=[lambda data: data == check], fallback=Step("late", lambda data: late))
        again = loop("l", tidy, until=lambda data, context: data == ends)
        return Pipeline([again, branch("b", on=lambda data, context: pick, branches={"x": Step("x")})])

    plain = code_digest(body())
    assert plain == code_digest(body())
    assert plain not in {code_digest(body(**{name: 2})) for name in ("check", "ends", "pick", "late")}


def test_plain_data_names_and_notes_are_no_code():
    assert code_digest(Step("a", len, meta={"x": len})) == code_digest(Step("b", len, sink_to="x"))
    assert code_digest(Step("a", input="{{ x }}")) == code_digest(Step("b", input={"k": [1]}))
