"""Each promise of a plugin's distribution can be broken, and the test of that promise notices."""

import itertools
import threading

import pytest

from flujo.testing.plugin import PluginConformance
from flujo.testing.probe import PluginProbe, look, probe_plugin, problems

GOOD = """
@hookimpl
def flujo_register_skills(registrar):
    registrar.skill("good.skill", "json:dumps", summary="as text")
"""
SLOPPY = """
import itertools, threading, flujo_lax_more
NUMBERS = itertools.count()
threading.Thread(target=threading.Event().wait, args=(0.2,), name="lazy").start()

@hookimpl
def flujo_register_skills(registrar):
    registrar.skill(f"lax.a{next(NUMBERS)}", "json:nothing", summary="not there")
"""
numbers = itertools.count()


@pytest.fixture
def suite(fake_dist):
    """The tests of a distribution with this plugin, whose name nobody had before: what is found out of it is kept."""

    def make(source, api="flujo.plugins:API_1", requires=("flujo-core>=0.1",), **options):
        name = f"flujo-probed-{next(numbers)}"
        fake_dist(name, source, api=api, requires=requires, **options)
        return type("Suite", (PluginConformance,), {"dist": name})()

    return make


class TestCommandLine(PluginConformance):
    dist = "flujo-cli"


class TestPolicies(PluginConformance):
    dist = "flujo-policies-builtin"


class TestState(PluginConformance):
    dist = "flujo-state-sqlite"


def test_a_good_plugin_keeps_every_promise(suite):
    tests = suite(GOOD)
    for promise in (name for name in dir(PluginConformance) if name.startswith("test_")):
        getattr(tests, promise)()


