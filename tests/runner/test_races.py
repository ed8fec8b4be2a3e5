"""Processes that answer, start and cancel the same runs at the same time, and die over it."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, OpenContext, Step
from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo_state_sqlite.backend import SqliteBackend

RACER = Path(__file__).with_name("racer.py")


class Racer:
    """One process, which waits for orders."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, RACER, folder, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def do(self, **order: Any) -> Any:
        self.tell(**order)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def racers(tmp_path) -> Iterator[Callable[..., list[Racer]]]:
    """Start so many processes over one state, and hand them out when all are ready."""
    started: list[Racer] = []

    def start(number: int, *words: str) -> list[Racer]:
        new = [Racer(tmp_path, *words) for _ in range(number)]
        started.extend(new)
        assert [racer.hear() for racer in new] == ["ready"] * number
        return new

    yield start
    for racer in started:
        racer.close()


@pytest.fixture
def ledger(tmp_path) -> Callable[[], list[str]]:
    """What the steps have done."""
    return lambda: (tmp_path / "ledger.txt").read_text().splitlines()


async def recorded(folder: Path, run_id: str) -> tuple[RunRow, list[JournalRecord]]:
    backend = SqliteBackend(folder / "state.db")
    row = await backend.get(run_id)
    assert row is not None
    records = list(await backend.load(run_id))
    await backend.close()
    return row, records


