"""What the hooks receive: each registrar takes one sort of contribution from one plugin."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flujo.blueprint.kinds import AgentProviderSpec, BuildContext, KindSpec, LintRuleSpec, SkillSpec
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.plugins.contributions import (
    ANY_STEP,
    BackendSpec,
    CommandSpec,
    EventSinkSpec,
    PolicySpec,
    PricingSpec,
    StateProviderSpec,
)
from flujo.plugins.discovery import is_target
from flujo.plugins.precedence import Offer, Rank, in_the_way
from flujo.plugins.records import Candidate

if TYPE_CHECKING:
    from flujo.blueprint.agents import AgentContext, AgentDeclaration
    from flujo.blueprint.lint import LintedFile, LintNote
    from flujo.blueprint.schema import StepSpec
    from flujo.domain.agents import Agent
    from flujo.domain.interfaces import EventSink, StateBackend, StateProvider
    from flujo.domain.steps import Step
    from flujo.domain.usage import Usage
    from flujo.engine.policy import StepPolicy

__all__ = [
    "REGISTRARS",
    "AgentRegistrar",
    "CommandRegistrar",
    "EventSinkRegistrar",
    "LintRegistrar",
    "PolicyRegistrar",
    "PricingRegistrar",
    "Registrar",
    "SkillRegistrar",
    "Staged",
    "StateBackendRegistrar",
    "StateProviderRegistrar",
    "StepKindRegistrar",
]

PolicyFactory: TypeAlias = "StepPolicy[Any] | Callable[[], StepPolicy[Any]] | str"
BackendFactory: TypeAlias = "Callable[[str, Path], StateBackend] | str"
StateProviderFactory: TypeAlias = "Callable[[Path], StateProvider[Any]] | str"
EventSinkFactory: TypeAlias = "Callable[[Mapping[str, Any], Path], EventSink] | str"
AgentFactory: TypeAlias = "Callable[[AgentDeclaration, AgentContext], Agent] | str"
LintRule: TypeAlias = "Callable[[LintedFile], Iterable[LintNote]] | str"
Pricing: TypeAlias = "Callable[[str, Usage], Decimal | float | str | None] | str"
KindModel: TypeAlias = "type[StepSpec] | str"
KindBuilder: TypeAlias = "Callable[[Any, BuildContext], Step[Any, Any]] | str"

_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SKILL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_PROVIDER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CODE = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+")
_PATH = re.compile(r"[a-z][a-z0-9-]*( [a-z][a-z0-9-]*)*")

#: Ids that belong to one distribution, so that a file which uses them means the same everywhere.
_OWN_CODES = ("FLUJO-", "V-")
_RESERVED = {"flujo.builtins.": "flujo-policies-builtin"}


#: What nobody can mean as the thing itself where a target is expected.
_VALUES = (type(None), int, float, bytes, list, dict, tuple, set)

_RANKS = {"local": Rank.LOCAL, "explicit": Rank.EXPLICIT}


class Staged(list[Offer]):
    """What one plugin has offered so far, and, once it is `closed`, all that it will."""

    closed = False


class Registrar:
    """Stages one plugin's contributions; nothing of them counts until all of its hooks have returned.

    `settings` is what the project's settings have in the plugin's own table, `[plugins.settings.NAME]`.
    """

    def __init__(self, owner: Candidate, staged: Staged, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self._owner = owner
        self._staged = staged

    def supports(self, feature: str) -> bool:
        """Whether this flujo has a hook, "lint_rules", or a method of its registrar, "lint_rules.rule"."""
        return feature in _features()

    def _offer(self, facet: str, key: str, value: object, override: bool = False) -> None:
        if self._staged.closed:
            raise PluginError(f"{key!r} comes too late: plugins register what they have while they are loaded")
        if any(offer.facet == facet and offer.key == key for offer in self._staged):
            raise PluginError(f"{key!r} is registered twice in {facet}")
        owner = self._owner
        rank = _RANKS.get(owner.source, Rank.OVERRIDE if override else Rank.INSTALLED)
        self._staged.append(Offer(facet, key, value, owner.provider, rank, owner.dist, owner.name))


class PolicyRegistrar(Registrar):
    """Takes policies. `override=True` replaces the policy of another installed plugin."""

    def policy(self, handles: "type[Step[Any, Any]] | str", factory: PolicyFactory, *, override: bool = False) -> None:
        """Run steps of type `handles`, and of its subclasses without a policy, by the policy that `factory` gives.

        `handles` as text names the class where it is defined, or as flujo exports it ("flujo:LoopStep"). `factory` is a
        policy, or is called once without arguments. Raises `PluginError` for text of another form.
        """
        handles = _defined(handles) if isinstance(handles, str) else handles
        key = handles if isinstance(handles, str) else f"{handles.__module__}:{handles.__qualname__}"
        self._offer("policies", key, PolicySpec(handles, _target(factory), self._owner.provider), override)

    def fallback(self, factory: PolicyFactory, *, override: bool = False) -> None:
        """Run every step that no other policy runs."""
        self._offer("policies", ANY_STEP, PolicySpec(ANY_STEP, _target(factory), self._owner.provider), override)


class StepKindRegistrar(Registrar):
    """Takes kinds of step for pipeline files."""

    def kind(self, name: str, model: KindModel, build: KindBuilder, *, summary: str, override: bool = False) -> None:
        """Let files say `kind: <name>`: validated by `model`, a `StepSpec`, and made a step by `build`."""
        _matching(_KIND, name, "the name of a kind", "letters, digits, '_' and '-'")
        told = _said(summary, f"summary of kind {name!r}")
        self._offer("kinds", name, KindSpec(name, _target(model), _target(build), told, self._owner.provider), override)


class SkillRegistrar(Registrar):
    """Takes skills: callables with an id that pipeline files may use."""

    def skill(
        self, id: str, target: object, *, summary: str, side_effects: bool = False, override: bool = False
    ) -> None:
        """Let files say `agent: {id: <id>}`; the id is dotted and starts with a name of the plugin's own."""
        _matching(_SKILL, id, "a skill id", "names joined by dots, such as 'my_plugin.fetch'")
        for prefix, dist in _RESERVED.items():
            is_free = self._owner.source == "explicit" or (self._owner.is_first_party and self._owner.dist == dist)
            if id.startswith(prefix) and not is_free:
                raise PluginError(f"skill id {id!r} is not free: {prefix!r} belongs to {dist}")
        told = _said(summary, f"summary of skill {id!r}")
        self._offer("skills", id, SkillSpec(id, _target(target), told, side_effects, self._owner.provider), override)


