"""From a loaded file to a pipeline, or to everything that is wrong with it at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from flujo.blueprint.agents import PREFIX, AgentContext, Agents, DeclaredAgent, nobody, unasked
from flujo.blueprint.diagnostics import Report, brief, finding_of, in_order
from flujo.blueprint.document import Document, places_where
from flujo.blueprint.imports import IMPORTED, MAX_STEPS, Child, Imports
from flujo.blueprint.inputs import NO_STEPS, Visible
from flujo.blueprint.kinds import AgentProviderSpec, KindSpec, LintRuleSpec, SkillSpec, blame_nobody
from flujo.blueprint.language import LanguageChecker
from flujo.blueprint.lint import LintedFile, LintedStep, lint
from flujo.blueprint.loader import load, parse
from flujo.blueprint.modules import running
from flujo.blueprint.schema import ConfigSpec, DocumentSpec, StepSpec
from flujo.blueprint.skills import SkillResolver
from flujo.blueprint.specs import validate
from flujo.blueprint.texts import Texts
from flujo.domain.config import Backoff, StepConfig
from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.scope import NOTHING
from flujo.domain.steps import MAX_DEPTH, PREVIOUS, Pipeline, Step
from flujo.domain.suggest import did_you_mean
from flujo.domain.validation import Finding, Location, misfits, twins, unheard
from flujo.exceptions import BlueprintError, ConfigurationError, FlujoError

__all__ = ["Sources", "check_pipeline", "load_pipeline"]

T = TypeVar("T")
Steps: TypeAlias = tuple[Step[Any, Any], ...]

#: What goes on in the place of a step that can't be built; no pipeline is made of it.
_STAND_IN: Step[Any, Any] = Step("step")
_NO_PIPELINE: Pipeline[Any, Any] = Pipeline([_STAND_IN])


class Sources(NamedTuple):
    """What pipeline files are made of: kinds by name, skills by id, and the project at `root`.

    `allowed_imports` are the modules and packages a file may name, looked for in its folder and then in `root`;
    `providers` make agents, by prefix; `rules` are asked about each file. `blame` says which plugin may be why a thing
    isn't there, given its sort ("kinds") and its name.
    """

    kinds: Mapping[str, KindSpec]
    skills: Mapping[str, SkillSpec]
    templates: TemplateCompiler
    allowed_imports: Sequence[str]
    root: Path
    providers: Mapping[str, AgentProviderSpec] = NOTHING
    rules: Mapping[str, LintRuleSpec] = NOTHING
    blame: Callable[[str, str], str] = blame_nobody


def load_pipeline(path: Path, sources: Sources, texts: Texts | None = None) -> Pipeline[Any, Any]:
    """Load the pipeline in the file at `path`, importing the project's code that it names.

    `texts` give the file's text and those of the files that it imports, by default from the disk. Raises
    `BlueprintError`, which holds every finding.
    """
    texts = Texts(sources.root) if texts is None else texts
    document = parse(texts.read(path), str(path))
    builder = _Builder(document, sources, Imports(path, sources.root, texts), importing=True)
    pipeline = builder.pipeline(path.stem)
    if pipeline is None:
        raise builder.report.error()
    return pipeline


def check_pipeline(path: Path, sources: Sources) -> tuple[Finding, ...]:
    """Everything that can be found wrong with the file at `path` without importing the project's code.

    Names in the project's modules are looked up in their text; what only their types could tell is not found.
    """
    try:
        builder = _Builder(load(path), sources, Imports(path, sources.root, Texts(sources.root)), importing=False)
    except BlueprintError as error:
        return error.findings
    builder.pipeline(path.stem)
    return in_order([*builder.report.findings, *builder.warnings])


def _unresolved(data: Any = None, /, **_params: Any) -> Any:
    """Stand in for what a reference names, where that isn't imported or isn't there; never called."""


async def _unresolved_async(data: Any = None, /, **_params: Any) -> Any:
    """The same for a step that isn't `blocking`: only of a plain function would it be wrong to have a time limit."""


