"""Plain data that more than one uses: what one changes in place, no other sees, in any state and after any crash."""

from typing import Any

import pytest

from flujo import (
    DynamicParallelRouterStep,
    Flujo,
    OpenContext,
    Pipeline,
    Step,
    StepConfig,
    branch,
    import_,
    loop,
    map_,
    parallel,
    state_machine,
)
from flujo.infra.memory import InMemoryBackend

AGAIN = StepConfig(max_retries=2)


class Failing:
    """Adds to its data in place, and fails so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, data: list[Any]) -> list[Any]:
        data.append(9)
        self.times -= 1
        if self.times >= 0:
            raise ValueError("not yet")
        return data


def grown(data: list[Any]) -> int:
    data.append(1)
    return len(data)


def make(data: Any) -> list[Any]:
    return [0]


@pytest.fixture(params=[False, True], ids=["values", "bytes"])
def backend(request: pytest.FixtureRequest) -> InMemoryBackend:
    return InMemoryBackend(encodes=request.param)


async def run(step: Step[Any, Any], backend: InMemoryBackend, data: Any = None, **context: Any) -> Any:
    pipeline = step if isinstance(step, Pipeline) else Pipeline([step], name="p")
    flujo = Flujo(pipeline, state_backend=backend, context_model=OpenContext, initial_context_data=context)
    result = await flujo.run([0] if data is None else data, run_id="r")
    while not result.success:
        result = await flujo.resume("r")
    return result


@pytest.mark.parametrize("crashes", [0, 1])
async def test_branches_change_data_of_their_own(backend, crashes):
    failing = Failing(crashes)
    fan = parallel("fan", {"a": [Step("a", grown)], "b": [Step("b", failing)]})

    result = await run(Pipeline([Step("make", make), fan], name="p"), backend)

    assert result.output == {"a": 2, "b": [0, 9]}


async def test_a_router_and_its_branches_change_data_of_their_own(backend):
    def both(data: list[Any]) -> list[str]:
        data.append("seen")
        return ["a", "b"]

    result = await run(
        DynamicParallelRouterStep(
            name="r", router=Step("pick", both), branches={"a": [Step("a", grown)], "b": [Step("b", grown)]}
        ),
        backend,
    )

    assert result.output == {"a": 2, "b": 2}


async def test_items_that_are_one_value_are_each_their_own(backend):
    one = [0]

    result = await run(map_("each", Step("k", grown), over=lambda data, context: [one, one]), backend)

    assert result.output == [2, 2]
    assert one == [0]


async def test_items_of_the_context_are_not_changed_in_it(backend):
    result = await run(map_("each", Step("k", grown), over="rows"), backend, rows=[[0], [0]])

    assert result.output == [2, 2]
    assert result.final_pipeline_context.rows == [[0], [0]]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_every_attempt_begins_with_the_same_data(backend, times):
    result = await run(Step("s", Failing(times), config=AGAIN), backend)

    assert result.output == [0, 9]


async def test_every_attempt_begins_with_what_its_template_gave(backend):
    step = Step("s", Failing(2), input="{{ context.rows }}", config=AGAIN)

    result = await run(step, backend, rows=[0])

    assert result.output == [0, 9]
    assert result.final_pipeline_context.rows == [0]


async def test_a_fallback_begins_with_the_data_of_the_step_that_failed(backend):
    result = await run(Step("s", Failing(9), fallback=Step("f", grown)), backend)

    assert result.output == 2


async def test_a_body_that_is_tried_again_takes_what_is_recorded_as_it_was(backend):
    body = [Step("make", make), Step("f", Failing(2))]

    assert (await run(Pipeline(body, name="inner", config=AGAIN), backend)).output == [0, 9]


async def test_a_body_that_is_tried_again_begins_with_the_same_data(backend):
    body = [Step("s", grown, input="{{ previous_step }}"), Step("f", Failing(2), input="{{ input }}")]

    assert (await run(loop("l", body, max_loops=1, config=AGAIN), backend)).output == [0, 9]


async def test_what_a_template_hands_out_is_the_step_s_own(backend):
    steps = [Step("make", make), map_("m", Step("k", grown, input="{{ steps.make.output }}"), over=lambda d, c: [1, 2])]

    assert (await run(Pipeline(steps, name="p"), backend)).output == [2, 2]


async def test_outputs_stay_as_they_were_handed_on(backend):
    steps = [Step("make", make), Step("change", grown), Step("look", input="{{ steps.make.output }}")]

    result = await run(Pipeline(steps, name="p"), backend)

    assert result.output == [0]
    assert result.step_history[0].output == [0]


async def test_the_input_of_a_run_stays_as_it_was(backend):
    given = [0]
    steps = [Step("change", grown), Step("look", input="{{ input }}"), Step("fail", Failing(1))]

    result = await run(Pipeline(steps, name="p"), backend, given)

    assert result.output == [0, 9]


async def test_the_context_that_a_run_began_with_stays_as_it_was(backend):
    def change(data: Any, context: Any) -> int:
        context.rows[0].append(1)
        return len(context.rows[0])

    result = await run(Pipeline([Step("c", change), Step("fail", Failing(1), input=[])], name="p"), backend, rows=[[0]])

    assert result.step_history[0].output == 2
    assert result.final_pipeline_context.rows == [[0, 1]]


async def test_a_background_step_changes_data_of_its_own(backend):
    behind = Step("behind", grown, config=StepConfig(execution_mode="background"))

    result = await run(Pipeline([behind, Step("k", grown)], name="p"), backend)

    assert result.output == 2
    assert [each.output for each in result.background] == [2]


async def test_a_state_after_one_that_failed_begins_with_the_same_data(backend):
    states = {"try": [Step("t", Failing(9))], "rescue": [Step("r", grown)]}
    machine = state_machine("m", states, start="try", end=["rescue"], transitions=[("try", "failure", "rescue")])

    assert (await run(machine, backend)).output == 2


async def test_what_functions_of_a_loop_give_is_the_body_s_own(backend):
    body = Step("k", grown)
    again = loop(
        "l", body, max_loops=2, initial_input_mapper=lambda d, c: c.rows, iteration_input_mapper=lambda o, c, i: c.rows
    )

    result = await run(again, backend, rows=[0])

    assert result.output == 2
    assert result.final_pipeline_context.rows == [0]


@pytest.mark.parametrize("times", [0, 1])
async def test_what_a_step_takes_from_the_context_does_not_change_it(backend, times):
    steps = [Step("take", lambda data, context: context.rows), Step("k", grown), Step("fail", Failing(times), input=[])]

    result = await run(Pipeline(steps, name="p"), backend, rows=[0])

    assert result.final_pipeline_context.rows == [0]


@pytest.mark.parametrize("strict", ["0", "1"])
@pytest.mark.parametrize("times", [0, 1])
async def test_what_is_sunk_is_not_changed_through_the_data(backend, monkeypatch, strict, times):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)
    steps = [
        Step("sunk", make, sink_to="rows"),
        Step("merged", lambda data: {"more": data}, updates_context=True),
        Step("taken", lambda data: data["more"]),
        parallel("fan", {"a": [Step("a", grown)], "b": [Step("b", grown)]}),
        import_("child", Pipeline([Step("k", grown, input="{{ input }}")], name="child"), input="{{ context.rows }}"),
        Step("fail", Failing(times), input=[]),
    ]

    result = await run(Pipeline(steps, name="p"), backend)

    assert result.final_pipeline_context.model_extra == {"rows": [0], "more": [0]}


async def test_what_a_loop_puts_into_the_context_is_not_changed_through_the_data(backend):
    def add(data: list[Any]) -> list[Any]:
        data.append(1)
        return data

    state = {"append": [{"target": "log", "value": "{{ previous_step }}"}]}

    result = await run(loop("l", Step("a", add), max_loops=3, state=state), backend, [])

    assert result.final_pipeline_context.log == [[1], [1, 1], [1, 1, 1]]


async def test_a_branch_that_was_chosen_has_the_data_as_it_is(backend):
    chosen = branch("c", on="previous_step[0] == 0", branches={True: [Step("k", grown)], False: [Step("n", make)]})

    assert (await run(chosen, backend)).output == 2
