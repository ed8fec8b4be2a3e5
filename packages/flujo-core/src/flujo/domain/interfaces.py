"""The ports: what the engine asks of the world, and the records that cross over.

The engine knows nothing else of files, databases, clocks and template languages; the runner passes
implementations in. `flujo.testing` ships fakes of the clock, of sinks and of state providers.
"""

from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from flujo.domain.events import Event
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.scope import NOTHING, Scope
from flujo.domain.usage import NO_USAGE, Usage

__all__ = [
    "CACHE_MISSED",
    "MAX_CLAIMS",
    "Claim",
    "Clock",
    "ClosableSink",
    "Codec",
    "EventSink",
    "JournalRecord",
    "MaintainedBackend",
    "NewRun",
    "RecordKind",
    "RunRow",
    "StateBackend",
    "StateProvider",
    "Sync",
    "Template",
    "TemplateCompiler",
    "Wait",
]

T = TypeVar("T")


#: How often a run is claimed without getting on, until nobody tries it again by himself.
MAX_CLAIMS = 10

#: The type of the `error` in the record of a cache step's result that no kept one served: its message says what
#: differed from the newest of those, by the names that `CacheMissed` has.
CACHE_MISSED = "CacheMissed"


@runtime_checkable
class EventSink(Protocol):
    """Receives every event of a run. One that raises is reported once and detached: it can't fail the run."""

    def handle(self, event: Event, /) -> None:
        """Take note of `event`, at the moment it tells of: events carry no time of their own.

        It is called on the event loop between steps, and must not block: what takes long belongs into a queue and a
        thread or task of the sink's own.
        """
        ...


@runtime_checkable
class ClosableSink(Protocol):
    """What an `EventSink` can be beside: one with something to write out or let go of in the end."""

    def close(self) -> Awaitable[None] | None:
        """Write out what is left and release everything: plain and quick, or async. A second call does nothing."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never set back."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        ...


class Template(Protocol):
    """A compiled step input."""

    @property
    def names(self) -> frozenset[str]:
        """The dotted names it reads (`steps.fetch.output`), without the variables of its own loops."""
        ...

    def render(self, scope: Scope, /) -> Any:
        """The input's value. Raises `TemplateResolutionError` for a name that isn't there."""
        ...


class TemplateCompiler(Protocol):
    """Compiles what a step's `input` may hold."""

    def compile(self, source: Any, /) -> Template:
        """Compile template text, or a mapping or list with templates in it.

        Raises `TemplateResolutionError` for text that is no template of ours.
        """
        ...

    def compile_expression(self, source: str, /) -> Template:
        """Compile an expression. Raises `TemplateResolutionError`."""
        ...


class Codec(Protocol):
    """Writes values down so that exactly the same values are read back, or refuses."""

    def encode(self, value: Any, *, where: str) -> bytes:
        """`value` as canonical bytes. Raises `ValueNotStorable`, naming `where` and the place in the value."""
        ...

    def decode(self, data: bytes, *, where: str) -> Any:
        """The value that was encoded. Raises `StateCorrupt`, or names the missing class and `where`."""
        ...


class Sync(Enum):
    """How safe a record is when the acknowledgement returns.

    `NORMAL` survives the death of the process, `FULL` also that of the machine.
    """

    NORMAL = "normal"
    FULL = "full"


class RecordKind(IntEnum):
    """What a journal record says of its path. The numbers are stored.

    `ATTEMPT` is a failed attempt that was followed by another, `FAILED` the one after which the step gave up; a
    resumed run tries such a step again. So does a step made of others that keeps no result have one where it fails by
    itself. Number 0 was no try: cancelled when something was used, or asked for the run's end. `WAIT` is a question to
    a person, `ANSWER` the answer. `INTENT` says that a step that may run only once begins, `SETTLED` what a person says
    of one that never ended. `CALL` says that a call begins, where there are limits, and what it may use at most.
    """

    RESULT = 0
    ATTEMPT = 1
    FAILED = 2
    WAIT = 3
    ANSWER = 4
    INTENT = 5
    SETTLED = 6
    CALL = 7


