"""The fixtures for authors of plugins: each does what its example says, and none does anything unasked."""

import inspect
import re
import subprocess
import sys
from textwrap import dedent

import pytest

from _flujo_pytest import Fixtures
from flujo.exceptions import PluginError

HEAD = """\
from flujo import Step
from flujo.domain.events import RunFinished, StepStarted
from flujo.plugins import create_plugin_manager, hookimpl
from flujo.testing import stub_policy

"""
INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
FIXTURES = [name for name in vars(Fixtures) if name.startswith(("flujo_", "fake_"))]


def example(name):
    text = getattr(Fixtures, name).__doc__
    return dedent(re.split(r"Example:\n", inspect.cleandoc(text))[1])


@pytest.fixture
def pytest_process(tmp_path):
    """Run pytest on a file in a folder of its own, by this flujo's fixtures."""

    def run(source, *args, ini=""):
        folder = tmp_path / "suite"
        folder.mkdir()
        (folder / "test_it.py").write_text(source)
        (folder / "pytest.ini").write_text(INI + ini)
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", *args]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_every_fixture_does_what_its_example_says(pytest_process):
    done = pytest_process(HEAD + "\n\n".join(map(example, FIXTURES)))

    assert done.returncode == 0, done.stdout
    assert f"{len(FIXTURES)} passed" in done.stdout


def test_the_fixtures_can_be_left_out(pytest_process):
    done = pytest_process("def test_it(flujo_run): ...\n", ini="flujo_testing = off")

    assert done.returncode == 1
    assert "fixture 'flujo_run' not found" in done.stdout


SUITE = """\
from flujo.testing.skill import SkillConformance

class TestAll(SkillConformance):
    id = "flujo.builtins.passthrough"
    examples = (("x", "x"),)

class TestSome(TestAll):
    pass
"""


def test_a_standard_test_that_fails_tells_the_values_that_it_compared(pytest_process):
    done = pytest_process(SUITE.replace('("x", "x")', '("x", "other")'), "-k", "TestAll")

    assert done.returncode == 1
    assert re.search(r"^E +(AssertionError: )?assert .*'x'.* == .*'other'", done.stdout, re.MULTILINE), done.stdout


def test_in_the_end_each_conformance_class_has_a_verdict(pytest_process):
    done = pytest_process(SUITE, "-v", "-k", "TestAll or TestSome and not can_be_a_step")

    assert done.returncode == 0
    assert "\ntest_it.py::TestAll: FULL\n" in done.stdout
    assert "\ntest_it.py::TestSome: PARTIAL, without test_skill_can_be_a_step\n" in done.stdout


def test_nothing_of_flujo_is_imported_until_a_fixture_is_used(pytest_process):
    done = pytest_process(
        "import sys\n\n"
        "def flujos():\n    return [name for name in sys.modules if name.partition('.')[0] == 'flujo']\n\n"
        "def test_before(request):\n    assert '_flujo_pytest' in sys.modules and flujos() == []\n\n"
        "def test_after(flujo_events):\n    assert flujos()\n",
        "-p",
        "no:randomly",
    )

    assert done.returncode == 0, done.stdout


def test_no_fixture_is_used_unasked():
    marked = [getattr(Fixtures, name) for name in (*FIXTURES, "_flujo_workbench")]
    assert [each._fixture_function_marker.autouse for each in marked] == [False] * len(marked)


def test_the_settings_of_whoever_runs_the_tests_are_not_those_of_a_command(flujo_cli, flujo_project, monkeypatch):
    monkeypatch.setenv("FLUJO_STATE_URI", "memory:")

    assert "sqlite" in flujo_cli("config", "show").out
    assert "sqlite" in flujo_project.flujo("config", "show").out


def test_where_the_command_line_is_not_installed_its_tests_are_skipped(pytest_process):
    hidden = "import importlib.util\nimportlib.util.find_spec = lambda name, *_: None\n"
    done = pytest_process(hidden + "def test_it(flujo_cli): ...\n")

    assert "SKIPPED" in done.stdout, done.stdout
    assert "flujo-cli is not installed: pip install flujo-cli" in done.stdout


async def test_a_broken_plugin_is_refused_or_told_of(flujo_plugin):
    with pytest.raises(PluginError, match="plugin object is not loaded"), flujo_plugin(object()):
        pass
    with flujo_plugin(object(), strict=False) as record:
        assert record.status == "rejected"


def test_a_broken_plugin_ends_a_command_unless_it_is_allowed(flujo_cli, flujo_project, fake_dist):
    fake_dist("flujo-broken", "import nothing_of_this_name")
    flujo_project.write("pipeline.yaml", "steps: [{name: same, uses: flujo.builtins.passthrough}]")

    strict, lax = flujo_cli("run", input="x"), flujo_cli("run", input="x", strict=False)

    assert (strict.code, strict.out, lax.code, lax.out) == (2, "", 0, "x\n")
    assert "nothing_of_this_name" in strict.err
    assert "flujo-broken 1.0" in lax.err


async def test_a_file_may_name_the_code_of_its_project(flujo_run, flujo_project):
    flujo_project.write("flujo.toml", 'blueprint_allowed_imports = ["shouts"]')
    flujo_project.write("shouts.py", "def shout(text: str) -> str:\n    return text.upper()\n")

    first = await flujo_run("steps: [{name: loud, uses: 'shouts:shout'}]", "hi", initial_context_data={"a": 1})
    second = await flujo_run("steps: [{name: same}]", "ho")

    assert (first.result.output, first.context.a, second.result.output) == ("HI", 1, "ho")
    assert {event.run_id for event in second.events} == {second.result.run_id}
