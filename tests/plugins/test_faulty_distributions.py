"""Distributions of which most are at fault: each is told of, and flujo runs what needs none of them."""

import pytest

GREET = "registrar.skill('{0}.greet', 'json:dumps', summary='greet')"
SKILLS = f"@hookimpl\ndef flujo_register_skills(registrar):\n    {GREET}\n"

#: An exception that can't tell what it is.
MUTE = "class Mute(Exception):\n    def __str__(self): raise ValueError\n"

PLAIN = "steps: [{name: same, uses: flujo.builtins.passthrough}]"

#: Each source by the name of its distribution, with what becomes of it and what is said of it.
FAULTY = {
    "flujo-import": ("import no_such_thing_at_all", "import-failed", "No module named 'no_such_thing_at_all'"),
    "flujo-exit": ("import sys; sys.exit(3)", "import-failed", "SystemExit: 3"),
    "flujo-cancelled": ("import asyncio; raise asyncio.CancelledError('off')", "import-failed", "CancelledError: off"),
    "flujo-mute": (MUTE + "raise Mute", "import-failed", "Mute: its text can't be had (ValueError)"),
    "flujo-mute-hook": (
        MUTE + SKILLS + "    raise Mute",
        "register-failed",
        "Mute: its text can't be had (ValueError)",
    ),
    "flujo-red": ("raise RuntimeError('\\x1b[31mred')", "import-failed", "RuntimeError: \\x1b[31mred"),
    "flujo-silent": (
        SKILLS.replace("'greet'", "None"),
        "register-failed",
        "summary of skill 'silent.greet' is None, expected text",
    ),
    "flujo-numbers": (
        "@hookimpl\ndef flujo_register_step_kinds(registrar):\n    registrar.kind('x', 5, 6, summary='x')",
        "register-failed",
        "5 is not a target, expected 'module:attr' or what is there",
    ),
    "flujo-slots": (
        "class Plugin:\n    __slots__ = ()\n    @hookimpl\n"
        f"    def flujo_register_skills(self, registrar): {GREET}\n"
        "import sys; sys.modules[__name__] = Plugin()",
        "active",
        "",
    ),
    "flujo-signature": (
        "@hookimpl\ndef flujo_register_skills(registrar, config): ...",
        "rejected",
        "hook 'flujo_register_skills' has the parameters (registrar, config), expected exactly (registrar)",
    ),
    "flujo-half": (
        SKILLS
        + "@hookimpl\ndef flujo_register_step_kinds(registrar):\n    registrar.kind('a b', 'm:M', 'm:b', summary='')",
        "register-failed",
        "'a b' is not the name of a kind",
    ),
    "flujo-typo": (
        SKILLS.replace("_skills", "_skils"),
        "rejected",
        "unknown hook 'flujo_register_skils': did you mean 'flujo_register_skills'?",
    ),
    "flujo-undecorated": (
        SKILLS.replace("@hookimpl\n", ""),
        "rejected",
        "'flujo_register_skills' is not decorated",
    ),
    "flujo-async": (
        SKILLS.replace("def ", "async def "),
        "rejected",
        "hook 'flujo_register_skills' must be a plain function",
    ),
    "flujo-raising": (SKILLS + "    raise RuntimeError('no')", "register-failed", "RuntimeError: no"),
    "flujo-future": ("FLUJO_PLUGIN_API = '2.0'\n" + SKILLS, "incompatible", "needs plugin API '2.0'"),
    "flujo-conflict": (
        "@hookimpl\ndef flujo_register_step_kinds(registrar):\n    registrar.kind('map', 'm:M', 'm:b', summary='')",
        "active",
        "",
    ),
    "flujo-override": (
        "@hookimpl\ndef flujo_register_policies(registrar):\n"
        "    registrar.policy('flujo.domain.kinds:LoopStep', 'flujo_override:Once', override=True)\n"
        "from flujo.plugins import StepPolicy\nfrom flujo import LoopStep, Success\n"
        "class Once(StepPolicy):\n    handles_type = LoopStep\n"
        "    async def execute(self, core, frame): return Success('overridden')\n",
        "active",
        "",
    ),
}
STATUSES = {name: status for name, (_, status, _) in FAULTY.items()} | {"flujo-policies-builtin": "active"}
BROKEN = [name for name, status in STATUSES.items() if status != "active"]


@pytest.fixture
def install(fake_dist):
    """Install some of them, every one in another version, and one that is at no fault."""

    def install_them(*names):
        fake_dist("flujo-healthy", SKILLS.replace("{0}", "healthy"), version="7.0")
        for name in names:
            fake_dist(name, FAULTY[name][0].replace("{0}", name.removeprefix("flujo-")), version=version(name))

    return install_them


def version(name):
    return f"0.{list(FAULTY).index(name)}.1"


@pytest.fixture
def everything(install, flujo_project):
    """The project of somebody who has all of them."""
    install(*FAULTY)
    flujo_project.write("pipeline.yaml", PLAIN)
    flujo_project.write("healthy.yaml", "steps: [{name: greet, uses: healthy.greet}]")
    return flujo_project