PROMISES = {
    "test_plugin_is_loaded": [(GOOD + "raise RuntimeError('no')", {}), (GOOD + "import os; os._exit(7)", {})],
    "test_loading_prints_nothing": [(GOOD + "print('hello')", {})],
    "test_loading_starts_no_thread": [
        (GOOD + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", {})
    ],
    "test_loading_changes_nothing_else": [(GOOD + "import os; os.chdir('/')", {})],
    "test_loading_imports_little": [(GOOD + "import flujo.runner.flujo", {})],
    "test_everything_offered_can_be_imported": [(GOOD.replace("json:dumps", "json:dump_all"), {})],
    "test_loading_again_gives_the_same": [
        (GOOD.replace('"good.skill"', "f'good.a{next(N)}'") + "\nimport itertools\nN = itertools.count()", {})
    ],
    "test_versions_agree": [
        (GOOD, {"api": None}),
        (GOOD + "FLUJO_PLUGIN_API = '2.0'", {}),
        (GOOD, {"requires": ()}),
    ],
}
CASES = [(promise, *case) for promise, cases in PROMISES.items() for case in cases]


@pytest.mark.parametrize(("promise", "source", "options"), CASES)
def test_a_broken_promise_fails_its_test(suite, promise, source, options):
    with pytest.raises(AssertionError):
        getattr(suite(source, **options), promise)()


def test_every_promise_is_shown_to_be_breakable():
    assert set(PROMISES) == {name for name in dir(PluginConformance) if name.startswith("test_")}


def test_what_is_wrong_is_told_in_lines(fake_dist):
    fake_dist("flujo-loud", "print('hello')\n" + GOOD.replace("json:dumps", "json:nothing"))
    found = problems(probe_plugin("flujo-loud"))
    assert found[0] == "it prints 'hello\\n' when it is loaded"
    assert found[1].startswith("skills 'good.skill': ") or found[1].startswith("plugin flujo-loud 1.0 is not loaded")
    assert problems(PluginProbe(threads=("worker",))) == ["it starts the thread 'worker' when it is loaded"]


def test_a_plugin_that_hangs_is_told_of(fake_dist):
    fake_dist("flujo-slow", "import time\nprint('wait', flush=True)\ntime.sleep(600)\n")
    found = problems(probe_plugin("flujo-slow", hung_s=3))
    assert found == [
        "flujo-slow: loading it has not come to an end after 3 s",
        "it prints 'wait\\n' when it is loaded",
    ]


def test_a_plugin_whose_thread_never_ends_is_told_of_at_once(fake_dist):
    fake_dist(
        "flujo-spin", "import threading\nthreading.Thread(target=threading.Event().wait, name='spin').start()\n" + GOOD
    )
    assert problems(probe_plugin("flujo-spin"))[0] == "it starts the thread 'spin' when it is loaded"


CHANGES = {
    "os.umask(0o77)": "it changes the umask when it is loaded",
    "sys.path.append('x')": "it changes sys.path when it is loaded",
    "sys.setrecursionlimit(5000)": "it changes the recursion limit when it is loaded",
    "signal.signal(signal.SIGUSR1, signal.SIG_IGN)": "it changes the handler of SIGUSR1 when it is loaded",
    "sys.stdout.close()": "it changes sys.stdout when it is loaded",
    "sys.stderr = None": "it changes sys.stderr when it is loaded",
    "os.chdir('/')": "it changed the working directory to '/' when it was loaded, which was undone",
}


def test_whatever_a_plugin_changes_of_the_process_is_told_of(fake_dist):
    fake_dist("flujo-busy", "\n".join(["import os, signal, sys", *CHANGES, GOOD]))
    assert sorted(probe_plugin("flujo-busy").changes) == sorted(CHANGES.values())


def test_a_plugin_file_of_a_project_is_found_with_its_settings(tmp_path):
    (tmp_path / "flujo.toml").write_text(
        '[plugins]\nlocal = ["probed_file.py"]\n[plugins.settings.probed_file]\na = "b"\n'
    )
    hook = GOOD.replace('"good.skill"', '"good." + registrar.settings["a"]')
    (tmp_path / "probed_file.py").write_text(f"from flujo.plugins import hookimpl\n{hook}")

    found = look("probed_file", str(tmp_path))

    assert {field: lines for field, lines in found.items() if field != "modules"} == {
        "records": [],
        "threads": [],
        "changes": [],
        "unloadable": [],
        "differs": [],
        "api": [],
    }
    assert "probed_file" in found["modules"]


NEEDY = GOOD.replace('"good.skill"', '"good." + registrar.settings["tenant"]')


def test_a_plugin_that_needs_a_setting_is_given_it(suite, fake_dist, tmp_path):
    tests = suite(NEEDY)
    type(tests).settings = {"tenant": "acme"}
    tests.test_plugin_is_loaded()
    with pytest.raises(AssertionError, match="tenant"):
        suite(NEEDY).test_plugin_is_loaded()

    fake_dist("flujo-needy", NEEDY)
    (tmp_path / "flujo.toml").write_text('[plugins.settings.flujo-needy]\ntenant = "acme"\n')
    found = look("flujo-needy", str(tmp_path))
    assert (found["records"], found["unloadable"], len(found["api"])) == ([], [], 2)


WRONG = """
@hookimpl
def flujo_register_step_kinds(registrar):
    registrar.kind("odd", "builtins:int", "sys:path", summary="odd")
    registrar.kind("even", "flujo.blueprint.schema:StepSpec", "sys:path", summary="even")

@hookimpl
def flujo_register_policies(registrar):
    registrar.policy("flujo:Step", "builtins:int")
    registrar.policy("builtins:int", "builtins:len")

@hookimpl
def flujo_register_commands(registrar):
    registrar.command("odd", "sys:path", short_help="Odd.")

@hookimpl
def flujo_register_skills(registrar):
    registrar.skill("odd.skill", "sys:path", summary="odd")

@hookimpl
def flujo_register_event_sinks(registrar):
    registrar.sink("odd", "sys:path", summary="odd")

@hookimpl
def flujo_register_agents(registrar):
    registrar.provider("odd", "sys:path")

@hookimpl
def flujo_register_state_backends(registrar):
    registrar.backend("odd", "sys:path")

@hookimpl
def flujo_register_state_providers(registrar):
    registrar.provider("odd", "sys:path")

@hookimpl
def flujo_register_lint_rules(registrar):
    registrar.rule("ODD-1", "sys:path", summary="odd")

@hookimpl
def flujo_register_pricing(registrar):
    registrar.pricing("odd", "sys:path")
"""

SORTS = {
    "policies 'builtins:int'": "'builtins:int', expected a type of step",
    "policies 'flujo.domain.steps:Step'": "'builtins:int', expected a StepPolicy or what makes one",
    "kinds 'odd'": "'builtins:int', expected a subclass of StepSpec",
    "kinds 'even'": "'sys:path', expected a function",
    "skills 'odd.skill'": "'sys:path', expected a function, or what has a method 'run'",
    "agents 'odd'": "'sys:path', expected a function",
    "backends 'odd'": "'sys:path', expected a function",
    "state_providers 'odd'": "'sys:path', expected a function",
    "sinks 'odd'": "'sys:path', expected a function",
    "commands 'odd'": "'sys:path', expected a click command",
    "lint_rules 'ODD-1'": "'sys:path', expected a function",
    "pricing 'odd'": "'sys:path', expected a function",
}


def test_what_is_offered_as_another_sort_than_it_is_is_told_of(fake_dist):
    fake_dist("flujo-odd", WRONG)
    told = dict(line.split(": plugin flujo-odd 1.0 offers ") for line in look("flujo-odd")["unloadable"])
    assert told == SORTS


def test_a_distribution_that_is_not_installed_is_told_of():
    assert "flujo-nothing" in problems(probe_plugin("flujo-nothing"))[0]


def test_everything_wrong_with_a_plugin_is_found_at_once(fake_dist):
    fake_dist("flujo-lax", SLOPPY, api="flujo.plugins:API_1", modules={"flujo_lax_more": ""})
    found = look("flujo-lax")
    for thread in threading.enumerate():
        if thread.name == "lazy":
            thread.join()
    assert found["records"] == []
    assert found["modules"] == ["flujo_lax", "flujo_lax_more"]
    assert found["threads"] == ["lazy"]
    assert "'json:nothing'" in found["unloadable"][0]
    assert "flujo-lax:flujo-lax is another when it is loaded again" in found["differs"][0]
    assert found["api"] == ["flujo-lax does not require flujo-core, expected a dependency such as 'flujo-core>=0.1'"]


def test_what_a_distribution_says_that_it_brings_has_to_be_so(fake_dist):
    folder = fake_dist("flujo-boaster", GOOD, api="flujo.plugins:API_1", requires=("flujo-core>=0.1",))
    with (folder / "flujo_boaster-1.0.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("\n[flujo.provides]\ngood = skills\ngood.skill = skills\nsql = kinds\n")
    assert look("flujo-boaster")["api"] == [
        "flujo-boaster says that it brings 'sql' of kinds, which none of its hooks registers"
    ]


def test_a_plugin_that_is_not_there_or_of_another_api_is_told_of(fake_dist):
    assert "flujo-nothing" in look("flujo-nothing")["records"][0]
    fake_dist("flujo-later", "FLUJO_PLUGIN_API = '2.0'\n" + GOOD, api="flujo.plugins:API_1")
    assert look("flujo-later")["api"][0] == (
        "flujo-later:flujo-later is written for plugin API '2.0', but flujo-later announces '1.0'"
    )
    fake_dist("flujo-newer", GOOD, api="flujo.plugins:API_1_7", requires=("flujo-core>=0.1",))
    assert look("flujo-newer")["api"] == []
    fake_dist("flujo-older", "FLUJO_PLUGIN_API = '1.0'\n" + GOOD, api="flujo.plugins:API_1_7")
    assert look("flujo-older")["api"][0].endswith("written for plugin API '1.0', but flujo-older announces '1.7'")
    fake_dist("flujo-silent", GOOD)
    assert look("flujo-silent")["api"][0].startswith("flujo-silent does not announce the plugin API")
