"""Type checkers accept a plugin whose hooks have the form in which flujo calls them, and reject every other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flujo.plugins.registrars import REGISTRARS

CACHE = Path(__file__).parents[2] / ".mypy_cache" / "typing"
STRICT = ["mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}", "--no-error-summary"]

HOOK = "    def {}(self, registrar: {}) -> None: ...\n"

#: Says of every hook how flujo calls it; the plugin before it is compared with that.
HOOKS = f"""\
from typing import Protocol

class Hooks(Protocol):
{"".join(HOOK.format(hook, kind.__name__) for hook, kind in REGISTRARS.items())}
"""
GOOD = '''\
"""A plugin with every hook, and everything that a type checker can compare given as itself."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from flujo import Step
from flujo.domain.agents import Agent
from flujo.domain.usage import Usage
from flujo.engine.executor_core import ExecutorCore
from flujo.plugins import (
    AgentContext,
    AgentDeclaration,
    AgentRegistrar,
    BuildContext,
    CommandRegistrar,
    EventSinkRegistrar,
    ExecutionFrame,
    InMemoryBackend,
    LintedFile,
    LintNote,
    LintRegistrar,
    PolicyRegistrar,
    PricingRegistrar,
    SkillRegistrar,
    StateBackend,
    StateBackendRegistrar,
    StateProviderRegistrar,
    StepExecutor,
    StepKindRegistrar,
    StepOutcome,
    StepPolicy,
    StepSpec,
    hookimpl,
)
from flujo.testing import InMemoryStateProvider


class Shout(Step[str, str]):
    pass


class ShoutPolicy(StepPolicy[Shout]):
    @property
    def handles_type(self) -> type[Shout]:
        return Shout

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        return await core.execute(frame)


class ShoutSpec(StepSpec):
    loud: bool = True


class Sink:
    def handle(self, event: object, /) -> None: ...


async def try_it(core: ExecutorCore, frame: ExecutionFrame) -> StepOutcome[Any]:
    return await ShoutPolicy().execute(core, frame)


def build(spec: ShoutSpec, context: BuildContext) -> Shout:
    return Shout(spec.name)


def shout(text: str) -> str:
    return text.upper()


def make_agent(declaration: AgentDeclaration, context: AgentContext) -> Agent:
    return shout


def open_state(url: str, root: Path) -> StateBackend:
    return InMemoryBackend()


def open_provider(root: Path) -> InMemoryStateProvider[Any]:
    return InMemoryStateProvider()


def open_sink(settings: Mapping[str, Any], root: Path) -> Sink:
    return Sink()


def check(file: LintedFile) -> Iterator[LintNote]:
    for step in file.steps:
        yield step.note("too loud")


def price(model: str, usage: Usage) -> Decimal | None:
    return None


@hookimpl
def flujo_register_policies(registrar: PolicyRegistrar) -> None:
    registrar.policy(Shout, ShoutPolicy, override=True)
    registrar.fallback("my_plugin:MyPolicy")


@hookimpl
def flujo_register_step_kinds(registrar: StepKindRegistrar) -> None:
    registrar.kind("shout", ShoutSpec, build, summary="say it loudly")


@hookimpl
def flujo_register_skills(registrar: SkillRegistrar) -> None:
    registrar.skill("my.shout", shout, summary="say it again")


@hookimpl
def flujo_register_agents(registrar: AgentRegistrar) -> None:
    registrar.provider("my", make_agent)


@hookimpl
def flujo_register_state_backends(registrar: StateBackendRegistrar) -> None:
    registrar.backend("my", open_state)


@hookimpl
def flujo_register_state_providers(registrar: StateProviderRegistrar) -> None:
    registrar.provider("my", open_provider)


@hookimpl
def flujo_register_event_sinks(registrar: EventSinkRegistrar) -> None:
    registrar.sink("my", open_sink, summary="hear it")


@hookimpl
def flujo_register_commands(registrar: CommandRegistrar) -> None:
    registrar.command("my shout", shout, short_help="Say it loudly.")


@hookimpl
def flujo_register_lint_rules(registrar: LintRegistrar) -> None:
    registrar.rule("MY-1", check, severity="error", summary="too loud")


