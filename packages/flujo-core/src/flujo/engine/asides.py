"""What a run's journal holds beside the results of its steps."""

from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.engine.recorded import asker_of

__all__ = ["NO_ASIDES", "Asides"]


class Asides:
    """Failed attempts, questions, answers, beginnings and settlements, by the path of the step that they are of.

    `calls` are the last beginnings of calls that limits count, their numbers as `attempt`. `reopened` are the paths
    whose last answer their step has failed with. Most runs have nothing of all this, and share `NO_ASIDES`.
    """

    __slots__ = ("answers", "attempts", "calls", "intents", "reopened", "settled", "waits")

    def __init__(self) -> None:
        self.attempts: dict[str, list[JournalRecord]] = {}
        self.waits: dict[str, JournalRecord] = {}
        self.answers: dict[str, list[JournalRecord]] = {}
        self.intents: dict[str, list[JournalRecord]] = {}
        self.settled: dict[str, JournalRecord] = {}
        self.calls: dict[str, JournalRecord] = {}
        self.reopened: set[str] = set()

    def note(self, record: JournalRecord) -> None:
        """Take note of a record that is no result."""
        if record.kind is RecordKind.WAIT:
            self.waits[record.path.removesuffix("?")] = record
        elif record.kind is RecordKind.ANSWER:
            path = record.path.rpartition("!")[0]
            self.answers.setdefault(path, []).append(record)
            self.reopened.discard(path)
        elif record.kind is RecordKind.INTENT:
            self.intents.setdefault(record.path.rpartition("^")[0], []).append(record)
        elif record.kind is RecordKind.CALL:
            self.calls[record.path.rpartition("^")[0]] = record
        elif record.kind is RecordKind.SETTLED:
            self.settled[record.path.removesuffix("!")] = record
        else:
            path = record.path.rpartition("#")[0]
            self.attempts.setdefault(path, []).append(record)
            if record.kind is RecordKind.FAILED and record.attempt:  # without a try it is not the answer's fault
                self.reopened.add(path)

    def has_given_up(self) -> bool:
        """Whether a step failed after its last attempt."""
        return any(records[-1].kind is RecordKind.FAILED for records in self.attempts.values())

    def noted(self) -> list[str]:
        """The paths of steps that have tried, asked or begun."""
        return [*self.attempts, *map(asker_of, self.waits), *self.intents]

    def tried_again(self) -> set[str]:
        """The paths of steps that were, or are to be, attempted again in the same process, or fell back."""
        tries = ((path, each) for path, records in self.attempts.items() for each in records if each.attempt)
        return {path for path, each in tries if each.kind is RecordKind.ATTEMPT}


#: Nothing beside results. Nobody takes note of anything here.
NO_ASIDES = Asides()
