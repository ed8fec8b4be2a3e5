"""Which plugins stay out before anything of them is imported, and which must be there."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from operator import eq, ge, gt, le, lt, ne

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.infra.plugin_tables import FACETS
from flujo.plugins.precedence import is_for
from flujo.plugins.records import Candidate, PluginRecord
from flujo.plugins.switches import PluginOptions, normal

__all__ = [
    "check_names",
    "check_required",
    "dropped_facets",
    "heeded_pins",
    "is_called",
    "kept_out",
    "refusal",
    "unmatched",
]

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*((?:(?:[<>=!]=|[<>])\s*[0-9][0-9.]*\s*,?\s*)*)")
_BOUND = re.compile(r"(==|!=|>=|<=|>|<)\s*([0-9][0-9.]*)")

#: The release of a version, and what stands between that and "+".
_VERSION = re.compile(r"v?([0-9.]*)([^+]*)")

#: What comes before a release.
_BEFORE = re.compile(r"[-_.]?(a|b|c|rc|pre|dev)", re.IGNORECASE)

#: What is older than a release is older than what comes before that, and the other way round (see `_order`).
_AT = {"<": -1, ">": 1}

_COMPARED: dict[str, Callable[[int, int], bool]] = {"==": eq, "!=": ne, ">=": ge, "<=": le, ">": gt, "<": lt}


def is_called(plugin: Candidate | PluginRecord, name: str) -> bool:
    """Whether `name` means this plugin: its distribution, with or without "flujo-", its entry point, or its module."""
    dist = normal(plugin.dist)
    entry = plugin.name.rpartition(":")[2]
    return normal(name) in {dist, dist.removeprefix("flujo-"), *map(normal, (plugin.name, entry, plugin.target))}


def check_names(candidates: Iterable[Candidate], options: PluginOptions) -> None:
    """Raise `PluginError` for a name of `-P` or FLUJO_PLUGINS that no plugin has."""
    there = [candidate for candidate in candidates if candidate.source != "explicit"]
    for switch in (*options.block, *options.force, *(options.only or ())):
        name = _split(switch)[0]
        if not any(is_called(candidate, name) for candidate in there):
            near = did_you_mean(normal(name), {candidate.dist for candidate in there}, what="installed are")
            raise PluginError(f"no plugin is called {name!r}", suggestion=near)


def refusal(plugin: Candidate | PluginRecord, options: PluginOptions) -> str | None:
    """By what `plugin` is switched off; None for one that may be loaded."""
    if plugin.source == "explicit" or _is_among(plugin, options.force):
        return None
    reasons = list(_own_reasons(plugin, options))
    if not plugin.is_first_party:
        reasons += _reasons_of_strangers(plugin, options)
    return next((f"by {reason}" for reason in reasons), None)


def _own_reasons(plugin: Candidate | PluginRecord, options: PluginOptions) -> Iterator[str]:
    """What switches off any plugin."""
    yield from (f"-P no:{switch}" for switch in options.block if _means(plugin, switch))
    if not options.discover:
        yield "FLUJO_DISABLE_PLUGIN_AUTOLOAD"
    if any(_means(plugin, name) for name in options.disable):
        yield _written("plugins.disable", options)


def _reasons_of_strangers(plugin: Candidate | PluginRecord, options: PluginOptions) -> Iterator[str]:
    """What switches off those that are not flujo's own; what a project enables is about installed ones."""
    if options.safe:
        yield "--no-plugins or FLUJO_NO_PLUGINS: only flujo's own plugins are loaded"
    if options.only is not None and not _is_among(plugin, options.only):
        yield "FLUJO_PLUGINS, which does not name it"
    if plugin.is_installed and options.enable is not None and not _is_among(plugin, options.enable):
        yield f"{_written('plugins.enable', options)}, which does not name it"


def dropped_facets(plugin: Candidate | PluginRecord, options: PluginOptions) -> dict[str, str]:
    """The sorts of contribution that do not count of `plugin`, those of "NAME:kinds", and by what each is off."""
    given = [(each, f"by {_written('plugins.disable', options)}") for each in options.disable]
    given += [(each, f"by -P no:{each}") for each in options.block]
    named = ((*_split(each), reason) for each, reason in given)
    return {facet: reason for name, facet, reason in named if facet and is_called(plugin, name)}


