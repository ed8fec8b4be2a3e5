"""Who may be to blame for what is not there: plugins that are not loaded, by what they are called."""

import re
from collections.abc import Iterable

from flujo.plugins.records import NOUNS, PluginRecord, PluginStatus
from flujo.plugins.switches import normal

__all__ = ["begins", "blame"]

_SEPARATOR = re.compile(r"[.: ]")

#: How many plugins that do not work are told of one by one, where none of them seems to be the one.
_MANY = 2


def blame(records: Iterable[PluginRecord], facet: str, key: str) -> str:
    """Which plugins that are not loaded seem to bring `key`, else those that do not work or are switched off.

    It says what to do. More than two of these are counted only.
    """
    absent = [record for record in records if not record.loaded]
    words = {normal(part) for part in _SEPARATOR.split(key)}
    suspects = [record for record in absent if _brings(record, facet, key)]
    suspects = suspects or [record for record in absent if words & _names(record)]
    if suspects:
        return "; ".join(_told(record, facet, key) for record in suspects)
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


def begins(key: str, said: str) -> bool:
    """Whether `key` is what was `said`, or begins with that as its first word: "acme.fetch" with "acme"."""
    return said in (key, _SEPARATOR.split(key)[0])


def _brings(record: PluginRecord, facet: str, key: str) -> bool:
    """Whether its distribution says that the plugin brings `key`."""
    return any(sort == facet and begins(key, said) for said, sort in record.provides.items())


def _names(record: PluginRecord) -> set[str]:
    """What a plugin's contributions are probably called: "flujo-policy-http" brings "http"."""
    dist = normal(record.dist)
    _, _, rest = dist.partition("-")
    module = normal(record.target.partition(":")[0].partition(".")[0])
    return {dist, rest, rest.partition("-")[2], normal(record.name.rpartition(":")[2]), module} - {""}


def _told(record: PluginRecord, facet: str, key: str) -> str:
    sure = "" if _brings(record, facet, key) else "probably "
    what = f"{NOUNS[facet]} {key!r} {sure}comes with {record.provider}, which is"
    if record.status is PluginStatus.DISABLED:
        return f"{what} switched off {record.error}"
    fix = f"{record.suggestion}; " if record.suggestion else ""
    return f"{what} not loaded ({record.status.value}: {record.error}): {fix}see `flujo plugins show {record.dist}`"
