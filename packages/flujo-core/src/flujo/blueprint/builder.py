"""From a loaded file to a pipeline, or to everything that is wrong with it at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from flujo.blueprint.diagnostics import Report, brief, finding_of, in_order
from flujo.blueprint.document import Document, places_where
from flujo.blueprint.inputs import NO_STEPS, Visible, mistakes
from flujo.blueprint.kinds import KindSpec, SkillSpec
from flujo.blueprint.loader import load
from flujo.blueprint.modules import running
from flujo.blueprint.schema import ConfigSpec, DocumentSpec, StepSpec
from flujo.blueprint.skills import SkillResolver
from flujo.blueprint.specs import validate
from flujo.domain.config import Backoff, StepConfig
from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.steps import PREVIOUS, Pipeline, Step
from flujo.domain.suggest import did_you_mean
from flujo.domain.validation import Finding, Location, misfits, twins
from flujo.exceptions import BlueprintError, FlujoError, TemplateResolutionError

__all__ = ["Sources", "check_pipeline", "load_pipeline"]

Steps: TypeAlias = tuple[Step[Any, Any], ...]

#: What goes on in the place of a step that can't be built; no pipeline is made of it.
_STAND_IN: Step[Any, Any] = Step("step")


class Sources(NamedTuple):
    """What pipeline files are made of: kinds by name, skills by id, and the project at `root`.

    `allowed_imports` are the modules and packages a file may name, looked for in its folder and then in `root`.
    """

    kinds: Mapping[str, KindSpec]
    skills: Mapping[str, SkillSpec]
    templates: TemplateCompiler
    allowed_imports: Sequence[str]
    root: Path


def load_pipeline(path: Path, sources: Sources) -> Pipeline[Any, Any]:
    """Load the pipeline in the file at `path`, importing the project's code that it names.

    Raises `BlueprintError`, which holds every finding.
    """
    builder = _Builder(load(path), sources, path.parent, importing=True)
    pipeline = builder.pipeline(path.stem)
    if pipeline is None:
        raise builder.report.error()
    return pipeline


def check_pipeline(path: Path, sources: Sources) -> tuple[Finding, ...]:
    """Everything that can be found wrong with the file at `path` without importing the project's code.

    Names in the project's modules are looked up in their text; what only their types could tell is not found.
    """
    try:
        builder = _Builder(load(path), sources, path.parent, importing=False)
    except BlueprintError as error:
        return error.findings
    builder.pipeline(path.stem)
    return in_order(builder.report.findings)


def _unresolved(data: Any = None, /, **_params: Any) -> Any:
    """Stand in for what a reference names, where that isn't imported or isn't there; never called."""


async def _unresolved_async(data: Any = None, /, **_params: Any) -> Any:
    """The same for a step that isn't `blocking`: only of a plain function would it be wrong to have a time limit."""


