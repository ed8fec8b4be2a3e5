"""How runs are named on the command line: a whole id, any unique prefix, `@last`, `@{2}`."""

import re

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.exceptions import RunNotFound, StateCorrupt
from flujo_cli.streams import CommandError

__all__ = ["REFERENCE_HELP", "find_run"]

REFERENCE_HELP = "RUN is a run's id or the beginning of it, @last, or @{2} for the one before the last."

_SHOWN = 5


async def find_run(backend: StateBackend, reference: str) -> RunRow:
    """The run that `reference` means.

    Raises `RunNotFound`, `StateCorrupt`, and `CommandError` for one that could be several or is empty: that begins
    every id, and is more often a variable that was never set.
    """
    if not reference.strip():
        raise CommandError(f"{reference!r} names no run", suggestion=REFERENCE_HELP)
    if reference.startswith("@"):
        return await _newest(backend, reference)
    exact = await backend.get(reference)
    if exact is not None:
        return exact
    rows = await backend.list(prefix=reference, limit=_SHOWN + 1)
    if not rows:
        raise RunNotFound(f"no run {reference!r}", suggestion="`flujo runs list` shows the runs there are")
    if len(rows) > 1:
        ids = ", ".join(row.run_id for row in rows[:_SHOWN]) + (", ..." if len(rows) > _SHOWN else "")
        raise CommandError(f"{reference!r} is the beginning of several runs: {ids}")
    return await _whole(backend, rows[0], prefix=reference)


async def _newest(backend: StateBackend, reference: str) -> RunRow:
    match = re.fullmatch(r"@(?:last|\{([1-9][0-9]{0,8})\})", reference)
    if match is None:
        raise CommandError(f"{reference!r} is no way to name a run", suggestion=REFERENCE_HELP)
    offset = int(match[1] or 1) - 1
    rows = await backend.list(limit=1, offset=offset)
    if not rows:
        raise RunNotFound(f"no run {reference!r}", suggestion="`flujo runs list` shows the runs there are")
    return await _whole(backend, rows[0], offset=offset)


async def _whole(backend: StateBackend, row: RunRow, *, prefix: str = "", offset: int = 0) -> RunRow:
    """The row with its input and output, which lists leave out. Raises `StateCorrupt` for one that is only listed."""
    whole = await backend.get(row.run_id)
    if whole is not None:
        return whole
    listed = [each.run_id for each in await backend.list(prefix=prefix, limit=1, offset=offset)]
    if row.run_id not in listed:
        raise RunNotFound(f"run {row.run_id!r} was removed just now")
    raise StateCorrupt(
        f"run {row.run_id!r} is among those that are listed, and not found by its id",
        suggestion="the state is damaged: `flujo db check` says where",
    )
