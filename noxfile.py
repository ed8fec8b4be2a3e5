"""The gate. `nox` runs what every change must pass; `nox -s bench` measures.

The sessions use the environment nox itself runs in when that has the development tools (`.venv/bin/nox`), and make
environments of their own otherwise. `nox --default-venv-backend venv` asks for the latter.
"""

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PACKAGES = ("flujo-core", "flujo-state-sqlite", "flujo-cli", "flujo-policies-builtin")
EXAMPLE = ROOT / "examples" / "plugins" / "flujo-policy-http"
WRITERS = tuple(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.py")))
CHECKED = ("packages", "tests", "examples", "benchmarks", *WRITERS, "noxfile.py")
HELLO = """\
version: "0.1"
name: "test"
steps:
  - kind: step
    name: echo
    agent:
      id: "flujo.builtins.stringify"
    input: "{{ previous_step }}"
"""

LOADS = """\
from flujo.testing.probe import probe_plugin, problems
assert not problems(probe_plugin({dist!r})), problems(probe_plugin({dist!r}))
"""

_has_tools = all(importlib.util.find_spec(name) for name in ("pytest", "mypy", "flujo_cli"))
nox.options.default_venv_backend = "none" if _has_tools else "venv"
#: The gate tries the same examples every time, for it is not to fail by luck; `pytest` and `nox -s faults` try any.
GATE = {"FLUJO_TEST_PROFILE": "gate"}

#: Where rules are tried with examples of runs and of values.
RULED = ("tests/policies", "tests/engine", "tests/runner", "tests/infra")

nox.options.sessions = ["lint", "types", "docs", "wheels", "tests", "plain", "plugins"]


def _python(session: nox.Session) -> str:
    """The interpreter that has the development tools."""
    if session.venv_backend == "none":
        return sys.executable
    session.install("-q", "-r", "requirements-dev.txt")
    return "python"


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting, lint rules, spelling, the floors, and each package's own dependencies."""
    python = _python(session)
    session.run(python, "-m", "ruff", "format", "--check", *CHECKED, external=True)
    session.run(python, "-m", "ruff", "check", "--no-cache", *CHECKED, external=True)
    session.run(python, "-m", "codespell_lib", external=True)
    floors = "from importlinter.cli import lint_imports_command as main; main()"
    session.run(python, "-c", floors, "--no-cache", external=True)  # its cache keeps an answer that is no longer true
    for folder in (*(ROOT / "packages" / package for package in PACKAGES), EXAMPLE):
        with session.chdir(folder):
            session.run(python, "-m", "deptry", "src", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Strict types over the four packages, the examples, the benchmarks and what writes the reference."""
    sources = [f"packages/{package}/src" for package in PACKAGES]
    session.run(_python(session), "-m", "mypy", *sources, "examples", "benchmarks", *WRITERS, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of the documentation: a broken link or a page that no menu has is an error."""
    python = _python(session)
    with tempfile.TemporaryDirectory(prefix="flujo-docs-") as folder:
        to = session.posargs[0] if session.posargs else folder
        session.run(python, "-m", "mkdocs", "build", "--strict", "-d", str(Path(to).absolute()), external=True)


@nox.session(default=False)
def reference(session: nox.Session) -> None:
    """Write what is made from the code: pages of the reference, and the contract of plugins. Tests compare both."""
    python = _python(session)
    for writer in ("docs.generate", "docs.plugin_api"):
        session.run(python, "-m", writer, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """The suite in random order, comparing every parent's context with what it was; 95 % covered, all of the engine."""
    python = _python(session)
    if session.posargs:
        session.run(python, "-m", "pytest", *session.posargs, external=True)
        return
    workers = str(min(4, os.cpu_count() or 1))
    options = ("-rs", "--cov", "--cov-report=term", "--cov-fail-under=95", "-n", workers)
    session.run(python, "-m", "pytest", *options, env={**GATE, "FLUJO_STRICT_CONTEXT": "1"}, external=True)
    engine = ("--include=*/flujo/engine/*", "--fail-under=100")
    session.run(python, "-m", "coverage", "report", *engine, external=True)


@nox.session
def plain(session: nox.Session) -> None:
    """The engine, the kinds and the runner once more, as users run them: no context is compared.

    Without the rules that are tried with examples: those about pipelines of all kinds have both ways in them.
    """
    suites = ("tests/engine", "tests/policies", "tests/runner", "-m", "not slow and not hypothesis")
    workers = str(min(4, os.cpu_count() or 1))
    session.run(_python(session), "-m", "pytest", "-rs", "-n", workers, *suites, env=GATE, external=True)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels, and use them as a user and an author of plugins will: in fresh environments, outside."""
    dist = ROOT / "dist"
    _build_wheels(session, dist)
    with tempfile.TemporaryDirectory(prefix="flujo-wheels-") as folder:
        _check_core_alone(session, Path(folder) / "core", dist)
        _check_command(session, Path(folder) / "full", dist)
        _check_example(session, Path(folder) / "example", dist)


def _build_wheels(session: nox.Session, dist: Path) -> None:
    shutil.rmtree(dist, ignore_errors=True)
    for package in PACKAGES:
        _build_wheel(session, ROOT / "packages" / package, dist)


def _build_wheel(session: nox.Session, source: Path, dist: Path) -> None:
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(source))
    session.run(_python(session), *build, external=True, silent=True)


def _fresh(session: nox.Session, folder: Path, dist: Path, *packages: str) -> Path:
    """A new environment in `folder` with `packages` from `dist`; its folder of commands."""
    session.run(sys.executable, "-m", "venv", str(folder), external=True)
    _install(session, folder / "bin", dist, *packages)
    return folder / "bin"


def _install(session: nox.Session, commands: Path, dist: Path, *packages: str) -> None:
    """Install `packages` and what they need: wheels of `dist`, and the index's."""
    pip = (str(commands / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"))
    session.run(*pip, "--find-links", str(dist), *packages, external=True)


def _check_core_alone(session: nox.Session, folder: Path, dist: Path) -> None:
    """`flujo-core` alone imports, and running a pipeline says which package to install."""
    commands = _fresh(session, folder, dist, "flujo-core")
    program = "from flujo import Flujo, Step\nprint(Flujo(Step('one', run=str.upper)).run_sync('x').status)"
    done = _outside(commands / "python", "-c", program, cwd=folder)
    if done.returncode == 0 or "flujo-policies-builtin" not in done.stdout + done.stderr:
        session.error(f"flujo-core alone did not say what to install:\n{done.stdout}{done.stderr}")


def _check_command(session: nox.Session, folder: Path, dist: Path) -> None:
    """`flujo run` takes piped input, hands out the result, and keeps a record of the run."""
    commands = _fresh(session, folder, dist, "flujo-core", "flujo-policies-builtin")
    (folder / "test_pipe.yaml").write_text(HELLO)
    done = _outside(commands / "flujo", "run", "test_pipe.yaml", cwd=folder, stdin="test input\n")
    if done.returncode != 0 or done.stdout != "test input\n":
        session.error(f"flujo run printed {done.stdout!r}, exit code {done.returncode}:\n{done.stderr}")
    kept = _outside(commands / "flujo", "runs", "list", "--json", cwd=folder)
    if kept.returncode != 0 or '"completed"' not in kept.stdout:
        session.error(f"flujo runs list does not show the run:\n{kept.stdout}{kept.stderr}")


def _check_example(session: nox.Session, folder: Path, dist: Path) -> None:
    """The example of a plugin is installed from its wheel, passes `flujo plugins check` and its own tests."""
    _build_wheel(session, EXAMPLE, dist)
    commands = _fresh(session, folder, dist, "flujo-policy-http[test]")
    shutil.copytree(EXAMPLE / "tests", folder / "tests")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(EXAMPLE / name, folder)
    _pass(session, commands, folder, "flujo-policy-http")


def _pass(session: nox.Session, commands: Path, folder: Path, plugin: str) -> None:
    """The installed plugin passes `flujo plugins check`, and the tests in `folder`."""
    for command in (("flujo", "plugins", "check", plugin), ("pytest", "-q")):
        _must(session, commands / command[0], *command[1:], cwd=folder)


def _must(session: nox.Session, command: Path, *arguments: str, cwd: Path) -> str:
    """Run `command` outside of the checkout: what it says, or the session's error."""
    done = _outside(command, *arguments, cwd=cwd)
    if done.returncode != 0:
        session.error(f"{command.name} {' '.join(arguments)} failed in {cwd}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _outside(command: Path, *arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `command` with nothing in its environment that could lead back to the checkout."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FLUJO", "COV", "VIRTUAL"))
    }
    return subprocess.run(
        [command, *arguments], cwd=cwd, input=stdin, env=clean, capture_output=True, text=True, timeout=120, check=False
    )


@nox.session(default=False)
def template(session: nox.Session) -> None:
    """Write every package that `flujo plugins new` can (31), build its wheel, and use it as a stranger's: half an hour.

    All are linted and typed in one environment, one after the other. Each is loaded in a bare environment, with nothing
    but what its own wheel asks for, then checked and tested there with what its tests need.
    `nox -s template -- policy,lint` for one of them.
    """
    parts = ("policy", "state", "sink", "command", "lint")
    every = [",".join(some) for count in range(1, 6) for some in itertools.combinations(parts, count)]
    tools = ("build", "hatchling", "hypothesis", "mypy", "pytest", "pytest-asyncio", "ruff")
    with tempfile.TemporaryDirectory(prefix="flujo-template-") as name:
        folder = Path(name)
        _build_wheels(session, folder / "dist")
        commands = _fresh(session, folder / "venv", folder / "dist", "flujo-core", "flujo-policies-builtin", *tools)
        for number, some in enumerate(session.posargs or every):
            package = _read_template(session, commands, folder / str(number), some)
            said = _use_template(session, folder / f"bare-{number}", folder / "dist", package)
            session.log(f"{some}: {said.splitlines()[-1]}")


def _read_template(session: nox.Session, commands: Path, folder: Path, parts: str) -> Path:
    """Write a package, build its wheel, and look at its code; its folder, with its wheel beside it."""
    folder.mkdir()
    new = ("plugins", "new", "probe", "--with", parts, "--json")
    dist = json.loads(_must(session, commands / "flujo", *new, cwd=folder))["dist"]
    package = folder / dist
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(package))
    _must(session, commands / "python", *build, cwd=folder)
    wheel = str(next(folder.glob("*.whl")))
    _must(session, commands / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    types = ("mypy", "--cache-dir", str(folder.parent / "mypy"))
    for words in (("ruff", "format", "--check", "."), ("ruff", "check", "."), types):
        _must(session, commands / words[0], *words[1:], cwd=package)
    _must(session, commands / "pip", "uninstall", "--quiet", "--yes", dist, cwd=folder)
    return package


def _use_template(session: nox.Session, folder: Path, dist: Path, package: Path) -> str:
    """Load the package where only its wheel is installed; then check and test it, with what it needs for its tests."""
    wheel = next(package.parent.glob("*.whl"))
    commands = _fresh(session, folder, dist, str(wheel))
    _must(session, commands / "python", "-c", LOADS.format(dist=package.name), cwd=folder)
    _install(session, commands, dist, f"{wheel}[test]")
    _must(session, commands / "flujo", "plugins", "check", package.name, cwd=folder)
    said = _must(session, commands / "pytest", "-q", "--basetemp", str(folder / "tmp"), cwd=package)
    shutil.rmtree(folder)
    return said


@nox.session
def plugins(session: nox.Session) -> None:
    """The tests of plugins by the oldest pluggy that flujo allows: everything else is done with the newest."""
    python = _python(session)
    suites = session.posargs or ("tests/plugins", "tests/testing/test_plugin_conformance.py")
    with tempfile.TemporaryDirectory(prefix="flujo-pluggy-") as folder:
        pip = ("-m", "pip", "install", "-q", "--no-deps", "--target", folder, "pluggy==1.6.*")
        session.run(python, *pip, external=True)
        found = {**GATE, "PYTHONPATH": folder}
        says = "import pluggy; assert pluggy.__version__.startswith('1.6.'), pluggy.__version__"
        session.run(python, "-c", says, env=found, external=True)
        session.run(python, "-m", "pytest", *suites, env=found, external=True)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the scenarios beside hand-written code; `nox -s bench -- S1` for one of them."""
    session.run(_python(session), "-m", "benchmarks", *session.posargs, external=True)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Everything that can go wrong, in full: kills, races, full disks. Prints figures; see docs/reliability.md.

    A test that can't be run here fails the session; `nox -s faults -- --allow-skips` only tells of it.
    """
    python = _python(session)
    skips = () if "--allow-skips" in session.posargs else ("--fail-on-skip",)
    session.run(python, "-m", "pytest", "tests", "-m", "slow", "--durations=20", *skips, external=True)
    session.run(python, "-m", "pytest", "tests/faults", "tests/acceptance/test_kill.py", *skips, external=True)
    ruled = (*RULED, "-m", "hypothesis and not slow")
    session.run(python, "-m", "pytest", *ruled, env={"FLUJO_TEST_PROFILE": "faults"}, external=True)
    everywhere = ("tests/policies", "tests/engine", "--crash-every-step", "--crash-floor=200")
    session.run(python, "-m", "pytest", *everywhere, external=True)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Take out one safeguard at a time: a test must notice. `nox -s mutants -- NAME` for one of them."""
    session.run(_python(session), "tests/faults/mutants.py", *session.posargs, external=True)
