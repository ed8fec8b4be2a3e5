"""What `flujo plugins new` writes: a package, put together from the files of its parts.

Each part that a package may have is files of its own, and what several parts share is joined line by line: there is
nothing to decide inside a text, so that names with a `$` in it are all the language that is needed.
"""

import keyword
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from flujo.exceptions import ConfigurationError
from flujo.version import __version__

__all__ = ["PARTS", "Part", "Scaffold", "write_files"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

#: Longer names would make lines that a formatter breaks.
_LONGEST = 20

_NAME_HELP = f"small letters, digits and '-', a letter first, at most {_LONGEST}, such as 'http'"


class Part(NamedTuple):
    """A part that a package may have.

    `module` holds its code, `facets` are the tables that it adds to, by the names that records have, `registrars` those
    of its hooks. `word` stands in the name of a package that has this part alone.
    """

    module: str
    facets: tuple[str, ...]
    registrars: tuple[str, ...]
    word: str = "plugin"
    summary: str = ""
    dependencies: tuple[str, ...] = ()


#: What a package may have, by the words of `--with`.
PARTS: Mapping[str, Part] = {
    "policy": Part(
        "steps",
        ("policies", "kinds"),
        ("PolicyRegistrar", "StepKindRegistrar"),
        word="policy",
        summary="a kind of step",
        dependencies=("pydantic>=2.7",),
    ),
    "state": Part("state", ("backends",), ("StateBackendRegistrar",), word="state", summary="a state backend"),
    "sink": Part("sinks", ("sinks",), ("EventSinkRegistrar",), word="sink", summary="an event sink"),
    "command": Part(
        "commands", ("commands",), ("CommandRegistrar",), summary="a command", dependencies=("click>=8.1.7",)
    ),
    "lint": Part("lint", ("lint_rules",), ("LintRegistrar",), summary="a lint rule"),
}

#: The files that every package has: where they go, and what they are made from.
_FILES: Mapping[str, str] = {
    ".github/workflows/tests.yml": "tests.yml",
    ".gitignore": "gitignore",
    "README.md": "README.md",
    "noxfile.py": "noxfile.py",
    "pyproject.toml": "pyproject.toml",
    "src/$package/__init__.py": "init.py",
    "src/$package/plugin.py": "plugin.py",
    "tests/hooks.py": "hooks.py",
    "tests/test_plugin.py": "test_plugin.py",
}


class Scaffold:
    """A package to be: `name` is the word for what it adds, `parts` those of `PARTS` that it has.

    Raises `ConfigurationError` for a name that can't be one.
    """

    def __init__(self, name: str, parts: Sequence[str]) -> None:
        self.name = _checked(name)
        self.parts = tuple(part for part in PARTS if part in parts)
        word = PARTS[self.parts[0]].word if len(self.parts) == 1 else "plugin"
        self.dist = f"flujo-{word}-{name}"
        self._package = self.dist.replace("-", "_")

    def keys(self) -> dict[str, str]:
        """What the package lays claim to, by facet."""
        facets = [facet for part in self.parts for facet in PARTS[part].facets]
        return {facet: self.name for facet in facets if facet in ("kinds", "backends", "sinks", "commands")}

    def files(self) -> dict[str, str]:
        """The text of each file, by its path in the package's folder."""
        names = self._names()
        texts = {to: _filled(f"package/{source}", names) for to, source in _FILES.items()}
        texts["src/$package/py.typed"] = ""
        for part in self.parts:
            module = PARTS[part].module
            texts[f"src/$package/{module}.py"] = _filled(f"{part}/{module}.py", names)
            texts[f"tests/test_{module}.py"] = _filled(f"{part}/test_{module}.py", names)
        return {Template(to).substitute(names): text for to, text in sorted(texts.items())}

    def _names(self) -> dict[str, str]:
        parts = [PARTS[part] for part in self.parts]
        registrars = sorted(name for part in parts for name in part.registrars)
        major, minor, *_ = __version__.split(".")
        names = {
            "name": self.name,
            "word": self.name.replace("-", "_"),
            "Class": "".join(word.capitalize() for word in self.name.split("-")),
            "code": f"{self.name.upper()}-001",
            "dist": self.dist,
            "package": self._package,
            "summary": f"{self.name} for flujo: {_listed([part.summary for part in parts])}",
            "lowest": f"{major}.{minor}",
            "below": str(int(major) + 1),
            "dependencies": "".join(f'\n  "{each}",' for each in sorted({d for p in parts for d in p.dependencies})),
            "registrars": "\n".join(f"    {name}," for name in registrars),
            "facets": ", ".join(f'"{facet}"' for facet in sorted(facet for part in parts for facet in part.facets)),
        }
        for shared in ("hooks", "readme", "checks"):
            names[shared] = "".join(_filled(f"{part}/{shared}", names) for part in self.parts).rstrip("\n")
        return names


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files into `folder`, which has to be new or empty. Raises `ConfigurationError`."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(
                f"{str(folder)!r} is there already, and not empty",
                suggestion="nothing is overwritten: choose another name, or another folder by --into",
            )
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"{str(folder)!r} can't be written: {error.strerror}", suggestion="choose another folder by --into"
        ) from error


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ConfigurationError(f"{name!r} is no name for a plugin", suggestion=f"expected {_NAME_HELP}")
    if name == "flujo" or name.startswith("flujo-"):
        raise ConfigurationError(
            f"{name!r} begins with 'flujo', as the package will anyway",
            suggestion="name only what it adds, as in 'http'",
        )
    if name.startswith("test") or name.partition("-")[0] == "v":
        raise ConfigurationError(
            f"{name!r} begins what pytest collects, or is of flujo's own checks", suggestion="choose another name"
        )
    if keyword.iskeyword(name) or name in ("true", "false", "null"):
        language = "Python" if keyword.iskeyword(name) else "YAML"
        raise ConfigurationError(f"{name!r} is a word of {language}'s own", suggestion="choose another name")
    return name


def _filled(source: str, names: Mapping[str, str]) -> str:
    text = (files("flujo_cli") / "template" / f"{source}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(names)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
