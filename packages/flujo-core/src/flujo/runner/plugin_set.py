"""Which plugins a pipeline needs: noted with each run, and compared when it goes on."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from flujo.domain.agent_step import AgentStep
from flujo.domain.callables import reference
from flujo.domain.events import PluginChanged
from flujo.domain.foreign import attempt
from flujo.domain.interfaces import RunRow
from flujo.domain.steps import Step
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.policy_registry import PolicyRegistry, kin
from flujo.engine.recorded import PLUGINS, providers
from flujo.exceptions import DefinitionChanged, PluginError
from flujo.infra.templates import Templates
from flujo.plugins import PluginManager
from flujo.plugins.contributions import ANY_STEP
from flujo.plugins.precedence import Table

__all__ = ["PluginSet", "check_policies", "missing_plugins", "plugin_changes", "plugin_set", "prepared_core", "tags_of"]


class PluginSet(dict[str, tuple[str, ...]]):
    """The kinds of step that each plugin runs, by its distribution and version, "acme 1.0"; none of one that is needed
    otherwise, for a kind in files, for an agent or for a skill. `local` are the plugin files of the project."""

    local: frozenset[str] = frozenset()


def prepared_core(pipeline: Step[Any, Any], registry: PolicyRegistry) -> ExecutorCore:
    """What executes the steps of `pipeline`. Raises what preparing them does, as a `PluginError` that names the plugin
    where its policy fails."""

    def failed(said: str, error: BaseException) -> PluginError:
        step = next(step for step in pipeline.walk() if step not in core.parts()["plans"])
        plugin = registry.plugin_of(step)
        if plugin is None:
            raise error
        return PluginError(f"plugin {plugin} can't prepare step {step.name!r}: {said}", cause=error)

    core = ExecutorCore(policy_registry=registry, templates=Templates())
    attempt(partial(core.prepare, pipeline), failed)
    return core


def plugin_set(manager: PluginManager | None, pipeline: Step[Any, Any]) -> PluginSet:
    """What of the plugins of `manager` the steps of `pipeline` need."""
    if manager is None:
        return PluginSet()
    found: dict[str, set[str]] = {}
    skills, packages = _skills(manager.contributions.skills), _packages(manager)
    for step in pipeline.walk():
        for provider in _beside(manager, step):
            found.setdefault(provider, set())
        for provider in _policies(manager, step):
            found.setdefault(provider, set()).add(step.kind)
        called = step.call.reference if step.call is not None else ""
        for provider in filter(None, (skills.get(called), packages.get(_package(called)))):
            found.setdefault(provider, set())
    needed = PluginSet({provider: tuple(sorted(kinds)) for provider, kinds in sorted(found.items())})
    needed.local = frozenset(record.provider for record in manager.records if record.source == "local")
    return needed


def tags_of(plugins: PluginSet) -> dict[str, str]:
    """The tag that notes `plugins` with a run."""
    return {PLUGINS: json.dumps(plugins)} if plugins else {}


def plugin_changes(row: RunRow, plugins: PluginSet) -> list[PluginChanged]:
    """How `plugins` differ from those that a run began with; nothing for a run that has none noted."""
    noted = _noted(row)
    if not noted:
        return []
    was, now = ({_dist(provider): provider for provider in each} for each in (noted, plugins))
    return [
        PluginChanged(row.run_id, was.get(dist, ""), now.get(dist, ""))
        for dist in sorted({*was, *now})
        if was.get(dist) != now.get(dist)
    ]


def missing_plugins(row: RunRow, manager: PluginManager) -> str:
    """Which of the plugins that a run has noted are not loaded here, and what helps; empty if all of them are."""
    records = {record.dist: record for record in sorted(manager.records, key=lambda record: record.loaded)}
    told = []
    for provider in _noted(row):
        dist, _, version = provider.partition(" ")
        if dist not in records:
            advice = f": pip install {dist}=={version}" if version else ""
            told.append(f"the run was begun with {provider}, which is not installed{advice}")
        elif not records[dist].loaded:
            told.append(f"the run was begun with {provider}: {records[dist].problem}")
    return "; ".join(told)


def check_policies(row: RunRow, plugins: PluginSet) -> None:
    """Raise `DefinitionChanged` where an installed plugin ran a kind of step when the run began, and another one, or
    a plugin file of the project, does now."""
    was, now = _by_kind(_noted(row)), _by_kind(plugins)
    for kind, before in was.items():
        after = now.get(kind, before)
        is_meant = not (_is_installed(after) or after in plugins.local)
        if _dist(after) != _dist(before) and _is_installed(before) and not is_meant:
            changed = DefinitionChanged(
                f"steps of kind {kind!r} were run by {before} when run {row.run_id!r} began, and by {after} now",
                suggestion=f"install {before}, or name it under [policies] in flujo.toml; or go on with the plugin as "
                "it is: resume(run_id, allow_changed=True)",
            )
            changed.plugin = before
            raise changed


def _noted(row: RunRow) -> PluginSet:
    return PluginSet(providers(row.tags.get(PLUGINS, "{}"), f"the tag {PLUGINS!r} of run {row.run_id!r}"))


def _by_kind(plugins: PluginSet) -> dict[str, str]:
    return {kind: provider for provider, kinds in plugins.items() for kind in kinds}


def _dist(provider: str) -> str:
    return provider.partition(" ")[0]


def _is_installed(provider: str) -> bool:
    """Whether it has a version: what is given in code is its owner's choice."""
    return " " in provider


def _policies(manager: PluginManager, step: Step[Any, Any]) -> Iterator[str]:
    policies = manager.contributions.policies
    keys = [f"{base.__module__}:{base.__qualname__}" for base in kin(type(step))]
    yield from _providers(policies, next((key for key in (*keys, ANY_STEP) if key in policies), ""))


def _beside(manager: PluginManager, step: Step[Any, Any]) -> Iterator[str]:
    """Who has the step's kind in files, and who provides its agent."""
    yield from _providers(manager.contributions.kinds, step.kind)
    if isinstance(step, AgentStep):
        yield from _providers(manager.contributions.agents, step.model.partition(":")[0])


def _skills(table: Table[Any]) -> Mapping[str, str]:
    """Who has the skills, by the names of their code: a step does not keep the id that a file gave it."""
    offers = (offer for key in table for offer in table.offers(key)[:1])
    targets = ((offer.value.target, offer.provider) for offer in offers)
    return {target if isinstance(target, str) else reference(target): provider for target, provider in targets}


def _packages(manager: PluginManager) -> Mapping[str, str]:
    """Who has kinds in files, by the package of its code: such a kind may be a plain step that calls a function of it.

    A step does not keep the kind that a file gave it.
    """
    records = (each for each in manager.records if each.is_installed and "kinds" in each.contributes)
    return {_package(record.target): record.provider for record in records}


def _package(target: str) -> str:
    return target.partition(":")[0].partition(".")[0]


def _providers(table: Table[Any], key: str) -> Iterator[str]:
    if key in table:
        yield from (offer.provider for offer in table.offers(key)[:1])
