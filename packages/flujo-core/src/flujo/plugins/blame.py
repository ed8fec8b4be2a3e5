"""Who may be to blame for what is not there: plugins that are not loaded, and sorts that are switched off."""

import re
from collections.abc import Iterable, Iterator

from flujo.plugins.records import NOUNS, PluginRecord, PluginStatus
from flujo.plugins.screening import dropped_facets, kept_out
from flujo.plugins.switches import PluginOptions, normal

__all__ = ["begins", "blame", "is_kept_out", "sorts"]

_SEPARATOR = re.compile(r"[.: ]")
_SORT = re.compile(r"\w+")

#: How many plugins that do not work are told of one by one, where none of them seems to be the one.
_MANY = 2


def blame(records: Iterable[PluginRecord], options: PluginOptions, facet: str, key: str) -> str:
    """Which plugins would bring `key` but for `options`, or are not loaded and seem to; else those that do not work or
    are switched off.

    It says what to do. More than two of these are counted only. An empty `facet` is every sort. A plugin file
    that is not heeded may bring anything.
    """
    records, facets = tuple(records), [facet] if facet else [*NOUNS]
    absent = [record for record in records if not record.loaded]
    words = {normal(part) for part in _SEPARATOR.split(key)}
    suspects = [line for each in facets for line in _certain(records, options, each, key)]
    what = f"{NOUNS[facet]} {key!r}" if facet else repr(key)
    suspects = suspects or [_told(record, f"{what} probably") for record in absent if words & _names(record)]
    suspects += filter(None, [options.unheeded])
    if suspects:
        return "; ".join(suspects)
    off = [record for record in absent if record.status is PluginStatus.DISABLED]
    failed = [record for record in absent if record not in off]
    told = [f"{record.problem}, see `flujo plugins show {record.dist}`" for record in failed]
    if len(failed) > _MANY:
        told = [f"{len(failed)} plugins are not loaded, see `flujo plugins list`"]
    if off:
        more = f" and {len(off) - _MANY} more, see `flujo plugins list`" if len(off) > _MANY else ""
        names = ", ".join(f"{record.dist} {record.error}" for record in off[:_MANY])
        told.append(f"switched off: {names}{more}")
    return "; ".join(told)


def is_kept_out(records: Iterable[PluginRecord], options: PluginOptions, facet: str, key: str) -> bool:
    """Whether `key` may be missing by a switch of this process alone, and not by settings or a broken plugin."""
    words = {normal(part) for part in _SEPARATOR.split(key)}
    absent = [each for each in records if not each.loaded or key in each.dropped.get(facet, ())]
    near = [each for each in absent if each.loaded or words & _names(each)] or absent
    off = [each for each in near if kept_out(each, facet, options)]
    broken = [each for each in near if each not in off and each.status is not PluginStatus.DISABLED]
    return not options.discover or bool(off and not broken)


def begins(key: str, said: str) -> bool:
    """Whether `key` is what was `said`, or begins with that as its first word: "acme.fetch" with "acme"."""
    return said in (key, _SEPARATOR.split(key)[0])


def sorts(said: str) -> list[str]:
    """The sorts of contribution that a distribution says one of its keys is of: "skills.commands" are two."""
    return _SORT.findall(said)


def _certain(records: Iterable[PluginRecord], options: PluginOptions, facet: str, key: str) -> Iterator[str]:
    """A line for each plugin that has `key` but for a switch, or whose distribution says that it would."""
    what = f"{NOUNS[facet]} {key!r}"
    for record in records:
        if any(_is_asked(each, key) for each in record.dropped.get(facet, ())):
            yield (
                f"{what} comes with {record.provider}, whose {facet} are switched off "
                + (dropped_facets(record, options)[facet])
            )
        says = any(facet in sorts(said) and begins(key, name) for name, said in record.provides.items())
        if says and not record.loaded:
            yield _told(record, what)


def _is_asked(each: str, key: str) -> bool:
    """Whether who asks for `key` means `each`: a type by its own name, a command by its first word."""
    return key in (each, each.rpartition(":")[2], each.partition(" ")[0])


def _names(record: PluginRecord) -> set[str]:
    """What a plugin's contributions are probably called: "flujo-policy-http" brings "http"."""
    dist = normal(record.dist)
    _, _, rest = dist.partition("-")
    module = normal(record.target.partition(":")[0].partition(".")[0])
    return {dist, rest, rest.partition("-")[2], normal(record.name.rpartition(":")[2]), module} - {""}


def _told(record: PluginRecord, what: str) -> str:
    what = f"{what} comes with {record.provider}, which is"
    if record.status is PluginStatus.DISABLED:
        return f"{what} switched off {record.error}"
    fix = f"{record.suggestion}; " if record.suggestion else ""
    return f"{what} not loaded ({record.status.value}: {record.error}): {fix}see `flujo plugins show {record.dist}`"
