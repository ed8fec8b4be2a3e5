"""What the engine asks for of each of its records: to survive the machine, or its process only."""

import pytest

from flujo import Flujo, OpenContext, Pipeline, Step, agent, human, map_
from flujo.domain.interfaces import RecordKind, Sync
from flujo.infra.memory import InMemoryBackend


class Says:
    async def run(self, data):
        return "yes"


def same(data):
    return data


async def synced(*steps, answer=None):
    """What was asked for, by path, of a run of these steps which is given the answer."""
    backend, pipeline = InMemoryBackend(), Pipeline(steps)
    flujo = Flujo(pipeline, state_backend=backend, context_model=OpenContext)
    result = await flujo.run("x", run_id="r")
    if answer is not None:
        result = await flujo.resume("r", answer)
    assert result.status == "completed"
    return {record.path: (record.kind, record.sync) for record in await backend.load("r")}


async def test_a_plain_function_survives_its_process():
    assert await synced(Step("a", same)) == {"a": (RecordKind.RESULT, Sync.NORMAL)}


async def test_what_an_agent_said_survives_the_machine_wherever_it_stands():
    said = (RecordKind.RESULT, Sync.FULL)
    assert await synced(agent("a", Says())) == {"a": said}
    asked = await synced(map_("m", agent("a", Says()), over=lambda data, context: ["1", "2"]))
    assert {path: told for path, told in asked.items() if path.endswith("/a")} == {
        "map:m[0]/a": said,
        "map:m[1]/a": said,
    }


@pytest.mark.parametrize("effects", ["local", "external"])
async def test_an_effect_survives_the_machine(effects):
    assert await synced(Step("a", same, effects=effects)) == {"a": (RecordKind.RESULT, Sync.FULL)}


async def test_the_beginning_and_the_end_of_what_may_run_once_survive_the_machine():
    assert await synced(Step("a", same, effects="at-most-once")) == {
        "a^1": (RecordKind.INTENT, Sync.FULL),
        "a": (RecordKind.RESULT, Sync.FULL),
    }


async def test_questions_and_answers_survive_the_machine():
    assert await synced(human("a", "ok?"), answer="yes") == {
        "a?": (RecordKind.WAIT, Sync.FULL),
        "a!1": (RecordKind.ANSWER, Sync.FULL),
        "a": (RecordKind.RESULT, Sync.NORMAL),
    }
