"""The plugins that a run began with, where it goes on with others."""

import importlib

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
