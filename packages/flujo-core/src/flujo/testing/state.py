"""What every state backend has to keep, as tests to subclass."""

from flujo.testing.state_ambiguity import AmbiguityTests
from flujo.testing.state_base import new_run, stored
from flujo.testing.state_deaths import DeathTests
from flujo.testing.state_ownership import OwnershipTests
from flujo.testing.state_questions import QuestionTests
from flujo.testing.state_records import RecordTests
from flujo.testing.state_removal import RemovalTests
from flujo.testing.state_rules import RuleTests
from flujo.testing.state_runs import RunTests
from flujo.testing.state_telling import TellingTests

__all__ = ["StateBackendConformance", "new_run", "stored"]


class StateBackendConformance(
    RecordTests,
    RunTests,
    OwnershipTests,
    QuestionTests,
    RemovalTests,
    TellingTests,
    DeathTests,
    AmbiguityTests,
    RuleTests,
):
    """Tests of the `StateBackend` contract: subclass it as `Test...` and override `open`.

    A backend whose runs outlive it sets `durable`: its `open` finds in the same folder what was stored before, and the
    tests of that, one with a process that is killed (POSIX), are skipped otherwise. One whose commits can fail
    overrides `open_failing`, too. Most tests are coroutines, for pytest-asyncio or anyio in their automatic modes; one
    tries so many `histories` of so many `steps`, by hypothesis.
    """
