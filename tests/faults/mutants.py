"""Takes one safeguard out of a copy of the packages at a time, and sees that the tests which watch it notice.

`python tests/faults/mutants.py [NAME ...]`; ends with 1 when a mutant survives or its test comes to no end, or when
a test fails without one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SQLITE = "flujo-state-sqlite/src/flujo_state_sqlite"
BUILTIN = "flujo-policies-builtin/src/flujo_policies_builtin"
ENGINE = "flujo-core/src/flujo/engine"
RUNNER = "flujo-core/src/flujo/runner"
CONFORMANCE = "tests/state/test_sqlite_conformance.py::TestSqlite"
TIMEOUT_S = 90

#: What a mutant came to, by whether its test passed: a test that comes to no end has found nothing.
_CAME_TO = {True: "SURVIVED", False: "found", None: "NO END"}


class Mutant(NamedTuple):
    """`old`, which stands once in `file`, becomes `new`; `test` must fail then."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS = (
    Mutant(
        "a record without the guard of its epoch",
        f"{SQLITE}/records.py",
        '_INSERT = _ROW + "FROM run WHERE id = ? AND epoch = ? AND status = 1"',
        '_INSERT = _ROW + "FROM run WHERE id = ? AND 0 < ?"',
        f"{CONFORMANCE}::test_forced_claim_fences_off_the_old_owner",
    ),
    Mutant(
        "a plain record without the guard of its epoch",
        f"{SQLITE}/records.py",
        "FROM run WHERE id = ? AND epoch = ? AND status = 1\n",
        "FROM run WHERE id = ? AND 0 < ?\n",
        f"{CONFORMANCE}::test_forced_claim_fences_off_the_old_owner",
    ),
    Mutant(
        "many plain records without the guard of their epochs",
        f"{SQLITE}/records.py",
        "WHERE r.id = v.column10 AND r.epoch = v.column11 AND r.status = 1",
        "WHERE r.id = v.column10 AND 0 < v.column11",
        "tests/state/test_sqlite_writer.py::test_of_many_plain_records_only_those_are_refused_that_must_be",
    ),
    Mutant(
        "a record that is not synced to the disk",
        f"{SQLITE}/statefile.py",
        "self.poll(_SYNC_FULL if wanted else _SYNC_NORMAL)",
        "self.poll(_SYNC_NORMAL)",
        "tests/faults/test_power.py::"
        "test_power_cut_leaves_what_was_recorded_first_and_all_that_has_to_be_safe[auto-12]",
    ),
    Mutant(
        "an agent's answer that is not synced to the disk",
        f"{ENGINE}/plan.py",
        'if step.effects == "none" and step.agent_key is None else',
        'if step.effects == "none" else',
        "tests/engine/test_sync.py",
    ),
    Mutant(
        "an effect that is not synced to the disk",
        f"{ENGINE}/plan.py",
        'if step.effects == "none" and step.agent_key is None else',
        "if step.agent_key is None else",
        "tests/faults/test_power.py::test_power_cut_leaves_a_run_of_the_engine_all_that_is_promised[30]",
    ),
    Mutant(
        "questions and answers that are not synced to the disk",
        f"{ENGINE}/journal.py",
        "started_at=at, ended_at=at, sync=Sync.FULL)",
        "started_at=at, ended_at=at, sync=Sync.NORMAL)",
        "tests/faults/test_power.py::test_power_cut_leaves_a_run_of_the_engine_all_that_is_promised[30]",
    ),
    Mutant(
        "a transaction that begins as a reader",
        f"{SQLITE}/statefile.py",
        'self.poll("BEGIN IMMEDIATE")',
        'self.poll("BEGIN")',
        "tests/faults/test_races.py::test_eight_processes_share_one_file_and_none_fails_or_starves",
    ),
    Mutant(
        "a claim that does not raise the epoch, in histories that nobody has thought of",
        f"{SQLITE}/runs.py",
        "UPDATE run SET epoch = epoch + 1,",
        "UPDATE run SET epoch = epoch,",
        f"{CONFORMANCE}::test_any_history_is_as_a_plain_model_says",
    ),
    Mutant(
        "a commit without a log whose folder is not synced",
        f"{SQLITE}/statefile.py",
        "PRAGMA synchronous = EXTRA",
        "PRAGMA synchronous = FULL",
        "tests/faults/test_power.py::"
        "test_power_cut_leaves_what_was_recorded_first_and_all_that_has_to_be_safe[no log-12]",
    ),
    Mutant(
        "forgetting on the word of one clock",
        f"{SQLITE}/removal.py",
        "_ALL if trust_clock else _NONE",
        "_NONE if trust_clock is None else _ALL",
        f"{CONFORMANCE}::test_clock_is_not_believed_alone",
    ),
    Mutant(
        "a claim that does not raise the epoch",
        f"{SQLITE}/runs.py",
        "UPDATE run SET epoch = epoch + 1,",
        "UPDATE run SET epoch = epoch,",
        "tests/faults/test_races.py::test_an_owner_that_was_stopped_and_taken_over_from_writes_nothing_more",
    ),
    Mutant(
        "a claim that does not ask whether the owner lives",
        f"{SQLITE}/runs.py",
        "if owner is not None and not force and workers.is_at_work(",
        "if owner is not None and force and workers.is_at_work(",
        "tests/state/test_sqlite_ownership.py::test_living_owner_is_not_disturbed",
    ),
    Mutant(
        "a journal without UNIQUE",
        f"{SQLITE}/schema.py",
        "started_at REAL NOT NULL, ended_at REAL NOT NULL,\n      UNIQUE(run, path)) STRICT",
        "started_at REAL NOT NULL, ended_at REAL NOT NULL) STRICT",
        f"{CONFORMANCE}::test_one_of_many_results_at_one_path_wins",
    ),
    Mutant(
        "an acknowledgement before the commit",
        f"{SQLITE}/batches.py",
        "        return [outcome for part in parts for outcome in _apply_all(file, part)]\n",
        "        outcomes = [outcome for part in parts for outcome in _apply_all(file, part)]\n"
        "        tell(batch, outcomes)\n        return outcomes\n",
        "tests/state/test_sqlite_writer.py::test_nobody_is_told_before_the_commit",
    ),
    Mutant(
        "a pause without its question",
        f"{BUILTIN}/hitl.py",
        "            await journal.record_wait(asked, step.fingerprint + item)\n",
        "            del item\n",
        "tests/faults/test_crash_points.py::test_a_crash_at_the_point_loses_and_repeats_nothing[after_finish]",
    ),
    Mutant(
        "a pause that is written before its question",
        f"{SQLITE}/backend.py",
        "        work = partial(records.add, claim=claim, record=record, wid=wid)\n",
        "        if record.kind == 3:\n"
        "            late = partial(self.answer, claim.run_id, record)\n"
        "            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(late()))\n"
        "            return\n"
        "        work = partial(records.add, claim=claim, record=record, wid=wid)\n",
        "tests/faults/test_crash_points.py::test_a_crash_at_the_point_loses_and_repeats_nothing[after_finish]",
    ),
    Mutant(
        "an answer without its guard",
        f"{SQLITE}/records.py",
        "ON CONFLICT DO NOTHING",
        "ON CONFLICT DO UPDATE SET out = excluded.out",
        f"{CONFORMANCE}::test_one_of_many_answers_is_taken",
    ),
    Mutant(
        "forgetting without the filter of states",
        f"{SQLITE}/removal.py",
        "WHERE status IN (3, 4, 5) AND ended_at",
        "WHERE ended_at",
        f"{CONFORMANCE}::test_only_what_has_ended_is_forgotten_with_time",
    ),
    Mutant(
        "a path without the number of the turn",
        f"{BUILTIN}/loop.py",
        'at=f"[{index}]"',
        'at="[0]"',
        "tests/faults/test_kills.py::test_the_undisturbed_run_is_the_one_that_was_meant",
    ),
    Mutant(
        "a record that is not looked up",
        f"{ENGINE}/journal.py",
        "        record = self._results.get(path)\n        if record is None:\n            return None\n",
        "        record = None\n        if record is None:\n            return None\n",
        "tests/faults/test_places.py::test_a_step_that_was_recorded_and_not_acknowledged_runs_once",
    ),
    Mutant(
        "a change of the context that is not made again",
        f"{ENGINE}/recall.py",
        "    if delta is not None:\n",
        "    if delta is not None and not delta:\n",
        "tests/faults/test_kills.py::test_forty_kills_at_random_moments_lose_and_repeat_nothing",
    ),
    Mutant(
        "a reader that goes away and leaves the run at work",
        f"{RUNNER}/streaming.py",
        "        if not run.done():\n            stop(run)\n        await all_ended([run])",
        "       ",
        "tests/runner/test_streams.py::test_a_reader_that_goes_away_stops_the_run_where_it_can_be_resumed",
    ),
    Mutant(
        "a run that does not wait for its reader",
        f"{RUNNER}/streaming.py",
        "self.full = len(self._items) >= _AHEAD",
        "self.full = False",
        "tests/runner/test_streams.py::test_a_run_waits_for_its_reader",
    ),
    Mutant(
        "a run that is owned by nobody who works on it, after a cancellation",
        f"{RUNNER}/run_session.py",
        "            await undisturbed(self._disowned(task, error))\n",
        "",
        "tests/runner/test_lifecycle.py::test_cancelling_while_a_run_begins_leaves_no_run_that_nobody_owns",
    ),
    Mutant(
        "an answer that is taken for another question",
        f"{BUILTIN}/asking.py",
        "if asked.message != message:",
        "if not message:",
        "tests/policies/test_asking.py::test_another_question_than_was_answered_is_no_question_to_that_answer",
    ),
    Mutant(
        "a key that is another in each process",
        f"{ENGINE}/step_run.py",
        "def idempotency_key(self) -> str:",
        "def idempotency_key(self) -> str:\n        return str(id(self))\n\n    @property\n    def _key(self) -> str:",
        "tests/faults/test_places.py::"
        "test_a_step_that_ended_and_was_not_recorded_runs_twice_with_one_key_and_counts_once",
    ),
    Mutant(
        "a step that begins without a look whether somebody has stopped the run",
        f"{ENGINE}/executor_core.py",
        "    if plan.looks or now >= run.watch.due:\n",
        "    if now < 0:\n",
        "tests/runner/test_cancel.py::test_no_step_begins_that_had_to_look_first_though_none_before_it_waited",
    ),
    Mutant(
        "a step in doubt that a composite goes on from",
        f"{ENGINE}/retry.py",
        "    if not isinstance(outcome, Failure) or isinstance(outcome.error, SIGNALS):\n        return False\n",
        "    if not isinstance(outcome, Failure):\n        return False\n",
        "tests/policies/test_in_doubt.py",
    ),
    Mutant(
        "a recorded result that can't be read and that a composite goes on from",
        f"{ENGINE}/journal.py",
        "            self.failure = self.failure or error\n            raise self.failure  #",
        "            raise error  #",
        "tests/policies/test_in_doubt.py",
    ),
    Mutant(
        "a background step in doubt that nobody minds",
        f"{RUNNER}/ending.py",
        "isinstance(each, Aborted | Failure) and not tolerable(each)",
        "isinstance(each, Aborted)",
        "tests/policies/test_in_doubt.py::test_a_background_step_in_doubt_fails_the_run_that_went_on_without_it",
    ),
    Mutant(
        "claims that nobody counts",
        f"{SQLITE}/runs.py",
        "wid, claims + 1, number, epoch))",
        "wid, claims, number, epoch))",
        f"{CONFORMANCE}::test_run_that_never_gets_on_is_not_claimed_for_ever",
    ),
    Mutant(
        "a call that begins taken for progress",
        f"{SQLITE}/runs.py",
        "WHERE run = ? AND epoch = ? AND kind <> 7 AND (kind <> 1 OR attempt) LIMIT 1",
        "WHERE run = ? AND epoch = ? LIMIT 1",
        f"{CONFORMANCE}::test_run_that_never_gets_on_is_not_claimed_for_ever",
    ),
    Mutant(
        "calls that are lost and not counted",
        f"{RUNNER}/run_session.py",
        "            await journal.count_lost()\n",
        "            pass\n",
        "tests/runner/test_budgets.py::"
        "test_a_process_that_dies_in_the_same_call_again_and_again_spends_no_more_than_there_is",
    ),
    Mutant(
        "a wish to cancel that dies with the owner",
        f"{SQLITE}/runs.py",
        "return RunStatus.CANCELLED if cancel else RunStatus.INTERRUPTED, None",
        "return RunStatus.INTERRUPTED, None",
        "tests/state/test_sqlite_ownership.py::test_killed_owner_that_was_asked_to_stop_leaves_a_cancelled_run",
    ),
)