class AgentRegistrar(Registrar):
    """Takes providers of agents for pipeline files."""

    def provider(self, prefix: str, factory: AgentFactory, *, override: bool = False) -> None:
        """Make agents whose `model` begins with `prefix` and a colon by `factory(declaration, context)`.

        The declaration is what the file says of the agent, the context finds the project's code and files. What
        `factory` gives is an agent: an object with a method `run`, or a function of the data.
        """
        _matching(_SCHEME, prefix, "an agent provider's prefix", "small letters, digits, '+', '.' and '-'")
        self._offer("agents", prefix, AgentProviderSpec(prefix, _target(factory), self._owner.provider), override)


class StateBackendRegistrar(Registrar):
    """Takes state backends."""

    def backend(self, scheme: str, factory: BackendFactory, *, override: bool = False) -> None:
        """Open state URLs that start with `scheme` by `factory(url, root)`, where `root` is the project's folder."""
        _matching(_SCHEME, scheme, "a url scheme", "small letters, digits, '+', '.' and '-'")
        self._offer("backends", scheme, BackendSpec(scheme, _target(factory), self._owner.provider), override)


class StateProviderRegistrar(Registrar):
    """Takes state providers."""

    def provider(self, id: str, factory: StateProviderFactory, *, override: bool = False) -> None:
        """Let contexts say `ContextReference(<id>, key)`. `factory(root)` makes the provider at its first use, where
        `root` is the project's folder; it is closed with the `Flujo` that used it."""
        _matching(_PROVIDER, id, "the id of a state provider", "letters, digits, '_', '.' and '-'")
        self._offer("state_providers", id, StateProviderSpec(id, _target(factory), self._owner.provider), override)


class EventSinkRegistrar(Registrar):
    """Takes event sinks. One that is registered hears nothing until somebody asks for it by its name."""

    def sink(self, name: str, factory: EventSinkFactory, *, summary: str, override: bool = False) -> None:
        """Let `Flujo(sinks=[<name>])` and `flujo run --sink <name>` add the sink that `factory(settings, root)` makes.

        `settings` is a mapping, empty unless the project's configuration has a table `[sinks.<name>]`; `root` is the
        project's folder. A sink made here is closed with its `Flujo`, if it is a `ClosableSink`.
        """
        _matching(_KIND, name, "the name of an event sink", "letters, digits, '_' and '-'")
        told = _said(summary, f"summary of event sink {name!r}")
        self._offer("sinks", name, EventSinkSpec(name, _target(factory), told, self._owner.provider), override)


