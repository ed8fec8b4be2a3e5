"""From a reference in a file to what it names: a registered skill, or an object of an allowed module."""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from flujo.blueprint.diagnostics import brief
from flujo.blueprint.kinds import SkillSpec, blame_nobody
from flujo.blueprint.modules import MEND, Project, names_in, running
from flujo.domain.suggest import did_you_mean, nearest
from flujo.exceptions import ConfigurationError, MissingAgentError

__all__ = ["SETTING", "SkillResolver"]

#: The setting that names the modules which pipeline files may import.
SETTING = "blueprint_allowed_imports"

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_REFERENCE = re.compile(rf"({_DOTTED.pattern})([:.])([A-Za-z_]\w*)", re.ASCII)
_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)


class SkillResolver:
    """Resolves references for one pipeline file in the folder `base`, in the project at `root`.

    A reference is the id of a skill in `skills`, or `module:attr` (`module.attr` too) where `allowed_imports`
    names the module or a package around it. Nothing is allowed by default. Errors carry the code of their
    finding: `MissingAgentError` for what doesn't exist, `ConfigurationError` for what may not be, or fails.
    """

    def __init__(
        self,
        skills: Mapping[str, SkillSpec],
        allowed_imports: Sequence[str],
        *,
        root: Path,
        base: Path,
        blame: Callable[[str, str], str] = blame_nobody,
    ) -> None:
        self.project = Project(base.resolve(), root.resolve())
        self._blame = blame
        self._skills = skills
        self._allowed = tuple(allowed_imports)

    def is_skill(self, reference: str) -> bool:
        """Whether `reference` is the id of a registered skill."""
        return reference in self._skills

    def resolve(self, reference: str) -> Any:
        """What `reference` names. Imports the module it is in."""
        if reference in self._skills:
            return self._skill(reference)
        module, attr = self._parse(reference)
        self._require_module(module)
        loaded = running(f"importing {module!r}", lambda: self._import(module), self.project)
        value = running(f"importing {module!r}", lambda: getattr(loaded, attr, _ABSENT), self.project)
        if value is _ABSENT:
            raise _no_name(module, attr, [name for name in vars(loaded) if not name.startswith("_")])
        self._require_home(reference, value)
        return value

    def check(self, reference: str) -> None:
        """Raise what `resolve` would raise, as far as that can be known without importing the project's code."""
        if reference in self._skills:
            self._skill(reference)
            return
        module, attr = self._parse(reference)
        file = self._require_module(module)
        if file is None:
            return
        for package in self._packages(module):
            running(f"reading {module!r}", partial(names_in, package), self.project)
        names = running(f"reading {module!r}", lambda: names_in(file), self.project)
        if names is not None and attr not in names:
            raise _no_name(module, attr, names)

    def _packages(self, module: str) -> Iterator[Path]:
        """The files of the packages around `module`, which an import runs first."""
        parts = module.split(".")
        for length in range(1, len(parts)):
            file = self.project.find(".".join(parts[:length]))
            if file is not None:
                yield file

    def _skill(self, reference: str) -> Any:
        _, target, _, _, provider = self._skills[reference]
        if not isinstance(target, str):
            return target
        module, _, attr = target.partition(":")
        owner = f" of plugin {provider}" if provider else ""
        advice = "install what it needs, or another version of the plugin" if provider else MEND
        what = f"loading skill {reference!r}{owner} from {target!r}"
        return running(what, lambda: getattr(importlib.import_module(module), attr), self.project, advice=advice)

    def _parse(self, reference: str) -> tuple[str, str]:
        found = _REFERENCE.fullmatch(reference)
        if found and (found[2] == ":" or self._is_allowed(found[1])):
            return found[1], found[3]
        if not _ID.fullmatch(reference) or ".." in reference:
            raise ConfigurationError(
                f"{brief(reference)} is no reference to a skill",
                suggestion="write a skill's id, or 'module:name' for a function or class of an allowed module",
                code="V-A03",
            )
        near = _nearest(reference, self._skills)
        advice = f"did you mean {near!r}?" if near else "for code of the project write 'module:name'"
        advice = "; ".join(filter(None, [advice, self._blame("skills", reference)]))
        raise MissingAgentError(f"there is no skill {reference!r}", suggestion=advice, code="V-A01")

    def _is_allowed(self, module: str) -> bool:
        return any(module == entry or module.startswith(f"{entry}.") for entry in self._allowed)

    def _require_module(self, module: str) -> Path | None:
        """Refuse a module that isn't allowed or isn't there; its file, if it is one of the project's."""
        for entry in self._allowed:
            if not _DOTTED.fullmatch(entry):
                raise ConfigurationError(
                    f"{entry!r} in {SETTING} is no module",
                    suggestion=f'name each module or package, as in {SETTING} = ["skills"]; '
                    "a package allows the modules in it",
                    code="V-A02",
                )
        if not self._is_allowed(module):
            raise ConfigurationError(
                f"module {module!r} may not be imported by pipeline files", suggestion=self._allow(module), code="V-A02"
            )
        if not self.project.owns(module):
            self._require_installed(module)
            return None
        file = self.project.find(module)
        if file is None:
            raise self._no_module(module)
        return file

    def _require_installed(self, module: str) -> None:
        top = module.partition(".")[0]
        spec = importlib.util.find_spec(top)
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        if spec is None:
            raise self._no_module(module)
        here = Path.cwd()
        if any(
            place and Path(place) in (here / f"{top}.py", here / top, here / top / "__init__.py") for place in places
        ):
            raise ConfigurationError(
                f"module {module!r} lies outside the project",
                suggestion=f"it was found in {str(here)!r}, expected it under {str(self.project.root)!r}",
                code="V-A02",
            )

    def _import(self, module: str) -> ModuleType:
        return self.project.load(module) if self.project.owns(module) else importlib.import_module(module)

    def _require_home(self, reference: str, value: object) -> None:
        """Refuse what an allowed module merely imports from one that isn't allowed, and modules themselves."""
        if inspect.ismodule(value):
            home = value.__name__
        elif inspect.isroutine(value) or inspect.isclass(value):
            home = value.__module__ or "builtins"
            if self._is_allowed(home):
                return
        else:
            return  # an object that the module itself has made
        raise ConfigurationError(
            f"{reference!r} comes from module {home!r}, which pipeline files may not import",
            suggestion="name a function or class that an allowed module defines",
            code="V-A02",
        )

    def _allow(self, module: str) -> str:
        top = module.partition(".")[0]
        listed = ", ".join(f'"{entry}"' for entry in (*self._allowed, top))
        if self.project.owns(module):
            return f"allow it in flujo.toml: {SETTING} = [{listed}]"
        return f"{SETTING} in flujo.toml allows {', '.join(map(repr, self._allowed)) or 'nothing'}"

    def _no_module(self, module: str) -> MissingAgentError:
        near = _nearest(module, self.project.siblings(module))
        folders = " or ".join(repr(str(folder)) for folder in self.project.folders)
        expected = f"expected {'/'.join(module.split('.'))}.py under {folders}"
        advice = f"did you mean {near!r}?" if near else expected
        return MissingAgentError(f"there is no module {module!r}", suggestion=advice, code="V-A04")


_ABSENT = object()


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """The dotted name in `known` whose last part is most like that of `name`: what they share before says nothing."""
    by_last = {other.rpartition(".")[2]: other for other in known}
    near = nearest(name.rpartition(".")[2], by_last)
    return by_last[near] if near else None


def _no_name(module: str, attr: str, names: Iterable[str]) -> MissingAgentError:
    known = sorted(names)
    advice = did_you_mean(attr, known, what="it has") if known else "the module defines nothing"
    return MissingAgentError(f"module {module!r} has no {attr!r}", suggestion=advice, code="V-A04")
