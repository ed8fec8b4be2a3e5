"""What can be known of a step before it runs, found out once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flujo.domain.interfaces import Sync, Template, TemplateCompiler
from flujo.domain.scope import Scope
from flujo.domain.steps import PREVIOUS, Step
from flujo.engine.frame import Invariant
from flujo.engine.once import OncePolicy
from flujo.engine.policy import StepPolicy
from flujo.exceptions import ConfigurationError, TemplateResolutionError

__all__ = ["StepPlan", "names_read", "plan_step"]


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """How a step is run: its policy, and which of the engine's concerns it needs at all.

    `render` makes its data; None leaves what the step before handed on. `watches` says that the step could change
    the context by itself, so that it is compared; `guards` that the context must be put back when an attempt fails;
    `writes` that its output goes into the context; `retried` that its data may be needed again; `tries` that all
    its failures are written down, and not only those that are no other step's. A `direct` step needs nothing but the
    call and the record. `invariants` must hold after it and after the steps in it; `agent` is whose calls are counted.
    `parts` says that other steps have records under its own; `looks` that it does not begin before a look whether
    somebody stops the run. `plugin` brings the policy, where it isn't flujo's own.
    """

    policy: StepPolicy[Any]
    records: bool
    render: Callable[[Scope], Any] | None
    watches: bool
    guards: bool
    writes: bool
    retried: bool
    direct: bool
    sync: Sync
    fingerprint: bytes
    tries: bool
    invariants: tuple[Invariant, ...]
    agent: str | None
    background: bool
    parts: bool
    looks: bool
    plugin: str | None = None


def plan_step(step: Step[Any, Any], policy: StepPolicy[Any], templates: TemplateCompiler | None) -> StepPlan:
    """Plan `step`. Raises `TemplateResolutionError`, which names the step, for a text that is no template of ours."""
    try:
        return _planned(step, policy, templates)
    except TemplateResolutionError as error:
        raise TemplateResolutionError(
            f"step {step.name!r}: {error.message}",
            suggestion=error.suggestion,
            line=error.line,
            column=error.column,
            cause=error,
        ) from error


def _planned(step: Step[Any, Any], policy: StepPolicy[Any], templates: TemplateCompiler | None) -> StepPlan:
    config = step.config
    render = _render(step, templates)
    if templates is not None:
        _language(step, templates)
    retried = config.max_retries > 0 or step.fallback is not None
    watches = step.records and _may_change_context(step)
    guards = watches or (retried and not step.records)
    writes = step.sink_to is not None or step.merges_output
    fingerprint = step.fingerprint if step.records else b""
    return StepPlan(
        policy=OncePolicy(policy, fingerprint) if step.effects == "at-most-once" else policy,
        records=step.records,
        render=render,
        watches=watches,
        guards=guards,
        writes=writes,
        retried=retried,
        direct=not (render or retried or guards or config.timeout_s or step.validators),
        sync=Sync.NORMAL if step.effects == "none" and step.agent_key is None else Sync.FULL,
        fingerprint=fingerprint,
        tries=step.records or retried,
        invariants=_invariants(step, templates),
        agent=step.agent_key,
        background=step.is_background,
        parts=step.records and (step.holds_steps or step.fallback is not None),
        looks=step.effects in ("external", "at-most-once"),
    )


def _invariants(step: Step[Any, Any], templates: TemplateCompiler | None) -> tuple[Invariant, ...]:
    if not step.static_invariants:
        return ()
    if templates is None:
        raise ConfigurationError(
            f"step {step.name!r} has static_invariants, but the engine was given no template compiler",
            suggestion="pass ExecutorCore(templates=flujo.infra.templates.Templates())",
        )
    return tuple((text, templates.compile_expression(text)) for text in step.static_invariants)


def _may_change_context(step: Step[Any, Any]) -> bool:
    """Whether the context can be another after the step, by the step's own hand or its fallback's."""
    if step.reads_context or not step.records:
        return True
    fallback = step.fallback
    if fallback is None:
        return False
    return fallback.sink_to is not None or fallback.updates_context or _may_change_context(fallback)


def names_read(step: Step[Any, Any], templates: TemplateCompiler) -> frozenset[str]:
    """The dotted names that the templates and expressions of `step`, and of the steps under it, read."""
    names: set[str] = set()
    for each in step.walk():
        texts = (templates.compile_expression(text) for text in each.static_invariants)
        for template in (templates.compile(each.input), *texts, *_language(each, templates)):
            names |= template.names
    return frozenset(names)


def _language(step: Step[Any, Any], templates: TemplateCompiler) -> list[Template]:
    """What a kind's own fields hold, compiled, so that what is wrong is found before anything runs."""
    held = (getattr(step, name) for name in step.expressions)
    texts = (text for each in held if each is not None for text in ([each] if isinstance(each, str) else each))
    compiled = [templates.compile_expression(text) for text in texts]
    return compiled + [templates.compile(getattr(step, name)) for name in step.templates]


def _render(step: Step[Any, Any], templates: TemplateCompiler | None) -> Callable[[Scope], Any] | None:
    source = step.input
    if source is PREVIOUS:
        return None
    if callable(source):
        function: Callable[[Scope], Any] = source
        return function
    if not isinstance(source, str | Mapping | list):
        return lambda _: source
    if templates is None:
        raise ConfigurationError(
            f"step {step.name!r} has a template as its input, but the engine was given no template compiler",
            suggestion="pass ExecutorCore(templates=flujo.infra.templates.Templates())",
        )
    return templates.compile(source).render