class _Builder:
    """Builds the steps of one document; notes what is wrong, and goes on with a stand-in."""

    def __init__(
        self,
        document: Document,
        sources: Sources,
        imports: Imports,
        *,
        importing: bool,
        above: "_Builder | None" = None,
    ) -> None:
        self.report: Report = above.report if above else Report(document.file)
        #: What rules warn of in this file and those that it imports; it refuses nothing.
        self.warnings: list[Finding] = above.warnings if above else []
        self.document = document
        self.language = LanguageChecker(document, self.report, sources.templates)
        self.imports = imports
        base = imports.file.parent
        self.resolver = SkillResolver(
            sources.skills, sources.allowed_imports, root=sources.root, base=base, blame=sources.blame
        )
        self.importing = importing
        #: The files of the document's imports by name; None for one that is wrong.
        self.files: dict[str, Path | None] = {}
        find = partial(imports.find, code="V-A08", like="*.json*")
        context = AgentContext(lambda reference: self.named(reference, unasked), find)
        self.agents = Agents(document, sources.providers, context, self._note_of_agent, sources.blame)
        #: How many steps have been built, those of imported files each time.
        self.size = 0
        self._sources = sources
        self._places: dict[Step[Any, Any], Location | None] = {}
        self._linted: list[LintedStep] = []

    def pipeline(self, stem: str) -> Pipeline[Any, Any] | None:
        """The whole pipeline, called `stem` if the file doesn't name it; None when something was noted."""
        data = self.document.data
        if not isinstance(data, dict):
            message = f"a pipeline file should be a mapping with the key 'steps', not {brief(data)}"
            where = self.document.at(data) or Location(self.document.file, 1, 1)
            self.report.add(Finding("V-S03", message, location=where))
            return None
        spec = validate(DocumentSpec, data, self.document, self.report, "")
        self._check_document(data, spec)
        raw = data.get("steps")
        steps = self.sequence(raw, "", NO_STEPS) if isinstance(raw, list) else ()
        self._lint(data)
        if spec is None or self.report.findings:
            return None
        name = spec.name or _as_name(stem)
        return Pipeline(steps, name=name, version=str(spec.version), static_invariants=tuple(spec.static_invariants))

    def _lint(self, data: Mapping[str, Any]) -> None:
        """Ask the rules of plugins about the steps that could be built."""
        file = LintedFile(self.document.file, data, tuple(self._linted))
        for finding in lint(file, self._sources.rules, Location(self.document.file, 1, 1)):
            (self.report.add if finding.severity == "error" else self.warnings.append)(finding)

    def _check_document(self, data: Mapping[str, Any], spec: DocumentSpec | None) -> None:
        self.language.check_invariants(data, "")
        self.agents.declare(spec.agents if spec else {})
        declared = data.get("imports")
        for name, text in declared.items() if isinstance(declared, dict) else ():
            at = self.document.value(declared, name)
            self.files[name] = self.noting(partial(self.imports.find, text), "", at) if isinstance(text, str) else None

    def noting(self, action: Callable[[], T], path: str, at: Location | None, code: str = "V-K02") -> T | None:
        """What `action` gives; None when it raises, and that is noted."""
        try:
            return action()
        except FlujoError as error:
            self.report.add_once(finding_of(error, code, path, at))
            return None

    def named(self, reference: str, stand_in: Any) -> Any:
        """What `reference` names, as far as the project's code is imported. Raises as `SkillResolver` does."""
        if self.importing or self.resolver.is_skill(reference):
            return self.resolver.resolve(reference)
        self.resolver.check(reference)
        return stand_in

    def _note_of_agent(self, action: Callable[[], T], at: Location | None, plugin: str) -> T | None:
        project = self.resolver.project
        return self.noting(lambda: running("making an agent", action, project, plugin=plugin), "", at, "V-A08")

    def imported(self, name: str | None, text: str, path: str) -> Pipeline[Any, Any] | None:
        """The pipeline that the step at `path` imports by `name`, or else from the file `text`.

        None when what is wrong with the file is noted; raises `ConfigurationError` for what is wrong with the import.
        """
        imports = self.imports
        file = imports.find(text) if name is None else self.files[imports.name(name, self.files)]
        if file is None:
            return None
        if file not in imports.loaded:
            imports.loaded[file] = self._load(file, imports.enter(file, path.count("/") + 1))
        child = imports.loaded[file]
        self.size += child.size
        if self.size > MAX_STEPS:
            message = f"there are more than {MAX_STEPS} steps, those of imported files counted each time"
            raise ConfigurationError(message, code="V-Y04")
        return child.pipeline

    def _load(self, file: Path, inside: Imports) -> Child:
        try:
            document = parse(self.imports.texts.read(file), self.imports.shown(file, self.document.file))
        except BlueprintError as error:
            for finding in error.findings:
                self.report.add(finding)
            return Child(None, 0)
        builder = _Builder(document, self._sources, inside, importing=self.importing, above=self)
        return Child(builder.pipeline(file.stem), builder.size)

    def sequence(self, raws: Sequence[Any], path: str, around: Visible) -> Steps:
        """The steps of a list, with names and types checked against each other."""
        before = len(self.report.findings)
        names = [_name_of(raw) if isinstance(raw, dict) else None for raw in raws]
        steps = tuple(
            self.step(raw, path, self.document.value(raws, index), around.at(names, index))
            for index, raw in enumerate(raws)
        )
        for index, finding in chain(twins(names, path), unheard(steps, path)):
            self.report.add(finding._replace(location=self._place_of_name(raws[index])))
        for index, refusal, finding in misfits(steps, path):
            inside = self._places.get(refusal.step)  # a step of an imported file stands elsewhere
            self.report.add(finding._replace(location=inside or self._place_of_name(raws[index])))
        if len(self.report.findings) > before or self.report.full:
            return tuple(Step(f"step_{number}") for number, _ in enumerate(steps, 1))  # no clash among stand-ins
        return steps

    def step(self, raw: Any, path: str, at: Location | None, sees: Visible) -> Step[Any, Any]:
        """The step of one mapping, which stands at `at`, inside the steps of `path`; its templates see `sees`."""
        self.size += 1
        if self.report.full:
            return _STAND_IN
        if not isinstance(raw, dict):
            message = f"a step should be a mapping, not {brief(raw)}"
            self.report.add(Finding("V-S03", message, path=path.rstrip("/"), location=at))
            return _STAND_IN
        level = self.imports.level + path.count("/")
        path = f"{path}{_name_of(raw) or '?'}"
        if level > MAX_DEPTH:
            message = f"steps stand more than {MAX_DEPTH} deep in one another, with those that import this file"
            self.report.add(Finding("V-Y04", message, path=path, location=at))
            return _STAND_IN
        kind = self._kind(raw, path)
        before = len(self.report.findings)
        place = len(self._linted)
        spec = kind and validate(kind.model, raw, self.document, self.report, path)
        if kind is None or spec is None:
            return _STAND_IN
        is_whole = len(self.report.findings) == before
        context = _Context(self, raw, path, sees)
        build, project = partial(kind.build, spec, context), self.resolver.project
        try:
            step: Step[Any, Any] = running(f"building step {spec.name!r}", build, project, plugin=kind.provider)
        except FlujoError as error:
            if is_whole:  # of a step with parts left out, no wonder
                self.report.add(finding_of(error, "V-K02", path, context.reference_at or self._place_of_name(raw)))
            return _STAND_IN
        self.language.check_step(step, raw, path)
        self._places[step] = self._place_of_name(raw)
        self._linted.insert(place, LintedStep(path, kind.name, raw, step, self.document))  # before those inside it
        return step

    def _kind(self, raw: Mapping[str, Any], path: str) -> KindSpec | None:
        name = raw.get("kind", "pipeline" if "steps" in raw else "step")
        if name == "step" and str(raw.get("uses")).startswith(IMPORTED):
            name = "import"
        where = self.document.value(raw, "kind") or self.document.at(raw)
        if not isinstance(name, str):
            message = f"'kind' should be text, not {brief(name)}"
            self.report.add(Finding("V-S03", message, path=path, location=where))
            return None
        if name not in self._sources.kinds:
            advice = did_you_mean(name, self._sources.kinds, what="known kinds are", most=100)
            absent = self._sources.blame("kinds", name)
            if not self._sources.kinds:
                advice = "" if absent else "no installed plugin has kinds of steps: pip install flujo-policies-builtin"
            advice = "; ".join(filter(None, [advice, absent]))
            self.report.add(Finding("V-K01", f"unknown kind {brief(name)}", path=path, help=advice, location=where))
            return None
        try:
            return self._sources.kinds[name]
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
        return self._resolve(reference, self._place_of(reference))

    def agent(self, reference: str, /) -> DeclaredAgent | None:
        """The declared agent that `reference` names; one that is never asked for an agent that is wrong."""
        self.reference_at = at = self._at(self._place_of(reference))
        found = self._builder.noting(lambda: self._builder.agents.find(reference), self._path, at)
        return nobody(reference) if found is None and reference.startswith(PREFIX) else found

    def _place_of(self, reference: str) -> tuple[Any, Any]:
        own = {key: value for key, value in self._raw.items() if key not in StepSpec.model_fields}
        container, key = next(places_where(own, lambda value: value == reference), (None, None))
        return self._raw if container is own else container, key

    def _resolve(self, reference: str, place: tuple[Any, Any]) -> Any:
        self.reference_at = self._at(place)
        stand_in = _unresolved if self._raw.get("blocking") is True else _unresolved_async
        try:
            return self._builder.named(reference, stand_in)
        except FlujoError as error:
            self._builder.report.add_once(finding_of(error, "V-K02", self._path, self.reference_at))
            return stand_in

    def imported(self, *, name: str | None = None, path: str = "") -> Pipeline[Any, Any]:
        """The pipeline of another file; a stand-in for one that is wrong."""
        self.reference_at = at = self._at((self._raw, "path" if name is None else "uses"))
        found = self._builder.noting(lambda: self._builder.imported(name, path, self._path), self._path, at)
        return found or _NO_PIPELINE

    def common(self, spec: StepSpec, /) -> dict[str, Any]:
        """The keyword arguments that every step type takes."""
        options: dict[str, Any] = {
            "name": spec.name,
            "config": self._config(spec.config, once=spec.effects == "at-most-once"),
            "sink_to": spec.sink_to,
            "updates_context": spec.updates_context,
            "static_invariants": tuple(spec.static_invariants),
            "validators": tuple(
                self._resolve(reference, (self._raw["validators"], index))
                for index, reference in enumerate(spec.validators)
            ),
            "effects": spec.effects,
            "version": spec.version,
            "meta": spec.meta,
            "input": PREVIOUS,
            "fallback": None,
        }
        language = self._builder.language
        language.check_invariants(self._raw, self._path)
        if "input" in spec.model_fields_set:
            options["input"] = spec.input
            language.check_input(spec.input, self._raw, self._path, self._sees)
        if spec.fallback is not None:
            at = self._at((self._raw, "fallback"))
            options["fallback"] = self._builder.step(spec.fallback, f"{self._path}/", at, self._sees)
        return options

    def _config(self, spec: ConfigSpec, *, once: bool) -> StepConfig:
        backoff = Backoff(**spec.backoff.model_dump()) if spec.backoff else Backoff()
        return StepConfig(
            max_retries=0 if once and "max_retries" not in spec.model_fields_set else spec.max_retries,
            timeout_s=spec.timeout_s,
            backoff=backoff,
            execution_mode=spec.execution_mode,
        )

    def _at(self, place: tuple[Any, Any] | None) -> Location | None:
        """Where the value at `place` stands, a container and a key; else where the step does."""
        document = self._builder.document
        return (document.value(*place) if place else None) or document.at(self._raw)


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
