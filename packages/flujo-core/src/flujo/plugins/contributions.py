"""What plugins contribute, and whose offer counts when two claim one thing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from flujo.blueprint.kinds import AgentProviderSpec, KindSpec, SkillSpec
from flujo.exceptions import PolicyConflictError
from flujo.plugins.discovery import load_target

if TYPE_CHECKING:
    from flujo.domain.steps import Step

__all__ = [
    "ANY_STEP",
    "BackendSpec",
    "CommandSpec",
    "Contributions",
    "EventSinkSpec",
    "LintRuleSpec",
    "Offer",
    "PolicySpec",
    "PricingSpec",
    "Rank",
    "StateProviderSpec",
    "Table",
    "settle",
]

V = TypeVar("V")

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


class LintRuleSpec(NamedTuple):
    """A rule about pipelines: `target` is a function of a `LintedFile` that gives `LintNote`s, or where it is."""

    code: str
    target: Any
    severity: Literal["error", "warning"]
    summary: str
    provider: str


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


class Rank(IntEnum):
    """Whose offer counts: given in code beats the one that the project names, and that its own plugin files; then
    comes what is installed with `override`, and what is installed."""

    INSTALLED = 0
    OVERRIDE = 1
    LOCAL = 2
    PINNED = 3
    EXPLICIT = 4


class Offer(NamedTuple):
    """One thing that one plugin, of the distribution `dist`, contributes: a `value` for `key` in the table `facet`."""

    facet: str
    key: str
    value: Any
    provider: str
    rank: Rank
    dist: str = ""


class Table(Mapping[str, V], Generic[V]):
    """The contributions of one sort. A key that two plugins claim is there, and an error when it is looked up.

    Looking up raises `PolicyConflictError`, and `PluginError` for what can't be imported.
    """

    __slots__ = ("_load", "_noun", "_offers")

    def __init__(
        self, noun: str, offers: Mapping[str, tuple[Offer, ...]], load: Callable[[Any], V] = lambda value: value
    ) -> None:
        self._noun = noun
        self._offers = offers
        self._load = load

    def offers(self, key: str) -> tuple[Offer, ...]:
        """The offer that counts for `key`, or those that contradict each other."""
        return self._offers[key]

    def __getitem__(self, key: str) -> V:
        offers = self._offers[key]
        if len(offers) > 1:
            raise PolicyConflictError(
                f"{self._noun} {key!r} is claimed by {' and '.join(offer.provider for offer in offers)}",
                suggestion="uninstall one of them, or a version that registers it with override=True",
            )
        return self._load(offers[0].value)

    def __contains__(self, key: object) -> bool:
        return key in self._offers

    def __iter__(self) -> Iterator[str]:
        return iter(self._offers)

    def __len__(self) -> int:
        return len(self._offers)

    def __eq__(self, other: object) -> bool:
        return self._offers == other._offers if isinstance(other, Table) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a mapping compares by what it holds


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


def settle(offers: Iterable[Offer]) -> Contributions:
    """Let the highest rank win each key. The result does not depend on the order of `offers`."""
    tables: dict[str, dict[str, list[Offer]]] = {}
    for offer in offers:
        tables.setdefault(offer.facet, {}).setdefault(offer.key, []).append(offer)
    best = {facet: {key: _best(rivals) for key, rivals in sorted(table.items())} for facet, table in tables.items()}
    return Contributions(
        policies=Table("policy for step type", best.get("policies", {})),
        kinds=Table("kind", best.get("kinds", {}), _load_kind),
        skills=Table("skill", best.get("skills", {})),
        agents=Table("agent provider", best.get("agents", {}), _load_provider),
        backends=Table("state backend", best.get("backends", {})),
        state_providers=Table("state provider", best.get("state_providers", {})),
        sinks=Table("event sink", best.get("sinks", {})),
        commands=Table("command", best.get("commands", {})),
        lint_rules=Table("lint rule", best.get("lint_rules", {})),
        pricing=Table("pricing", best.get("pricing", {})),
    )


def _load_kind(kind: KindSpec) -> KindSpec:
    """The kind with its schema and builder imported, where they were given by name."""
    model, build = (load_target(target, kind.provider) for target in (kind.model, kind.build))
    return kind._replace(model=model, build=build)


def _load_provider(provider: AgentProviderSpec) -> AgentProviderSpec:
    return provider._replace(factory=load_target(provider.factory, provider.provider))


def _best(rivals: list[Offer]) -> tuple[Offer, ...]:
    top = max(offer.rank for offer in rivals)
    return tuple(sorted((offer for offer in rivals if offer.rank == top), key=lambda offer: offer.provider))
