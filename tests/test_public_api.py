"""The public names, and what importing them costs."""

import ast
import inspect
import os
import subprocess
import sys
import traceback

import pytest

import flujo
import flujo.exceptions

HEAVY = {"asyncio", "beartype", "jinja2", "pluggy", "pydantic", "sqlite3", "structlog", "yaml"}
PLUGINS = {"flujo_policies_builtin", "flujo_state_sqlite"}


def modules_after(program: str) -> set[str]:
    """The modules a fresh interpreter has loaded after `program`, without a debugger's or coverage's own."""
    show = "\nimport sys; print(*sys.modules)"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    done = subprocess.run([sys.executable, "-c", program + show], capture_output=True, text=True, env=kept, check=True)
    return set(done.stdout.splitlines()[-1].split())


def type_checking_imports() -> dict[str, tuple[str, ...]]:
    tree = ast.parse(inspect.getsource(flujo))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    return {node.module: tuple(alias.name for alias in node.names) for node in block.body}


def test_the_three_lists_of_public_names_agree():
    assert type_checking_imports() == flujo._HOMES
    assert sorted(name for names in flujo._HOMES.values() for name in names) == flujo.__all__
    assert dir(flujo) == sorted([*flujo.__all__, "__version__"])


@pytest.mark.parametrize("name", flujo.__all__)
def test_a_public_name_is_what_its_home_defines(name):
    home = next(module for module, names in flujo._HOMES.items() if name in names)
    assert getattr(flujo, name) is getattr(sys.modules[home], name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Fluxo'"):
        flujo.Fluxo  # noqa: B018


def test_the_drawn_tree_of_errors_is_the_tree():
    drawn = {}
    parents = {-1: "FlujoError"}
    for line in flujo.exceptions.__doc__.splitlines():
        if "── " not in line:
            continue
        level = line.index("── ") // 4
        name = line.split("── ")[1].split()[0]
        parents[level] = name
        drawn[name] = parents[level - 1]
    real = {name: getattr(flujo.exceptions, name).__bases__[0].__name__ for name in flujo.exceptions.__all__}
    assert drawn == {name: base for name, base in real.items() if name != "FlujoError"}


def test_a_traceback_shows_the_advice_and_the_message_does_not():
    error = flujo.FlujoError("no policy runs 'x'", suggestion="pip install one")
    assert str(error) == "no policy runs 'x'"
    assert traceback.format_exception(error)[-1] == "help: pip install one\n"


def test_importing_flujo_loads_nothing_heavy():
    assert modules_after("import flujo") & (HEAVY | PLUGINS) == set()


def test_showing_the_version_loads_no_plugin_and_nothing_heavy():
    program = "import sys; sys.argv = ['flujo', '--version']\nfrom flujo_cli.main import main\n"
    program += "try: main()\nexcept SystemExit as end: assert not end.code"
    assert modules_after(program) & (HEAVY | PLUGINS) == set()
