"""Sinks that are switched on by `--sink` and by `[sinks.NAME]`."""

import re

import pytest

TREE = re.compile(r"\+ test \(run \S+\)\n  \+ echo\n  ok echo: [\d.]+ s\ncompleted test \(run \S+\): [\d.]+ s\n")


def test_a_run_is_heard_by_the_sink_that_is_asked_for(flujo):
    ran = flujo("run", "--input", "x", "--sink", "tree", "--quiet")
    assert (ran.code, ran.out) == (0, "x\n")
    assert TREE.fullmatch(ran.err)


def test_a_run_is_heard_by_the_sinks_of_the_settings_once(flujo, project):
    with (project / "flujo.toml").open("a") as file:
        file.write("[sinks.tree]\n")
    assert TREE.fullmatch(flujo("run", "--input", "x", "--sink", "tree", "--quiet").err)
    assert TREE.fullmatch(flujo("run", "--input", "x", "--quiet").err)


def test_a_run_that_is_gone_on_with_is_heard_too(flujo, project):
    (project / "pipeline.yaml").write_text("steps: [{ kind: hitl, name: ask, message: 'Ready?' }]\n")
    flujo("run", "--input", "x", "--run-id", "r")
    ran = flujo("resume", "r", "--answer", "yes", "--sink", "tree", "--quiet")
    assert "  + ask\n  ok ask: " in ran.err


@pytest.mark.parametrize("words", [["approve", "r"], ["reject", "r"], ["rerun", "r", "--from", "ask"]])
def test_a_run_that_is_answered_or_begun_again_is_heard_too(flujo, project, words):
    steps = "[{ name: first }, { kind: hitl, name: ask, message: 'Ready?' }, { name: last }]"
    (project / "pipeline.yaml").write_text(f"steps: {steps}\n")
    flujo("run", "--input", "x", "--run-id", "r")
    assert "  + ask\n" in flujo("runs", *words, "--sink", "tree", "--quiet").err


def test_a_sinks_settings_are_shown_with_their_places(flujo, project):
    (project / "flujo.toml").write_text('[sinks.otel]\nendpoint = "http://u:p@127.0.0.1:1/v1/traces"\n')
    shown = flujo("config", "show", "--origin", "--json").json["settings"]["sinks.otel.endpoint"]
    assert shown == {"value": "http://u:***@127.0.0.1:1/v1/traces", "origin": f"{project / 'flujo.toml'}:2"}


@pytest.mark.parametrize(
    ("toml", "options", "says"),
    [
        ("", ["--sink", "tre"], "there is no event sink 'tre'\n  help: did you mean 'tree'?"),
        ("[sinks.tree]\ndepth = 1\n", [], "the event sink 'tree' has no setting 'depth'"),
        ("[sinks.otel]\nendpont = 'x'\n", [], "has no setting 'endpont'\n  help: did you mean 'endpoint'?"),
        ("sinks = 'tree'\n", [], "sinks can't be 'tree', expected tables (FILE:1)"),
        ("[sinks]\ntree = true\n", [], "sinks.tree can't be True, expected a table (FILE:2)"),
    ],
)
def test_what_is_no_sink_or_no_setting_ends_the_command_before_it_runs(flujo, project, toml, options, says):
    (project / "flujo.toml").write_text(toml)
    ran = flujo("run", "--input", "x", *options)
    assert ran.code == 2
    assert says.replace("FILE", str(project / "flujo.toml")) in ran.err


BELL = """
    @hookimpl
    def flujo_register_event_sinks(registrar):
        registrar.sink("bell", "no_such_module:Bell", summary="ring")
"""
LEFT_OUT = "warning: an event sink of the settings is left out: its plugin is switched off (sink=bell)\n"


@pytest.mark.parametrize("source", [BELL, "import no_such_module"])
@pytest.mark.parametrize("switch", [["--no-plugins"], ["-P", "no:flujo-sink-bell"], ["-P", "no:flujo-sink-bell:sinks"]])
def test_a_sink_of_the_settings_whose_plugin_a_switch_keeps_out_is_left_out(flujo, project, fake_dist, switch, source):
    fake_dist("flujo-sink-bell", source)
    (project / "flujo.toml").write_text("[sinks.bell]\nloud = true\n")
    ran = flujo(*switch, "run", "--input", "x", "--quiet")
    assert (ran.code, ran.out, LEFT_OUT in ran.err) == (0, "x\n", True)
    assert "there is no event sink 'bell'" in flujo(*switch, "run", "--input", "x", "--sink", "bell").err


@pytest.mark.parametrize("words", [[], ["-P", "no:acme"]])
def test_a_sink_of_the_settings_whose_plugin_is_broken_ends_the_command_and_is_blamed(flujo, project, fake_dist, words):
    fake_dist("acme", "import no_such_module")
    fake_dist("flujo-sink-bell", "import no_such_module")
    (project / "flujo.toml").write_text("[sinks.bell]\n")
    ran = flujo(*words, "run", "--input", "x")
    assert ran.code == 2
    assert "event sink 'bell' probably comes with flujo-sink-bell 1.0, which is not loaded (import-failed: " in ran.err
