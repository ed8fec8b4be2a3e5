"""Every place at which a write can be interrupted, one after the other, until a run gets through undisturbed."""

import random

import pytest

SEED = 20_261_124

#: The points of the last release, summed up over their passes: fewer would mean that the net has become wider.
LEAST_POINTS = {"auto": 270, "full": 400}

POINTS = (
    *("before_create_run", "before_start", "after_start"),
    *("before_append", "before_insert", "after_insert", "before_ack", "after_ack"),
    *("before_begin", "after_begin", "before_commit", "after_commit"),
    *("before_cache", "after_cache"),
    *("before_pause", "after_pause", "in_pause"),
    *("before_answer", "after_answer"),
    *("before_claim", "after_claim", "before_finish", "after_finish"),
    *("before_checkpoint", "after_checkpoint"),
)


@pytest.fixture(scope="module")
def passes(nemesis, tmp_path_factory):
    """How often one run that nobody disturbs passes each point."""
    pid = nemesis.start(tmp_path_factory.mktemp("undisturbed"), ["run-00"])
    return nemesis.wait(pid)[1]["passes"]


def _dies_at(cases, point, number, sync="auto"):
    """Whether a life dies at this pass of the point; the run comes to its right end all the same."""
    case = cases.new(sync=sync)
    died = case.live(crash=(point, number)) is None
    case.finish()
    return died


def test_no_point_is_unknown_and_none_is_missing(passes):
    assert set(passes) == set(POINTS)
    assert sum(passes.values()) >= LEAST_POINTS["auto"]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_the_point_loses_and_repeats_nothing(cases, passes, point):
    """At its first pass, and at one by chance."""
    chance = random.Random(f"{SEED}{point}")
    assert _dies_at(cases, point, 1)
    if passes[point] > 2:
        _dies_at(cases, point, chance.randrange(2, passes[point]))


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["auto", "full"])
def test_a_crash_at_any_pass_of_any_point_loses_and_repeats_nothing(cases, figures, sync):
    found = {}
    for point in POINTS:
        number = 1
        while _dies_at(cases, point, number, sync):
            number += 1
        found[point] = number - 1
    figures(f"2 crash points, sync {sync}", points=len(found), passes=sum(found.values()))
    print(found)
    assert sum(found.values()) >= LEAST_POINTS[sync]
