"""`--crash-every-step`: every pipeline that a test runs by a fixture is also killed after its records, and resumed."""

import asyncio
import inspect
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from flujo.domain.events import StepStarted
from flujo.domain.interfaces import RecordKind, StateBackend
from flujo.testing import DyingBackend, RecordingSink
from flujo_state_sqlite.backend import SqliteBackend

#: A life: runs something to its end, from what is recorded, and says in words that can be compared what it came to.
Life = Callable[[StateBackend, RecordingSink], Awaitable[Any]]

#: So many records are each followed by a crash, after more of them only some are, and none after so many seconds.
_EACH = 30
_ENOUGH_S = 20.0

#: A life that takes longer than this has come to a standstill.
_HUNG_S = 60.0

TALLY = pytest.StashKey[dict[str, int]]()
SKIPPED = pytest.StashKey[dict[str, str]]()

#: How many examples of each rule that names no number are tried by the gate, and by `nox -s faults`.
_FEW, _MANY = 40, 200

#: Of so many pipelines at least one may have nothing to be compared with.
_COMPARABLE = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-every-step", action="store_true", help="kill what is run after each of its records, and resume it"
    )
    parser.addoption("--crash-floor", type=int, default=0, help="fail when fewer pipelines were compared than this")
    parser.addoption("--fail-on-skip", action="store_true", help="fail when a test was skipped, and say which")


def pytest_configure(config: pytest.Config) -> None:
    _load_profile(os.environ.get("FLUJO_TEST_PROFILE", "flujo"))
    config.stash[TALLY] = {"pipelines": 0, "crashes": 0, "not comparable": 0}
    config.stash[SKIPPED] = {}
    config.pluginmanager.register(_Skips(config.stash[SKIPPED]), "flujo-skips")


def _load_profile(name: str) -> None:
    """How hypothesis looks: by chance, always at the same examples, at many more, or without telling the least one."""
    phases = [phase for phase in hypothesis.Phase if phase not in (hypothesis.Phase.shrink, hypothesis.Phase.explain)]
    profiles: dict[str, dict[str, Any]] = {
        "flujo": {},
        # The gate is not to find on one day what it did not find on another.
        "gate": {"max_examples": _FEW, "derandomize": True, "database": None},
        "faults": {"max_examples": _MANY, "print_blob": True},
        # Where nobody reads what is found, and a mutant is not to be found on one day only.
        "unshrunk": {"phases": phases, "derandomize": True, "database": None},
    }
    for each, options in profiles.items():
        hypothesis.settings.register_profile(each, deadline=None, **options)  # no test depends on how busy a machine is
    hypothesis.settings.load_profile(name)


class _Skips:
    """Notes what was skipped, and why."""

    def __init__(self, skipped: dict[str, str]) -> None:
        self.skipped = skipped

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped[report.nodeid] = why.removeprefix("Skipped: ")


