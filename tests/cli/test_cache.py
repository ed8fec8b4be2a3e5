"""What the command line tells of cached results."""

import pytest

PIPELINE = """
steps:
  - name: c
    kind: cache
    cache:
      ttl: 1h
      body: [{ name: up, input: "{{ previous_step | upper }}" }]
"""


@pytest.fixture
def cached(flujo, project):
    (project / "cached.yaml").write_text(PIPELINE)
    return lambda text, *more: flujo("run", "cached.yaml", "--input", text, *more)


def test_the_second_run_hands_out_what_the_first_came_to(flujo, cached):
    first, second, third = cached("a"), cached("a", "--run-id", "again"), cached("b")

    assert [ran.out for ran in (first, second, third)] == ["A\n", "A\n", "B\n"]
    assert "cached" not in first.err
    assert second.err.splitlines()[0].endswith(", cached")
    assert "cache:c  no cached result serves: input\n" in third.err


def test_a_cached_result_is_marked_in_the_record_and_in_json(flujo, cached):
    cached("a")
    ran = cached("a", "--run-id", "again", "--json")
    shown = flujo("runs", "show", "again", "--json")

    assert [(step["cached"], step["attempts"]) for step in ran.json["steps"]] == [(True, 0)]
    assert [(record["path"], record["cached"]) for record in shown.json["records"]] == [("cache:c", True)]
    assert "cached  A" in flujo("runs", "show", "again").out