@pytest.mark.parametrize("name", FAULTY)
def test_a_pipeline_that_does_not_need_it_runs(install, flujo_cli, flujo_project, name):
    install(name)
    flujo_project.write("pipeline.yaml", "steps: [{name: greet, uses: healthy.greet}]")
    _, status, error = FAULTY[name]

    done = flujo_cli("run", "pipeline.yaml", input="x", strict=False)

    assert (done.code, done.out) == (0, '"x"\n')
    assert (f"plugin {name} {version(name)} is not loaded ({status}: " in done.err) is (status != "active")
    assert error in done.err


def test_a_plugin_that_is_interrupted_from_the_keyboard_interrupts_flujo(fake_dist, flujo_project):
    fake_dist("flujo-interrupted", "raise KeyboardInterrupt")
    flujo_project.write("pipeline.yaml", PLAIN)

    done = flujo_project.flujo("run", "pipeline.yaml", input="x")

    assert (done.code, done.out) == (130, "")


@pytest.mark.parametrize("words", [["run"], ["--no-plugins", "run"]])
def test_a_distribution_whose_entry_points_can_not_be_read_stops_no_pipeline(fake_dist, flujo_project, words):
    folder = fake_dist("flujo-torn", SKILLS)
    (folder / "flujo_torn-1.0.dist-info" / "entry_points.txt").write_text("[flujo.plugins]\ntorn\n")
    flujo_project.write("pipeline.yaml", PLAIN)

    done = flujo_project.flujo(*words, "pipeline.yaml", input="x")

    assert (done.code, done.out) == (0, "x\n")
    told = "plugin flujo-torn 1.0 is not loaded (import-failed: its entry_points.txt can't be read: "
    assert (told in done.err) is (words == ["run"])


def test_all_of_them_at_once_harm_nobody(everything):
    for file, output in (("pipeline.yaml", "x\n"), ("healthy.yaml", '"x"\n')):
        done = everything.flujo("run", file, input="x")
        assert (done.code, done.out) == (0, output)
        assert [name for name in BROKEN if f"plugin {name} {version(name)} is not loaded" not in done.err] == []
        assert "Traceback" not in done.err


def test_each_is_listed_with_what_became_of_it(everything):
    done = everything.flujo("plugins", "list", "--json")

    assert done.code == 0
    found = {each["dist"]: each["status"] for each in done.json["plugins"]}
    assert {name: found.get(name) for name in STATUSES} == STATUSES
    assert found["flujo-healthy"] == "active"


def test_what_two_of_them_claim_is_an_error_only_where_it_is_used(everything):
    everything.write("map.yaml", "steps: [{name: each, kind: map, body: [{name: one}]}]")

    done = everything.flujo("run", "map.yaml", "--input", "[]")

    assert done.code != 0
    assert f"flujo-conflict {version('flujo-conflict')}" in done.err
    assert "flujo-policies-builtin 0." in done.err
    assert 'kinds.map = "flujo-' in done.err


def test_what_replaces_a_policy_and_says_so_counts(everything):
    everything.write("loop.yaml", "steps: [{name: again, kind: loop, loop: {body: [{name: one}], max_loops: 2}}]")

    done = everything.flujo("run", "loop.yaml", input="x")

    assert (done.code, done.out) == (0, "overridden\n")


def test_without_plugins_there_is_what_flujo_itself_can_do(everything):
    done = everything.flujo("--no-plugins", "run", "pipeline.yaml", input="x")

    assert (done.code, done.out) == (0, "x\n")
    assert "is not loaded" not in done.err
    assert everything.flujo("runs", "list", "--json").json


#: How a plugin is kept out: words before the command, environment, and the project's settings.
WAYS = {
    "--no-plugins": (["--no-plugins"], {}, ""),
    "-P": (["-P", "no:flujo-healthy"], {}, ""),
    "FLUJO_NO_PLUGINS": ([], {"FLUJO_NO_PLUGINS": "1"}, ""),
    "FLUJO_PLUGINS": ([], {"FLUJO_PLUGINS": ""}, ""),
    "disable": ([], {}, '[plugins]\ndisable = ["flujo-healthy"]\n'),
}
LOADED = """
import json, sys
from flujo_cli.app import run_command_line
code = run_command_line([*sys.argv[1:], "run", "pipeline.yaml", "--input", "x"])
print(code, "flujo_healthy" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_plugin_that_is_kept_out_is_imported(install, flujo_project, way):
    words, env, settings = WAYS[way]
    install()
    flujo_project.write("flujo.toml", settings)
    flujo_project.write("pipeline.yaml", PLAIN)

    done = flujo_project.python(LOADED, *words, env=env)

    assert (done.out, done.err.splitlines()[-1:]) == ("x\n", ["0 False"])


def test_the_same_plugin_is_imported_where_nothing_keeps_it_out(install, flujo_project):
    install()
    flujo_project.write("pipeline.yaml", PLAIN)

    assert flujo_project.python(LOADED).err.splitlines()[-1:] == ["0 True"]
