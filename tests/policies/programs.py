"""Random programs, and the pipelines that they stand for: what the tests of all kinds together share."""

import asyncio
from typing import Any

from hypothesis import strategies as st

from flujo import (
    AgentResult,
    Pipeline,
    Step,
    StepConfig,
    Usage,
    agent,
    agentic_loop,
    branch,
    cached,
    human,
    import_,
    loop,
    map_,
    parallel,
    route,
    state_machine,
)
from flujo.exceptions import PipelineAbortSignal

# A program is a tuple: ("add", n), ("note", key), or a kind's name and its parts.
LEAVES = (
    st.tuples(st.just("add"), st.integers(-2, 3))
    | st.tuples(st.just("note"), st.sampled_from("pq"))
    | st.just(("ask",))
)
#: Leaves that fail, also those whose failure nothing is recorded of; take their time, use something, or end the run.
ROUGH = (
    LEAVES
    | st.tuples(st.sampled_from(["fail", "flaky", "slow", "agent", "add", "add", "stop"]), st.integers(1, 3))
    | st.sampled_from([("no-list",), ("no-branch",), ("no-names",)])
)


def programs() -> Any:
    """Programs in which nothing fails for good."""
    return st.recursive(LEAVES, lambda inner: st.one_of(kinds(inner)), max_leaves=8)


def rough_programs() -> Any:
    """Programs in which anything can fail, is tried again, cancelled, or gone on from."""
    return st.recursive(ROUGH, lambda inner: st.one_of(*kinds(inner), *rough_kinds(inner)), max_leaves=8)


def spending_programs() -> Any:
    """Programs in which most leaves use something."""
    agents = st.tuples(st.just("agent"), st.integers(1, 3))
    leaves = agents | agents | st.tuples(st.just("add"), st.integers(1, 2))
    return st.recursive(leaves, lambda inner: st.one_of(*kinds(inner), *rough_kinds(inner)), max_leaves=5)


def kinds(inner: Any) -> Any:
    return (
        st.tuples(st.just("seq"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["if", "route", "machine"]), inner, inner),
        st.tuples(st.just("loop"), st.integers(1, 3), inner),
        st.tuples(st.just("map"), inner, st.sampled_from(["overwrite", "keep_first", "no_merge"])),
        st.tuples(
            st.just("fan"), st.lists(inner, min_size=1, max_size=3), st.sampled_from(["overwrite", "keep_first"])
        ),
        st.tuples(st.sampled_from(["rescue", "aside", "import", "cache", "plan"]), inner),
    )


def rough_kinds(inner: Any) -> Any:
    return (
        st.tuples(st.sampled_from(["again", "safe", "heal", "skip"]), inner),
        st.tuples(st.just("gather"), st.lists(inner, min_size=2, max_size=3), st.sampled_from(["ignore", "collect"])),
        st.tuples(st.just("race"), st.lists(inner, min_size=2, max_size=3)),
    )


SUM = {"output_template": "{{ previous_step | sum }}"}


def fail(data: Any) -> Any:
    raise ValueError("on purpose")


def stop(data: Any) -> Any:
    raise PipelineAbortSignal("enough")


def flaky(times: int) -> Any:
    """What fails so many times in all."""
    failed: list[Any] = []

    def sometimes(data: Any) -> Any:
        if len(failed) < times:
            failed.append(data)
            raise OSError("not yet")
        return data

    return sometimes


def slow(turns: int) -> Any:
    """What lets others have their turns."""

    async def wait(data: Any) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        return data

    return wait


def calling(calls: int) -> Any:
    """What tells that it has used something."""

    async def call(data: Any) -> Any:
        return AgentResult(data, Usage(calls=calls, tokens_in=3, tokens_out=calls))

    return call


def plan(asked: Any) -> dict[str, Any]:
    """Have agent a work on the goal, and finish with what comes of that."""
    if not asked["history"]:
        return {"action": "run_agent", "agent": "a", "input": asked["goal"]}
    return {"action": "finish", "output": asked["history"][0]["result"]}


