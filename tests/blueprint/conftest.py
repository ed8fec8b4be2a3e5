"""A folder with a pipeline in it, and kinds and skills as a plugin would bring them."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, field_validator

from flujo.blueprint.builder import Sources, check_pipeline, load_pipeline
from flujo.blueprint.diagnostics import read_sources, render
from flujo.blueprint.kinds import AgentProviderSpec, BuildContext, KindSpec, SkillSpec
from flujo.blueprint.schema import Spec, StepSpec
from flujo.domain.steps import Pipeline, Step
from flujo.domain.validation import Finding
from flujo.exceptions import BlueprintError, ConfigurationError
from flujo.infra.templates import Templates
from flujo_policies_builtin.imports import ImportSpec, build_import
from flujo_policies_builtin.providers import function_agent, scripted_agent

#: Where Python's own modules lie, and this repository's: any other is a project's, of a test or of an example.
CHECKOUT = Path(__file__).resolve().parents[2]
PLACES = (sys.prefix, sys.base_prefix, CHECKOUT / "packages", CHECKOUT / "tests")
NOT_OF_PROJECTS = tuple(form for place in PLACES for form in (str(place), str(Path(place).resolve())))


class Reference(Spec):
    id: str
    params: dict[str, Any] = Field(default_factory=dict)


class CallSpec(StepSpec):
    agent: str | Reference | None = None
    uses: str | None = None


class ListSpec(StepSpec):
    steps: list[Any] = Field(min_length=1)


class EitherSpec(StepSpec):
    yes: Any
    no: Any = None


class NumberSpec(StepSpec):
    number: int | bool
    mode: Spec | str = "plain"
    numbers: list[int] = Field(default_factory=list)
    pairs: list[Reference] = Field(default_factory=list)

    @field_validator("number")
    @classmethod
    def _is_lucky(cls, number: int) -> int:
        if number == 13:
            raise ValueError("thirteen brings bad luck")
        return number


class CaughtSpec(StepSpec):
    pass


def build_call(spec: CallSpec, context: BuildContext) -> Step[Any, Any]:
    agent = spec.agent if isinstance(spec.agent, Reference) else Reference(id=spec.agent or spec.uses or "")
    if not agent.id:
        return Step(**context.common(spec))
    declared = context.agent(agent.id)
    if declared is not None:
        return declared.step(**context.common(spec))
    return Step(run=context.resolve(agent.id), params=agent.params, **context.common(spec))


def build_list(spec: ListSpec, context: BuildContext) -> Step[Any, Any]:
    return Pipeline(context.sequence(spec.steps), **context.common(spec))


def build_either(spec: EitherSpec, context: BuildContext) -> Step[Any, Any]:
    branches = [context.build(branch) for branch in (spec.yes, spec.no) if branch is not None]
    return Pipeline(branches, **context.common(spec))


def build_caught(spec: CaughtSpec, context: BuildContext) -> Step[Any, Any]:
    if spec.meta.get("crash"):
        raise KeyError(spec.name)
    raise ConfigurationError(f"step {spec.name!r} was caught", suggestion="let it go")


KINDS = {
    "step": KindSpec("step", CallSpec, build_call, "one call"),
    "pipeline": KindSpec("pipeline", ListSpec, build_list, "one after the other"),
    "either": KindSpec("either", EitherSpec, build_either, "two branches"),
    "number": KindSpec("number", NumberSpec, build_caught, "holds numbers"),
    "import": KindSpec("import", ImportSpec, build_import, "another file"),
    "caught": KindSpec("caught", CaughtSpec, build_caught, "can't be built"),
}

SKILLS = {
    "flujo.builtins.stringify": SkillSpec("flujo.builtins.stringify", str, "text"),
    "flujo.builtins.upper": SkillSpec("flujo.builtins.upper", "operator:neg", "the other sign"),
}

PROVIDERS = {
    "function": AgentProviderSpec("function", function_agent),
    "scripted": AgentProviderSpec("scripted", scripted_agent),
}


@dataclass
class Project:
    """A project folder; `load` and `check` as the command line would."""

    root: Path
    allowed: tuple[str, ...] = ("skills",)
    kinds: dict[str, KindSpec] = field(default_factory=lambda: dict(KINDS))
    skills: dict[str, SkillSpec] = field(default_factory=lambda: dict(SKILLS))
    providers: dict[str, AgentProviderSpec] = field(default_factory=lambda: dict(PROVIDERS))
    base: str = "."

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def load(self, text: str | bytes, name: str = "pipeline.yaml") -> Pipeline[Any, Any]:
        return self.load_at(self.write(name, text))

    def check(self, text: str | bytes, name: str = "pipeline.yaml") -> tuple[Finding, ...]:
        return self.check_at(self.write(name, text))

    def load_at(self, path: Path) -> Pipeline[Any, Any]:
        return load_pipeline(path, self._given())

    def check_at(self, path: Path) -> tuple[Finding, ...]:
        return check_pipeline(path, self._given())

    def findings(self, text: str | bytes) -> tuple[Finding, ...]:
        with pytest.raises(BlueprintError) as caught:
            self.load(text)
        return caught.value.findings

    def shown(self, text: str | bytes) -> str:
        """What loading finds, as the user sees it but for the project's folder."""
        findings = self.findings(text)
        return self.cut(render(findings, read_sources(findings)))

    def cut(self, text: str) -> str:
        return text.replace(f"{self.root}/", "").replace(str(self.root), ".")

    def _given(self) -> Sources:
        return Sources(self.kinds, self.skills, Templates(), self.allowed, self.root, self.providers)


@pytest.fixture
def project(tmp_path):
    """An empty project that allows its package `skills`."""
    return Project(tmp_path.resolve())


@pytest.fixture(autouse=True)
def no_modules_of_projects():
    """Take the modules of other tests' projects out of the process, and this one's; the import path is as it was."""
    _forget_projects()
    path = list(sys.path)
    yield
    _forget_projects()
    assert sys.path == path


def _forget_projects():
    for name, module in list(sys.modules.items()):
        places = [vars(module).get("__file__"), *vars(module).get("__path__", ())]
        if any(places) and not any(str(place).startswith(NOT_OF_PROJECTS) for place in places if place):
            del sys.modules[name]
