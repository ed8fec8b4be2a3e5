"""The runs of a state, as a program lists them."""

from collections.abc import Mapping
from typing import NamedTuple

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.scope import NOTHING
from flujo.domain.usage import NO_USAGE, Usage

__all__ = ["RunSummary", "read_runs"]

#: As many runs are looked at at once.
_PAGE = 200


class RunSummary(NamedTuple):
    """How a run stands: times in seconds since the epoch, what it has used, and what it failed with.

    `key` is its idempotency key, `owner` the process that it is at work in; `ended_at` is None before its end.
    """

    run_id: str
    status: RunStatus
    pipeline: str
    created_at: float
    updated_at: float
    ended_at: float | None = None
    error: ErrorInfo | None = None
    usage: Usage = NO_USAGE
    key: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] = NOTHING


async def read_runs(backend: StateBackend, status: RunStatus | None, prefix: str, limit: int) -> tuple[RunSummary, ...]:
    """The newest runs, at most `limit`, that stand so and whose ids start with `prefix`."""
    found: list[RunSummary] = []
    offset = 0
    while len(found) < limit and (page := await backend.list(prefix=prefix, limit=_PAGE, offset=offset)):
        found += (_summary(row) for row in page if status in (None, row.status))
        offset += len(page)
    return tuple(found[:limit])


def _summary(row: RunRow) -> RunSummary:
    return RunSummary(*(getattr(row, name) for name in RunSummary._fields))
