"""What plugins contribute."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from flujo.blueprint.kinds import AgentProviderSpec, BuildContext, KindSpec, LintRuleSpec, SkillSpec
from flujo.exceptions import PluginError
from flujo.plugins.discovery import load_target
from flujo.plugins.precedence import Offer, Table, ranked
from flujo.plugins.records import NOUNS, PluginRecord
from flujo.plugins.switches import normal

if TYPE_CHECKING:
    from flujo.domain.steps import Step

__all__ = [
    "ANY_STEP",
    "BackendSpec",
    "CommandSpec",
    "Contributions",
    "EventSinkSpec",
    "PolicySpec",
    "PricingSpec",
    "StateProviderSpec",
    "load_function",
    "settle",
]

#: The key of the policy that runs every step which has no other.
ANY_STEP = "*"


class PolicySpec(NamedTuple):
    """Which policy runs a step type: `factory` is the policy, what makes it when called, or where that is."""

    handles: "type[Step[Any, Any]] | str"
    factory: Any
    provider: str


class BackendSpec(NamedTuple):
    """What opens a state URL of `scheme`: a function of the URL and the project's root, or where it is."""

    scheme: str
    factory: Any
    provider: str


class StateProviderSpec(NamedTuple):
    """What makes the state provider `id`: a function of the project's root, or where it is."""

    id: str
    factory: Any
    provider: str


class EventSinkSpec(NamedTuple):
    """What makes the event sink `name`: a function of its settings and the project's root, or where it is.

    `needs` says what helps where it can't be loaded.
    """

    name: str
    factory: Any
    summary: str
    provider: str
    needs: str = ""


class PricingSpec(NamedTuple):
    """What prices calls of models that begin with `prefix` and a colon: a function of model and usage, or its place."""

    prefix: str
    target: Any
    provider: str


class CommandSpec(NamedTuple):
    """A command of the command line, `path` as it is typed ("runs list")."""

    path: str
    target: Any
    short_help: str
    provider: str


class Contributions(NamedTuple):
    """Everything that the active plugins contribute.

    `policies` by step type ("module:qualname", or `ANY_STEP`), `kinds` by their name in files, `skills` by id,
    `agents` (their providers) by prefix, `backends` by URL scheme, `state_providers` by id, `sinks` by name,
    `commands` by path, `lint_rules` by code, `pricing` by prefix.
    """

    policies: Table[PolicySpec]
    kinds: Table[KindSpec]
    skills: Table[SkillSpec]
    agents: Table[AgentProviderSpec]
    backends: Table[BackendSpec]
    state_providers: Table[StateProviderSpec]
    sinks: Table[EventSinkSpec]
    commands: Table[CommandSpec]
    lint_rules: Table[LintRuleSpec]
    pricing: Table[PricingSpec]


def settle(
    offers: Iterable[Offer],
    pins: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    records: Iterable[PluginRecord] = (),
) -> Contributions:
    """Let the highest rank win each key. The result does not depend on the order of `offers`.

    `pins` name the distributions whose offers count, by facet and key; `records` tell of one that offers nothing.
    """
    tables, held = ranked(offers, pins)
    plugins = {normal(name): record for record in records for name in (record.dist, record.name)}
    return Contributions(
        **{
            facet: Table(noun, tables.get(facet, {}), held.get(facet, {}), _LOADS.get(facet, _as_it_is), plugins)
            for facet, noun in NOUNS.items()
        }
    )


def load_function(target: Any, provider: str) -> Any:
    """`load_target` of what is called then. Raises `PluginError` for anything else, too."""
    found = load_target(target, provider)
    if not callable(found):
        raise PluginError(f"plugin {provider} offers {target!r}, expected a function")
    return found


def _load_kind(kind: KindSpec) -> KindSpec:
    """The kind with its schema and builder imported, where they were given by name; the builder then gives steps only.

    Raises `PluginError` for what is no schema, or no builder.
    """
    from flujo.blueprint.schema import StepSpec  # noqa: PLC0415 - it loads pydantic, and tables are read without it
    from flujo.domain.steps import Step  # noqa: PLC0415 - the same

    model, build = (load_target(target, kind.provider) for target in (kind.model, kind.build))
    whose = f"of kind {kind.name!r} of plugin {kind.provider}"
    if not (isinstance(model, type) and issubclass(model, StepSpec)):
        raise PluginError(f"the schema {whose} is {model!r}, expected a subclass of StepSpec")
    if not callable(build):
        raise PluginError(f"the builder {whose} is {build!r}, expected a function")

    def checked(spec: Any, context: BuildContext) -> Any:
        step = build(spec, context)
        if not isinstance(step, Step):
            raise PluginError(f"the builder {whose} gave {step!r}, expected a step")
        return step

    return kind._replace(model=model, build=checked)


def _load(field: str, spec: Any) -> Any:
    return spec._replace(**{field: load_function(getattr(spec, field), spec.provider)})


def _as_it_is(spec: Any) -> Any:
    return spec


#: How what is given by name is imported when it is looked up.
_LOADS: Mapping[str, Callable[[Any], Any]] = {
    "kinds": _load_kind,
    "agents": partial(_load, "factory"),
    "lint_rules": partial(_load, "target"),
    "pricing": partial(_load, "target"),
}
