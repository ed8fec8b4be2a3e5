"""Type checkers accept a plugin whose hooks have the form in which flujo calls them, and reject every other."""

import json
import subprocess
import sys
from collections import defaultdict
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


#: How a hook may be written.
RIGHT = {
    "function": "@hookimpl\ndef {hook}(registrar: {kind}) -> None: ...",
    "with_options": "@hookimpl(optionalhook=True, trylast=True)\ndef {hook}(registrar: {kind}) -> None: ...",
    "by_another_name": '@hookimpl(specname="{hook}")\ndef my_{hook}(registrar: {kind}) -> None: ...',
    "of_anything": "@hookimpl\ndef {hook}(registrar: object) -> None: ...",
    "method": "class {kind}s:\n    @hookimpl\n    def {hook}(self, registrar: {kind}) -> None: ...",
    "static": "class {kind}s:\n    @staticmethod\n    @hookimpl\n    def {hook}(registrar: {kind}) -> None: ...",
    "classed": "class {kind}s:\n    @classmethod\n    @hookimpl\n    def {hook}(cls, registrar: {kind}) -> None: ...",
}
FUNCTION, METHOD = "{hook}(registrar: {kind}) -> None: ...", "{hook}(self, registrar: {kind}) -> None: ..."
#: What `hookimpl` refuses in a plugin that has no line about its hooks: some of a right hook, and what stands there.
REFUSED = {
    "another_type": ("function", "registrar: {kind}", "registrar: int"),
    "another_type_and_result": ("function", FUNCTION, '{hook}(registrar: int) -> str: return ""'),
    "another_type_with_options": ("with_options", "registrar: {kind}", "registrar: int"),
    "another_type_in_a_class": ("method", "registrar: {kind}", "registrar: int"),
    "another_name": ("function", "registrar: {kind}", "registry: {kind}"),
    "one_parameter_more": ("function", "registrar: {kind}", "registrar: {kind}, config: str"),
    "one_parameter_before": ("function", "registrar: {kind}", "config: str, registrar: {kind}"),
    "one_parameter_more_in_a_class": ("method", "registrar: {kind}", "registrar: {kind}, config: str"),
    "no_parameter": ("function", "registrar: {kind}", ""),
    "no_parameter_in_a_class": ("method", ", registrar: {kind}", ""),
    "a_result": ("function", FUNCTION, '{hook}(registrar: {kind}) -> str: return ""'),
    "a_result_in_a_class": ("method", METHOD, '{hook}(self, registrar: {kind}) -> str: return ""'),
    "a_coroutine": ("function", "def {hook}", "async def {hook}"),
    "a_generator": ("function", FUNCTION, "{hook}(registrar: {kind}) -> Iterator[None]: yield"),
    "a_wrapper": ("with_options", "trylast", "wrapper"),
}
NAMES = ", ".join(f"{kind.__name__} as {kind.__name__}" for kind in REGISTRARS.values())
HEAD = f"from collections.abc import Iterator as Iterator\n\nfrom flujo.plugins import hookimpl, {NAMES}\n"


def every_hook(form, old="", new=""):
    """A plugin with every hook in a form of `RIGHT`, and there `new` instead of `old`."""
    text = RIGHT[form]
    assert old in text
    hooks = [text.replace(old, new).format(hook=hook, kind=kind.__name__) for hook, kind in REGISTRARS.items()]
    return "\n".join([HEAD, *hooks, ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Plugins, right and wrong ones: those of `WRONG` are compared with the hooks in their last line."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, (old, new) in {"good": ("", ""), **WRONG}.items():
        assert old in GOOD
        plugin = GOOD.replace(old, new) if old else GOOD
        (folder / f"{name}.py").write_text(f"{plugin}\n{HOOKS}\nimport {name}\nhooks: Hooks = {name}\n")
    for name, form in {**{name: (name,) for name in RIGHT}, **REFUSED}.items():
        (folder / f"{name}.py").write_text(every_hook(*form))
    return folder


@pytest.fixture(scope="module")
def by_mypy(folder):
    """The lines that mypy finds errors in, by the plugin's name."""
    files = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", *STRICT, *files], capture_output=True, text=True, cwd=folder, check=False
    )
    errors = [line.split(":", 2) for line in done.stdout.splitlines() if ": error: " in line]
    return by_plugin((file, int(number)) for file, number, _ in errors)


@pytest.fixture(scope="module")
def by_pyright(folder):
    """As `by_mypy`. basedpyright is pyright with a node of its own, which its package fetches when it is first run."""
    settings = {"include": [str(folder)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", folder, "--pythonpath", sys.executable]
    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False)
    found = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    return by_plugin((each["file"], each["range"]["start"]["line"] + 1) for each in found)


def by_plugin(errors):
    found = defaultdict(set)
    for file, number in errors:
        found[Path(file).stem].add(number)
    return found


@pytest.fixture(params=["by_mypy", "by_pyright"], ids=["mypy", "pyright"])
def rejected(request):
    """What a type checker rejects: the lines with errors, by the plugin's name."""
    return request.getfixturevalue(request.param)


def test_every_wrong_plugin_is_rejected_and_no_other(rejected):
    assert rejected.keys() == WRONG.keys() | REFUSED.keys(), dict(rejected)


@pytest.mark.parametrize("form", REFUSED)
def test_hookimpl_itself_refuses_what_no_hook_takes(rejected, folder, form):
    lines = (folder / f"{form}.py").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.strip().startswith("@hookimpl")}

    assert len(marked) == len(REGISTRARS)
    assert marked <= rejected[form]