ROUNDS = [pytest.param(4, id="4 rounds"), pytest.param(100, id="100 rounds", marks=pytest.mark.slow)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_of_eight_answers_to_one_question_one_is_taken_and_the_others_are_told_whose(racers, ledger, rounds):
    eight = racers(8)
    for number in range(rounds):
        run_id = f"r{number}"
        token = eight[0].do(do="run", pipeline="ask", input=run_id, run_id=run_id)["pending"][0]["token"]
        for place, racer in enumerate(random.Random(number).sample(eight, 8)):
            named = {"token": token} if number % 2 else {}
            racer.tell(do="answer", pipeline="ask", run_id=run_id, value=f"{run_id} {place}", by=f"w{place}", **named)
        told = [racer.hear() for racer in eight]

        (won,) = [each for each in told if "status" in each]
        lost = [each for each in told if "error" in each]
        winner = f"'ask' was answered by w{won['output'].split()[1]} at 20"
        assert (won["status"], len(lost)) == ("completed", 7)
        assert [each for each in lost if winner not in each["message"]] == []
        assert ledger()[-2:] == [run_id, won["output"]]
    assert len(ledger()) == 2 * rounds


def test_answers_to_parallel_questions_reach_their_branches_in_any_order(racers, ledger):
    two = racers(2)
    for order in map("".join, permutations("abc")):
        about = {"pipeline": "three", "run_id": order}
        pending = two[0].do(do="run", input="x", **about)["pending"]
        branches = {asked["path"].split("/")[1]: asked["token"] for asked in pending}
        refused = two[1].do(do="answer", value="?", by="ann", **about)
        assert refused["error"] == "AnswerRejected"
        assert refused["message"] == f"run '{order}' waits for 3 answers, and no token says which this is"

        for number, name in enumerate(order):
            told = two[number % 2].do(do="answer", value=f"for {name}", token=branches[name], by="ann", **about)
            assert {asked["token"] for asked in told["pending"]} == {branches[other] for other in order[number + 1 :]}

        assert told["output"] == {name: f"for {name}" for name in "abc"}
        assert ledger()[-3:] == [f"for {name}" for name in order]


def test_answers_to_parallel_questions_at_once_are_all_taken(racers, ledger):
    three = racers(3)
    pending = three[0].do(do="run", pipeline="three", input="x", run_id="r")["pending"]
    for racer, asked in zip(three, pending, strict=True):
        racer.tell(do="answer", pipeline="three", run_id="r", value=asked["path"][13], token=asked["token"], by="ann")
    told = [racer.hear() for racer in three]
    assert {each.get("error", each.get("status")) for each in told} <= {"completed", "paused", "RunOwnedElsewhere"}

    assert three[0].do(do="resume", pipeline="three", run_id="r")["output"] == {name: name for name in "abc"}
    assert sorted(ledger()) == ["a", "b", "c"]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_key_that_eight_start_at_once_has_one_run(racers, ledger, rounds):
    eight = racers(8)
    for number in range(rounds):
        for racer in eight:
            racer.tell(do="run", pipeline="slow", input=number, key=f"k{number}")
        told = [racer.hear() for racer in eight]

        assert {each.get("error", "RunOwnedElsewhere") for each in told} == {"RunOwnedElsewhere"}
        assert {each.get("status", "completed") for each in told} == {"completed"}
        assert len({each["run_id"] for each in told}) == 1
    assert ledger() == [str(number) for number in range(rounds)]


async def test_a_run_at_work_is_cancelled_by_another_process_and_every_finished_step_is_recorded(
    racers, ledger, tmp_path
):
    (racer,) = racers(1)
    racer.tell(do="run", pipeline="long", input="x", run_id="r")
    while not (tmp_path / "ledger.txt").exists():
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs on this loop
    backend = SqliteBackend(tmp_path / "state.db")
    flujo = Flujo(Step("any"), state_backend=backend, context_model=OpenContext)

    assert await flujo.cancel("r") == "running"

    assert racer.hear()["status"] == "cancelled"
    row, records = await recorded(tmp_path, "r")
    assert row.status == "cancelled"
    assert sum(record.path.endswith("/note") for record in records) == len(ledger())
    assert await flujo.cancel("r") == "cancelled"
    await backend.close()


async def test_a_run_of_functions_that_never_wait_is_cancelled_before_the_step_that_begins_a_second_later(
    racers, ledger, tmp_path
):
    (racer,) = racers(1)
    racer.tell(do="run", pipeline="blocked", input="x", run_id="r")
    while not (tmp_path / "ledger.txt").exists():
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs on this loop
    backend = SqliteBackend(tmp_path / "state.db")
    async with Flujo(Step("any"), state_backend=backend) as flujo:
        assert await flujo.cancel("r") == "running"
    await backend.close()
    begun = len(ledger())

    assert racer.hear()["status"] == "cancelled"
    assert len(ledger()) <= begun + 3


async def test_an_owner_that_dies_before_it_has_heard_of_a_cancellation_leaves_a_cancelled_run(
    racers, ledger, tmp_path
):
    first, second = racers(2)
    first.tell(do="run", pipeline="pay", input="paid", run_id="r")
    while not (tmp_path / "ledger.txt").exists():
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs on this loop
    first.process.send_signal(signal.SIGSTOP)
    backend = SqliteBackend(tmp_path / "state.db")
    async with Flujo(Step("any"), state_backend=backend) as flujo:
        assert await flujo.cancel("r") == "running"
        first.process.kill()
        first.process.wait()
        assert await flujo.cancel("r") == "cancelled"
    await backend.close()
    (tmp_path / "go").touch()

    assert (await recorded(tmp_path, "r"))[0].status == "cancelled"
    assert second.do(do="resume", pipeline="pay", run_id="r")["status"] == "completed"
    assert ledger() == ["held", "held", "paid", "paid"]


async def test_no_effect_begins_after_a_cancellation_was_acknowledged(racers, ledger, tmp_path):
    (racer,) = racers(1)
    racer.tell(do="run", pipeline="pay", input="paid", run_id="r")
    while not (tmp_path / "ledger.txt").exists():
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs on this loop
    backend = SqliteBackend(tmp_path / "state.db")
    async with Flujo(Step("any"), state_backend=backend) as flujo:
        assert await flujo.cancel("r") == "running"
    await backend.close()
    (tmp_path / "go").touch()

    assert racer.hear()["status"] == "cancelled"
    assert ledger() == ["held"]


async def test_an_answer_whose_process_dies_after_it_was_taken_is_used_and_asked_once(racers, tmp_path):
    first, second, third = racers(3)
    first.do(do="run", pipeline="ask", input="x", run_id="r")
    second.tell(do="answer and die", pipeline="ask", run_id="r", value="yes")
    assert second.hear() is None
    assert second.process.wait() == -signal.SIGKILL

    assert third.do(do="resume", pipeline="ask", run_id="r")["output"] == "yes"
    _, records = await recorded(tmp_path, "r")
    assert [record.kind for record in records if record.path.startswith("ask")] == [
        RecordKind.WAIT,
        RecordKind.ANSWER,
        RecordKind.RESULT,
    ]


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("die_after", [1, 2])
async def test_a_process_that_dies_over_a_question_leaves_one_token_or_none(racers, ledger, tmp_path, die_after, at):
    (dying,) = racers(1, str(die_after), at)
    dying.tell(do="run", pipeline="ask", input="x", run_id="r")
    assert dying.hear() is None
    row, records = await recorded(tmp_path, "r")
    tokens = [record for record in records if record.kind is RecordKind.WAIT]
    assert row.status == "interrupted"
    assert len(tokens) == (1 if (die_after, at) == (2, "after") else 0)

    (again,) = racers(1)
    assert len(again.do(do="resume", pipeline="ask", run_id="r")["pending"]) == 1
    row, records = await recorded(tmp_path, "r")
    assert row.status == "paused"
    assert [record for record in records if record.kind is RecordKind.WAIT][: len(tokens)] == tokens
    assert ledger() == ["x"] * (2 if (die_after, at) == (1, "before") else 1)
