"""Whose offer counts when two plugins claim one thing, and how a project settles it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from flujo.exceptions import PolicyConflictError
from flujo.infra.plugin_tables import PIN_TABLES
from flujo.plugins.switches import normal

if TYPE_CHECKING:
    from flujo.plugins.records import PluginRecord

__all__ = ["Conflict", "Offer", "Rank", "Table", "in_the_way", "is_for", "ranked", "told"]

V = TypeVar("V")

_BARE = re.compile(r"[A-Za-z0-9_-]+")

#: What settings call a type that flujo itself exports, wherever that is defined.
_PUBLIC = "flujo:"


class Rank(IntEnum):
    """Whose offer counts: given in code beats the one that the project names, and that its own plugin files; then
    comes what is installed with `override`, and what is installed."""

    INSTALLED = 0
    OVERRIDE = 1
    LOCAL = 2
    PINNED = 3
    EXPLICIT = 4


_REASONS = {
    Rank.INSTALLED: "it is the only one that offers it",
    Rank.OVERRIDE: "it is registered with override=True",
    Rank.LOCAL: "the project's own plugin files come before what is installed",
    Rank.PINNED: "the project's settings name it",
    Rank.EXPLICIT: "it is given in code, which comes before everything else",
}


class Offer(NamedTuple):
    """One thing that the plugin `name`, of the distribution `dist`, contributes: a `value` for `key` in `facet`."""

    facet: str
    key: str
    value: Any
    provider: str
    rank: Rank
    dist: str = ""
    name: str = ""


class Conflict(NamedTuple):
    """A key that nobody has, because several plugins claim it; `fix` is the line of flujo.toml that settles it.

    `rank` is that of the offers. `pin` is the distribution that the project's settings name, and that doesn't offer it:
    `why` not, and what helps.
    """

    noun: str
    facet: str
    key: str
    providers: tuple[str, ...]
    fix: str
    rank: Rank
    pin: str = ""
    why: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        if not self.pin:
            return f"{self.noun} {self.key!r} is claimed by {' and '.join(self.providers)}"
        return f"{self.noun} {self.key!r} is to come from {self.pin!r}, {self.why[0]}"

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.pin:
            return f"{self.why[1]}say at the top of flujo.toml: {self.fix}"
        if self.rank is Rank.EXPLICIT:
            return "give only one of them to create_plugin_manager(...)"
        can_override = self.rank is Rank.INSTALLED and self.facet != "commands"
        otherwise = "; or let one be registered with override=True" if can_override else ""
        return f"say at the top of flujo.toml which one counts: {self.fix}{otherwise}"


class Table(Mapping[str, V], Generic[V]):
    """The contributions of one sort. A key that two plugins claim is there, and an error when it is looked up.

    Looking up raises `PolicyConflictError`, and `PluginError` for what can't be imported. `pins` are the distributions
    whose offers count, by key, and `plugins` those there are, by the names that a pin may have.
    """

    __slots__ = ("_load", "_noun", "_offers", "_pins", "_plugins")

    def __init__(
        self,
        noun: str,
        offers: Mapping[str, tuple[Offer, ...]],
        pins: Mapping[str, str],
        load: Callable[[Any], V] = lambda value: value,
        plugins: "Mapping[str, PluginRecord]" = MappingProxyType({}),
    ) -> None:
        self._noun = noun
        self._offers = offers
        self._pins = pins
        self._load = load
        self._plugins = plugins

    def rivals(self, key: str) -> tuple[Offer, ...]:
        """Every offer for `key`, those that count first."""
        return self._offers[key]

    def offers(self, key: str) -> tuple[Offer, ...]:
        """The offer that counts for `key`, or those that contradict each other."""
        rivals = self._offers[key]
        return tuple(offer for offer in rivals if offer.rank == rivals[0].rank)

    def reason(self, key: str) -> str:
        """Why the offer that counts for `key` does, in one line."""
        conflict = self.conflict(key)
        return str(conflict) if conflict else _REASONS[self._offers[key][0].rank]

    def conflict(self, key: str) -> Conflict | None:
        """What is wrong with `key`, if nobody has it."""
        top = self.offers(key)
        pin = self._pins.get(key, "")
        unmet = bool(pin) and top[0].rank < Rank.PINNED
        if len(top) == 1 and not unmet:
            return None
        rivals = self._offers[key]
        providers = tuple(told(offer, rivals) for offer in top)
        conflict = Conflict(self._noun, top[0].facet, key, providers, _fix(top, rivals), top[0].rank)
        return conflict._replace(pin=pin, why=_unmet(pin, self._plugins.get(normal(pin)))) if unmet else conflict

    def __getitem__(self, key: str) -> V:
        conflict = self.conflict(key)
        if conflict is not None:
            raise PolicyConflictError(str(conflict), suggestion=conflict.advice)
        return self._load(self._offers[key][0].value)

    def __contains__(self, key: object) -> bool:
        return key in self._offers

    def __iter__(self) -> Iterator[str]:
        return iter(self._offers)

    def __len__(self) -> int:
        return len(self._offers)

    def __eq__(self, other: object) -> bool:
        return self._offers == other._offers if isinstance(other, Table) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a mapping compares by what it holds


def ranked(
    offers: Iterable[Offer], pins: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, dict[str, tuple[Offer, ...]]], dict[str, dict[str, str]]]:
    """The offers by facet and key, best first, and the pins by facet and the keys that they are for.

    Neither depends on the order of `offers`.
    """
    found: dict[str, dict[str, list[Offer]]] = {}
    for offer in offers:
        found.setdefault(offer.facet, {}).setdefault(offer.key, []).append(offer)
    held = {
        facet: {key: pin for key in table if (pin := _pin(key, pins.get(facet, {})))} for facet, table in found.items()
    }
    tables = {
        facet: {key: _in_order(rivals, held[facet].get(key)) for key, rivals in sorted(table.items())}
        for facet, table in found.items()
    }
    if "commands" in tables:
        tables["commands"] = _with_those_in_the_way(tables["commands"])
    return tables, held


def in_the_way(command: str, other: str) -> bool:
    """Whether who types the one command would get the other: they are the same, or one begins with the other."""
    return f"{command} ".startswith(f"{other} ") or f"{other} ".startswith(f"{command} ")


def _with_those_in_the_way(commands: Mapping[str, tuple[Offer, ...]]) -> dict[str, tuple[Offer, ...]]:
    """The offers of each command, and as strong as they are, that of a command that begins with it or that it begins
    with: who types the longer one would get the shorter."""
    return {
        path: (
            *offers,
            *(
                others[0]._replace(rank=offers[0].rank)
                for other, others in commands.items()
                if other != path and in_the_way(path, other)
            ),
        )
        for path, offers in commands.items()
    }


def is_for(pin: str, key: str) -> bool:
    """Whether settings that name `pin` are about `key`."""
    return _pin(key, {pin: pin}) is not None


def _pin(key: str, pins: Mapping[str, str]) -> str | None:
    """The distribution that is to have `key`; "flujo:LoopStep" is for the type of that name wherever it is defined."""
    module, _, name = key.partition(":")
    public = f"{_PUBLIC}{name}" if module.partition(".")[0] == "flujo" else key
    return pins.get(key, pins.get(public))


def _in_order(rivals: Iterable[Offer], pin: str | None) -> tuple[Offer, ...]:
    raised = (
        offer._replace(rank=max(offer.rank, Rank.PINNED))
        if pin and normal(pin) in (normal(offer.dist), normal(offer.name))
        else offer
        for offer in rivals
    )
    return tuple(sorted(raised, key=lambda offer: (-offer.rank, offer.provider, offer.name)))


def _fix(top: tuple[Offer, ...], rivals: tuple[Offer, ...]) -> str:
    """The line of flujo.toml by which the first of `top` counts. It is TOML above the first table."""
    offer, *others = top
    if offer.facet in PIN_TABLES and all(other.key == offer.key for other in others):
        return f"{offer.facet}.{_toml(offer.key)} = {json.dumps(_called(offer, rivals))}"
    names = dict.fromkeys(f"{_called(other, rivals)}:{other.facet}" for other in others)
    return f"plugins.disable = {json.dumps(list(names))}"


def _unmet(pin: str, record: "PluginRecord | None") -> tuple[str, str]:
    """Why the plugin that `pin` names doesn't offer what it is to, and the beginning of what helps."""
    if record is None or record.loaded:
        return "which does not offer it", "" if record else f"install {pin}, or "
    advice = f"{record.suggestion}; " if record.suggestion else ""
    return f"but {record.problem}", f"{advice}see `flujo plugins show {record.dist}`, or "


def _called(offer: Offer, rivals: tuple[Offer, ...]) -> str:
    """The distribution, or the plugin's whole name where another of `rivals` is of the same distribution."""
    return offer.name if _is_one_of_several(offer, rivals) else offer.dist


def told(offer: Offer, rivals: tuple[Offer, ...]) -> str:
    """Who makes `offer`, in words that are no other's of `rivals`."""
    if offer.key != rivals[0].key:
        return f"{offer.provider} as {offer.key!r}"
    return f"{offer.provider} ({offer.name})" if _is_one_of_several(offer, rivals) else offer.provider


def _is_one_of_several(offer: Offer, rivals: tuple[Offer, ...]) -> bool:
    return sum(other.dist == offer.dist for other in rivals) > 1


def _toml(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