class _Builder:
    """Builds the steps of one document; notes what is wrong, and goes on with a stand-in."""

    def __init__(self, document: Document, sources: Sources, base: Path, *, importing: bool) -> None:
        self.report = Report(document.file)
        self.document = document
        self.templates = sources.templates
        self.resolver = SkillResolver(sources.skills, sources.allowed_imports, root=sources.root, base=base)
        self.importing = importing
        #: Fields of the context that the file's steps are seen to set.
        self.fields = {
            str(container[key]).partition(".")[0]
            for container, key in places_where(document.data, lambda value: isinstance(value, str))
            if key == "sink_to"
        }
        self._kinds = sources.kinds

    def pipeline(self, stem: str) -> Pipeline[Any, Any] | None:
        """The whole pipeline, called `stem` if the file doesn't name it; None when something was noted."""
        data = self.document.data
        if not isinstance(data, dict):
            message = f"a pipeline file should be a mapping with the key 'steps', not {brief(data)}"
            where = self.document.at(data) or Location(self.document.file, 1, 1)
            self.report.add(Finding("V-S03", message, location=where))
            return None
        spec = validate(DocumentSpec, data, self.document, self.report, "")
        raw = data.get("steps")
        steps = self.sequence(raw, "", NO_STEPS) if isinstance(raw, list) else ()
        if spec is None or self.report.findings:
            return None
        return Pipeline(steps, name=spec.name or _as_name(stem), version=str(spec.version))

    def sequence(self, raws: Sequence[Any], path: str, around: Visible) -> Steps:
        """The steps of a list, with names and types checked against each other."""
        before = len(self.report.findings)
        names = [_name_of(raw) if isinstance(raw, dict) else None for raw in raws]
        steps = tuple(
            self.step(raw, path, self.document.value(raws, index), around.at(names, index))
            for index, raw in enumerate(raws)
        )
        for index, finding in chain(twins(names, path), misfits(steps, path)):
            self.report.add(finding._replace(location=self._place_of_name(raws[index])))
        if len(self.report.findings) > before or self.report.full:
            return tuple(Step(f"step_{number}") for number, _ in enumerate(steps, 1))  # no clash among stand-ins
        return steps

    def step(self, raw: Any, path: str, at: Location | None, sees: Visible) -> Step[Any, Any]:
        """The step of one mapping, which stands at `at`, inside the steps of `path`; its templates see `sees`."""
        if self.report.full:
            return _STAND_IN
        if not isinstance(raw, dict):
            message = f"a step should be a mapping, not {brief(raw)}"
            self.report.add(Finding("V-S03", message, path=path.rstrip("/"), location=at))
            return _STAND_IN
        path = f"{path}{_name_of(raw) or '?'}"
        kind = self._kind(raw, path)
        before = len(self.report.findings)
        spec = kind and validate(kind.model, raw, self.document, self.report, path)
        if kind is None or spec is None:
            return _STAND_IN
        is_whole = len(self.report.findings) == before
        context = _Context(self, raw, path, sees)
        what = f"building step {spec.name!r}"
        try:
            step: Step[Any, Any] = running(what, lambda: kind.build(spec, context), self.resolver.project)
        except FlujoError as error:
            if is_whole:  # of a step with parts left out, no wonder
                self.report.add(finding_of(error, "V-K02", path, context.reference_at or self._place_of_name(raw)))
            return _STAND_IN
        context.check_language(step)
        return step

    def _kind(self, raw: Mapping[str, Any], path: str) -> KindSpec | None:
        name = raw.get("kind", "pipeline" if "steps" in raw else "step")
        where = self.document.value(raw, "kind") or self.document.at(raw)
        if not isinstance(name, str):
            message = f"'kind' should be text, not {brief(name)}"
            self.report.add(Finding("V-S03", message, path=path, location=where))
            return None
        if name not in self._kinds:
            advice = did_you_mean(name, self._kinds, what="known kinds are")
            if not self._kinds:
                advice = "no installed plugin has kinds of steps: pip install flujo-policies-builtin"
            self.report.add(Finding("V-K01", f"unknown kind {brief(name)}", path=path, help=advice, location=where))
            return None
        try:
            return self._kinds[name]
        except FlujoError as error:  # two plugins claim it, or the one that has it is broken
            self.report.add(finding_of(error, "V-K02", path, where))
            return None

    def _place_of_name(self, raw: Any) -> Location | None:
        key = "name" if "name" in raw else "step"
        return self.document.value(raw, key) or self.document.at(raw)


