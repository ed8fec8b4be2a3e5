"""What the steps of a recorded run were given: no record has it, and a replay comes to it again."""

from contextlib import suppress
from typing import Any

from flujo.domain.interfaces import RecordKind
from flujo.exceptions import ValueNotStorable
from flujo.runner.definitions import bare_path
from flujo.runner.flujo import Flujo
from flujo.runner.replay_executor import replay

__all__ = ["inputs_of"]


async def inputs_of(flujo: Flujo[Any, Any, Any], run_id: str) -> dict[str, bytes]:
    """By the paths of the run's steps what each was given, its templates rendered, written as a record would have it.

    Nothing is executed. What no record could hold is left out, and so is every step whose result was copied from
    another run, which may have had another input. Raises `RunNotFound`, and `ReplayMismatchError` where the pipeline
    does not come to what is recorded.
    """
    session, found = flujo._session, dict[str, bytes]()

    def note(path: str, data: Any) -> None:
        with suppress(ValueNotStorable):
            found[path] = session.codec.encode(data, where=f"the input of {path!r}")

    await replay(session, run_id, note)
    row = await session.find(run_id)
    for record in await session.backend.load(run_id) if "rerun_of" in row.tags else ():
        if record.ended_at < row.created_at and record.kind is RecordKind.RESULT:
            found.pop(bare_path(record), None)
    return found
