"""The rules of the house that no linter knows: sizes, names, dangerous calls, one version."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))
PROJECTS = sorted(ROOT.glob("packages/*/pyproject.toml"))
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# Broad handlers, each with its reason: an exception becomes an outcome, a sink can't fail a run, a module that can't
# be loaded is an error of ours.
BROAD = {"flujo/engine/executor_core.py", "flujo/engine/event_stream.py", "flujo/domain/foreign.py"}
# Where what tasks raise is handed on as values, which no handler shows: a claim that came too late is given back, a
# sink that can't be closed is reported as broken, and fields that can't be loaded or saved are told all together.
GATHERING = {
    "flujo/runner/run_session.py",
    "flujo/runner/event_sinks.py",
    "flujo/engine/hydration_manager.py",
}
# The clock, and the time a context's record of a turn is made, a field's default.
CLOCKS = ("flujo/infra/clock.py", "flujo/domain/context.py")


def place(path: Path) -> str:
    return path.relative_to(next(parent for parent in path.parents if parent.name == "src")).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def each_node(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, kinds):
                yield place(path), node


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def by_case(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order the linter keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def code_lines(path: Path, within: ast.AST) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    skipped = set()
    for node in ast.walk(within):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))
            and ast.get_docstring(node, clean=False) is not None
        ):
            skipped |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = path.read_text(encoding="utf-8").splitlines()
    first, last = (1, len(lines)) if isinstance(within, ast.Module) else (within.lineno, within.end_lineno)
    code = (lines[n - 1].strip() for n in range(first, last + 1) if n not in skipped)
    return sum(1 for line in code if line and not line.startswith("#"))


def depth(node: ast.AST, level: int = 0) -> int:
    """How deep blocks stand in one another; an `elif` is not deeper than its `if`."""
    deepest = level
    for name, children in ast.iter_fields(node):
        for child in children if isinstance(children, list) else [children]:
            if not isinstance(child, ast.AST) or isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If)
            deepest = max(deepest, depth(child, level + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_a_file_is_one_noun_of_at_most_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_four_packages_stay_within_their_wall():
    assert sum(code_lines(path, tree(path)) for path in SOURCES) <= 28_000  # ADR 7


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_a_function_fits_a_screen(path):
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, FUNCTIONS)]
    assert {f.name: code_lines(path, f) for f in functions if code_lines(path, f) > 50} == {}
    assert {f.name: depth(f) for f in functions if depth(f) > 3} == {}


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_a_module_lists_its_public_names_sorted_and_complete(path):
    body = tree(path).body
    public = {n.name for n in body if isinstance(n, (*FUNCTIONS, ast.ClassDef)) and not n.name.startswith("_")}
    lists = [n.value for n in body if isinstance(n, ast.Assign) and dotted(n.targets[0]) == "__all__"]
    if not lists:
        assert len(body) <= 1, "a module with code has an __all__"
        return
    names = ast.literal_eval(lists[0])
    assert names == sorted(names, key=by_case)
    assert public - set(names) == set()


def test_every_module_says_in_one_line_what_it_is():
    silent = [place(path) for path in SOURCES if not (ast.get_docstring(tree(path)) or "").splitlines()]
    assert silent == []


def test_sql_is_never_put_together_from_values():
    sql = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|ALTER|ATTACH)\s", re.ASCII)
    found = []
    for where, node in each_node(ast.JoinedStr):
        text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        if sql.search(text):
            found.append(f"{where}:{node.lineno}")
    assert found == []


def test_nothing_executes_text_or_unpickles():
    banned = {"eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"}
    calls = [f"{where}:{n.lineno} {dotted(n.func)}" for where, n in each_node(ast.Call) if dotted(n.func) in banned]
    shells = [f"{where}:{n.value.lineno}" for where, n in each_node(ast.keyword) if n.arg == "shell"]
    assert calls + shells == []
    modules = {"pickle", "marshal", "shelve", "dill"}
    imports = [(where, a.name) for where, n in each_node(ast.Import) for a in n.names if a.name in modules]
    imports += [(where, n.module) for where, n in each_node(ast.ImportFrom) if n.module in modules]
    assert imports == []


def test_broad_handlers_stand_in_three_places_at_most():
    broad = []
    for where, handler in each_node(ast.ExceptHandler):
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        is_broad = any(c is None or dotted(c) in {"Exception", "BaseException"} for c in caught)
        last = handler.body[-1]
        hands_on = isinstance(last, ast.Raise) and last.exc is None
        if is_broad and not hands_on:
            broad.append(where)
    assert len(broad) <= 3
    assert set(broad) <= BROAD


def test_errors_of_tasks_are_values_in_three_places_only():
    gathering = {where for where, keyword in each_node(ast.keyword) if keyword.arg == "return_exceptions"}
    assert {where for where in gathering if not where.startswith("flujo/testing/")} == GATHERING


def test_an_import_inside_a_function_says_why_it_stands_there():
    lines = ((place(path), line) for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines())
    assert [(where, line) for where, line in lines if re.search(r"noqa: PLC0415(?! - \w)", line)] == []


def test_a_tuple_that_is_made_without_its_class_has_a_value_for_each_field():
    fields = {
        node.name: [ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)]
        for _, node in each_node(ast.ClassDef)
        if "NamedTuple" in map(dotted, node.bases)
    }
    made = []
    for where, function in each_node(*FUNCTIONS):
        inside = list(ast.walk(function))
        named = {dotted(n.targets[0]): n.value for n in inside if isinstance(n, ast.Assign)}
        for call in (n for n in inside if isinstance(n, ast.Call) and dotted(n.func) in ("tuple_of", "_new")):
            kind, values = call.args
            parts = named[values.id].elts if isinstance(values, ast.Name) else values.elts
            made.append((where, dotted(kind), len(parts), len(fields[dotted(kind)])))
    assert len(made) >= 7
    assert [each for each in made if each[2] != each[3]] == []


def test_time_is_read_by_the_clock():
    readers = {"time.time", "time.time_ns", "time.monotonic", "time.sleep", "datetime.now", "datetime.utcnow"}
    readers |= {f"datetime.{name}" for name in readers if name.startswith("datetime.")}
    found = {f"{where}:{n.lineno}" for where, n in each_node(ast.Call) if dotted(n.func) in readers}
    assert {item for item in found if not item.startswith(CLOCKS)} == set()


def test_the_four_distributions_have_one_version_and_one_licence():
    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in PROJECTS}
    init = (ROOT / "packages/flujo-core/src/flujo/version.py").read_text()
    assert len(PROJECTS) == 4
    assert versions == {re.search(r'^__version__ = "(.+)"$', init, re.MULTILINE)[1]}
    licences = {path.read_bytes() for path in [ROOT / "LICENSE", *ROOT.glob("packages/*/LICENSE")]}
    assert len(licences) == 1


def test_every_package_says_that_it_is_typed_and_what_it_needs():
    for path in PROJECTS:
        project = tomllib.loads(path.read_text())["project"]
        assert list(path.parent.glob("src/*/py.typed")), path
        assert project["requires-python"] == ">=3.11"
        assert all(">=" in needed for needed in project["dependencies"])
