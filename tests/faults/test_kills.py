"""Whatever moment a process is killed at: nothing recorded is lost, runs again, or comes out twice."""

import random

import pytest

SEED = 20_261_123
RUNS = [f"run-{number:02d}" for number in range(5)]


def _killed_at_random(cases, kills):
    """Groups of five runs at once, each killed until it is through, until there were so many kills.

    Lives that record nothing are followed by longer ones: too many of them, and the run would be given up.
    """
    chance = random.Random(SEED)
    done = []
    while (left := kills - sum(case.kills for case in done)) > 0:
        case = cases.new(RUNS)
        while case.kills < left:
            if case.live(kill_after_s=chance.uniform(0.01, 0.12) * (1 + case.fruitless())) is not None:
                break
        case.finish()
        done.append(case)
    return done


def test_the_undisturbed_run_is_the_one_that_was_meant(nemesis):
    result, paths = nemesis.undisturbed("pipeline.yaml")
    assert (result["status"], result["output"]) == ("completed", "65 of [11, 21, 31] after 26 + 2")
    assert len(paths) == 29


def test_forty_kills_at_random_moments_lose_and_repeat_nothing(cases):
    done = _killed_at_random(cases, 40)
    assert sum(case.kills for case in done) == 40


@pytest.mark.slow
def test_five_hundred_kills_at_random_moments_lose_and_repeat_nothing(cases, figures):
    done = _killed_at_random(cases, 500)
    figures(
        "1 kills at random",
        kills=sum(case.kills for case in done),
        runs=len(done) * len(RUNS),
        repeated=sum(case.again for case in done),
    )
    assert sum(case.kills for case in done) == 500
