"""A machine of named states: the kind `state_machine`. Data only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from flujo.domain.composite import WENT_ON, CompositeStep, branch_key
from flujo.domain.steps import In, Out, Pipeline, Step
from flujo.domain.suggest import did_you_mean

__all__ = ["ANY_STATE", "StateMachineStep", "Transition"]

#: The `from_` of a transition that leads on from every state.
ANY_STATE = "*"

_ON = ("success", "failure", "pause")


class Transition(NamedTuple):
    """Where a machine goes from the state `from_` ("*": any) once that has come to `on`: "success", "failure" or
    "pause"; with `when`, an expression, only if that holds."""

    from_: str
    on: str
    to: str
    when: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class StateMachineStep(CompositeStep[In, Out]):
    """Runs the steps of one state after those of another, each with the output of the state before, up to an end.

    Which state is next says the first of `transitions` that fits; else the key `next_state` of the output; else the
    context's `next_state`, which is taken away. A state that fails or pauses fails or pauses the step, unless a
    transition leads on; then it leaves nothing behind, and the next state gets the data that it got. A state may
    have no steps. Those of one of `end_states` run, and then the machine is done. More than `max_transitions` fail it.

    The context's `current_state` is the state that the machine is in, its `last_error` the text of the last failure
    that a transition led on from; both stand in its scratchpad where it has no such fields.
    """

    states: Mapping[str, Any] = field(default_factory=dict)
    start_state: str = ""
    end_states: Sequence[str] = ()
    transitions: Sequence[Transition] = ()
    max_transitions: int = 100

    kind: ClassVar[str] = "state_machine"
    prefix: ClassVar[str] = "state_machine"
    expressions: ClassVar[tuple[str, ...]] = ("conditions",)

    @property
    def conditions(self) -> list[str]:
        """The expressions of its transitions."""
        return [each.when for each in self.transitions if each.when is not None]

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The steps of the state that it starts in."""
        return (self.states[self.start_state],)

    @property
    def reads_context(self) -> bool:
        """It writes down there which state it is in."""
        return True

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """The steps of every state stand at the number of each visit."""
        return (*(("[]", body) for body in self.states.values()), *((f"[]/on:{on}", WENT_ON[on]) for on in WENT_ON))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("states", self._branches(self.states, what="a state", plural="states", may_be_empty=True))
        self._set("start_state", self._state("start_state", self.start_state))
        if isinstance(self.end_states, str) or not self.end_states:
            self._wrong(f"has end_states {self.end_states!r}", "name at least one state, in a list")
        self._set("end_states", tuple(self._state("an end state", name) for name in self.end_states))
        self._set("transitions", tuple(self._transition(each) for each in self.transitions))
        if self.max_transitions < 1:
            self._wrong(f"has max_transitions {self.max_transitions}", "a machine goes on at least once")

    def _state(self, what: str, name: Any) -> str:
        key = branch_key(name)
        if key not in self.states:
            self._wrong(f"has {what} {key!r}, which is no state", did_you_mean(key, self.states, what="its states are"))
        return key

    def _transition(self, given: Any) -> Transition:
        if not isinstance(given, tuple) or len(given) not in (3, 4):
            self._wrong(f"has a transition {given!r}", "write Transition(from_, on, to), with when=... as you like")
        from_, on, to, when = Transition(*given)
        if on not in _ON:
            self._wrong(f"has a transition on {on!r}", did_you_mean(str(on), _ON, what="a transition is on"))
        if from_ != ANY_STATE:
            from_ = self._state("a transition from", from_)
        if on == "success" and from_ in self.end_states:
            self._wrong(f"has a transition on success from {from_!r}", "that is an end state: there it is done")
        if when is not None and not isinstance(when, str):
            self._wrong(f"has a transition when {when!r}", "write an expression, as text")
        return Transition(from_, on, self._state("a transition to", to), when)