def build(program: Any, name: str = "s") -> Step[Any, Any]:  # noqa: C901, PLR0911, PLR0912 - one line a kind
    """The pipeline that a program stands for."""
    kind, *parts = program
    if kind == "add":
        return Step(name, lambda data: data + parts[0])
    if kind == "note":
        return Step(name, lambda data: data, sink_to=parts[0])
    if kind == "ask":
        return human(name, "what now?")
    if kind == "plan":
        return agentic_loop(name, Step("planner", plan), {"a": build(parts[0])})
    if kind == "seq":
        return Pipeline([build(each, f"s{n}") for n, each in enumerate(parts[0])], name=name)
    if kind == "if":
        return branch(name, on="previous_step > 2", branches={True: build(parts[0]), False: build(parts[1])})
    if kind == "route":
        branches = {"a": build(parts[0]), "b": build(parts[1])}
        chosen = Step("pick", lambda data: ["a", "b"] if data > 2 else "b")
        return route(name, chosen, branches, merge_strategy="overwrite", reduce="last")
    if kind == "machine":
        leads = [("a", "success", "b", "previous_step > 1"), ("a", "success", "end")]
        states = {"a": build(parts[0]), "b": build(parts[1]), "end": ()}
        return state_machine(name, states, start="a", end=["b", "end"], transitions=leads)
    if kind == "loop":
        return loop(name, build(parts[1]), until="previous_step > 5", max_loops=parts[0], on_max="take_last")
    if kind == "map":
        over = lambda data, context: [data, data + 1]  # noqa: E731
        return map_(name, build(parts[0]), over=over, merge_strategy=parts[1], concurrency=2, finalize=SUM)
    if kind == "fan":
        branches = {f"b{n}": build(each) for n, each in enumerate(parts[0])}
        return parallel(name, branches, merge_strategy=parts[1], reduce=lambda outputs: sum(outputs.values()))
    if kind == "rescue":
        return Step(name, fail, fallback=Pipeline([build(parts[0])], name="f"), config=StepConfig(max_retries=1))
    if kind == "aside":
        return Pipeline([build(parts[0])], name=name, config=StepConfig(execution_mode="background"))
    if kind == "import":
        child = Pipeline([build(parts[0])], name="child")
        return import_(name, child, outputs=[("p", "p"), ("q", "q")], inherit_context=True)
    if kind == "cache":
        return cached(name, build(parts[0]), context_keys=["p", "q", "current_state"])
    return build_rough(kind, parts, name)


def build_rough(kind: str, parts: Any, name: str) -> Step[Any, Any]:  # noqa: C901, PLR0911, PLR0912 - one line a kind
    """The same for what is not in every program."""
    if kind == "fail":
        return Step(name, fail, config=StepConfig(max_retries=parts[0] - 1))
    if kind == "flaky":
        return Step(name, flaky(parts[0]), config=StepConfig(max_retries=2))
    if kind == "slow":
        return Step(name, slow(parts[0]))
    if kind == "agent":
        return agent(name, calling(parts[0]), config=StepConfig(max_retries=1))
    if kind == "stop":
        return Step(name, stop)
    if kind == "no-list":
        return map_(name, Step("item", fail), over=lambda data, context: data)
    if kind == "no-branch":
        return branch(name, on="'other'", branches={"one": Step("one", fail)})
    if kind == "no-names":
        return route(name, Step("pick", lambda data: data), {"one": Step("one", fail)})
    if kind == "again":
        return Pipeline([build(parts[0]), Step("once", flaky(1))], name=name, config=StepConfig(max_retries=1))
    if kind == "safe":
        return Pipeline([build(parts[0])], name=name, fallback=Step("f", lambda data: 7))
    if kind == "heal":
        leads = [("a", "failure", "b"), ("a", "pause", "b"), ("a", "success", "b")]
        return state_machine(
            name, {"a": build(parts[0]), "b": Step("mend", slow(1))}, start="a", end=["b"], transitions=leads
        )
    if kind == "skip":
        over = lambda data, context: [data, data + 1, data + 2]  # noqa: E731
        return map_(
            name, build(parts[0]), over=over, on_error="skip", concurrency=2, finalize=SUM, merge_strategy="overwrite"
        )
    branches = {f"b{n}": build(each) for n, each in enumerate(parts[0])}
    if kind == "race":
        return parallel(name, branches, merge_strategy="overwrite", reduce=lambda outputs: sum(outputs.values()))
    return parallel(name, branches, merge_strategy="overwrite", reduce=len, on_branch_failure=parts[1])


def reaches_out(program: Any, aside: bool = False) -> bool:
    """Whether anything asks or writes to the context in the background, which is refused."""
    parts = [part for part in program[1:] if isinstance(part, tuple)]
    parts += [each for part in program[1:] if isinstance(part, list) for each in part]
    aside = aside or program[0] == "aside"
    return (aside and program[0] in ("ask", "note", "import")) or any(reaches_out(part, aside) for part in parts)


def pipeline(program: Any) -> Pipeline[Any, Any]:
    """The pipeline of a whole program."""
    return Pipeline([build(program)], name="top")
