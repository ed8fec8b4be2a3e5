"""What a pipeline would do, step by step: the answer of `run --dry-run`."""

from collections.abc import Iterator
from typing import Any

from flujo.domain.steps import PREVIOUS, Pipeline, Step
from flujo.infra.codec import jsonable
from flujo_cli.output import Console

__all__ = ["describe_plan", "show_plan"]


def describe_plan(pipeline: Pipeline[Any, Any], source: str) -> dict[str, Any]:
    """The object that `run --dry-run --json` writes; paths are those of the record, [i] stands for any number."""
    return {"schema": "flujo.plan/1", "pipeline": pipeline.name, "source": source, "steps": list(_steps(pipeline, ""))}


def show_plan(console: Console, pipeline: Pipeline[Any, Any], source: str) -> None:
    """Write the plan to stdout, one line a step."""
    rows = [
        (step["path"], step["kind"], step["run"] or "-", _options(step))
        for step in describe_plan(pipeline, "")["steps"]
    ]
    console.table(("STEP", "KIND", "RUNS", "OPTIONS"), rows)
    console.note(f"{source} is valid; nothing was run or recorded")


def _steps(parent: Step[Any, Any], path: str) -> Iterator[dict[str, Any]]:
    inside = set(parent.children())
    for at, step in parent.places():
        if step in inside:
            here = f"{path}{at}".removeprefix("/").replace("[]", "[i]")
            yield _step(step, here)
            yield from _steps(step, here)


def _step(step: Step[Any, Any], path: str) -> dict[str, Any]:
    return {
        "path": path,
        "kind": step.kind,
        "run": step.call.reference if step.call else None,
        "input": None if step.input is PREVIOUS or callable(step.input) else jsonable(step.input),
        "max_retries": step.config.max_retries,
        "timeout_s": step.config.timeout_s,
        "fallback": step.fallback.name if step.fallback else None,
    }


def _options(step: dict[str, Any]) -> str:
    names = {"max_retries": "retries", "timeout_s": "timeout_s", "fallback": "fallback"}
    return " ".join(f"{name}={step[key]}" for key, name in names.items() if step[key])
