"""The plugins that a run began with, where it goes on with others."""

import importlib
from textwrap import dedent

import pytest

ASKING = 'steps: [{name: ask, kind: hitl, message: "Well?"}, {name: last, input: "{{ previous_step }}"}]\n'
POLICY = """
    @hookimpl
    def flujo_register_policies(registrar):
        registrar.policy("flujo.domain.steps:Step", "flujo_policies_builtin.step:FunctionPolicy", override=True)
"""


@pytest.fixture
def waiting(flujo, project, fake_dist):
    """A run "r" that waits for an answer, and whose steps a stranger's plugin runs."""
    fake_dist("flujo-policy-acme", POLICY)
    (project / "pipeline.yaml").write_text(ASKING)
    assert flujo("run", "--input", "x", "--run-id", "r").code == 6
    return project


def test_a_run_shows_the_plugins_that_it_needs(flujo, waiting):
    assert '"flujo-policy-acme 1.0": ["step"]' in flujo("runs", "show", "r", "--json").json["tags"]["plugins"]


def test_resuming_with_another_version_of_a_plugin_says_so_and_goes_on(flujo, waiting, tmp_path):
    [metadata] = tmp_path.rglob("flujo_policy_acme-1.0.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.2"))
    importlib.invalidate_caches()

    ran = flujo("resume", "r", "--answer", "fine")

    assert (ran.code, ran.out) == (0, "fine\n")
    assert "a plugin is not the one that the run began with (run_id=r, was=flujo-policy-acme 1.0, now=flujo-" in ran.err


def test_resuming_where_another_plugin_runs_a_kind_of_step_is_refused_with_the_ways_on(flujo, waiting):
    ran = flujo("-P", "no:flujo-policy-acme", "resume", "r", "--answer", "fine")

    assert ran.code == 4
    assert (
        "steps of kind 'step' were run by flujo-policy-acme 1.0 when run 'r' began, and by flujo-policies-bui"
        in ran.err
    )
    assert "flujo resume r --allow-changed" in ran.err
    assert "or let flujo-policy-acme 1.0 run it again: install it, or name it under [policies]" in ran.err
    assert "--as-begun" not in ran.err
    allowed = flujo("-P", "no:flujo-policy-acme", "resume", "r", "--allow-changed", "--answer", "fine")
    assert (allowed.code, allowed.out) == (0, "fine\n")
    assert "was=flujo-policy-acme 1.0, now=none" in allowed.err


def test_resuming_where_a_file_of_the_project_runs_a_kind_of_step_is_refused_too(flujo, waiting):
    (waiting / "flujo_plugins.py").write_text(f"from flujo.plugins import hookimpl\n{dedent(POLICY)}")

    ran = flujo("resume", "r", "--answer", "fine")

    assert ran.code == 4
    assert (
        "steps of kind 'step' were run by flujo-policy-acme 1.0 when run 'r' began, and by flujo_plugins now" in ran.err
    )
    assert flujo("resume", "r", "--allow-changed", "--answer", "fine").out == "fine\n"


KIND = """
    from flujo import Step
    from flujo.blueprint.schema import StepSpec

    class Shout(StepSpec):
        pass

    def shout(data: str) -> str:
        return data.upper()

    @hookimpl
    def flujo_register_step_kinds(registrar):
        registrar.kind("shout", Shout, lambda spec, context: Step(run=shout, **context.common(spec)), summary="shout")
"""


@pytest.fixture
def shouting(flujo, project, fake_dist):
    """A run "r" that waits for an answer, and which a kind of acme-pol goes on with: a plain step."""
    fake_dist("acme-pol", KIND)
    steps = 'steps: [{name: ask, kind: hitl, message: "Well?"}, {name: last, kind: shout}]\n'
    (project / "pipeline.yaml").write_text(steps)
    assert flujo("run", "--input", "x", "--run-id", "r").code == 6
    return project


def test_a_kind_that_is_a_plain_step_is_noted_with_its_plugin(flujo, shouting):
    assert '"acme-pol 1.0": []' in flujo("runs", "show", "r", "--json").json["tags"]["plugins"]


@pytest.mark.parametrize("more", [[], ["--as-begun"]])
def test_a_run_whose_plugin_is_gone_says_which_it_was(flujo, shouting, tmp_path, more):
    [metadata] = tmp_path.rglob("acme_pol-1.0.dist-info")
    metadata.rename(tmp_path / "gone")
    importlib.invalidate_caches()

    ran = flujo("resume", "r", "--answer", "fine", *more)

    assert ran.code == 4
    assert "unknown kind 'shout'" in ran.err
    assert "the run was begun with acme-pol 1.0, which is not installed: pip install acme-pol==1.0" in ran.err
    assert "go on with the pipeline as it was" not in ran.err


def test_a_run_whose_plugin_is_switched_off_says_by_what(flujo, shouting):
    ran = flujo("-P", "no:acme-pol", "resume", "r", "--answer", "fine")

    assert "with acme-pol 1.0: plugin acme-pol 1.0 is not loaded (disabled: by -P no:acme-pol)" in ran.err
