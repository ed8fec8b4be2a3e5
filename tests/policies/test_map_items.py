"""Items that are read from files, items that are no longer what they were, and items that wait for an answer."""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import FileItems, Flujo, OpenContext, Pipeline, Step, StepConfig, human, loop, map_, parallel
from flujo.domain.events import StepFinished
from flujo.exceptions import BlueprintError, ConfigurationError, DefinitionChanged, PausedException, PipelineAbortSignal
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink
from flujo_policies_builtin.files import jsonl_values

SAME = Step("same")
JSONL = '\ufeff{"id": 1}\n\n{"id": 2}\r\n[3]\n"größe"'


def over(file: str, body: Any = SAME, **options: Any) -> Step[Any, Any]:
    return map_("m", body, over=FileItems(file), **options)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_the_items_of_a_jsonl_file_are_its_lines(run, tmp_path, concurrency):
    (tmp_path / "in.jsonl").write_text(JSONL, encoding="utf-8")
    result = await run(over("in.jsonl", concurrency=concurrency))

    assert result.output == [{"id": 1}, {"id": 2}, [3], "größe"]
    assert [child.path for child in result.step_history[0].children] == [f"map:m[{n}]" for n in range(4)]


async def test_the_items_of_a_csv_file_are_mappings_by_its_header(run, tmp_path):
    (tmp_path / "in.csv").write_text('\ufeffid,text\n1,"a\nb"\n\n2,c\n', encoding="utf-8")

    assert (await run(over("in.csv"))).output == [{"id": "1", "text": "a\nb"}, {"id": "2", "text": "c"}]


