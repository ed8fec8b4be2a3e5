"""The ways on for a run whose pipeline has changed."""

from collections.abc import Collection, Sequence

from flujo.domain.interfaces import JournalRecord, RunRow
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import DefinitionChanged
from flujo.runner.definitions import bare_path
from flujo_cli.project import Project

__all__ = ["ways_on"]


def ways_on(
    project: Project,
    row: RunRow,
    records: Sequence[JournalRecord],
    error: DefinitionChanged,
    again: Sequence[str] = (),
    *,
    taken: Collection[str] = (),
) -> str:
    """The commands that go on with the run, or with what it has recorded, in spite of `error`.

    `again` are the options that name today's pipeline, `taken` those of the command that has just failed.
    """
    is_over = row.status is RunStatus.COMPLETED
    ways = []
    if error.path is None and not is_over and "--allow-changed" not in taken:
        changed = project.command("resume", row.run_id, "--allow-changed", *again)
        ways.append(f"go on with the pipeline as it is: {changed}")
    if error.plugin is not None:
        ways.append(f"let {error.plugin} run it again: install it, or name it under [policies] in flujo.toml")
    elif row.files and "--as-begun" not in taken:
        told = "hand it out" if is_over else "go on"
        ways.append(f"{told} with the pipeline as it was: {project.command('resume', row.run_id, '--as-begun')}")
    path = error.path or (bare_path(records[-1]) if records else None)
    if path is not None:
        rerun = project.command("runs", "rerun", row.run_id, "--from", path, *again)
        ways.append(f"begin a new run at one of its steps: {rerun}")
    return "\n  or ".join(ways)