def heeded_pins(
    records: Iterable[PluginRecord], options: PluginOptions
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """The pins but for those to a plugin that a switch of this process keeps out, with a line for each of these."""
    there, aside = tuple(records), []
    pins: dict[str, dict[str, str]] = {}
    for facet, key, pin in [(facet, *each) for facet, table in options.pins.items() for each in table.items()]:
        reason = _kept_out(pin, facet, there, options)
        if reason is None:
            pins.setdefault(facet, {})[key] = pin
        elif options.discover:
            aside.append(f"{_written(f'{facet}.{key}', options)} does not count: {pin!r} is switched off {reason}")
    return pins, tuple(aside)


def _kept_out(pin: str, facet: str, records: Iterable[PluginRecord], options: PluginOptions) -> str | None:
    """By what nothing of the sort counts of the plugin that is pinned; one that isn't there would stay out as well."""
    absent: Candidate | PluginRecord = Candidate(pin, pin.partition(":")[0], "", "installed", pin, lambda: None)
    named = [each for each in records if normal(pin) in (normal(each.dist), normal(each.name))]
    reasons = [kept_out(each, facet, options) for each in (*named,) or (absent,)]
    return None if None in reasons else reasons[0]


def kept_out(plugin: Candidate | PluginRecord, facet: str, options: PluginOptions) -> str | None:
    """By what nothing of the sort counts of `plugin`, if that is a switch of this process and not a project's."""
    switches = options._replace(disable=(), enable=None)
    return refusal(plugin, switches) or dropped_facets(plugin, switches).get(facet)


def check_required(records: Iterable[PluginRecord], options: PluginOptions) -> None:
    """Raise `PluginError` for a plugin of `require` that is not loaded, or is of another version.

    Of those that `--no-plugins` keeps out, nothing is required: a project must be able to run without them.
    """
    records = tuple(records)
    for text in options.require:
        parsed = _REQUIREMENT.fullmatch(text)
        where = _written("plugins.require", options)
        if parsed is None:
            raise PluginError(
                f"{text!r} ({where}) is no requirement", suggestion="write it as 'flujo-policy-http>=1.2'"
            )
        if options.safe and _kept_out(parsed[1], "", records, PluginOptions(safe=True)):
            continue
        found = [record for record in records if is_called(record, parsed[1])]
        bad = next((record for record in found if not record.loaded), None)
        if bad is not None:
            raise PluginError(f"{text!r} is required ({where}), but {bad.problem}", suggestion=bad.suggestion or None)
        if not any(_fits(record.version, parsed[2]) for record in found):
            have = f"version {found[0].version!r} is installed" if found else "it is not installed"
            raise PluginError(f"{text!r} is required ({where}), but {have}", suggestion=f"pip install '{text}'")


def unmatched(
    records: Iterable[PluginRecord], tables: Mapping[str, Iterable[str]], options: PluginOptions
) -> Iterator[str]:
    """A line for each setting that is about no plugin, and about nothing that one offers."""
    there = tuple(records)
    if options.discover:
        yield from _about_nobody(there, options)
        yield from _about_nothing(there, tables, options)


def _about_nobody(records: Sequence[PluginRecord], options: PluginOptions) -> Iterator[str]:
    for name, given in (("disable", options.disable), ("enable", options.enable or ())):
        for each in given:
            if not any(is_called(record, _split(each)[0]) for record in records):
                yield f"{_written(f'plugins.{name}', options)} names {each!r}, which is no plugin here"
    for name in options.settings:
        if not any(normal(name) == normal(record.dist) for record in records):
            yield f"{_written(f'plugins.settings.{name}', options)} is for no plugin here"


def _about_nothing(
    records: Sequence[PluginRecord], tables: Mapping[str, Iterable[str]], options: PluginOptions
) -> Iterator[str]:
    """Of a plugin that is not loaded nobody knows what it offers."""
    for facet, pins in options.pins.items():
        for key, dist in pins.items():
            absent = any(is_called(record, dist) and not record.loaded for record in records)
            if not absent and not any(is_for(key, each) for each in tables[facet]):
                yield f"{_written(f'{facet}.{key}', options)} is about nothing that a plugin here offers"


def _is_among(plugin: Candidate | PluginRecord, names: Iterable[str]) -> bool:
    return any(is_called(plugin, name) for name in names)


def _means(plugin: Candidate | PluginRecord, name: str) -> bool:
    return not _split(name)[1] and is_called(plugin, name)


def _split(name: str) -> tuple[str, str]:
    """A plugin's name and a sort of contribution, from "NAME:kinds"; the sort is empty in any other text."""
    plugin, _, facet = name.rpartition(":")
    return (plugin, facet) if facet in FACETS else (name, "")


def _written(name: str, options: PluginOptions) -> str:
    """The setting with its place, or that of the first in its table."""
    places = (place for key, place in options.origins.items() if f"{key}.".startswith(f"{name}."))
    place = next(places, None)
    return f"{name} ({place})" if place else name


def _fits(version: str, bounds: str) -> bool:
    """Whether `version` is within the bounds, as installers read them (PEP 440)."""
    orders = ((sign, _order(version, bound)) for sign, bound in _BOUND.findall(bounds))
    return all(_COMPARED[sign](order, _AT.get(sign, 0)) for sign, order in orders)


def _order(version: str, bound: str) -> int:
    """-2 for a version of an older release than `bound`, 0 for one of the same, and 2 for one of a newer release.

    -1 comes before the release `bound` ("rc1", ".dev3"), and 1 after it (".post1"); "+local" counts for nothing.
    """
    release, rest = _VERSION.findall(version)[0]
    numbers = ([int(part) for part in text.split(".") if part] for text in (release, bound))
    pairs = zip_longest(*numbers, fillvalue=0)
    differing = next((one - other for one, other in pairs if one != other), 0)
    if differing:
        return 2 if differing > 0 else -2
    return 0 if not rest else -1 if _BEFORE.match(rest) else 1
