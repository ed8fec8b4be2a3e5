"""Prices and budgets in settings files: `[pricing."MODEL"]`, `[budgets.default]`, `[budgets.pipeline."NAME"]`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from flujo.domain.pricing import Price
from flujo.domain.quota import UsageLimits
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError, SettingsError
from flujo.infra.config_files import Table

__all__ = ["BUDGET_KEYS", "PRICE_KEYS", "SPENDING_TABLES", "SpendingTable", "read_spending"]

#: The top-level tables that are read here.
SPENDING_TABLES = ("budgets", "pricing")

PRICE_KEYS = tuple(each.name for each in fields(Price))
BUDGET_KEYS = tuple(each.name for each in fields(UsageLimits))


class SpendingTable(NamedTuple):
    """One such table. `pattern` names models, or pipelines; `given` has what is written, and `origins` where."""

    pattern: str
    value: Price | UsageLimits
    given: Mapping[str, Any]
    origins: Mapping[str, str]


def read_spending(source: Table) -> dict[str, SpendingTable]:
    """The prices and budgets of a settings file by the table's name, "pricing.openai:gpt-4o", "budgets.default".

    Raises `SettingsError` for an unknown key, and a value that can't be, with its place.
    """
    return {".".join(path): _table(source, path, pattern, table) for path, pattern, table in _tables(source)}


def _tables(source: Table) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Every table that holds a price or a budget: its path, the names it is for, and what it holds."""
    for model, table in _mapping(source, source.values, "pricing").items():
        yield ("pricing", model), model, table
    budgets = _mapping(source, source.values, "budgets")
    for name in budgets:
        _check_known(source, ("budgets", name), ("default", "pipeline"))
    if "default" in budgets:
        yield ("budgets", "default"), "*", budgets["default"]
    for pattern, table in _mapping(source, budgets, "pipeline", "budgets").items():
        yield ("budgets", "pipeline", pattern), pattern, table


def _mapping(source: Table, holder: Mapping[str, Any], name: str, *above: str) -> Mapping[str, Any]:
    table = holder.get(name, {})
    if isinstance(table, dict):
        return table
    path = (*above, name)
    raise _refusal(source, path, f"{'.'.join(path)} can't be {table!r}, expected tables")


def _table(source: Table, path: tuple[str, ...], pattern: str, table: Any) -> SpendingTable:
    make, keys = (Price, PRICE_KEYS) if path[0] == "pricing" else (UsageLimits, BUDGET_KEYS)
    if not isinstance(table, dict) or not table:
        expected = f"expected one at least of {', '.join(keys)}"
        raise _refusal(source, path, f"{'.'.join(path)} can't be {table!r}, {expected}")
    given, origins = {}, {}
    for key, value in table.items():
        _check_known(source, (*path, key), keys)
        try:
            make(**{key: value})
        except ConfigurationError as error:
            raise _refusal(source, (*path, key), f"{'.'.join(path)}.{error}") from error
        name = ".".join((*path, key))
        given[name], origins[name] = value, source.place((*path, key))
    return SpendingTable(pattern, make(**table), given, origins)


def _check_known(source: Table, path: tuple[str, ...], known: Sequence[str]) -> None:
    if path[-1] not in known:
        advice = did_you_mean(path[-1], known, what="expected one of")
        raise SettingsError(f"{source.place(path)} has no setting {'.'.join(path)!r}", suggestion=advice)


def _refusal(source: Table, path: Sequence[str], what: str) -> SettingsError:
    return SettingsError(f"{what} ({source.place(path)})")