class LintRegistrar(Registrar):
    """Takes rules about pipelines, for `flujo validate` and for loading files."""

    def rule(
        self,
        code: str,
        target: LintRule,
        *,
        severity: Literal["error", "warning"] = "warning",
        summary: str,
        override: bool = False,
    ) -> None:
        """Report what `target` notes about a file as findings `code`: it is given a `LintedFile` and gives `LintNote`s.

        A finding that is an "error" refuses the file. The code is in capitals, as "HTTP-101".
        """
        _matching(_CODE, code, "a rule's code", "capitals, digits and '-', such as 'HTTP-101'")
        if code.startswith(_OWN_CODES):
            raise PluginError(f"rule {code!r} is not free: {code.partition('-')[0]!r} belongs to flujo")
        if severity not in ("error", "warning"):
            raise PluginError(f"severity of rule {code!r} is {severity!r}, expected 'error' or 'warning'")
        told = _said(summary, f"summary of rule {code!r}")
        value = LintRuleSpec(code, _target(target), severity, told, self._owner.provider)
        self._offer("lint_rules", code, value, override)


class PricingRegistrar(Registrar):
    """Takes prices of models."""

    def pricing(self, prefix: str, target: Pricing, *, override: bool = False) -> None:
        """Price calls of models that begin with `prefix` and a colon by `target(model, usage)`, in US dollars.

        None is no price. Prices of the project's settings, and those given to `Flujo`, come first.
        """
        _matching(_SCHEME, prefix, "a prefix of models", "small letters, digits, '+', '.' and '-'")
        self._offer("pricing", prefix, PricingSpec(prefix, _target(target), self._owner.provider), override)


class CommandRegistrar(Registrar):
    """Takes commands for the command line. A command that is there already can't be replaced."""

    def command(self, path: str, target: object, *, short_help: str) -> None:
        """Add the command typed as `path` ("runs list"); `short_help` is its line in the list of commands."""
        _matching(_PATH, path, "a command", "words in small letters with one space between them")
        told = _said(short_help, f"short_help of command {path!r}")
        for other in self._staged:
            if other.facet == "commands" and other.key != path and in_the_way(path, other.key):
                raise PluginError(
                    f"command {path!r} is not free: the plugin has {other.key!r}, and one begins the other"
                )
        self._offer("commands", path, CommandSpec(path, _target(target), told, self._owner.provider))


#: The registrar that each hook receives.
REGISTRARS: Mapping[str, type[Registrar]] = MappingProxyType(
    {
        "flujo_register_policies": PolicyRegistrar,
        "flujo_register_step_kinds": StepKindRegistrar,
        "flujo_register_skills": SkillRegistrar,
        "flujo_register_agents": AgentRegistrar,
        "flujo_register_state_backends": StateBackendRegistrar,
        "flujo_register_state_providers": StateProviderRegistrar,
        "flujo_register_event_sinks": EventSinkRegistrar,
        "flujo_register_commands": CommandRegistrar,
        "flujo_register_lint_rules": LintRegistrar,
        "flujo_register_pricing": PricingRegistrar,
    }
)


@cache
def _features() -> frozenset[str]:
    hooks = {hook.removeprefix("flujo_register_"): registrar for hook, registrar in REGISTRARS.items()}
    methods = {f"{hook}.{name}" for hook, kind in hooks.items() for name in vars(kind) if not name.startswith("_")}
    return frozenset({*hooks, *methods})


def _target(target: Any) -> Any:
    """`target` as it is; text must have the form of a target."""
    if (isinstance(target, str) and not is_target(target)) or isinstance(target, _VALUES):
        raise PluginError(f"{target!r} is not a target, expected 'module:attr' or what is there")
    return target


def _said(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise PluginError(f"{what} is {text!r}, expected text")
    return text


def _defined(target: str) -> str:
    """`target`, where it is defined if it names what flujo exports. Nothing is imported for that."""
    module, _, name = _target(target).partition(":")
    if module != "flujo":
        return target
    homes = {each: home for home, names in import_module(module)._HOMES.items() for each in names}
    if name not in homes:
        raise PluginError(f"flujo exports no {name!r}", suggestion=did_you_mean(name, homes))
    return f"{homes[name]}:{name}"


def _matching(pattern: re.Pattern[str], text: str, what: str, form: str) -> None:
    if not pattern.fullmatch(text):
        raise PluginError(f"{text!r} is not {what}, expected {form}")