def copy_packages(folder: Path) -> None:
    """The four packages' sources as they are."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "packages", folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))


def mutate(folder: Path, mutant: Mutant) -> None:
    """Raise `SystemExit` when the text does not stand there exactly once: the mutant would prove nothing."""
    file = folder / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.file}")
    file.write_text(text.replace(mutant.old, mutant.new))


def passes(folder: Path, *tests: str, told: bool = False, within_s: float = TIMEOUT_S) -> bool | None:
    """Whether the tests pass with the packages in `folder`; None for no end in that time. `told` shows why not."""
    path = os.pathsep.join(str(source) for source in folder.glob("*/src"))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "FLUJO_TEST_PROFILE": "unshrunk"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=within_s, check=False, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests could not be run:\n{done.stdout}{done.stderr}")
    if told and done.returncode:
        print(done.stdout)
    return done.returncode == 0


def main(names: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with tempfile.TemporaryDirectory(prefix="flujo-mutants-") as temporary:
        folder = Path(temporary) / "packages"
        copy_packages(folder)
        tests = sorted({mutant.test for mutant in chosen})
        if not passes(folder, *tests, told=True, within_s=TIMEOUT_S * len(tests)):
            raise SystemExit("the tests fail, or come to no end, without any mutant")
        came_to: list[str] = []
        for mutant in chosen:
            copy_packages(folder)
            mutate(folder, mutant)
            began = time.monotonic()
            came_to.append(_CAME_TO[passes(folder, mutant.test)])
            seconds = time.monotonic() - began
            print(f"{came_to[-1]:8} {seconds:5.0f} s  {mutant.name}", flush=True)
    found, late = came_to.count("found"), came_to.count("NO END")
    print(f"{found} of {len(chosen)} mutants found; of {late} the test came to no end, which says nothing")
    return 0 if found == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