@hookimpl
def flujo_register_pricing(registrar: PricingRegistrar) -> None:
    registrar.pricing("my", price)
'''
SIGNATURE = "def flujo_register_skills(registrar: SkillRegistrar) -> None:"
#: What is wrong: some of the good plugin's text, and what stands in its place.
WRONG = {
    "one_parameter_too_many": (SIGNATURE, "def flujo_register_skills(registrar: SkillRegistrar, config: str) -> None:"),
    "another_name_of_the_parameter": (SIGNATURE, "def flujo_register_skills(registry: SkillRegistrar) -> None:"),
    "an_async_hook": (SIGNATURE, f"async {SIGNATURE}"),
    "a_hook_that_returns": (SIGNATURE, "def flujo_register_skills(registrar: SkillRegistrar) -> list[str]:"),
    "a_typing_error": ("flujo_register_skills", "flujo_register_skils"),
    "no_summary": (', summary="say it again"', ""),
    "an_option_that_is_not_there": ("override=True", "replace=True"),
    "a_policy_that_is_none": ("(Shout, ShoutPolicy,", "(Shout, Sink,"),
    "a_fallback_that_is_none": ('"my_plugin:MyPolicy"', "Sink"),
    "a_step_that_is_none": ("(Shout, ShoutPolicy,", "(Sink, ShoutPolicy,"),
    "a_model_that_is_none": ('"shout", ShoutSpec,', '"shout", Sink,'),
    "a_builder_without_a_context": ("(spec: ShoutSpec, context: BuildContext)", "(spec: ShoutSpec)"),
    "a_builder_of_no_step": ("-> Shout:\n    return Shout(spec.name)", "-> str:\n    return spec.name"),
    "a_maker_of_agents_without_a_context": (", context: AgentContext", ""),
    "a_state_without_a_root": ("(url: str, root: Path)", "(url: str)"),
    "a_state_that_is_none": ("-> StateBackend:\n    return InMemoryBackend()", "-> Sink:\n    return Sink()"),
    "a_provider_that_is_none": (
        "-> InMemoryStateProvider[Any]:\n    return InMemoryStateProvider()",
        "-> Sink:\n    return Sink()",
    ),
    "a_sink_that_hears_nothing": ("def handle(", "def hear("),
    "a_sink_without_settings": ("(settings: Mapping[str, Any], root: Path)", "(root: Path)"),
    "a_command_without_help": (', short_help="Say it loudly."', ""),
    "a_severity_that_is_not_there": ('severity="error"', 'severity="fatal"'),
    "a_rule_that_gives_text": (
        'Iterator[LintNote]:\n    for step in file.steps:\n        yield step.note("too loud")',
        "list[str]:\n    return []",
    ),
    "a_price_without_usage": ("(model: str, usage: Usage)", "(model: str)"),
    "a_price_that_is_none": ("Decimal | None:\n    return None", "list[str]:\n    return []"),
    **{
        f"another_registrar_of_{hook}": (f"def {hook}(registrar: {kind.__name__})", f"def {hook}(registrar: Sink)")
        for hook, kind in REGISTRARS.items()
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The good plugin and every wrong one, each compared with the hooks in its last line."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, (old, new) in {"good": ("", ""), **WRONG}.items():
        assert old in GOOD
        plugin = GOOD.replace(old, new) if old else GOOD
        (folder / f"{name}.py").write_text(f"{plugin}\n{HOOKS}\nimport {name}\nhooks: Hooks = {name}\n")
    return folder


def rejected(paths):
    return {Path(path).stem for path in paths}


def test_mypy_rejects_every_wrong_plugin_and_no_other(folder):
    files = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", *STRICT, *files], capture_output=True, text=True, cwd=folder, check=False
    )

    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert rejected(line.partition(":")[0] for line in errors) == set(WRONG), done.stdout


def test_pyright_rejects_every_wrong_plugin_and_no_other(folder):
    """basedpyright is pyright with a node of its own, which the package of that name fetches when it is first run."""
    settings = {"include": [str(folder)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", folder, "--pythonpath", sys.executable]

    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False)

    found = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    assert rejected(each["file"] for each in found) == set(WRONG), [each["message"] for each in found]
