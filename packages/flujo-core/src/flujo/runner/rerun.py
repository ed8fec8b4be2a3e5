"""A new run that begins with what another has recorded before one of its steps."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.domain.usage import NO_USAGE
from flujo.engine.changes import sink
from flujo.exceptions import ConfigurationError, DefinitionChanged
from flujo.runner.contexts import recorded_context
from flujo.runner.definitions import bare_path, misfits, place_of, places_of
from flujo.runner.ids import check_run_id, new_run_id
from flujo.runner.run_session import Begun, RunSession

__all__ = ["SAME_INPUT", "Again", "records_before", "rerun"]


class _SameInput:
    def __repr__(self) -> str:
        return "SAME_INPUT"


#: What stands for an input where the new run is to have that of the other: None is an input.
SAME_INPUT: Any = _SameInput()

#: Where the path of a step, or of one that it stands in, ends in a path.
_END = re.compile(r"[/\[]|$")


class Again(NamedTuple):
    """The run `as_run` (None: a new id) is to begin at the step `path` of another: with its input and context, but for
    an `input` of its own and `data`: values of fields, or by dotted paths in them.
    """

    run_id: str
    path: str
    as_run: str | None
    input: Any
    data: Mapping[str, Any]


async def rerun(again: Again, session: RunSession) -> Begun:
    """Write the run down that is wanted.

    Raises `ConfigurationError` for a path that the other run does not have, `ContextFieldError` for data that does not
    fit, and `DefinitionChanged` when what is to be taken from its record is not the pipeline's.
    """
    run_id, path, own, input, data = again
    if own is not None:
        check_run_id(own)
    as_run = own or new_run_id(session.clock.now())
    row = await session.find(run_id)
    records = records_before(session.pipeline, await session.backend.load(run_id), path, run_id)
    if wrong := misfits(session.pipeline, records):
        raise DefinitionChanged(
            f"what run {run_id!r} has recorded before {path!r} does not fit pipeline {session.pipeline.name!r}: "
            f"{', '.join(wrong.values())}",
            suggestion=f"begin at {next(iter(wrong))!r}, or put the pipeline back as it was",
        )
    if input is SAME_INPUT:
        input = session.decoded(row.input, "input")
    fields = {name: value for name, value in data.items() if "." not in name}
    context = recorded_context(session.context_model, as_run, input, session.base(row), fields)
    for place in filter(lambda name: name not in fields, data):
        sink(context, place, data[place])
    tags = {"rerun_of": row.run_id, "rerun_from": path}
    return await session.begin(as_run, input, context, records=records, tags=tags)


def records_before(
    pipeline: Step[Any, Any], records: Sequence[JournalRecord], path: str, run_id: str
) -> list[JournalRecord]:
    """The records that a run has which begins at `path`: those written before its first one, as far as the pipeline
    does not come to them after it. They count no cost: the other run has paid. A question that is open is left out.

    Raises `ConfigurationError` for a path that is neither the pipeline's nor in the record.
    """
    places = places_of(pipeline)
    known = {*places, *(end for record in records for end in _ends(bare_path(record)))}
    known = {each for each in known if each and "[]" not in each}
    if path not in known:
        near = did_you_mean(path, known, what="its steps are")
        raise ConfigurationError(f"run {run_id!r} has no step {path!r}", suggestion=near)
    first = (number for number, record in enumerate(records) if path in _ends(bare_path(record)))
    before = [record for record in records[: next(first, len(records))] if record.kind is not RecordKind.CALL]
    order = {place: number for number, place in enumerate(places)}
    closed = {bare_path(record) for record in before if record.kind in (RecordKind.RESULT, RecordKind.ANSWER)}

    def is_later(other: str) -> bool:
        pairs = zip(_ends(path), _ends(other), strict=False)
        mine, theirs = next((pair for pair in pairs if pair[0] != pair[1]), (path, path))
        mine, theirs = place_of(mine), place_of(theirs)
        around = places.get(mine.rpartition("/")[0], ())
        return any(step.in_order for step in around) and order.get(theirs, -1) > order.get(mine, len(order))

    return [
        record._replace(usage=NO_USAGE)
        for record in before
        if not is_later(bare_path(record)) and (record.kind is not RecordKind.WAIT or bare_path(record) in closed)
    ]


def _ends(path: str) -> Iterator[str]:
    """The paths of the steps that a step stands in, the outermost first, and its own."""
    return (path[: found.start()] for found in _END.finditer(path))
