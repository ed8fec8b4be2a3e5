"""Agents: what a step may ask for an answer, and what an answer may tell of its cost."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, get_args, get_origin, runtime_checkable

from flujo.domain.usage import NO_USAGE, Usage

__all__ = ["Agent", "AgentObject", "AgentResult", "Estimates", "Priced", "StreamingAgent", "answer_type"]

Out = TypeVar("Out")


class AgentResult(NamedTuple, Generic[Out]):
    """An answer that tells what it has used: the step hands on `output` alone.

    `model` is the name in the price table, where that is another than the step's. An agent that returns anything else
    has used one call.
    """

    output: Out
    usage: Usage = NO_USAGE
    model: str = ""


class AgentObject(Protocol):
    """An agent with a state of its own: `run` is async or plain, and gets the step's data.

    How to call `run` is found out once: parameters named `context`, `resources` and `run` are filled in. An agent
    whose answer did not fit is asked again: `run.feedback` then says what was wrong. Where there is no such parameter,
    data that is text gets the feedback after a blank line.
    """

    @property
    def run(self) -> Callable[..., Any]:
        """Give the answer to the step's data, or an awaitable of it: an `AgentResult`, or the output itself."""
        ...


class StreamingAgent(Protocol):
    """An agent that gives its answer in parts: `stream` is an async generator, and gets what `run` would.

    It is asked by `stream` alone. Each part is told as a `Chunk`; the answer is the joined text, or the list of the
    parts where they are not all text, unless the last thing it gives is an `AgentResult`.
    """

    @property
    def stream(self) -> Callable[..., AsyncIterator[Any]]:
        """Give the parts of the answer to the step's data."""
        ...


#: What an agent step asks: an object with `run` or `stream`, or a function of the step's data, of any sort.
Agent: TypeAlias = AgentObject | StreamingAgent | Callable[..., Any]


@runtime_checkable
class Estimates(Protocol):
    """An agent that says beforehand what a call can use, so that no call can pass a budget."""

    @property
    def estimate(self) -> Callable[..., Usage]:
        """The most that a call with this data can use. It takes what `run` takes, and must not wait."""
        ...


@runtime_checkable
class Priced(Protocol):
    """An agent that knows its name in the price table."""

    @property
    def model(self) -> str:
        """The name, as "openai:gpt-4o"."""
        ...


def answer_type(declared: Any) -> Any:
    """The type of the output of a function whose declared result may be an `AgentResult`."""
    if declared is AgentResult:
        return Any
    return get_args(declared)[0] if get_origin(declared) is AgentResult else declared
