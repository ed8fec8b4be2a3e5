"""The ports: what the engine asks of the world, and the records that cross over.

The engine knows nothing else of files, databases, clocks and template languages; the runner passes
implementations in. `flujo.testing` ships fakes of each.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from flujo.domain.events import Event
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.scope import NOTHING, Scope
from flujo.domain.usage import NO_USAGE, Usage

__all__ = [
    "CacheBackend",
    "CacheEntry",
    "CachingBackend",
    "Claim",
    "Clock",
    "Codec",
    "EventSink",
    "JournalRecord",
    "NewRun",
    "RecordKind",
    "RunRow",
    "StateBackend",
    "StateProvider",
    "Sync",
    "Template",
    "TemplateCompiler",
]

T = TypeVar("T")


class EventSink(Protocol):
    """Receives every event of a run. One that raises is reported once and detached: it can't fail the run."""

    def handle(self, event: Event, /) -> None:
        """Take note of `event`; called on the event loop, so it must not block."""
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
    resumed run tries such a step again. `WAIT` is a question to a person, and `ANSWER` the answer to it.
    """

    RESULT = 0
    ATTEMPT = 1
    FAILED = 2
    WAIT = 3
    ANSWER = 4


class JournalRecord(NamedTuple):
    """One line of a run's journal. A result stands at the step's bare path, failed attempt n at `path#an`, a question
    at `path?` and answer n to it at `path!n`.

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
    are encoded as for records.
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


class Claim(NamedTuple):
    """The right to write a run's journal. Its `epoch` fences off every earlier owner."""

    run_id: str
    number: int
    epoch: int


class RunRow(NamedTuple):
    """One run as the state knows it; `input`, `base` and `output` as they were given."""

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
        """Write the run down and own it. Raises `StateError` when the id is taken."""
        ...

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Own an existing run whose owner is gone, or, by `force`, whose owner lives.

        Raises `RunNotFound`; `RunOwnedElsewhere` while a living owner holds it.
        """
        ...

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """The run's journal in the order it was written; to look at it needs no claim. Raises `RunNotFound`."""
        ...

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Write one record. A second result at one path raises `StateError`."""
        ...

    async def finish(
        self, claim: Claim, status: RunStatus, /, *, output: Any = None, error: ErrorInfo | None = None, at: float
    ) -> None:
        """Let go of the run with `status`."""
        ...

    async def get(self, run_id: str, /) -> RunRow | None:
        """The run with exactly this id."""
        ...

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Runs whose id starts with `prefix`, the one created last first; without inputs, bases and outputs."""
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


class CacheEntry(NamedTuple):
    """A cached result: `value` and `delta`, what the step changed in the context (None for nothing), as encoded.

    `scope` names the step that made it and `parts` the digests that went into its `key`, in hexadecimal, by name: how
    they differ from another entry's says why this one doesn't serve. `created_at` is in seconds since the epoch.
    """

    key: bytes
    scope: str
    value: bytes
    delta: bytes | None
    parts: Mapping[str, str]
    created_at: float


class CacheBackend(Protocol):
    """Keeps cached results as bytes, and may forget any of them at any time. Methods may raise a `StateError`."""

    async def get(self, key: bytes, /) -> CacheEntry | None:
        """The entry with this key, which is then the one used last."""
        ...

    async def put(self, entry: CacheEntry, /) -> None:
        """Keep `entry`, in place of an earlier one with its key. Raises `PayloadTooLarge`."""
        ...

    async def nearest(self, scope: str, /) -> Mapping[str, str] | None:
        """The parts of the newest entry of `scope`, None if there is none."""
        ...


@runtime_checkable
class CachingBackend(Protocol):
    """What a `StateBackend` can be beside: the home of cached results, which are closed with it.

    For a backend that is not, a runner keeps cached results in memory, for as long as it lives itself.
    """

    @property
    def cache(self) -> CacheBackend:
        """Where the results are."""
        ...
