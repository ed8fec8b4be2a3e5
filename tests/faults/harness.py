"""What the fault tests know of a run from outside: the ledger of its steps, its journal, and what both must say."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from flujo_state_sqlite.backend import SqliteBackend

RECORDED = "SELECT r.run_id, j.path FROM journal AS j JOIN run AS r ON r.id = j.run WHERE j.kind = 0"
#: Runs that wait for a person who was never asked.
UNASKED = (
    "SELECT run_id FROM run AS r WHERE status = 2 AND NOT EXISTS (SELECT 1 FROM journal WHERE run = r.id AND kind = 3)"
)
TWICE = "SELECT run, path FROM journal GROUP BY run, path HAVING COUNT(*) > 1"


class Line(NamedTuple):
    """One line of the ledger: `begin` and `end` are the step's own, `ack` says that the engine had its result safe."""

    word: str
    run: str
    path: str
    key: str
    pid: str


def read_ledger(folder: Path) -> list[Line]:
    path = folder / "ledger.txt"
    return [Line(*line.split()) for line in path.read_text().splitlines()] if path.exists() else []


class Nemesis:
    """Starts lives, from a server that has loaded everything once, and ends them."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._server = subprocess.Popen(command, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._undisturbed: dict[str, tuple[dict[str, Any], set[str]]] = {}

    def start(self, folder: Path, runs: list[str], pipeline: str = "pipeline.yaml", **options: Any) -> int:
        """The process id of a new life of `runs` in `folder`."""
        return int(self._ask("start", folder=str(folder), runs=runs, pipeline=pipeline, **options))

    def load(self, folder: Path, name: str, *, runs: int, seconds: float) -> int:
        """The process id of a new process that writes to so many runs at once."""
        return int(self._ask("load", folder=str(folder), prefix=name, runs=runs, seconds=seconds))

    def wait(self, pid: int) -> tuple[int, dict[str, Any] | None]:
        """How a life ended, negative for a signal, and what it told if it came to its end."""
        code, told = self._ask("wait", pid=pid)
        return code, told

    def undisturbed(self, pipeline: str) -> tuple[dict[str, Any], set[str]]:
        """What a run comes to if nothing happens to it, and the paths of its steps that leave a trace."""
        if pipeline not in self._undisturbed:
            with tempfile.TemporaryDirectory(prefix="flujo-") as folder:
                Path(folder, "mended").touch()
                _, told = self.wait(self.start(Path(folder), ["run-00"], pipeline))
                lines = read_ledger(Path(folder))
            paths = {line.path for line in lines if line.word == "end"}
            self._undisturbed[pipeline] = told["results"]["run-00"], paths
        return self._undisturbed[pipeline]

    def _ask(self, name: str, **request: Any) -> Any:
        self._server.stdin.write(json.dumps([name, request]) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, f"the server has died of {name} {request}"
        return json.loads(answer)

    def close(self) -> None:
        self._server.communicate()


class Case:
    """A state in `folder` on which `runs` live and die; every life is compared with what was known before it."""

    def __init__(
        self, nemesis: Nemesis, folder: Path, runs: list[str], pipeline: str = "pipeline.yaml", **options: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.nemesis, self.folder, self.runs, self.pipeline = nemesis, folder, runs, pipeline
        self.options = options
        self.kills = self.again = 0

    def ledger(self) -> list[Line]:
        return read_ledger(self.folder)

    def tell(self, name: str, text: str = "") -> None:
        """Leave a file for the steps."""
        (self.folder / name).write_text(text)

    def untell(self, name: str) -> None:
        (self.folder / name).unlink()

    def await_begin(self, path: str, pids: Collection[int]) -> int:
        """Which of the processes begins the step at `path`, once one does."""
        known = {str(pid) for pid in pids}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for line in self.ledger():
                if (line.word, line.path) == ("begin", path) and line.pid in known:
                    return int(line.pid)
            time.sleep(0.002)
        raise AssertionError(f"nobody began {path}")

    def start(self, **options: Any) -> int:
        """The process id of a life that is not waited for."""
        return self.nemesis.start(self.folder, self.runs, self.pipeline, **options)

    def begun(self, pid: int | None = None) -> list[str]:
        """The paths of the steps that were begun, by one process or by any, in their order."""
        return [line.path for line in self.ledger() if line.word == "begin" and str(pid or line.pid) == line.pid]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the state, which stays as the last life has left it: a reader takes nothing over from its log."""
        path = self.folder / "state.db"
        if not path.exists():
            return []
        if not path.with_name("state.db-journal").exists():
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                return connection.execute(statement, values).fetchall()
        with tempfile.TemporaryDirectory(prefix="flujo-") as copy:  # a state half made can only be read by mending it
            for half in self.folder.glob("state.db*"):
                shutil.copy(half, copy)
            with closing(sqlite3.connect(Path(copy, "state.db"))) as connection:
                made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone()
                return connection.execute(statement, values).fetchall() if made else []

    def fruitless(self) -> int:
        """How many lives in a row have recorded nothing, at the run that has seen most of them."""
        return max((claims for (claims,) in self.query("SELECT claims FROM run")), default=0)

    def recorded(self) -> set[tuple[str, ...]]:
        """The runs and paths that have a result."""
        return set(self.query(RECORDED))

    def live(self, *, crash: tuple[str, int] | None = None, kill_after_s: float | None = None) -> dict[str, Any] | None:
        """One life: to the end, to its crash, or to the kill. What it told, None if it died."""
        known, before = self.recorded(), len(self.ledger())
        pid = self.start(crash=crash, **self.options)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)
        code, told = self.nemesis.wait(pid)
        assert code in (0, -signal.SIGKILL), f"a life ended with {code}: see its traceback"
        self.kills += code != 0
        self._check_life(known, self.ledger()[before:])
        return told if code == 0 else None

    def _check_life(self, known: set[tuple[str, ...]], lines: list[Line]) -> None:
        begun = Counter((line.run, line.path) for line in lines if line.word == "begin")
        assert not begun.keys() & known, "a recorded step ran again"
        assert set(begun.values()) <= {1}, "a step ran twice in one life"
        recorded = self.recorded()
        assert known <= recorded, "a record was lost"
        assert self.query(UNASKED) == [], "a run waits without a question"
        paths = self.nemesis.undisturbed(self.pipeline)[1]
        acknowledged = {(line.run, line.path) for line in lines if line.word == "ack" and line.path in paths}
        assert acknowledged <= recorded, "an acknowledged result was lost"

    def finish(self) -> dict[str, Any]:
        """Live to the end, and compare everything with lives that nobody disturbed."""
        told = self.live()
        assert told is not None
        undisturbed, paths = self.nemesis.undisturbed(self.pipeline)
        for run, result in told["results"].items():
            assert result == undisturbed, f"{run} came to something else: {result}"
        self._check_ledger(paths)
        assert asyncio.run(SqliteBackend(self.folder / "state.db").check()) == []
        assert self.query(TWICE) == [], "a path is recorded twice"
        return told

    def _check_ledger(self, paths: set[str]) -> None:
        ended, keys = set(), defaultdict(set)
        lines = [line for line in self.ledger() if line.word != "ack"]
        for line in lines:
            keys[line.run, line.path].add(line.key)
            if line.word == "end":
                ended.add((line.run, line.path))
        assert ended == {(run, path) for run in self.runs for path in paths}, "a step is missing, or one too many"
        assert {len(each) for each in keys.values()} == {1}, "a step has had two idempotency keys"
        assert len(set().union(*keys.values())) == len(keys), "two steps have had one idempotency key"
        self.again = sum(line.word == "begin" for line in lines) - len(keys)
