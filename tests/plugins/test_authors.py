"""What authors of plugins rely on: the names, the documented examples, and light imports."""

import ast
import inspect
import os
import re
import subprocess
import sys
from textwrap import dedent
from types import ModuleType

import pytest

import flujo
import flujo.plugins
from flujo.plugins import create_plugin_manager, hookimpl, hookspecs
from flujo.plugins.registrars import REGISTRARS


def test_every_public_name_is_there_and_no_other():
    assert all(getattr(flujo.plugins, name) is not None for name in dir(flujo.plugins))
    with pytest.raises(AttributeError, match="has no attribute 'hookimp'"):
        flujo.plugins.hookimp  # noqa: B018


@pytest.mark.parametrize("name", ["StateBackend", "NewRun", "RunRow", "JournalRecord", "Wait"])
def test_whoever_writes_a_state_finds_every_type_of_it_among_the_public_names(name):
    cls = getattr(flujo.plugins, name)
    home = vars(sys.modules[cls.__module__])
    used = {each.id for each in ast.walk(ast.parse(inspect.getsource(cls))) if isinstance(each, ast.Name)}
    ours = {each for each in used if isinstance(home.get(each), type) and home[each].__module__.startswith("flujo.")}

    assert ours
    assert ours <= {*flujo.plugins.__all__, *flujo.__all__}


def test_every_hook_has_one_parameter_and_a_registrar():
    hooks = {name: value for name, value in vars(hookspecs).items() if name.startswith("flujo_")}

    assert set(hooks) == set(REGISTRARS)
    assert {tuple(inspect.signature(hook).parameters) for hook in hooks.values()} == {("registrar",)}


@pytest.mark.parametrize("hook", REGISTRARS)
def test_the_example_of_every_hook_works(hook):
    example = re.split(r"Example:\n", inspect.getdoc(getattr(hookspecs, hook)))[1]
    module = ModuleType("example")
    module.hookimpl = hookimpl
    exec(dedent(example), vars(module))

    manager = create_plugin_manager(module, discover=False)

    assert manager.problems() == []
    assert sum(map(len, manager.records[0].contributes.values())) == 1


def test_loading_every_plugin_loads_nothing_heavy():
    program = (
        "import sys; from flujo.plugins import create_plugin_manager as make; assert len(make().records) == 3;"
        "print(sorted({'pydantic', 'yaml', 'jinja2', 'asyncio', 'click', 'sqlite3', 'structlog'} & set(sys.modules)))"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=plain)

    assert done.stdout.strip() == "[]"
