"""From where a pipeline is written to the pipeline itself."""

from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from flujo.blueprint.builder import Sources, check_pipeline
from flujo.blueprint.builder import load_pipeline as load_file
from flujo.blueprint.diagnostics import finding_of, in_order
from flujo.blueprint.lint import LintedFile, lint, steps_of
from flujo.blueprint.skills import SkillResolver
from flujo.blueprint.texts import Texts
from flujo.domain.callables import reference
from flujo.domain.steps import Pipeline, Step
from flujo.domain.validation import Finding
from flujo.exceptions import BlueprintError, ConfigurationError, FlujoError
from flujo.infra.config_manager import Settings, get_config_manager
from flujo.infra.templates import Templates
from flujo.plugins import PluginManager, create_plugin_manager
from flujo.runner.arguments import check_parts
from flujo.runner.targets import names_object

__all__ = ["PipelineResolver", "load_pipeline"]


def load_pipeline(target: str | Path, *, plugins: PluginManager | None = None) -> Pipeline[Any, Any]:
    """The pipeline in the file `target`, or that `module:name` in a module is, as commands load it.

    Its kinds, skills and agents are those of `plugins`, by default of everything installed; what it may import is set
    by the project around the file, or around the working directory. To run it, give `Flujo` the context model of
    files, `OpenContext`. Raises `BlueprintError` with every finding in a file at once, and `ConfigurationError` for
    what is no pipeline and for a file that isn't there.
    """
    if not isinstance(target, str | Path):
        raise ConfigurationError(f"target is of type {type(target).__qualname__!r}, expected a path or text")
    check_parts(None, None, None, plugins)
    manager = create_plugin_manager() if plugins is None else plugins
    return PipelineResolver(manager, _settings_for(target)).resolve(target)


def _settings_for(target: str | Path) -> Settings:
    """Those of the project around a file, which without one is the working directory, if the file is in it."""
    here = get_config_manager()
    if names_object(target):
        return here.settings()
    near = get_config_manager(Path(target).resolve().parent)
    is_here = not near.declared and near.root.is_relative_to(here.root)
    return (here if is_here else near).settings()


class PipelineResolver(NamedTuple):
    """Finds pipelines: with the kinds and skills of `manager`, and the project's own code as `settings` allow it."""

    manager: PluginManager
    settings: Settings

    def resolve(self, target: str | Path | Step[Any, Any], texts: Texts | None = None) -> Pipeline[Any, Any]:
        """The pipeline that `target` is, or that is written there: in a file, or as `module:name` in a module.

        A step becomes a pipeline of that step. The module must be one that `blueprint_allowed_imports` allows. `texts`
        give what is in the files, and know afterwards which ones they were. Raises `BlueprintError` with every finding
        in a file at once, and `ConfigurationError` for what is no pipeline and for a file that isn't there.
        """
        if isinstance(target, Step):
            return target if isinstance(target, Pipeline) else Pipeline([target], name=target.name)
        if names_object(target):
            return self.resolve(self._object(str(target)))
        return load_file(_file(target, texts), self._sources(), texts)

    def check(self, target: str | Path) -> tuple[Finding, ...]:
        """Everything that is wrong with the file `target`, found without importing any of the project's code.

        Of `module:name` that is what its module, which is imported, raises, or what rules of plugins find.
        """
        if not names_object(target):
            return check_pipeline(_file(target), self._sources())
        try:
            linted = LintedFile(str(target), {}, tuple(steps_of(self.resolve(target))))
            return in_order(lint(linted, self.manager.contributions.lint_rules))
        except BlueprintError as error:
            return error.findings
        except FlujoError as error:
            return (finding_of(error, "V-K02", str(target), None),)

    def _object(self, target: str) -> Step[Any, Any]:
        settings = self.settings
        resolver = SkillResolver({}, settings.blueprint_allowed_imports, root=settings.root, base=settings.root)
        found = resolver.resolve(target)
        if isinstance(found, Step):
            return found
        raise ConfigurationError(
            f"{target!r} is {_what(found)}, expected a pipeline or a step",
            suggestion="name what Pipeline([...]), a >> b or @step has made",
            code="V-K02",
        )

    def _sources(self) -> Sources:
        there, settings = self.manager.contributions, self.settings
        allowed = settings.blueprint_allowed_imports
        own = (Templates(), allowed, settings.root)
        return Sources(there.kinds, there.skills, *own, there.agents, there.lint_rules, self.manager.blame)


def _what(found: Any) -> str:
    """What was found instead of a step, in words."""
    if isinstance(found, type):
        return "a class"
    return "a function" if isinstance(found, FunctionType | BuiltinFunctionType) else repr(reference(found))


def _file(target: str | Path, texts: Texts | None = None) -> Path:
    path = Path(target)
    if not (texts.has(path.resolve()) if texts else path.is_file()):
        what = f"{str(path)!r} is a folder, expected" if path.is_dir() else f"there is no {str(path)!r}, expected"
        raise ConfigurationError(
            f"{what} a pipeline file",
            suggestion="give the path of a pipeline file, or module:name for a pipeline made in Python",
        )
    return path
