"""The place where a run is rehearsed: a copy of the project, a state of its own, and what is left when it is over."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from flujo.exceptions import ConfigurationError, ExecutionError
from flujo_cli.output import one_line
from flujo_cli.rehearsal import Job, Report

__all__ = ["Ending", "Stage", "differences"]

#: What a copy of the project does without, and what is not compared: states, versions, environments, compiled code.
_LEFT_OUT = (".flujo", ".git", ".venv", "node_modules", "__pycache__")

#: A process that died by SIGKILL.
_KILLED = -9

_LINES, _WIDTH = 12, 120


class Ending(NamedTuple):
    """What a rehearsed run came to, and the files that the project has then, by path."""

    report: Report
    files: dict[str, bytes]


class Stage:
    """Plays a run again and again in a temporary `folder`: always at the same place, so that paths are equal.

    Links into the project lead into its copy there, and others where they led. Raises `ConfigurationError` for what is
    neither file, folder nor link.
    """

    def __init__(self, folder: Path, project: Path, job: Job) -> None:
        self._begin, self._project, self._state = folder / "begin", folder / "project", folder / "state"
        self._told, self._report, self._log = folder / "job.json", folder / "report.json", folder / "log"
        self._job = job._replace(state=f"sqlite:///{quote(str(self._state))}/state.db?sync=normal")
        for path in _walk(project):
            if not (path.is_symlink() or path.is_file()):
                raise ConfigurationError(
                    f"{path.relative_to(project).as_posix()!r} is no file that could be copied",
                    suggestion="take it out of the project: it is a pipe, a socket or a device",
                )
        shutil.copytree(project, self._begin, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for path in filter(Path.is_symlink, _walk(project)):
            copy = self._begin / path.relative_to(project)
            copy.unlink()
            copy.symlink_to(_led(path, project, self._project))

    def play(self, die_after: int | None = None) -> Ending:
        """Run to the end; with `die_after` the process dies after that record, and another one goes on.

        Raises `ExecutionError` when a process breaks off otherwise.
        """
        for folder in (self._project, self._state):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._begin, self._project, symlinks=True)
        report = None if die_after is None else self._live(die_after)
        report = report or self._live(None)
        if report is None:
            raise ExecutionError("the process of the rehearsal was killed from outside")
        return Ending(report, dict(_files(self._project)))

    def _live(self, die_after: int | None) -> Report | None:
        """What one process came to; None if it was killed."""
        self._told.write_text(json.dumps(self._job._replace(die_after=die_after)._asdict()), encoding="utf-8")
        command = [sys.executable, "-P", "-B", "-m", "flujo_cli.rehearsal", str(self._told), str(self._report)]
        with self._log.open("wb") as log:
            done = subprocess.run(  # noqa: S603 - this very program
                command, cwd=self._project, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode == _KILLED:
            return None
        if done.returncode:
            said = self._log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise ExecutionError(f"the run broke off: {one_line(said) or f'exit code {done.returncode}'}")
        return Report(**json.loads(self._report.read_bytes()))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file under `folder` with its bytes; of a link, where it leads."""
    for path in _walk(folder):
        data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        yield path.relative_to(folder).as_posix(), data


def _walk(folder: Path) -> Iterator[Path]:
    """Everything under `folder` that is no folder."""
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - set(_LEFT_OUT))
        for name in sorted({*names, *(each for each in folders if Path(at, each).is_symlink())} - set(_LEFT_OUT)):
            yield Path(at, name)


def _led(link: Path, project: Path, copy: Path) -> Path:
    """Where the copy of `link` leads: one by a relative path that stays in the project is as it was."""
    told, here = link.readlink(), link.parent.relative_to(project)
    if not told.is_absolute() and not os.path.normpath(here / told).startswith(".."):
        return told
    target = Path(os.path.normpath(link.parent / told))
    root = next((root for root in (project, project.resolve()) if target.is_relative_to(root)), None)
    return target if root is None else copy / target.relative_to(root)


def differences(expected: Ending, got: Ending) -> list[str]:
    """What is not as in the undisturbed run, a text of one or more lines each.

    A run that ended in doubt could not come to the same: of it only steps that ran again are told.
    """
    want, have = expected.report, got.report
    found = [f"step {path!r} was recorded, and ran again" for path in have.again]
    if have.doubts:
        return found
    found += [f"step {path!r} has no result" for path in want.steps if path not in have.steps]
    found += [f"step {path!r} has a result, which it had not" for path in have.steps if path not in want.steps]
    for name in ("status", "error", "output", "context", "pending"):
        found += _unequal(name, getattr(want, name), getattr(have, name))
    for path in sorted({*expected.files, *got.files}):
        found += _unequal_files(path, expected.files.get(path), got.files.get(path))
    return found


def _unequal(where: str, want: Any, have: Any) -> Iterator[str]:
    if isinstance(want, dict) and isinstance(have, dict):
        for key in {**want, **have}:
            yield from _unequal(f"{where}.{key}", want.get(key), have.get(key))
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for index, (one, other) in enumerate(zip(want, have, strict=True)):
            yield from _unequal(f"{where}[{index}]", one, other)
    elif want != have:
        yield f"{where}: {_short(have)}, undisturbed {_short(want)}"


def _short(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False), _WIDTH)


def _unequal_files(path: str, want: bytes | None, have: bytes | None) -> Iterator[str]:
    if want == have:
        return
    if want is None or have is None:
        yield f"file {path}: {'it is there, undisturbed it is not' if want is None else 'it is not there'}"
        return
    try:
        before, after = want.decode().splitlines(), have.decode().splitlines()
    except UnicodeDecodeError:
        yield f"file {path}: other bytes ({len(have)}, undisturbed {len(want)})"
        return
    diff = islice(unified_diff(before, after, "undisturbed", "rehearsed", n=1, lineterm=""), _LINES)
    yield "\n".join([f"file {path}:", *(one_line(line, _WIDTH) for line in diff)])
