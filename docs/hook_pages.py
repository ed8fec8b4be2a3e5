"""The page of each hook of plugins: what its spec says, what it is handed, and an example that the tests run."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from docs.sources import described, page, source, words

from flujo.plugins import hookspecs
from flujo.plugins.registrars import REGISTRARS, Registrar

__all__ = ["HOOK_PAGES", "hooks"]

EXAMPLES = Path(__file__).parent / "plugins" / "examples"
PREFIX = "flujo_register_"

#: What begins after the example of a page, which tests run.
HANDED_HEAD = "## What it is handed"
HANDED_ALL = "Every registrar has [`settings` and `supports`](../../reference/hooks.md#registrar), too."

#: What each hook's page describes beside the registrar: what is handed to a plugin, and what it has to give.
HANDED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "policies": {"flujo.engine.policy": ("StepPolicy", "StepExecutor"), "flujo.engine.frame": ("ExecutionFrame",)},
    "step_kinds": {"flujo.blueprint.schema": ("StepSpec",), "flujo.blueprint.kinds": ("BuildContext",)},
    "skills": {},
    "agents": {
        "flujo.blueprint.agents": ("AgentDeclaration", "AgentContext"),
        "flujo.domain.agents": ("AgentObject", "Estimates", "Priced"),
    },
    "state_backends": {
        "flujo.domain.interfaces": (
            *("StateBackend", "NewRun", "Claim", "RunRow", "JournalRecord", "RecordKind", "Sync", "Wait"),
            "MaintainedBackend",
        ),
        "flujo.domain.outcomes": ("ErrorInfo",),
        "flujo.domain.caching": ("CacheBackend", "CachingBackend"),
        "flujo.domain.lives": ("LivesBackend",),
        "flujo.domain.locations": ("LocatedBackend",),
    },
    "state_providers": {"flujo.domain.interfaces": ("StateProvider",)},
    "event_sinks": {"flujo.domain.interfaces": ("EventSink", "ClosableSink")},
    "commands": {},
    "lint_rules": {
        "flujo.blueprint.lint": ("LintedFile", "LintedStep", "LintNote"),
        "flujo.domain.validation": ("Location",),
    },
    "pricing": {},
}


def hook_page(name: str) -> str:
    """The page of the hook that registers `name`."""
    hook, registrar = source(hookspecs.__name__, PREFIX + name), REGISTRARS[PREFIX + name]
    given = source(registrar.__module__, registrar.__name__)
    assert hook
    assert given
    example = (EXAMPLES / f"{name}.md.in").read_text(encoding="utf-8").rstrip()
    parts = [words(hook), "## At work", example, HANDED_HEAD, HANDED_ALL, *described(given, "###")]
    for module, names in HANDED[name].items():
        for each in names:
            node = source(module, each)
            assert node, f"{module} has no {each}"
            parts += described(node, "###")
    return page(PREFIX + name, *parts)


def hooks() -> str:
    """Every hook with what it is for, and where its page is."""
    rows = ["| hook | what a plugin does by it |", "|---|---|"]
    for name in REGISTRARS:
        hook = source(hookspecs.__name__, name)
        assert hook
        first = words(hook).partition("\n\n")[0].replace("\n", " ")
        rows.append(f"| [`{name}`](../plugins/hooks/{name.removeprefix(PREFIX)}.md) | {first} |")
    base = source(Registrar.__module__, Registrar.__name__)
    assert base
    heading, _, *rest = described(base, "##")  # without how it is made, which is not for plugins
    return page(
        "Hooks",
        "What a plugin can add. A plugin is a module with functions under `@hookimpl` from `flujo.plugins`, announced\n"
        "by an entry point in the group `flujo.plugins`: see [Plugins](../plugins/README.md). Each hook is called\n"
        "once, when a plugin manager is made. This page and those of the hooks are made by `nox -s reference`.",
        "\n".join(rows),
        heading,
        *rest,
    )


HOOK_PAGES: Mapping[str, Callable[[], str]] = {
    name.removeprefix(PREFIX): partial(hook_page, name.removeprefix(PREFIX)) for name in REGISTRARS
}
