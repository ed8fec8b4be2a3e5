"""`flujo validate`: everything that is wrong with pipeline files, found without running anything."""

from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from flujo.blueprint.diagnostics import read_sources, render
from flujo.domain.validation import Finding
from flujo.infra.codec import jsonable
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo_cli.exit_codes import ExitCode, code_of, exit_code_help
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, note_json
from flujo_cli.project import Project
from flujo_cli.reporter import Reporter

__all__ = ["validate"]


@click.command(epilog=exit_code_help(ExitCode.OK, ExitCode.USAGE, ExitCode.IMPORT, ExitCode.VALIDATION))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    is_eager=True,
    callback=note_json,
    help="How findings are written; as JSON, an error is an object too.",
)
@click.pass_obj
def validate(options: Options, files: tuple[Path, ...], form: str) -> ExitCode:
    """Check pipeline files and write every finding to stdout.

    None of the project's own code is imported; `flujo run --dry-run` also checks that. For FILE there may be
    module:name, a pipeline made in Python: its module is imported.
    """
    reporter = Reporter(options)
    projects = {file: Project.around(file, stands=options.stands) for file in files}
    managers = {root: load_plugins(options, root) for root in dict.fromkeys(at.root for at in projects.values())}
    reporter.begin(projects[files[0]].settings)
    with redirect_stdout(reporter.console.stderr):
        found = {file: PipelineResolver(managers[at.root], at.settings).check(file) for file, at in projects.items()}
    if form == "json":
        reporter.console.json({"schema": "flujo.validate/1", "files": [_describe(*item) for item in found.items()]})
    else:
        for file, findings in found.items():
            reporter.console.out(render(findings, read_sources(findings)) if findings else f"{file}: ok")
    return code_of(finding for findings in found.values() for finding in findings)


def _describe(file: Path, findings: tuple[Finding, ...]) -> dict[str, Any]:
    return {"file": str(file), "valid": code_of(findings) is ExitCode.OK, "findings": jsonable(findings)}
