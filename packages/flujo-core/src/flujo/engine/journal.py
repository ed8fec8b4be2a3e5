"""The record of one run: what each path came to, known before anything is executed."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

from flujo.domain.interfaces import Claim, Codec, JournalRecord, RecordKind, StateBackend, Sync
from flujo.domain.lives import CALL_LOST
from flujo.domain.outcomes import ErrorInfo, PendingAnswer
from flujo.domain.scope import NOTHING
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.asides import NO_ASIDES, Asides
from flujo.engine.changes import unshared
from flujo.engine.recorded import CHANGE, Answer, Item, Recorded, Settlement, asker_of, kept, words
from flujo.engine.shield import undisturbed
from flujo.engine.tracker import Tracker
from flujo.exceptions import DefinitionChanged, PayloadTooLarge, StateCorrupt, StateError, ValueNotStorable

__all__ = ["Answer", "Item", "Journal", "Recorded", "Settlement"]

#: How long the digest of a step is, which an item's follows in a record's fingerprint.
_STEP_DIGEST = 16

#: What most records are.
_RESULT = RecordKind.RESULT

_INDEX = re.compile(r"\[(\d+)\]")


class Journal:
    """Looks results up by path, and writes new ones down before anyone uses them.

    Without a `claim` it is `closed`: the run has ended, nothing is written, and nothing must be executed. Values pass
    through the codec when the backend `encodes`. A write that fails for a reason of the state's, and a value that can't
    be read, set `failure`: the run can't go on, whatever the steps around it would make of the error. A `tracker` knows
    whether the results are used that were written at `tracks_since` or later, in seconds since the epoch.
    """

    __slots__ = (
        "_asides",
        "_backend",
        "_claim",
        "_codec",
        "_counts",
        "_digests",
        "_results",
        "closed",
        "failure",
        "tracker",
    )

    def __init__(
        self,
        backend: StateBackend,
        claim: Claim | None,
        codec: Codec,
        records: Iterable[JournalRecord] = (),
        *,
        tracks_since: float | None = None,
    ) -> None:
        self._backend = backend
        self._claim = claim
        self.closed = claim is None
        self._codec = codec if backend.encodes else None
        self._digests = codec
        self._results: dict[str, JournalRecord] = {}
        self._asides = NO_ASIDES
        self.failure: BaseException | None = None
        for record in records:
            if record.kind is _RESULT:
                self._results[record.path] = record
            else:
                self._note(record)
        self.tracker: Tracker | None = None
        if tracks_since is not None and (self._results or self._asides is not NO_ASIDES):
            self.tracker = Tracker(self._results.values(), tracks_since, self._asides)
        self._counts: Mapping[str, int] | None = None if self._results else NOTHING

    def _note(self, record: JournalRecord) -> None:
        if record.kind is _RESULT:
            self._results[record.path] = record
            return
        if self._asides is NO_ASIDES:
            self._asides = Asides()
        self._asides.note(record)

    def __len__(self) -> int:
        """How many results are recorded."""
        return len(self._results)

    def recall(self, path: str, item: Item | None = None) -> Recorded | None:
        """The result recorded at `path`, if any. Raises `StateCorrupt` for one that can't be read.

        Raises `DefinitionChanged`, which ends the run, if the result is one of another `item`.
        """
        record = self._results.get(path)
        if record is None:
            return None
        if item is not None:
            self._check(record, item)
        if self._codec is None:
            return Recorded(unshared(record.out), record.delta, record)
        delta = None if record.delta is None else self._read(record.delta, path, CHANGE)
        return tuple_of(Recorded, (self._read(record.out, path), delta, record))

    def changed_fields(self) -> set[str]:
        """The context's fields that recorded steps have changed, by this process or one before it."""
        changed = (record for record in self._results.values() if record.delta is not None)
        return {operation[1][0] for record in changed for operation in self._read(record.delta, record.path, CHANGE)}

    def item(self, path: str, number: int, value: Any, within: Item | None) -> Item | None:
        """Name an item by its place and its value, `within` another; a value that can't be written down has no name."""
        try:
            written = self._digests.encode(value, where=path)
        except ValueNotStorable:
            return within
        key = within.digest if within else b""
        return Item(path, number, hashlib.blake2b(written, digest_size=16, key=key).digest())

    def check_items(self, path: str, count: int) -> None:
        """Raise `DefinitionChanged`, which ends the run, if more than `count` items of the map `path` are recorded."""
        if self._counts is None:
            self._counts = counts = dict[str, int]()
            for each in self._results:
                for found in _INDEX.finditer(each):
                    place = each[: found.start()]
                    counts[place] = max(counts.get(place, 0), int(found[1]) + 1)
        if self._counts.get(path, 0) > count:
            self.refuse(f"item {count} of {path!r} is not there any more")

    def _check(self, record: JournalRecord, item: Item | None) -> None:
        if item is not None and record.fingerprint and not record.fingerprint.endswith(item.digest):
            self.refuse(f"item {item.number} of {item.path!r} is not the one it was")

    def refuse(self, what: str, advice: str = "put the items back as they were") -> NoReturn:
        """Raise `DefinitionChanged`, which ends the run."""
        self.failure = DefinitionChanged(what, suggestion=f"{advice} to go on with this run, or start a new run")
        raise self.failure

    def knows(self, path: str) -> bool:
        """Whether a result is recorded at `path`."""
        return path in self._results

    def attempts(self, path: str) -> tuple[JournalRecord, ...]:
        """The failed attempts recorded at `path`, by this process or one before it, oldest first."""
        return tuple(self._asides.attempts.get(path, ()))

    def failed(self, path: str) -> JournalRecord | None:
        """The last failed attempt at `path`, if the step gave up after it."""
        last = self._asides.attempts[path][-1] if path in self._asides.attempts else None
        return last if last is not None and last.kind is RecordKind.FAILED else None

    def feedback(self, path: str) -> str | None:
        """What the last failed attempt recorded at `path` taught, if anything; one that was cancelled is none."""
        attempts = (record for record in reversed(self._asides.attempts.get(path, ())) if record.attempt)
        last = next(attempts, None)
        return None if last is None or last.out is None else str(self._read(last.out, last.path))

    def spent_on(self, path: str) -> Usage:
        """What the failed attempts recorded at `path` have used."""
        if self._asides is NO_ASIDES or path not in self._asides.attempts:
            return NO_USAGE
        return sum((record.usage for record in self._asides.attempts[path]), NO_USAGE)

    def spent(self, counts: Callable[[str], bool] = lambda path: True) -> Usage:
        """What the run has used: every record counts what it alone has used. Only paths that it `counts` do."""
        results = (record.usage for path, record in self._results.items() if counts(path))
        attempts = (self.spent_on(path) for path in self._asides.attempts if counts(path))
        return sum((usage for usage in (*results, *attempts) if usage is not NO_USAGE), NO_USAGE)

    def fell_back(self, path: str) -> bool:
        """Whether the step's attempts are used up and its fallback has its turn: neither has come to an end."""
        return bool((attempts := self._asides.attempts.get(path)) and attempts[-1].fallback)

    def retries_used(self, path: str) -> int:
        """How many recorded attempts count against the step's retries: those since it last gave up."""
        used = 0
        for record in reversed(self._asides.attempts.get(path, ())):
            if record.kind is RecordKind.FAILED:
                break
            used += record.attempt > 0
        return used

    def questions(self) -> tuple[PendingAnswer, ...]:
        """Every question, in the order in which they were asked."""
        return tuple(map(self.asked, self._asides.waits.values()))

    def waits(self) -> tuple[PendingAnswer, ...]:
        """The questions that are open: without an answer, or with one that their step failed with."""
        asides = self._asides
        return tuple(
            self.asked(record)
            for path, record in asides.waits.items()
            if asker_of(path) not in self._results and (path in asides.reopened or path not in asides.answers)
        )

    def wait(self, path: str, item: Item | None = None) -> PendingAnswer | None:
        """The question that the step at `path` has asked, open or not. Raises as `recall` does."""
        record = self._asides.waits.get(path)
        if record is None:
            return None
        self._check(record, item)
        return self.asked(record)

    def fingerprint(self, path: str) -> bytes:
        """The fingerprint of the step that has asked at `path`."""
        return self._asides.waits[path].fingerprint[:_STEP_DIGEST]

    def answer(self, path: str) -> Answer | None:
        """The last answer to the question at `path`, unless the question is open."""
        if path in self._asides.reopened or path not in self._asides.answers:
            return None
        record = self._asides.answers[path][-1]
        return Answer(**self._read(record.out, record.path, record.kind), at=record.ended_at)

    def begun(self, path: str, item: Item | None = None) -> JournalRecord | None:
        """The last beginning of the step at `path`, which may run only once. Raises as `recall` does."""
        if path not in self._asides.intents:
            return None
        record = self._asides.intents[path][-1]
        self._check(record, item)
        return record

    def settlement(self, path: str) -> Settlement | None:
        """What settles the last beginning of the step at `path`; None while nobody has said."""
        said = self._asides.settled.get(self._asides.intents[path][-1].path)
        return None if said is None else Settlement(**self._read(said.out, said.path, said.kind), at=said.ended_at)

    def doubts(self) -> list[str]:
        """The paths of steps that began, did not end and are not settled, those that are at work included."""
        open_ones = (path for path in self._asides.intents if path not in self._results and not self.fell_back(path))
        return [path for path in open_ones if self._asides.intents[path][-1].path not in self._asides.settled]

    def asked(self, record: JournalRecord) -> PendingAnswer:
        """The question that `record` holds."""
        told = self._read(record.out, record.path, record.kind)
        return PendingAnswer(record.path.removesuffix("?"), since=record.ended_at, **told)

    def _read(self, written: Any, where: str, kind: int = _RESULT) -> Any:
        """A recorded value. One that can't be read ends the run: whatever was done instead, was done already."""
        if self._codec is None:
            return unshared(written)
        try:
            value = self._codec.decode(written, where=where)
            return value if kind is _RESULT else words(kind, value, where)
        except StateCorrupt as error:
            self.failure = self.failure or error
            raise self.failure  # noqa: B904 - the same error, or one that came before it

    def encoded(self, value: Any, where: str) -> Any:
        """`value` as a record holds it. Raises `ValueNotStorable` when it can't be written; names `where`."""
        return unshared(value) if self._codec is None else self._codec.encode(value, where=where)

    async def record(self, record: JournalRecord) -> None:
        """Write a record down, the result of a step above all, its values `encoded`; return when it is safe.

        Raises `PayloadTooLarge` for a value that can't be written (the step's fault), and any other `StateError` when
        the state can't take it (the run's end).
        """
        assert self._claim is not None
        try:
            await self._backend.append(self._claim, record)
        except asyncio.CancelledError:
            await undisturbed(self._look_for(record))
            raise
        except PayloadTooLarge:
            raise
        except StateError as error:
            self.failure = self.failure or error  # one for all who work on the run: they know its end by it
            raise self.failure  # noqa: B904 - the same error, or one that came before it
        if record.kind is _RESULT and len(record.fingerprint) <= _STEP_DIGEST:
            self._results[record.path] = record
        else:
            self._note_own(record)

    async def record_attempt(
        self,
        path: str,
        error: ErrorInfo,
        *,
        attempt: int | None = None,
        final: bool = False,
        cancelled: bool = False,
        usage: Usage,
        started_at: float,
        ended_at: float,
        fallback: str | None = None,
        feedback: str | None = None,
    ) -> None:
        """Write a failed attempt down; `final` says that the step gave up after it, `fallback` which step is next.

        Attempts of one path are numbered from 1, over every process that worked on the run. `feedback` is for the next
        one. An attempt that was `cancelled` counts what it has used, but is no try.
        """
        number = len(self._asides.attempts.get(path, ())) + 1
        record = JournalRecord(
            f"{path}#a{number}",
            RecordKind.FAILED if final else RecordKind.ATTEMPT,
            0 if cancelled else attempt or number,
            None if feedback is None else self.encoded(kept(feedback), path),
            error=error,
            fallback=fallback,
            usage=usage,
            started_at=started_at,
            ended_at=ended_at,
        )
        await self.record(record)

    async def record_wait(self, asked: PendingAnswer, fingerprint: bytes) -> None:
        """Write a question down, as the step with this fingerprint asks it. It is asked once, and keeps its token."""
        told = {name: value for name, value in asked._asdict().items() if name not in ("path", "since")}
        record = self._words(f"{asked.path}?", RecordKind.WAIT, told, asked.since, fingerprint)
        await self.record(record)

    def answer_record(self, path: str, answer: Answer) -> JournalRecord:
        """The record of the next answer to the question at `path`. Raises `ValueNotStorable`."""
        number = len(self._asides.answers.get(path, ())) + 1
        told = {"value": answer.value, "by": answer.by}
        return self._words(f"{path}!{number}", RecordKind.ANSWER, told, answer.at)

    async def record_answer(self, path: str, answer: Answer) -> None:
        """Write an answer to the question at `path` down; one that somebody else has given meanwhile stands.

        Raises `ValueNotStorable` and `StateError`.
        """
        record = self.answer_record(path, answer)
        try:
            if not await self._backend.answer(self._run_id, record):
                await self.catch_up()
                return
        except StateError as error:
            self.failure = error
            raise
        self._note(record)

    async def catch_up(self) -> bool:
        """Take note of answers that others have given since the journal was read; whether there are any."""
        known = {record.path for given in self._asides.answers.values() for record in given}
        records = await self._backend.load(self._run_id)
        new = [each for each in records if each.kind is RecordKind.ANSWER and each.path not in known]
        for record in new:
            self._note(record)
        return bool(new)

    async def record_intent(self, path: str, key: str, fingerprint: bytes, at: float) -> None:
        """Write down that the step at `path` begins, which may run only once; `key` names it to services."""
        number = len(self._asides.intents.get(path, ())) + 1
        record = self._words(f"{path}^{number}", RecordKind.INTENT, {"idempotency_key": key}, at, fingerprint)
        await self.record(record)

    async def record_call(self, path: str, most: Usage, at: float) -> None:
        """Write down that a call of the step at `path` begins, and uses `most` at most: to be counted if it is lost."""
        number, known = len(self._asides.attempts.get(path, ())) + 1, self._asides.calls.get(path)
        if known is None or known.attempt != number:
            record = self._words(f"{path}^c{number}", RecordKind.CALL, asdict(most), at)
            await self.record(record._replace(attempt=number, sync=Sync.NORMAL))

    async def count_lost(self) -> None:
        """Count each call that began and has no end, as its process died: all it could use, as if it was cancelled."""
        for path, call in list(self._asides.calls.items()):
            if path not in self._results and len(self._asides.attempts.get(path, ())) < call.attempt:
                error = ErrorInfo(CALL_LOST, "the process died while the call was made", path=path)
                used, at = Usage(**self._read(call.out, call.path, call.kind)), call.ended_at
                await self.record_attempt(path, error, cancelled=True, usage=used, started_at=at, ended_at=at)

    async def record_settlement(self, path: str, settled: Settlement) -> None:
        """Write down what a beginning without an end came to. Raises `ValueNotStorable` and `StateError`."""
        told = {name: value for name, value in settled._asdict().items() if name != "at"}
        record = self._words(f"{self._asides.intents[path][-1].path}!", RecordKind.SETTLED, told, settled.at)
        await self.record(record)

    def _words(
        self, path: str, kind: RecordKind, told: dict[str, Any], at: float, fingerprint: bytes = b""
    ) -> JournalRecord:
        out = self.encoded(told, path)
        return JournalRecord(path, kind, out=out, fingerprint=fingerprint, started_at=at, ended_at=at, sync=Sync.FULL)

    @property
    def _run_id(self) -> str:
        assert self._claim is not None
        return self._claim.run_id

    async def _look_for(self, record: JournalRecord) -> None:
        """Note a record that may have been written before its writer heard of being cancelled."""
        assert self._claim is not None
        if any(each.path == record.path for each in await self._backend.load(self._claim.run_id)):
            self._note_own(record)

    def _note_own(self, record: JournalRecord) -> None:
        if record.kind is RecordKind.RESULT and len(record.fingerprint) > _STEP_DIGEST:
            record = record._replace(fingerprint=b"")  # of an item, which its steps may change: only others look
        self._note(record)
