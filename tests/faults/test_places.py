"""Deaths at chosen places of a pipeline: what was done stands, and only what was under way is done again."""

import pytest

from flujo.domain.interfaces import MAX_CLAIMS

ITEM = "map:each[1]/item"


def test_a_step_that_ended_and_was_not_recorded_runs_twice_with_one_key_and_counts_once(cases):
    case = cases.new(pipeline="stamp.yaml")
    assert case.live(crash=("before_insert@stamp", 1)) is None
    told = case.live()

    begins = [line for line in case.ledger() if (line.word, line.path) == ("begin", "stamp")]
    assert len(begins) == 2
    assert begins[0].key == begins[1].key
    assert told["results"]["run-01"]["output"] == f"process {begins[1].pid}"


@pytest.mark.parametrize("point", ["after_insert", "before_ack"])
def test_a_step_that_was_recorded_and_not_acknowledged_runs_once(cases, point):
    case = cases.new(pipeline="stamp.yaml")
    assert case.live(crash=(f"{point}@stamp", 1)) is None
    told = case.live()

    begins = [line for line in case.ledger() if (line.word, line.path) == ("begin", "stamp")]
    assert len(begins) == 1
    assert told["results"]["run-01"]["output"] == f"process {begins[0].pid}"


@pytest.mark.parametrize("point", ["before_create_run", "before_start", "after_start", "before_commit", "after_commit"])
def test_a_run_that_died_while_it_was_written_down_is_one_run_of_its_key(cases, point):
    case = cases.new(["key-01"], "race.yaml", by_key=True)
    assert case.live(crash=(point, 1)) is None
    assert case.recorded() == set()
    told = case.live()

    assert told["results"]["key-01"]["status"] == "completed"
    assert case.query("SELECT COUNT(*) FROM run") == [(1,)]
    assert case.begun() == ["first", "wait", "last"]


LEAF = "loop:turns[{}]/parallel:fan/{}/import:leaf/{}"


@pytest.mark.parametrize("step", ["one", "two"])
def test_a_death_in_an_import_in_a_branch_in_a_loop_repeats_the_two_steps_at_work_and_no_other(cases, step):
    """Three branches of the seventh turn are through, two stand in their first or second step."""
    case = cases.new(pipeline="deep.yaml")
    at_work = {LEAF.format(6, branch, step) for branch in "de"}
    case.tell("fatal", "\n".join(at_work))
    assert case.live() is None
    assert {path for _, path in case.recorded()} >= {LEAF.format(6, branch, "two") for branch in "abc"}
    case.untell("fatal")
    before = len(case.begun())
    case.finish()

    rest = {LEAF.format(6, branch, "two") for branch in "de"} | at_work
    later = {LEAF.format(turn, branch, leaf) for turn in (7, 8, 9) for branch in "abcde" for leaf in ("one", "two")}
    assert set(case.begun()[before:]) == rest | later
    assert case.again == 2


def test_a_step_in_the_background_is_launched_once_in_each_life_and_ends_once(cases):
    case = cases.new(pipeline="aside.yaml")
    case.tell("hold")
    case.tell("fatal", "fatal")
    assert case.live() is None
    case.untell("hold")
    case.untell("fatal")
    before = len(case.begun())
    case.finish()

    assert sorted(case.begun()[before:]) == ["behind", "fatal", "last"]
    assert case.again == 2


def test_a_run_that_kills_its_process_again_and_again_is_given_up_and_others_are_not(cases):
    case = cases.new(pipeline="poison.yaml")
    other = case.nemesis.start(case.folder, ["run-02"], "poison.yaml")
    assert case.nemesis.wait(other)[1] is None
    deaths = 0
    while (told := case.live()) is None:
        deaths += 1
    result = told["results"]["run-01"]
    assert (result["error"], deaths) == ("RunPoisoned", MAX_CLAIMS + 1)
    assert "run-01" in result["message"]
    assert "--force" in result["advice"]

    case.tell("mended")
    other = case.nemesis.start(case.folder, ["run-02"], "poison.yaml")
    assert case.nemesis.wait(other)[1]["results"]["run-02"]["status"] == "completed"
    forced = case.nemesis.wait(case.start(force=True))[1]["results"]["run-01"]
    assert (forced["status"], case.begun().count("first")) == ("completed", 2)
