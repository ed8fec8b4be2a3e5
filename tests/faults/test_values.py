"""Values that a run has to bring back as they were to its next owner, or to refuse, and how large they may be."""

import math
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest
from pydantic import BaseModel

from flujo import Flujo, RunStatus, Step
from flujo.exceptions import PayloadTooLarge, StateUnavailable
from flujo.testing import DyingBackend
from flujo_state_sqlite.backend import SqliteBackend

MB = 1_000_000


class Colour(Enum):
    RED = "r"


@dataclass(frozen=True)
class Point:
    x: int
    colour: Colour


class Ticket(BaseModel):
    at: datetime
    points: list[Point]


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


ITSELF: list[object] = []
ITSELF.append({"again": ITSELF})

NOON = datetime(2026, 3, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))

KEPT = {
    "negative zero": -0.0,
    "no float": 2**53 + 1,
    "long integer": 2**200,
    "NUL": "a\0b",
    "emoji and RTL": "🜂 \u202eשלם",
    "a line of 1 MB": "x" * MB,
    "bytes that are no text": b"\xff\xfe\x00",
    "tuple and set": (1, {2, frozenset({3})}),
    "Decimal": Decimal("1.10"),
    "time with a zone": NOON,
    "nested": Ticket(at=NOON, points=[Point(1, Colour.RED)]),
    "our own tag": {"$": "set", "v": [1], "lc": 1, "__class__": "os.system", "$ref": "#/x"},
    "100 levels": nested(100),
    "10 MB": "x" * 10 * MB,
}


async def through_a_death(path, value):
    """What the step after the one that gave `value` sees when another owner goes on; how often that one ran."""
    given, seen = [], []

    def make(_: str) -> Ticket | Point | Colour | object:
        given.append(value)
        return value

    def use(data: object) -> str:
        seen.append(data)
        return "used"

    pipeline = Step("make", run=make) >> Step("use", run=use)
    inner = SqliteBackend(path)
    async with Flujo(pipeline, state_backend=DyingBackend(inner, die_after=1, die=lambda: None)) as flujo:
        with pytest.raises(StateUnavailable):
            await flujo.run("x", run_id="r")
    await inner.close()
    seen.clear()
    other = SqliteBackend(path)
    async with Flujo(pipeline, state_backend=other) as flujo:
        result = await flujo.resume("r")
    await other.close()
    assert (result.status, len(seen)) == (RunStatus.COMPLETED, 1)
    return seen[0], len(given)


MANY_KEYS = pytest.param({str(number): 0 for number in range(MB)}, id="a million keys", marks=pytest.mark.slow)


@pytest.mark.parametrize("value", [*(pytest.param(value, id=name) for name, value in KEPT.items()), MANY_KEYS])
async def test_a_value_and_its_type_survive_the_death_of_its_owner(tmp_path, value):
    """39 to 44: equal, of the same class, and not made again."""
    back, calls = await through_a_death(tmp_path / "state.db", value)
    assert (back == value, type(back), calls) == (True, type(value), 1)
    assert repr(back) == repr(value)


class Unknown:
    """Of a class that no step declares."""


REFUSED = {
    "17 MB": ("x" * 17 * MB, "PayloadTooLarge", "'make' has 17,000,002 bytes, expected at most 16,777,216"),
    "not finite": ({"a": [1e308 * 10]}, "ValueNotStorable", "not finite at $.a[0]"),
    "no number": (math.nan, "ValueNotStorable", "not finite"),
    "half a character": ({"a": "\ud800"}, "ValueNotStorable", "surrogate, which is no character at $.a"),
    "keys that are no text": ({1: 2}, "ValueNotStorable", "a key of class 'int'"),
    "no key": ({"a": {None: 2}}, "ValueNotStorable", "a key of class 'NoneType' at $.a"),
    "keys of several parts": ({(1, 2): 3}, "ValueNotStorable", "a key of class 'tuple'"),
    "itself": (ITSELF, "ValueNotStorable", "a value that contains itself at $[0].again"),
    "101 levels": (nested(101), "ValueNotStorable", "more than 100 levels deep"),
    "100,000 levels": (nested(100_000), "ValueNotStorable", "more than 100 levels deep"),
    "an unknown class": (Unknown(), "ValueNotStorable", "Unknown'"),
}


@pytest.mark.parametrize(("value", "error", "said"), REFUSED.values(), ids=REFUSED)
async def test_a_value_that_can_not_be_kept_fails_its_step_and_leaves_nothing(tmp_path, value, error, said):
    """39 to 43: the step is not done, nothing of its value is in the state, and the next one is not called."""
    called = []
    backend = SqliteBackend(tmp_path / "state.db")
    pipeline = Step("make", run=lambda _: value) >> Step("use", run=called.append)
    async with Flujo(pipeline, state_backend=backend) as flujo:
        result = await flujo.run("x", run_id="r")
    assert (result.status, result.error.type, called) == (RunStatus.FAILED, error, [])
    assert said in result.error.message
    assert [record.path for record in await backend.load("r")] == ["make#a1"]
    assert await backend.check() == []
    await backend.close()


async def test_an_input_that_is_too_large_begins_no_run(tmp_path):
    """39: of 100 MB."""
    backend = SqliteBackend(tmp_path / "state.db")
    async with Flujo(Step("make", run=len), state_backend=backend) as flujo:
        with pytest.raises(PayloadTooLarge, match="100,000,002 bytes, expected at most 67,108,864"):
            await flujo.run("x" * 100 * MB, run_id="r")
    assert await backend.get("r") is None
    await backend.close()


LARGE = """
import asyncio, sys
from pathlib import Path
from flujo import Flujo, Step
from flujo_state_sqlite.backend import SqliteBackend

def peak():
    # Not getrusage, whose figure is that of the parent if it is larger.
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def use(data):
    if sys.argv[2] == "record":
        raise OSError("away")
    return len(data)

async def main():
    pipeline = Step("make", run=lambda size: "x" * size) >> Step("use", run=use)
    backend = SqliteBackend(Path(sys.argv[1]))
    async with Flujo(pipeline, state_backend=backend) as flujo:
        await flujo.run(1, run_id=f"warm-{sys.argv[2]}")
        before = peak()
        result = await (flujo.run(10_000_000, run_id="r") if sys.argv[2] == "record" else flujo.resume("r"))
    await backend.close()
    print(result.status, peak() - before)

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most that a process had")
def test_a_large_value_takes_up_to_four_times_its_size_beside_itself(tmp_path):
    """39: where it is made and recorded, and where it is read back, each in a process of its own."""
    for what, expected in (("record", "failed"), ("resume", "completed")):
        command = [sys.executable, "-c", LARGE, tmp_path / "state.db", what]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        status, grown = done.stdout.split()
        assert status == expected
        assert 10 * MB <= int(grown) <= 5 * 10 * MB, what
