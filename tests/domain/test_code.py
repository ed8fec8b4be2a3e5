"""The digest of the code that a step runs: the same for the same code, another for other code."""

import functools
import logging
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr

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


def test_what_a_function_has_captured_counts_though_it_sets_that_itself():
    def from_on(start: int) -> Any:
        def following(data: int) -> int:
            nonlocal start
            start += 1
            return data + start

        return following

    assert digest_of(counting(2)) == digest_of(counting(2)) != digest_of(counting(3))
    assert digest_of(from_on(1)) == digest_of(from_on(1)) != digest_of(from_on(2))


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


def test_all_that_an_object_holds_counts_as_it_is_then():
    recorder = Recorder("a")
    before = digest_of(recorder)
    recorder.run("x")

    assert before == digest_of(Recorder("a")) != digest_of(Recorder("b"))
    assert digest_of(recorder) != before


class Slotted:
    __slots__ = ("__prompt", "unset")

    def __init__(self, prompt: str) -> None:
        self.__prompt = prompt

    def run(self, data: str) -> str:
        return self.__prompt


class Mixed(Slotted):
    def __init__(self, prompt: str, label: str) -> None:
        super().__init__(prompt)
        self.label = label


def test_slots_count():
    assert digest_of(Slotted("a")) == digest_of(Slotted("a")) != digest_of(Slotted("b"))
    mixed = {digest_of(Mixed(*each)) for each in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x"))}
    assert len(mixed) == 3


def an_agent(value: int = 1, text: int = 1, plain: int = 1, wide: int = 1, shown: int = 1, base: int = 1) -> Any:
    class Base:
        def start(self) -> int:
            return base

    class Agent(Base):
        prompt = value

        def run(self, data: int) -> int:
            return data + self.start() + self.text()

        def text(self) -> int:
            return text

        @staticmethod
        def plain() -> int:
            return plain

        @classmethod
        def wide(cls) -> int:
            return wide

        @property
        def shown(self) -> int:
            return shown

    return Agent()


@pytest.mark.parametrize("name", ["value", "text", "plain", "wide", "shown", "base"])
def test_of_a_class_all_functions_and_values_count(name):
    assert digest_of(an_agent()) == digest_of(an_agent()) != digest_of(an_agent(**{name: 2}))


def test_what_a_function_is_given_as_attributes_counts():
    def made(prompt: str) -> Any:
        def ask(data: str) -> str:
            return f"{ask.prompt} {data}"  # type: ignore[attr-defined]

        ask.prompt = prompt  # type: ignore[attr-defined]
        return ask

    assert digest_of(made("a")) == digest_of(made("a")) != digest_of(made("b"))


CALLS = """
import functools
import textwrap

def first(data):
    return [second(each) for each in data] + [third(data), textwrap.dedent(""), LATER]

def second(data):
    return data and first(data[1:])

@functools.cache
def third(data):
    return (lambda: fourth(data))()

def fourth(data):
    return 4

LATER = 1
"""


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [("[1:]", "[2:]", False), ("return 4", "return 5", False), ("LATER = 1", "LATER = 2", True), ("4", "4", True)],
)
def test_functions_of_the_same_module_count_that_a_function_calls(tmp_path, before, after, same):
    digests = []
    for text in (CALLS, CALLS.replace(before, after)):
        (tmp_path / "calls.py").write_text(text)
        digests.append(digest_of(runpy.run_path(str(tmp_path / "calls.py"))["first"]))

    assert (digests[0] == digests[1]) is same


def test_a_long_chain_of_calls_has_a_digest(tmp_path):
    text = "".join(f"def f{n}(data):\n    return f{n + 1}(data)\n" for n in range(2_000))
    (tmp_path / "calls.py").write_text(text)

    assert digest_of(runpy.run_path(str(tmp_path / "calls.py"))["f0"])


def test_modules_and_loggers_are_told_apart_by_their_names():
    def using(it: Any) -> Any:
        return lambda data: it

    values = (re, functools, logging.getLogger("a"), logging.getLogger("b"))
    assert len({digest_of(using(each)) for each in values}) == 4


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

    def holding(model: type[BaseModel], default: int = 1) -> type[BaseModel]:
        class Holding(BaseModel):
            inner: list[model] | None = None  # type: ignore[valid-type]
            number: int = default

        return Holding

    assert digest_of(uses(Wide)) != digest_of(uses(Narrow))
    assert digest_of(uses(holding(Wide))) == digest_of(uses(holding(Wide))) != digest_of(uses(holding(Wide, 2)))
    Other = type("Wide", (Narrow,), {"__module__": Wide.__module__, "__qualname__": Wide.__qualname__})
    assert digest_of(uses(holding(Wide))) != digest_of(uses(holding(Other)))


def test_private_attributes_of_models_count():
    class Agent(BaseModel):
        _prompt: str = PrivateAttr(default="a")

        def run(self, data: str) -> str:
            return self._prompt

    one, two = Agent(), Agent()
    assert digest_of(one) == digest_of(two)
    two._prompt = "b"
    assert digest_of(one) != digest_of(two)


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


def test_classes_are_looked_into_only_so_deep():
    def nested(value: int, depth: int) -> type:
        held: Any = value
        for _ in range(depth):
            held = type("Holder", (), {"held": held, "run": lambda self, data: data})
        return lambda data: (data, held)

    assert digest_of(nested(1, 3)) == digest_of(nested(1, 3)) != digest_of(nested(2, 3))
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