async def test_the_format_can_be_said_and_the_path_can_be_a_template(run, tmp_path):
    (tmp_path / "in.txt").write_text("[1]\n")
    (tmp_path / "in.CSV").write_text("id\n7\n")

    said = map_("m", SAME, over=FileItems("in.{{ context.suffix }}", format="jsonl"))
    assert (await run(said, initial_context_data={"suffix": "txt"})).output == [[1]]
    assert (await run(over("{{ input }}.CSV"), "in")).output == [{"id": "7"}]


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=8,
    ),
    st.integers(1, 4),
    st.sampled_from(["skip", "collect"]),
)
async def test_a_map_over_a_file_is_the_map_over_the_list(tmp_path_factory, items, concurrency, on_error):
    def work(data: Any) -> Any:
        return [len(data), data]

    root = tmp_path_factory.mktemp("project")
    (root / "in.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    options: Any = {"concurrency": concurrency, "on_error": on_error}
    async with Flujo(over("in.jsonl", Step("s", work), **options), root=root) as flujo:
        read = await flujo.run(None)
    async with Flujo(map_("m", Step("s", work), **options)) as flujo:
        given_as_list = await flujo.run(items)

    assert read.output == given_as_list.output


BAD = '1\n{"a": 1, "a": 2}\n3\n'


async def test_a_line_that_is_wrong_fails_the_map_with_its_place(run, tmp_path):
    (tmp_path / "in.jsonl").write_text(BAD)
    result = await run(over("in.jsonl"))

    assert result.error.message == "'in.jsonl' line 2 is not json: key 'a' is given twice"
    assert (result.error.type, result.error.path) == ("ValidationError", "map:m[1]")
    assert [child.success for child in result.step_history[0].children] == [True, False]


async def test_a_line_that_is_wrong_is_skipped_or_collected_like_any_failure(run, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(BAD.encode() + b"\xff\n")
    sink = RecordingSink()
    first = "'in.jsonl' line 2 is not json: key 'a' is given twice"
    last = "'in.jsonl' line 4 is not utf-8 text: byte 0 is wrong"

    assert (await run(over("in.jsonl", on_error="skip"), sinks=[sink])).output == [1, 3]
    assert [each.result.path for each in sink.of_type(StepFinished) if not each.result.success] == [
        "map:m[1]",
        "map:m[3]",
    ]
    collected = await run(over("in.jsonl", on_error="collect"))
    assert collected.output == [1, {"error": first}, 3, {"error": last}]
    ended = await run(over("in.jsonl", on_error="skip", max_failures=1))
    assert ended.error.message.endswith(f"more than max_failures 1 of its items failed: 'map:m[1]': {first}")


async def test_a_row_that_is_wrong_is_skipped_and_the_rows_after_it_are_read(run, tmp_path):
    (tmp_path / "in.csv").write_text('a,b\n1,2\n"x"y,2\n1\n3,4\n')
    result = await run(over("in.csv", on_error="collect"))

    assert result.output == [
        {"a": "1", "b": "2"},
        {"error": "'in.csv' line 3 is not csv: ',' expected after '\"'"},
        {"error": "'in.csv' line 4 has 1 values, its header has 2 names"},
        {"a": "3", "b": "4"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "", "'in.csv' has no header"),
        ("in.csv", "a,a\n", "'in.csv' names a column twice: a, a"),
        ("in.csv", '"a"b\n', "'in.csv' line 1 is not csv: ',' expected after '\"'"),
        ("in.csv", "a\n1\n\udcff\n", "'in.csv' is not utf-8 text: byte 4 is wrong"),
        ("nope.jsonl", None, "can't read 'nope.jsonl': no such file or directory"),
        ("../in.jsonl", None, "path '../in.jsonl' is outside the project"),
        ("/etc/in.jsonl", None, "path '/etc/in.jsonl' is outside the project"),
    ],
)
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_file_that_is_wrong_fails_the_map_whatever_on_error_says(
    run, tmp_path, name, content, message, concurrency
):
    if content is not None:
        (tmp_path / name).write_text(content, errors="surrogateescape")
    result = await run(over(name, on_error="skip", concurrency=concurrency))

    assert (result.error.message, result.error.path) == (message, "map:m")


async def test_a_file_needs_a_project(run):
    result = await run(over("in.jsonl"), root=None)

    assert result.error.message == "map 'm' needs a project's folder, and this run has none"


@pytest.mark.parametrize(
    ("file", "format", "message"),
    [
        ("in.json", None, "the suffix of 'in.json' is not a format of items"),
        ("in", None, "the suffix of 'in' is not a format of items"),
        ("in.csv", "cvs", "format 'cvs' is not a format of items"),
    ],
)
def test_a_format_that_is_not_known_is_refused(file, format, message):  # noqa: A002 - the name of the field
    with pytest.raises(ConfigurationError) as caught:
        FileItems(file, format)

    assert str(caught.value) == message
    assert caught.value.suggestion in ("did you mean 'jsonl'?", "did you mean 'csv'?", "formats are csv, jsonl")


async def test_a_suffix_that_a_template_gives_is_refused_when_it_is_known(run):
    assert (await run(over("{{ input }}"), "in.xml")).error.message == (
        "the suffix of 'in.xml' is not a format of items"
    )


MAP = """
  - name: m
    kind: map
    map: {{ iterable_input: {source}, body: {{ name: same }} }}
"""


@pytest.mark.parametrize(
    ("source", "items"),
    [("{ file: in.jsonl }", FileItems("in.jsonl")), ("{ file: in, format: csv }", FileItems("in", "csv"))],
)
def test_a_file_and_python_say_the_same(load, source, items):
    assert load(MAP.format(source=source)).steps[0].definition() == map_("m", SAME, over=items).definition()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{ file: in.json }", "the suffix of 'in.json' is not a format of items"),
        ("{ file: in, format: cvs }", "format"),
        ("{ path: in.csv }", "file"),
        ("{ file: 'in.{{ context. }}' }", "expected name or number"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, source, message):
    with pytest.raises(BlueprintError, match=message):
        load(MAP.format(source=source))


def test_reading_a_long_file_takes_the_memory_of_a_line(tmp_path):
    file = tmp_path / "in.jsonl"
    with file.open("w") as out:
        out.writelines(f'{{"id": {number}, "text": "{"x" * 500}"}}\n' for number in range(20_000))
    tracemalloc.start()
    count = sum(1 for _ in jsonl_values(file, "in.jsonl"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 20_000
    assert peak < file.stat().st_size / 50


async def test_what_a_map_holds_does_not_depend_on_the_size_of_its_items(run, tmp_path):
    peaks = []
    for width in (1, 1, 5_000):
        (tmp_path / "in.jsonl").write_text("".join(f'{{"text": "{"x" * width}"}}\n' for _ in range(500)))
        gc.collect()
        tracemalloc.start()
        await run(over("in.jsonl", Step("s", lambda item: len(item["text"]))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[2] < 1.3 * peaks[1]


async def test_the_file_is_closed_when_an_item_ends_the_map(run, tmp_path, recwarn):
    (tmp_path / "in.jsonl").write_text("1\n2\n")

    def fail(data: Any) -> Any:
        raise ValueError("boom")

    await run(over("in.jsonl", Step("s", fail)))
    gc.collect()

    assert not [each for each in recwarn if issubclass(each.category, ResourceWarning)]


PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from flujo import FileItems, Flujo, Step, map_

def work(item):
    if item == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    with open("ran.txt", "a") as ran:
        ran.write(f"{item} ")
    return item * 2

async def main():
    step = map_("m", Step("s", work), over=FileItems("in.jsonl"), concurrency=2)
    async with Flujo(step, state_uri="sqlite:///runs.db", root=Path.cwd()) as flujo:
        print((await flujo.run(None, run_id="r")).output)

asyncio.run(main())
"""


def test_a_run_that_was_killed_goes_on_at_the_item_it_was_at(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(f"{n}\n" for n in range(6)))
    (tmp_path / "program.py").write_text(PROGRAM)

    def start(die_at: int) -> Any:
        command = [sys.executable, "program.py", str(die_at)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert start(3).returncode == -9
    assert start(-1).stdout == "[0, 2, 4, 6, 8, 10]\n"
    assert (tmp_path / "ran.txt").read_text() == "0 1 2 3 4 5 "


class Project:
    """Runs a step twice over one record: the first time it fails or pauses, the second is to go on."""

    def __init__(self, root: Path, step: Step[Any, Any], *, encodes: bool = True) -> None:
        self._flujo = Flujo(step, context_model=OpenContext, root=root, state_backend=InMemoryBackend(encodes=encodes))

    async def start(self, **context: Any) -> Any:
        return await self._flujo.run("x", run_id="r", initial_context_data=context)

    async def resume(self) -> Any:
        return await self._flujo.resume("r")


class Once:
    """A step that hands on its data, but fails the first time it gets `on`."""

    def __init__(self, on: Any) -> None:
        self._on = on
        self.calls: list[Any] = []

    def run(self, data: Any) -> Any:
        self.calls.append(data)
        if data == self._on and self.calls.count(data) == 1:
            raise ValueError("not yet")
        return data


@pytest.mark.parametrize("encodes", [True, False])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0\n10\n2\n3\n", "item 1 of 'map:m' is not the one it was"),
        ("1\n2\n3\n", "item 0 of 'map:m' is not the one it was"),
        ("0\ntrue\n2\n3\n", "item 1 of 'map:m' is not the one it was"),
        ("0\n", "item 1 of 'map:m' is not there any more"),
    ],
)
async def test_a_resumed_run_refuses_items_that_are_not_what_they_were(tmp_path, lines, message, encodes):
    (tmp_path / "in.jsonl").write_text("0\n1\n2\n3\n")
    work = Once(2)
    project = Project(tmp_path, over("in.jsonl", Step("s", work)), encodes=encodes)
    assert (await project.start()).status == "failed"
    (tmp_path / "in.jsonl").write_text(lines)

    with pytest.raises(DefinitionChanged) as caught:
        await project.resume()
    assert str(caught.value) == message
    (tmp_path / "in.jsonl").write_text("0\n1\n5\n6\n")  # what has no result yet may be mended
    assert (await project.resume()).output == [0, 1, 5, 6]


async def test_no_handler_of_errors_swallows_that_items_have_changed(tmp_path):
    items = [1, 2]
    inner = map_("inner", Step("s", Once(2)), over=lambda data, context: list(items))
    outer = map_("outer", [inner], over=lambda data, context: ["a"], on_error="skip")
    parts = parallel("both", {"a": outer}, on_branch_failure="ignore")
    project = Project(tmp_path, Pipeline([parts, Step("after", Once({}))]))
    await project.start()
    items[0] = 7

    with pytest.raises(DefinitionChanged, match=r"item 0 of '.*inner' is not the one it was"):
        await project.resume()


async def test_what_is_recorded_in_an_item_belongs_to_the_item_around_it_too(tmp_path):
    things = [{"id": 1, "parts": ["a", "b"]}]
    inner = map_("inner", loop("twice", Step("s", Once("b")), max_loops=2), over="{{ this.parts }}")
    project = Project(tmp_path, map_("outer", inner, over=lambda data, context: list(things)))
    assert (await project.start()).status == "failed"
    things[0] = {"id": 2, "parts": ["a", "b"]}

    with pytest.raises(DefinitionChanged, match=r"item 0 of 'map:outer\[0\]/map:inner' is not the one it was"):
        await project.resume()
    things[0] = {"id": 1, "parts": ["a", "b"]}
    assert (await project.resume()).output == [["a", "b"]]


async def test_items_that_cannot_be_written_down_are_not_compared(tmp_path):
    class Thing:
        def __init__(self, name: str) -> None:
            self.name = name

    things = [Thing("a"), Thing("b")]
    body = [Step("name", lambda thing: thing.name), Step("s", Once("b"))]
    project = Project(tmp_path, map_("m", body, over=lambda data, context: list(things)))
    await project.start()
    things[0] = Thing("c")

    assert (await project.resume()).output == ["a", "b"]


async def test_a_map_that_is_tried_again_may_have_changed_its_items_in_place(run):
    failures = [ValueError("not yet")]

    def count(item: dict[str, int]) -> dict[str, int]:
        item["n"] += 1
        return {"n": item["n"]}

    def fail(data: Any) -> Any:
        if failures:
            raise failures.pop()
        return data

    step = map_("m", [Step("count", count), Step("fail", fail)], config=StepConfig(max_retries=1))

    assert (await run(step, [{"n": 1}])).output == [{"n": 2}]


def ask(data: int) -> int:
    if data % 2:
        raise PausedException(f"{data}?")
    return data


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_an_item_that_pauses_does_not_keep_the_others_waiting(run, concurrency):
    done = []
    after = Step("after", done.append)
    result = await run(map_("m", [Step("ask", ask), after], concurrency=concurrency), [1, 2, 3, 4])

    assert (result.status, result.pending[0].message, done) == ("paused", "1?", [2, 4])
    assert [child.success for child in result.step_history[0].children] == [False, True, False, True]


async def test_a_branch_that_pauses_does_not_keep_the_others_waiting(run):
    done = []

    async def late(data: Any) -> None:
        await asyncio.sleep(0.01)
        done.append(data)

    branches = {"asks": Step("ask", ask), "asks_too": Step("ask", ask), "works": Step("late", late)}
    result = await run(parallel("p", branches), 1)

    assert (result.status, result.pending[0].message, done) == ("paused", "1?", [1])


def refuse(data: int) -> int:
    if data == 2:
        raise ValueError("boom")
    if data == 3:
        raise PipelineAbortSignal("enough")
    return ask(data)


@pytest.mark.parametrize(
    ("items", "on_error", "status", "message"),
    [
        ([1, 2, 4], "fail", "failed", "boom"),
        ([1, 2, 4], "skip", "paused", "1?"),
        ([2, 1, 4], "collect", "paused", "1?"),
        ([1, 2, 3, 4], "skip", "cancelled", "enough"),
        ([1, 3, 4], "fail", "cancelled", "enough"),
    ],
)
async def test_an_abort_counts_before_a_failure_and_a_failure_before_a_pause(run, items, on_error, status, message):
    result = await run(map_("m", Step("s", refuse), on_error=on_error), items)

    told = result.pending[0] if status == "paused" else result.error
    assert (result.status, told.message) == (status, message)


async def test_an_abort_of_a_branch_counts_before_the_failure_of_another(run):
    branches = {
        "asks": Step("ask", refuse, input=1),
        "ends": Step("ends", refuse, input=3),
        "fails": Step("fails", refuse, input=2),
    }
    result = await run(parallel("p", branches), 0)

    assert (result.status, result.error.message) == ("cancelled", "enough")


async def test_a_question_is_answered_for_the_item_that_it_was_asked_for(tmp_path):
    (tmp_path / "in.jsonl").write_text('"ann"\n"bob"\n')
    project = Project(tmp_path, over("in.jsonl", human("ask", "pay {{ this }}?")))
    paused = await project.start()
    assert [asked.message for asked in paused.pending] == ["pay ann?", "pay bob?"]
    (tmp_path / "in.jsonl").write_text('"eve"\n"bob"\n')

    with pytest.raises(DefinitionChanged, match="item 0 of 'map:m' is not the one it was"):
        await project.resume()
