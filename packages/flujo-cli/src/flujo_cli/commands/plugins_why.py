"""`flujo plugins why`: who brings a kind, a step type, a skill, a command, and why it is that one."""

from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import click

from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.policy_registry import kin
from flujo.exceptions import PluginError
from flujo.plugins import PluginManager
from flujo.plugins.discovery import attempt, is_target
from flujo.plugins.precedence import told
from flujo.plugins.records import NOUNS
from flujo.plugins.screening import is_called
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console

__all__ = ["plugins_why"]


class _Answer(NamedTuple):
    """Who brings `key`: nobody where several claim it. `shadowed` are those that do not count; `fix` settles it."""

    facet: str
    key: str
    winner: str | None
    rule: str
    shadowed: tuple[str, ...]
    fix: str | None


@click.command()
@click.argument("key")
@json_option
@click.pass_obj
def plugins_why(options: Options, key: str, as_json: bool) -> None:
    """Say which plugin brings KEY, which others would, and the rule that decided.

    KEY is a kind, a step type such as LoopStep, a skill's id, a URL scheme, a command, or any other name that plugins
    register. With its sort before it, as in kind:map or skill:acme.fetch, only that is looked for.
    """
    manager = load_plugins(options, quiet=True, insists=False)
    facets, name = _asked(key)
    answers = [answer for facet in facets for answer in _answers(manager, facet, name)]
    if not answers:
        raise PluginError(f"no plugin brings {key!r}", suggestion=_advice(manager, facets, name))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.plugins.why/1", "answers": [answer._asdict() for answer in answers]})
        return
    for answer in answers:
        console.out(f"{NOUNS[answer.facet]} {answer.key!r}: {answer.winner or 'nobody'}")
        console.out(f"  rule      {answer.rule}")
        for provider in answer.shadowed:
            console.out(f"  shadowed  {provider}")
        if answer.fix:
            console.out(f"  settle    {answer.fix}")


def _asked(key: str) -> tuple[list[str], str]:
    """Where to look, and for what: "kind:map", or "kinds:map", is a kind and nothing else."""
    sort, _, name = key.partition(":")
    facets = [facet for facet, noun in NOUNS.items() if name and sort in (facet, noun.partition(" ")[0])]
    return (facets, name) if facets else ([*NOUNS], key)


def _answers(manager: PluginManager, facet: str, key: str) -> Iterator[_Answer]:
    table = getattr(manager.contributions, facet)
    if facet != "policies":
        keys = [key] if key in table else []
    else:
        keys = [each for each in table if key == each or each.endswith(f":{key.rpartition(':')[2]}")]
        keys = keys or list(_by_base(manager, key))
    for each in keys:
        yield _answer(manager, facet, each)


def _by_base(manager: PluginManager, key: str) -> Iterator[str]:
    """The nearest base of the class at `key` that has a policy."""
    if not is_target(key):
        return
    policies = manager.contributions.policies
    module, _, name = key.partition(":")
    try:
        found = attempt(lambda: attrgetter(name)(import_module(module)))
    except PluginError as error:
        advice = _advice(manager, [*NOUNS], key)
        raise PluginError(f"no plugin brings {key!r}, and no type is there: {error}", suggestion=advice) from error
    bases = kin(found) if isinstance(found, type) and issubclass(found, Step) else []
    names = (f"{base.__module__}:{base.__qualname__}" for base in bases)
    yield from [name for name in names if name in policies][:1]


def _answer(manager: PluginManager, facet: str, key: str) -> _Answer:
    table = getattr(manager.contributions, facet)
    counts = table.offers(key)
    rivals = table.rivals(key)
    conflict = table.conflict(key)
    return _Answer(
        facet,
        key,
        told(counts[0], rivals) if conflict is None else None,
        table.reason(key),
        tuple(told(offer, rivals) for offer in rivals if offer not in counts or len(counts) > 1),
        None if conflict is None else conflict.fix,
    )


def _advice(manager: PluginManager, facets: list[str], key: str) -> str:
    """The plugin that would bring it if it were loaded, and the names most like it."""
    tables: list[Any] = [getattr(manager.contributions, facet) for facet in facets]
    known = {each.rpartition(":")[2] for table in tables for each in table}
    sorts = ", ".join(NOUNS[facet].removesuffix(" for") for facet in facets)
    near = did_you_mean(key.rpartition(":")[2], known, what=f"it is no {sorts}; known are")
    blamed = manager.blame(facets[0] if len(facets) == 1 else "", key)
    shown = next((f"see `flujo plugins show {each.dist}`" for each in manager.records if is_called(each, key)), "")
    return "; ".join(filter(None, [shown and f"it is a plugin, {shown}", blamed, near]))