def _complaints(config: pytest.Config) -> Iterator[str]:
    """What the session's options do not allow to be as it was."""
    tally, floor = config.stash[TALLY], config.getoption("--crash-floor")
    if tally["pipelines"] < floor:
        yield f"only {tally['pipelines']} pipelines were killed and compared, expected {floor} or more"
    if floor and tally["not comparable"] * _COMPARABLE > tally["pipelines"]:
        yield f"{tally['not comparable']} pipelines had nothing to be compared with, beside {tally['pipelines']}"
    if config.getoption("--fail-on-skip"):
        yield from (f"skipped: {test}: {why}" for test, why in config.stash[SKIPPED].items())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and any(_complaints(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for complaint in _complaints(config):
        terminalreporter.write_line(complaint, red=True)
    if config.getoption("--crash-every-step"):
        tally = config.stash[TALLY]
        terminalreporter.write_line("killed after every record: " + json.dumps(tally))


class Told(NamedTuple):
    """What a life came to, and the recorded steps that it ran again."""

    came_to: Any
    again: list[str]


class _Twice(NamedTuple):
    """A life that is lived a second time in the same memory; nothing, if that comes to something else."""

    life: Life
    state: Path

    async def __call__(self, backend: StateBackend, sink: RecordingSink) -> Any:
        came_to = await self.life(backend, sink)
        second = SqliteBackend(self.state, sync="normal")
        again = await self.life(second, RecordingSink())
        same = (again, await _recorded(second)) == (came_to, await _recorded(backend))
        await second.close()
        return came_to if same else None


async def _recorded(backend: StateBackend) -> list[tuple[str, RecordKind]]:
    """The places and kinds of the records of the one run there is."""
    return sorted([(each.path, each.kind) for row in await backend.list() for each in await backend.load(row.run_id)])


class Crashes:
    """Lives of a run in processes of their own, so that neither memory nor counters outlive a crash."""

    def __init__(self, folder: Path, tally: dict[str, int]) -> None:
        self._folder, self._tally = folder, tally
        self._made = itertools.count()

    def compare(self, life: Life) -> Callable[[Any], None]:
        """Kill `life` after each record and go on with it; a check that what it came to each time is this.

        Called before the test's own process runs anything. What can't be kept in a file, and steps that remember
        what they did before, whose second run comes to something else, have nothing to be compared with.
        """
        undisturbed, _ = self._forked(_Twice(life, self._state()), self._state(), None)
        survived = list(self._survived(life)) if undisturbed is not None else []

        def check(expected: Any) -> None:
            if undisturbed is None or undisturbed.came_to != expected:
                self._tally["not comparable"] += 1
                return
            self._tally["pipelines"] += 1
            self._tally["crashes"] += len(survived)
            assert survived == [Told(expected, [])] * len(survived)

        return check

    def _survived(self, life: Life) -> Iterator[Told | None]:
        number, died, enough = 1, True, time.monotonic() + _ENOUGH_S
        while died and time.monotonic() < enough:
            state = self._state()
            _, died = self._forked(life, state, number)
            if died:
                yield self._forked(life, state, None)[0]
            number += 1 + max(0, number - _EACH) // 4

    def _state(self) -> Path:
        return self._folder / f"{next(self._made)}.db"

    def _forked(self, life: Life, state: Path, die_after: int | None) -> tuple[Told | None, bool]:
        """What a life in a process of its own came to, if it has told that; and whether it died as it was to."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which no test has at work here
            pid = os.fork()
        if not pid:
            os.close(reading)
            # A thread of its own has no event loop that is running already.
            thread = threading.Thread(target=_live, args=(life, state, die_after, writing))
            thread.start()
            thread.join()
            os._exit(0)
        os.close(writing)
        guard = threading.Timer(_HUNG_S, os.kill, (pid, signal.SIGTERM))
        guard.start()
        with os.fdopen(reading) as told:
            text = told.read()
        guard.cancel()
        _, status = os.waitpid(pid, 0)
        return Told(*json.loads(text)) if text else None, status == signal.SIGKILL


def _live(life: Life, state: Path, die_after: int | None, writing: int) -> None:
    try:
        told = asyncio.run(_life(life, state, die_after))
        os.write(writing, json.dumps(told).encode())
    except BaseException:  # noqa: BLE001 - nobody else would hear of it
        traceback.print_exc()
    finally:
        os._exit(0)


async def _life(life: Life, state: Path, die_after: int | None) -> Told:
    backend = SqliteBackend(state, sync="normal")  # no machine dies here
    known = {path for path, kind in await _recorded(backend) if kind is RecordKind.RESULT}
    sink = RecordingSink()
    came_to = await life(DyingBackend(backend, die_after=die_after), sink)
    started = {event.path for event in sink.events if isinstance(event, StepStarted)}
    await backend.close()
    return Told(came_to, sorted(started & known))


def _open_files() -> dict[str, str]:
    """What this process has open, by the descriptor's number."""
    found = {}
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):  # that of the listing itself is closed again
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


@pytest.fixture
def no_file_left() -> Iterator[None]:
    """Fails a test that leaves a thread or an open file behind."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(1)  # one that was about to end is not left behind
    assert [(thread.name, vars(thread)) for thread in left if thread.is_alive()] == []
    assert {number: at for number, at in _open_files().items() if files.get(number) != at} == {}


@pytest.fixture
async def no_task_of_a_loop_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert [task.get_name() for task in left] == []


@pytest.fixture
def nothing_left(request: pytest.FixtureRequest, no_file_left: None) -> None:
    """Fails a test that leaves a task, a thread or an open file behind; warnings are errors anyway."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("no_task_of_a_loop_left")


@pytest.fixture
def crashes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crashes | None:
    """Only with `--crash-every-step`."""
    if not request.config.getoption("--crash-every-step"):
        return None
    return Crashes(tmp_path_factory.mktemp("crashes"), request.config.stash[TALLY])


@pytest.fixture(scope="session")
def quick_flujo() -> Iterator[Path]:
    """A command that does what the installed `flujo` does, and takes a tenth of its time to start (`commands.py`)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "FLUJO_"))}
    with tempfile.TemporaryDirectory(prefix="flujo-") as folder:
        command = [sys.executable, Path(__file__).with_name("commands.py"), folder]
        server = subprocess.Popen(command, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "ready\n"
        yield Path(folder, "flujo")
        server.communicate(timeout=60)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started is not measured for its coverage, which takes half as long again."""
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)


@pytest.fixture
def quick(quick_flujo: Path, monkeypatch: pytest.MonkeyPatch, unmeasured: None) -> None:
    """`flujo` is that command for what is started without its path, and nothing that is started is measured."""
    monkeypatch.setenv("PATH", f"{quick_flujo.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def author_modules() -> set[str]:
    """The modules that every author of a plugin may import: those that the guide names, and its page about tests."""
    pages = Path(__file__).resolve().parents[1] / "docs/plugins"
    guide, tests = ((pages / name).read_text(encoding="utf-8") for name in ("README.md", "testing.md"))
    rule = guide[guide.index("1. **Names.**") : guide.index("2. **")]
    named = set(re.findall(r"`(flujo[\w.]*)`", rule))
    return named | {
        f"flujo.testing.{each}" for each in re.findall(r"^\| `\w+Conformance` \| `(\w+)`", tests, re.MULTILINE)
    }