class JournalRecord(NamedTuple):
    """One line of a run's journal. A result stands at the step's bare path, failed attempt n at `path#an`, a question
    at `path?` and answer n to it at `path!n`, beginning n at `path^n` and what settles it at `path^n!`, and the call of
    attempt n at `path^cn`. Of a step that may ask more than once, "?" and a word that names the question end `path`.

    `out` and `delta` are encoded bytes for a backend that `encodes`, the values themselves otherwise; `delta` is
    what the step changed in the context, None for nothing. `error` belongs to attempts, and to a result that a
    fallback gave. `attempt` is 0 for a result that came from the cache, and for an attempt that was cancelled; `out` of
    an attempt is what it taught. `usage` is what this record alone counts, so that a run's sum is what the run has
    used. Times are seconds since the epoch.
    """

    path: str
    kind: RecordKind = RecordKind.RESULT
    attempt: int = 1
    out: Any = None
    delta: Any = None
    error: ErrorInfo | None = None
    fallback: str | None = None
    usage: Usage = NO_USAGE
    fingerprint: bytes = b""
    started_at: float = 0.0
    ended_at: float = 0.0
    sync: Sync = Sync.NORMAL


class NewRun(NamedTuple):
    """What is known of a run before its first step.

    `definition` is the pipeline's canonical text and `digest` its hash; `source` says where it was loaded from
    (a path relative to the project, `module:name`, or nothing). `input` and `base` (the context at the start)
    are encoded as for records. `records` are the first lines of its journal, which stood in another run's: they are
    written with it, or nothing is. `key` is the caller's own name for the work: there is one run of a key. `files` are
    the texts that the pipeline was loaded from, by path relative to the project, the main one first.
    """

    run_id: str
    pipeline: str
    version: str
    definition: str
    digest: bytes
    input: Any
    base: Any
    created_at: float
    source: str = ""
    tags: Mapping[str, str] = NOTHING
    key: str | None = None
    files: Mapping[str, str] = NOTHING
    records: Sequence[JournalRecord] = ()


class Claim(NamedTuple):
    """The right to write a run's journal. Its `epoch` fences off every earlier owner."""

    run_id: str
    number: int
    epoch: int


class RunRow(NamedTuple):
    """One run as the state knows it; `input`, `base` and `output` as they were given.

    `claims` counts how often it was claimed since a record that `gets_on`, or since an owner has let go of it by
    `finish`: those claims died. `cancelled` says that somebody has asked its owner to stop.
    """

    run_id: str
    status: RunStatus
    pipeline: str
    version: str
    definition: str
    digest: bytes
    source: str
    input: Any
    base: Any
    output: Any
    error: ErrorInfo | None
    created_at: float
    updated_at: float
    ended_at: float | None
    owner: str | None = None
    epoch: int = 0
    recorded: int = 0
    usage: Usage = NO_USAGE
    tags: Mapping[str, str] = NOTHING
    key: str | None = None
    files: Mapping[str, str] = NOTHING
    claims: int = 0
    cancelled: bool = False


class Wait(NamedTuple):
    """An open question: which run asks it, and the record of it."""

    run_id: str
    pipeline: str
    status: RunStatus
    record: JournalRecord


