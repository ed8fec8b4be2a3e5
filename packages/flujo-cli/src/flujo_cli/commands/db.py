"""`flujo db`: check the state, bring it up to date, copy it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flujo.domain.interfaces import MaintainedBackend, StateBackend
from flujo.exceptions import ConfigurationError, StateCorrupt
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, show_error
from flujo_cli.records import read_state

__all__ = ["db_backup", "db_check", "db_migrate"]

T = TypeVar("T")


def _maintain(options: Options, state: str | None, work: Callable[[MaintainedBackend], Awaitable[T]]) -> T:
    async def maintain(backend: StateBackend) -> T:
        if isinstance(backend, MaintainedBackend):
            return await work(backend)
        raise ConfigurationError(
            f"{type(backend).__name__} is no state that can be checked, brought up to date or copied",
            suggestion="name another state by --state",
        )

    return asyncio.run(read_state(options, state, maintain))


def _tell(as_json: bool, what: str, told: dict[str, Any], *words: str) -> None:
    console = Console()
    if as_json:
        console.json({"schema": f"flujo.db-{what}/1", **told})
        return
    for line in words:
        console.out(line)


_SALVAGE = """
Without a backup, what can be read of a damaged state file makes a new one, by SQLite's own shell:

\b
  sqlite3 state.db "SELECT 'PRAGMA application_id = ' || application_id || ';
    PRAGMA user_version = ' || user_version || ';'
    FROM pragma_application_id, pragma_user_version" > salvaged.sql
  sqlite3 state.db .dump | sed 's/^ROLLBACK.*/COMMIT;/' >> salvaged.sql
  sqlite3 salvaged.db < salvaged.sql
  flujo db check --state sqlite:///salvaged.db

Whatever could not be read is not in it, and the check can't know that it is missing: a run that has lost records, and
is resumed there, does their steps again, those with `effects: at-most-once` too. Look at each run by `runs show` first.
"""


@click.command(epilog=_SALVAGE)
@json_option
@state_option
@click.pass_obj
def db_check(options: Options, as_json: bool, state: str | None) -> ExitCode:
    """Read the whole state, and say what is wrong with it; nothing is changed.

    Every page and row is read, every input, output, result, question, answer and change of the context decoded, and
    every large value compared with its hash. Classes are not looked for: a value whose class is gone is whole. A
    definition is not compared with its hash, which is made without what may change in it, as the kinds of steps say.
    """
    problems = list(_maintain(options, state, lambda backend: backend.check()))
    _tell(as_json, "check", {"valid": not problems, "problems": problems}, *(problems or ["ok"]))
    if not problems:
        return ExitCode.OK
    show_error(Console(), _damaged(len(problems)))
    return ExitCode.USAGE


def _damaged(count: int) -> StateCorrupt:
    told = "1 thing is" if count == 1 else f"{count} things are"
    return StateCorrupt(
        f"{told} wrong with the state",
        suggestion="restore a backup; without one `flujo db check --help` says how to salvage what can be read",
    )


@click.command()
@json_option
@state_option
@click.pass_obj
def db_migrate(options: Options, as_json: bool, state: str | None) -> None:
    """Bring the state to the schema of this version, which the first write to it does anyway."""
    before, now = _maintain(options, state, lambda backend: backend.migrate())
    said = f"the schema is {now}" if before == now else f"the schema was {before}, and is {now}"
    _tell(as_json, "migrate", {"before": before, "now": now}, said)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@state_option
@click.pass_obj
def db_backup(options: Options, file: Path, as_json: bool, state: str | None) -> None:
    """Copy the whole state to the new FILE, while others may work on it."""
    target = file.absolute()
    size = _maintain(options, state, lambda backend: backend.backup(str(target)))
    _tell(as_json, "backup", {"file": str(target), "bytes": size}, f"{target}: {size} bytes")
