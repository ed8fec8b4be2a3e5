"""The project's own modules: found beside the pipeline, and imported apart from other projects' in this process."""

import ast
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import NamedTuple, TypeVar

from flujo.domain.foreign import attempt
from flujo.exceptions import ConfigurationError, FlujoError

__all__ = ["MEND", "Project", "names_in", "running"]

T = TypeVar("T")

#: What to do about code of the project that fails.
MEND = "mend the code: what a pipeline names must load without errors"

_LOCK = RLock()

#: What each project has imported. `sys.modules` has one place for a name, and two projects may both have a module
#: "skills": the first keeps the place. A module's own name stays the plain one, since records of runs name
#: functions and classes by it, and must not depend on what else the process has loaded.
_LOADED: dict[tuple[Path, ...], dict[str, ModuleType]] = {}


class Project(NamedTuple):
    """Where a pipeline's modules are looked for: its own folder `base`, then the project's `root`; both resolved."""

    base: Path
    root: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders, each once."""
        return (self.base,) if self.base == self.root else (self.base, self.root)

    def owns(self, module: str) -> bool:
        """Whether the first part of `module` stands in one of the folders."""
        return self._home(module) is not None

    def find(self, module: str) -> Path | None:
        """The file of `module`. Raises `ConfigurationError` when a link leads it out of the project."""
        home = self._home(module)
        if home is None:
            return None
        path = home.joinpath(*module.split("."))
        file = next((f for f in (path / "__init__.py", path.parent / f"{path.name}.py") if f.is_file()), None)
        if file is not None and not any(file.resolve().is_relative_to(folder) for folder in self.folders):
            raise ConfigurationError(
                f"module {module!r} lies outside the project",
                suggestion=f"its file is {str(file.resolve())!r}: move it under {str(self.root)!r}",
                code="V-A02",
            )
        return file

    def siblings(self, module: str) -> list[str]:
        """The modules that stand where `module` should."""
        package, _, _ = module.rpartition(".")
        home = self._home(module)
        folder = home.joinpath(*package.split(".")) if home and package else self.base
        prefix = f"{package}." if package else ""
        return [prefix + file.stem for file in sorted(folder.glob("*.py")) if file.stem != "__init__"]

    def load(self, module: str) -> ModuleType:
        """Import `module`, which stands in one of the folders."""
        with _LOCK, self._entered(module.partition(".")[0]):
            importlib.invalidate_caches()
            return importlib.import_module(module)

    def _home(self, module: str) -> Path | None:
        top = module.partition(".")[0]
        return next((f for f in self.folders if (f / top).is_dir() or (f / f"{top}.py").is_file()), None)

    def _has(self, name: str, module: ModuleType) -> bool:
        """Whether the loaded `module` comes from where the project has one of that name.

        A library in its `.venv` does not; nor does a module at the root that one in the pipeline's folder hides.
        """
        top = name.partition(".")[0]
        found = vars(module).get("__file__") or next(iter(vars(module).get("__path__", ())), None)
        origin = Path(found).resolve() if found else None
        if origin is None or not any(origin.is_relative_to(folder) for folder in self.folders):
            return False
        home = self._home(top)
        return home is not None and (origin == home / f"{top}.py" or origin.is_relative_to(home / top))

    def _foreign(self, top: str) -> dict[str, ModuleType]:
        """Loaded modules that this project must not see: other projects', and a `top` from any other folder."""
        theirs = {id(module) for key, own in _LOADED.items() if key != self.folders for module in own.values()}
        return {
            name: module
            for name, module in sys.modules.items()
            if (id(module) in theirs or name.partition(".")[0] == top) and not self._has(name, module)
        }

    @contextmanager
    def _entered(self, top: str) -> Iterator[None]:
        """Give the project's modules and folders precedence for the time of an import."""
        own = _LOADED.setdefault(self.folders, {})
        hidden = self._foreign(top)
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(own)
        before = set(sys.modules)
        paths = [str(folder) for folder in self.folders]
        sys.path[:0] = paths
        try:
            yield
        finally:
            fresh = {n: m for n, m in sys.modules.items() if n not in before and self._has(n, m)}
            own.update(fresh)
            for module in fresh.values():
                _settle(module)
            for path in paths:
                if path in sys.path:
                    sys.path.remove(path)
            _restore(own, hidden)


def _settle(module: ModuleType) -> None:
    """Fix the path of a package without `__init__`, which otherwise follows every change of `sys.path`."""
    if vars(module).get("__file__") is None:
        module.__path__ = list(module.__path__)


def _restore(own: dict[str, ModuleType], hidden: dict[str, ModuleType]) -> None:
    """Put hidden modules back into their places; where they stand, none of the project's may stay."""
    tops = {name.partition(".")[0] for name in hidden}
    for name in own:
        if name.partition(".")[0] in tops:
            sys.modules.pop(name, None)
    sys.modules.update(hidden)


def running(what: str, action: Callable[[], T], project: Project, *, advice: str = MEND, plugin: str = "") -> T:
    """Do `action`, in which the project's code runs: what it raises becomes an error that says what, and where.

    Where the project has no part in it, it is the fault of the `plugin` whose code that is.
    """

    def failed(said: str, error: BaseException) -> ConfigurationError:
        place = _where(error, project) or (plugin and f" (in plugin {plugin})")
        return ConfigurationError(
            _unparsed(error, project) or f"{what} raised {said}{place}", suggestion=advice, code="V-A05", cause=error
        )

    try:
        return attempt(action, failed)
    except FlujoError as error:  # flujo's own, of what the code makes: it says what is wrong, and here is where
        place = _where(error, project)
        if place.strip(" ()") not in error.message:
            error.message += place
            error.args = (error.message,)
        raise


def _unparsed(error: BaseException, project: Project) -> str:
    """What is wrong with a file of the project that is no Python: the same whether it was imported or only read."""
    if not isinstance(error, SyntaxError) or not error.filename:
        return ""
    place = _shown(Path(error.filename), error.lineno, project)
    return f"{place} can't be parsed: {error.msg}" if place else ""


def _where(error: BaseException, project: Project) -> str:
    """The innermost line of the project that had a part in `error`, as ` (skills/tickets.py:3)`."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    shown = (_shown(Path(frame.filename), frame.lineno, project) for frame in frames)
    return next((f" ({place})" for place in shown if place), "")


def _shown(file: Path, line: int | None, project: Project) -> str:
    """A line of one of the project's files, as `skills/tickets.py:3`; nothing for any other file."""
    folder = next((folder for folder in (project.root, project.base) if file.is_relative_to(folder)), None)
    return f"{file.relative_to(folder)}:{line}" if folder else ""


def names_in(file: Path) -> set[str] | None:
    """The names that the module in `file` defines, found without running it; None when only running it can tell.

    Raises `SyntaxError`.
    """
    names: set[str] = set()
    pending: list[ast.AST] = [ast.parse(file.read_bytes(), str(file))]
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
                continue
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update((alias.asname or alias.name).partition(".")[0] for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
        pending.extend(ast.iter_child_nodes(node))
    return None if names & {"*", "__getattr__"} else names
