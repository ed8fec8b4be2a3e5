"""One step about to be run: what it gets, where it stands, and the run it belongs to."""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import Clock, Template
from flujo.domain.quota import Quota
from flujo.domain.scope import NOTHING, Outputs, Scope
from flujo.domain.steps import Step
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import Usage
from flujo.engine.background_task_manager import BackgroundTaskManager
from flujo.engine.cache_manager import CacheManager
from flujo.engine.call_tally import CallTally
from flujo.engine.context_manager import ContextManager
from flujo.engine.event_stream import EventStream
from flujo.engine.journal import Item, Journal
from flujo.engine.quota_manager import QuotaManager
from flujo.engine.recorded import is_in
from flujo.engine.step_history_tracker import PlaceTaken, StepHistoryTracker

__all__ = ["NOBODY", "ExecutionFrame", "Invariant", "Lookout", "Pulse", "RunScope"]

#: An expression that must hold: its text, and what evaluates it.
Invariant: TypeAlias = tuple[str, Template]

#: The outputs before the first step. A sequence adds to outputs of its own.
_NO_OUTPUTS = Outputs()

#: Without limits and prices it keeps nothing of any run.
_UNLIMITED = QuotaManager()


class Pulse:
    """Lets the event loop breathe: steps that never wait would otherwise keep cancellation and other runs out.

    All runs of a loop share one: when one of them has let the loop breathe, the others need not.
    """

    __slots__ = ("due",)

    #: The pulses of the loops that there are.
    _of: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, Pulse]"] = WeakKeyDictionary()

    #: How long steps may follow each other without the loop having its turn, in seconds.
    interval_s: ClassVar[float] = 0.05

    def __init__(self) -> None:
        #: The monotonic time from which on the loop should have its turn.
        self.due = 0.0

    @classmethod
    def of_loop(cls) -> "Pulse":
        """The pulse of the running loop."""
        return cls._of.setdefault(asyncio.get_running_loop(), cls())

    async def beat(self, now: float) -> None:
        """Give the loop its turn; whoever cancels the run is heard here."""
        self.due = now + self.interval_s
        await asyncio.sleep(0)


def _is_kept() -> bool:
    """Nobody lets go of a run that nobody can."""
    return False


class Lookout:
    """Looks whether somebody stops the run from elsewhere: nobody does here."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        #: The run's monotonic time from which on no step begins before a look.
        self.due = math.inf

    async def look(self) -> None:
        """Look now; does not return in a run that is to be stopped, as it is cancelled meanwhile."""


NOBODY = Lookout()


@dataclass(frozen=True, slots=True, eq=False)
class RunScope:
    """What every step of one run shares. `root` is the project's folder, where there is one.

    `background` holds the steps that are at work while the pipeline goes on, `tally` counts the calls of each agent,
    `quotas` prices calls and guards the run's limits, `caches` is the cache of the run's state,
    `watch` hears of it when somebody else stops the run, `is_heard` says that somebody answers what its steps ask,
    `is_let_go` tells whether somebody outside of the run has cancelled all of it. Where this run only tells what is
    recorded of another, that is `alive`: background steps go on there.
    """

    run_id: str
    journal: Journal
    events: EventStream
    clock: Clock
    pulse: Pulse
    contexts: ContextManager
    background: BackgroundTaskManager
    tally: CallTally
    quotas: QuotaManager = _UNLIMITED
    caches: CacheManager | None = None
    input: Any = None
    resources: Any = None
    root: Path | None = None
    watch: Lookout = NOBODY
    is_heard: bool = True
    is_let_go: Callable[[], bool] = _is_kept
    alive: "RunScope | None" = None

    def spent_under(self, path: str, *but: str) -> Usage:
        """What is recorded under the step at `path`, except in `but` and in the background, which has its own lines."""
        apart = (*but, *(each for each in self.background.lines if each != path and is_in(each, path)))
        return self.journal.spent(lambda at: at != path and is_in(at, path) and not any(is_in(at, p) for p in apart))


class ExecutionFrame(NamedTuple):
    """A step, its data and its place. A composite's policy makes its children's frames with `child`.

    `level` counts the steps from the outermost to this one. `history` takes what the step's children come to,
    `siblings` is the history that the step itself belongs to. `invariants` are the compiled expressions that must
    hold after this step, `quota` is what it may use, `feedback` what was wrong with the attempt before. `item` is the
    item of a map that the step works on, `timer` what ends the attempt, if its time is limited, `limits` the timers of
    the steps that it stands in, and its own. `over` says that a process before this one has gone on from here: what
    failed in it has failed, and its failure is handed out again.
    """

    step: Step[Any, Any]
    data: Any
    run: RunScope
    context: PipelineContext
    path: str = ""
    outputs: Outputs = _NO_OUTPUTS
    extras: Mapping[str, Any] = NOTHING
    attempt: int = 1
    level: int = 1
    history: StepHistoryTracker | None = None
    siblings: StepHistoryTracker | None = None
    invariants: tuple[Invariant, ...] = ()
    quota: Quota | None = None
    feedback: str | None = None
    item: Item | None = None
    timer: asyncio.Timeout | None = None
    limits: tuple[asyncio.Timeout, ...] = ()
    over: bool = False

    def child(
        self,
        step: Step[Any, Any],
        data: Any,
        *,
        outputs: Outputs | None = None,
        context: PipelineContext | None = None,
        extras: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> "ExecutionFrame":
        """The frame of `step` under this one, with a place in its history.

        `outputs` are those its templates see as `steps`; `context` an isolated one; `extras` further names. `at`
        stands in the path for the step's own segment: "[3]" for an iteration or item (`loop:refine[3]`), "/legal"
        for a branch. Raises `ExecutionError` if an attempt runs a second step at a path: it would get the first's
        result.
        """
        if at is None:
            at = f"/{step.segment}" if self.path else step.segment
        path = self.path + at
        if self.history is not None:
            if path not in self.history:
                self.history[path] = None
            elif self.history.is_taken(path):
                raise PlaceTaken(step.name, path, f"{self.step.kind} {self.step.name!r}")
        frame = (
            step,
            data,
            self.run,
            self.context if context is None else context,
            path,
            self.outputs if outputs is None else outputs,
            self.extras if extras is None else extras,
            1,
            self.level + 1,
            StepHistoryTracker(),
            self.history,
            self.invariants,
            self.quota,
            None,
            self.item,
            None,
            self.limits,
            self.over,
        )
        return tuple_of(ExecutionFrame, frame)

    def place(self, step: Step[Any, Any]) -> str:
        """The path of a child at its own segment."""
        return f"{self.path}/{step.segment}" if self.path else step.segment

    def then(self, later: Iterable[str]) -> "ExecutionFrame":
        """This frame, `over` if a process before this one has begun at one of the paths `later` too."""
        tracker = self.run.journal.tracker
        return self._replace(over=True) if tracker and tracker.went_on(self.path, later) else self

    def with_data(self, data: Any) -> "ExecutionFrame":
        """This frame with other data."""
        return self._replace(data=data)

    def at_attempt(self, attempt: int, feedback: str | None = None) -> "ExecutionFrame":
        """This frame at attempt number `attempt`, counted from 1; `feedback` is what the one before taught."""
        history = self.history and self.history.again()
        return self._replace(attempt=attempt, feedback=feedback, history=history)

    def scope(self) -> Scope:
        """What a template of this step can see."""
        return Scope(self.data, self.outputs, self.context, self.run.input, self.extras)