class StateBackend(Protocol):
    """Keeps runs and their journals. Every method may raise a `StateError`.

    The promise a backend keeps: when `create_run`, `append` or `finish` returns, what it was given survives the
    death of the process, and it is there whole or not at all. A write under a claim that is no longer the run's
    newest raises `RunOwnedElsewhere` and changes nothing.
    """

    @property
    def encodes(self) -> bool:
        """Whether values reach this backend as bytes from a `Codec`, rather than as they are."""
        ...

    async def create_run(self, run: NewRun, /) -> Claim:
        """Write the run down and own it.

        Raises `RunKeyTaken`, which names the run, when its `key` is another's, and `StateError` when its id is taken.
        """
        ...

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Own an existing run whose owner is gone, or, by `force`, whose owner lives.

        Raises `RunNotFound`; `RunOwnedElsewhere` while a living owner holds it; `RunPoisoned`, unless by `force`, for
        a run that was claimed `MAX_CLAIMS` times without a record that `gets_on`. A claim takes back a wish to cancel.
        """
        ...

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """The run's journal in the order it was written; to look at it needs no claim. Raises `RunNotFound`."""
        ...

    async def redefine(self, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str], /) -> None:
        """Note that the run goes on with another pipeline: its definition, and the texts it was loaded from."""
        ...

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Write one record. A second record at one path raises `StateError`."""
        ...

    async def answer(self, run_id: str, record: JournalRecord, /) -> bool:
        """Write an answer down, whoever owns the run; it needs no claim. Survives the machine when it returns.

        False, and nothing is written, when there is a record at its path already, or the run has ended for good
        (completed or cancelled). Raises `RunNotFound`.
        """
        ...

    async def waits(self, *, run_id: str | None = None, limit: int = 1000, offset: int = 0) -> Sequence[Wait]:
        """Questions without an answer, of one run or of all that have not ended for good, the oldest first."""
        ...

    async def cancel(self, run_id: str, /, *, at: float) -> RunStatus:
        """Ask the run's owner to stop; a run that nobody owns is cancelled at once, one that has ended stays so.

        The status that the run has then: `RUNNING` means that its owner has been asked. If that dies before it has
        stopped, the run is cancelled as of when it was asked. Raises `RunNotFound`.
        """
        ...

    async def is_cancelled(self, claim: Claim, /) -> bool:
        """Whether somebody has asked the owner to stop, or to let go of the run by taking it over."""
        ...

    async def delete(self, run_id: str, /) -> None:
        """Forget a run and its journal whole. Raises `RunNotFound`; `RunOwnedElsewhere` while its owner lives."""
        ...

    async def gc(self, *, ended_before: float, limit: int = 200, trust_clock: bool = False) -> int:
        """Forget up to `limit` runs that completed, failed or were cancelled before that time; how many there were.

        Runs that run, wait or can be gone on with are never touched, nor is what others still refer to. No clock is
        believed alone: only runs go after which another was created, at that time or later. What was created after
        such a one is younger, whatever its times say. With `trust_clock` runs go where there is no younger one, too.
        """
        ...

    async def finish(
        self, claim: Claim, status: RunStatus, /, *, output: Any = None, error: ErrorInfo | None = None, at: float
    ) -> None:
        """Let go of the run with `status`; one that was asked to stop, and could be gone on with, is cancelled.

        Who pauses a run has appended its question before: there is no paused run without a question.
        """
        ...

    async def get(self, run_id: str, /) -> RunRow | None:
        """The run with exactly this id."""
        ...

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Runs whose id starts with `prefix`, the one created last first; without values and files.

        A damaged one among them raises `StateCorrupt` with its `run_id`.
        """
        ...

    async def close(self) -> None:
        """Write what is pending, let go of every run and release everything. A second call does nothing."""
        ...


class StateProvider(Protocol[T]):
    """Keeps values by key, for fields of the context that live elsewhere; they outlive every run.

    Keys are text and values never None; what a key may look like is the provider's business, and so is who else
    writes there. Methods may raise anything: it becomes a `StateProviderError` that names the field.
    """

    async def load(self, key: str, /) -> T | None:
        """The value at `key`, which the caller may change without changing what is kept; None for no value."""
        ...

    async def save(self, key: str, data: T, /) -> None:
        """Keep `data` at `key` instead of whatever was there. When it returns, `load` gives the new value."""
        ...

    async def delete(self, key: str, /) -> bool:
        """Keep nothing at `key` any more; whether there was something that is now gone."""
        ...

    async def exists(self, key: str, /) -> bool:
        """Whether there is a value at `key`."""
        ...

    async def close(self) -> None:
        """Release what the provider holds. A second call does nothing."""
        ...


@runtime_checkable
class MaintainedBackend(Protocol):
    """What a `StateBackend` can be beside: one whose store can be looked after."""

    async def check(self) -> Sequence[str]:
        """What is wrong with the store, in words; nothing, if nothing is. Changes nothing."""
        ...

    async def migrate(self) -> tuple[int, int]:
        """Bring the store to the schema of this version; the schema before, and now."""
        ...

    async def backup(self, to: str, /) -> int:
        """Copy the whole store to the new file `to` while others work on it; its size in bytes."""
        ...