class _Context:
    """What one step's builder may ask for: `BuildContext`."""

    def __init__(self, builder: _Builder, raw: Mapping[str, Any], path: str, sees: Visible) -> None:
        self._builder = builder
        self._raw = raw
        self._path = path
        self._sees = sees
        #: Where the reference stands that was resolved last: what the made step can't work with is probably that.
        self.reference_at: Location | None = None

    def build(self, spec: Any, /) -> Step[Any, Any]:
        """Build one nested step."""
        place = next(places_where(self._raw, lambda value: value is spec), None)
        return self._builder.step(spec, f"{self._path}/", self._at(place), self._sees)

    def sequence(self, specs: Sequence[Any], /) -> Steps:
        """Build nested steps that follow each other."""
        place = next(places_where(self._raw, lambda value: _is_same(value, specs)), None)
        written = place[0][place[1]] if place else specs  # the list in the file, not a validated copy: it has places
        return self._builder.sequence(written, f"{self._path}/", self._sees)

    def resolve(self, reference: str, /) -> Any:
        """The skill or object that `reference` names; a stand-in for one that is wrong, or not imported."""
        own = {key: value for key, value in self._raw.items() if key not in StepSpec.model_fields}
        container, key = next(places_where(own, lambda value: value == reference), (None, None))
        self.reference_at = self._at((self._raw if container is own else container, key))
        resolver = self._builder.resolver
        try:
            if self._builder.importing or resolver.is_skill(reference):
                return resolver.resolve(reference)
            resolver.check(reference)
        except FlujoError as error:
            self._builder.report.add_once(finding_of(error, "V-K02", self._path, self.reference_at))
        return _unresolved if self._raw.get("blocking") is True else _unresolved_async

    def common(self, spec: StepSpec, /) -> dict[str, Any]:
        """The keyword arguments that every step type takes."""
        options: dict[str, Any] = {
            "name": spec.name,
            "config": self._config(spec.config),
            "sink_to": spec.sink_to,
            "updates_context": spec.updates_context,
            "effects": spec.effects,
            "version": spec.version,
            "meta": spec.meta,
            "input": PREVIOUS,
            "fallback": None,
        }
        if "input" in spec.model_fields_set:
            options["input"] = spec.input
            self._check_templates(spec.input)
        if spec.fallback is not None:
            at = self._at((self._raw, "fallback"))
            options["fallback"] = self._builder.step(spec.fallback, f"{self._path}/", at, self._sees)
        return options

    def _config(self, spec: ConfigSpec) -> StepConfig:
        backoff = Backoff(**spec.backoff.model_dump()) if spec.backoff else Backoff()
        return StepConfig(max_retries=spec.max_retries, timeout_s=spec.timeout_s, backoff=backoff)

    def _check_templates(self, value: Any) -> None:
        """Check every text in the step's `input` on its own, so that what is wrong is found at its place."""
        texts = list(places_where(value, lambda inner: isinstance(inner, str)))
        if isinstance(value, str):
            texts = [(self._raw, "input")]
        for container, key in texts:
            if self._builder.report.full:
                return
            for wrong in mistakes(container[key], self._builder.templates, self._sees, self._builder.fields):
                at = self._at((container, key))
                if at is not None and wrong.line is not None and wrong.column is not None:
                    at = self._builder.document.inside(at, container[key], wrong.line, wrong.column)
                self._note(wrong.code, wrong.message, at, wrong.advice)

    def check_language(self, step: Step[Any, Any]) -> None:
        """Compile the expressions and templates in the kind's own fields: what is wrong is found at its place."""
        language = self._builder.templates
        for name in step.expressions:
            self._compile(getattr(step, name), language.compile_expression)
        for name in step.templates:
            self._compile(getattr(step, name), language.compile)

    def _compile(self, value: Any, compiled: Callable[[str], Any]) -> None:
        for container, key in places_where([value], lambda inner: isinstance(inner, str)):
            text = container[key]
            try:
                compiled(text)
            except TemplateResolutionError as error:
                place = next(places_where(self._raw, partial(eq, text)), None)
                at = self._at(place)
                if place is not None and at is not None and error.line is not None and error.column is not None:
                    at = self._builder.document.inside(at, text, error.line, error.column)
                self._note("V-T02", error.message, at, error.suggestion)

    def _at(self, place: tuple[Any, Any] | None) -> Location | None:
        """Where the value at `place` stands, a container and a key; else where the step does."""
        document = self._builder.document
        return (document.value(*place) if place else None) or document.at(self._raw)

    def _note(self, code: str, message: str, at: Location | None, advice: str | None) -> None:
        self._builder.report.add(Finding(code, message, path=self._path, help=advice, location=at))


def _name_of(raw: Mapping[str, Any]) -> str | None:
    name = raw.get("name", raw.get("step"))
    return name if isinstance(name, str) else None


def _as_name(stem: str) -> str:
    """A file's name as a pipeline's: characters that names can't have become `_`."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", stem)[:64]
    return name if name[:1].isalpha() or name.startswith("_") else f"_{name}"[:64]


def _is_same(value: Any, specs: Sequence[Any]) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(specs)
        and all(one is other for one, other in zip(value, specs, strict=True))
    )
