"""Going on with a run where its record ends: whether it may, with which answer, and who owns it then."""

from typing import Any, NamedTuple

from flujo.domain.interfaces import Claim, RunRow
from flujo.domain.outcomes import PipelineResult, RunStatus
from flujo.engine.shield import whole
from flujo.exceptions import RunOwnedElsewhere
from flujo.runner.answers import Reply
from flujo.runner.definitions import misfits, refusal
from flujo.runner.ending import Progress
from flujo.runner.plugin_set import check_policies, plugin_changes
from flujo.runner.run_session import Begun, RunSession

__all__ = ["ResumeOrchestrator"]


class ResumeOrchestrator(NamedTuple):
    """Resumes runs of one session's pipeline. Holds nothing of a run."""

    session: RunSession

    async def resume(
        self, run_id: str, *, force: bool = False, reply: Reply | None = None, allow_changed: bool = False
    ) -> Begun:
        """Claim a run to go on with it where its record ends; of a completed run, hand out what is recorded.

        Raises `RunNotFound`, `DefinitionChanged` (also where another plugin runs a step now), and `RunOwnedElsewhere`
        while a living process owns it; for a `reply` that won't do `RunNotPaused` or `AnswerRejected`, and then nothing
        has changed. A reply that will do is written down first, and stays whatever comes after.
        """
        session = self.session
        row = await session.find(run_id)
        changed = await self._is_changed(row, allowed=allow_changed)
        if not allow_changed and row.status is not RunStatus.COMPLETED:
            check_policies(row, session.plugins)
            await session.inbox.check(row)
        if reply is not None:
            await session.inbox.answer(row, reply)
            row = await session.find(run_id)
        if row.status is RunStatus.COMPLETED:
            return self._handed_out(row)
        notes = plugin_changes(row, session.plugins)
        claim = await self._claim(row, force=force, replied=reply is not None)
        try:
            journal, context, input = await session.opened(row, claim)
            if changed:
                await session.backend.redefine(claim, *session.definition, session.files)
        except BaseException as error:  # nobody could go on with a run that this process owns and does not work on
            await whole(session.let_go(claim, error))
            raise
        was = row if changed else None
        return session.work_on(claim, journal, context, input, resumed=True, was=was, notes=notes)

    async def _handed_out(self, row: RunRow) -> PipelineResult[Any, Any]:
        journal, context, input = await self.session.opened(row, None)
        ending = await self.session.execute(journal, context, input, Progress.begin())
        return ending.result(row.run_id, context, 0.0)

    async def _claim(self, row: RunRow, *, force: bool, replied: bool) -> Claim:
        try:
            return await self.session.owning(self.session.backend.claim(row.run_id, force=force))
        except RunOwnedElsewhere as error:
            if not replied:
                raise
            advice = "the answer is recorded, and that process goes on with it before it lets go of the run"
            raise RunOwnedElsewhere(error.message, suggestion=advice) from error

    async def _is_changed(self, row: RunRow, *, allowed: bool) -> bool:
        """Whether the run is to go on with another pipeline. Raises `DefinitionChanged` unless it may, and can."""
        session = self.session
        definition, hashed = session.definition
        if row.digest == hashed:
            return False
        wrong = misfits(session.pipeline, await session.backend.load(row.run_id))
        if wrong or not allowed or row.status is RunStatus.COMPLETED:
            raise refusal(row, session.pipeline.name, definition, wrong, allowed=allowed)
        return True
