"""Steps and pipelines: what they are made of, and what tells one from another."""

import functools
from typing import Any

import pytest

from flujo import Pipeline, Step, StepConfig, human, loop
from flujo.domain.canonical import canonical, digest
from flujo.domain.steps import PREVIOUS
from flujo.exceptions import BlueprintError, ConfigurationError, InfiniteFallbackError, TypeMismatchError

HERE = __name__


def trim(x: str) -> str:
    return x.strip()


def measure(x: str) -> int:
    return len(x)


async def double(x: int, *, context) -> int:
    return 2 * x


def today() -> str:
    return "Monday"


def one(name="one", **options):
    return Step(name, trim, **options)


def refusal(make):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.suggestion
    return str(caught.value)


@pytest.mark.parametrize("name", ["a", "_", "A-b.c_9", "x" * 64])
def test_a_name_may_be_part_of_a_path(name):
    assert one(name).segment == name


@pytest.mark.parametrize(
    "name", ["", "9a", "-a", "a b", "a/b", "a:b", "a[0]", "a#1", "ä", "a\n", "x" * 65, None, 7, True]
)
def test_any_other_name_is_refused(name):
    assert refusal(lambda: one(name)) == f"{name!r} is not a step name"


def test_a_step_knows_what_it_takes_and_gives():
    step = Step("double", double)
    assert (step.input_type, step.output_type) == (int, int)
    assert step.takes_previous
    assert step.reads_context
    assert not one().reads_context


def test_a_step_that_runs_nothing_hands_on_whatever_it_gets():
    step = Step("pass")
    assert step.call is None
    assert step.takes_previous
    assert not step.reads_context
    assert repr(step.input_type) == repr(step.output_type) == "typing.Any"


def test_a_step_with_an_input_of_its_own_or_without_data_takes_nothing_from_the_one_before():
    assert not one(input="{{ steps.a.output }}").takes_previous
    assert not one(input=None).takes_previous
    assert not Step("today", today).takes_previous


def test_a_step_cannot_be_changed_and_is_equal_to_itself_alone():
    step = one()
    with pytest.raises(AttributeError):
        step.name = "two"
    assert step != one()
    assert len({step, step, one()}) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": one("inner")}, "runs 'inner', which is a step itself"),
        ({"run": Pipeline(name="inner")}, "runs 'inner', which is a step itself"),
        ({"params": {"x": 1}}, "has params, but runs nothing that could take them"),
        ({"config": {"max_retries": 2}}, "has a config of type 'dict'"),
        ({"fallback": trim}, f"has '{HERE}:trim' as its fallback"),
        ({"effects": "some"}, "has effects 'some'"),
        ({"sink_to": ""}, "has sink_to ''"),
        ({"sink_to": "scratchpad..x"}, "has sink_to 'scratchpad..x'"),
        ({"sink_to": "a b"}, "has sink_to 'a b'"),
        ({"sink_to": "{{ x }}"}, "has sink_to '{{ x }}'"),
        ({"sink_to": "items[0]"}, "has sink_to 'items[0]'"),
        ({"sink_to": "initial_prompt.x"}, "has sink_to 'initial_prompt.x', which only the engine sets"),
        ({"sink_to": "run_id"}, "has sink_to 'run_id', which only the engine sets"),
        ({"sink_to": "a b", "effects": "some"}, "has effects 'some'; it has sink_to 'a b'"),
        ({"blocking": True}, "is blocking, but runs no plain function"),
        ({"run": double, "blocking": True}, "is blocking, but runs no plain function"),
        (
            {"effects": "at-most-once", "config": StepConfig(max_retries=1)},
            "may run at most once, but has max_retries",
        ),
    ],
)
def test_a_field_that_cannot_be_so_is_refused(options, message):
    assert refusal(lambda: Step("s", **options)) == f"step 's' {message}"


@pytest.mark.parametrize("effects", ["none", "local", "external", "at-most-once"])
def test_the_effects_are_known(effects):
    assert one(effects=effects).effects == effects


def test_a_plain_step_s_definition_is_short():
    assert one().definition() == {"kind": "step", "name": "one", "run": f"{HERE}:trim"}
    assert Step("pass").definition() == {"kind": "step", "name": "pass"}


def test_a_definition_holds_what_a_resumed_run_must_find_unchanged():
    step = Step(
        "all",
        lambda x, **options: x,
        params={"b": {"n": [1, (2.5, None)]}, "a": {"q", "p"}, "c": trim, "d": StepConfig(), "e": str.upper},
        input={"text": "{{ previous_step }}", "by": functools.partial(trim)},
        sink_to="scratchpad.x",
        updates_context=True,
        fallback=Step("spare"),
        effects="external",
        version="2",
        config=StepConfig(max_retries=3),
        meta={"owner": "us"},
    )
    assert step.definition() == {
        "kind": "step",
        "name": "all",
        "run": f"{HERE}:test_a_definition_holds_what_a_resumed_run_must_find_unchanged.<locals>.<lambda>",
        "params": {
            "a": ["p", "q"],
            "b": {"n": [1, [2.5, None]]},
            "c": f"{HERE}:trim",
            "d": "flujo.domain.config:StepConfig",
            "e": "builtins:str.upper",
        },
        "input": {"text": "{{ previous_step }}", "by": f"{HERE}:trim"},
        "sink_to": "scratchpad.x",
        "updates_context": True,
        "version": "2",
        "effects": "external",
        "fallback": {"kind": "step", "name": "spare"},
    }


def test_how_a_step_is_run_is_not_what_it_is():
    careful = one(config=StepConfig(max_retries=3), meta={"owner": "us"}, blocking=True)
    assert digest(careful.definition()) == digest(one().definition())


@pytest.mark.parametrize(
    "other",
    [
        {"name": "two"},
        {"run": measure},
        {"input": "{{ input }}"},
        {"input": None},
        {"sink_to": "scratchpad.x"},
        {"updates_context": True},
        {"effects": "local"},
        {"version": "2"},
        {"fallback": Step("spare")},
    ],
    ids=" ".join,
)
def test_whatever_changes_what_a_step_is_changes_its_hash(other):
    changed = Step(**{"name": "one", "run": trim, **other})
    assert digest(changed.definition()) != digest(one().definition())


def test_equal_pipelines_have_equal_hashes_however_they_were_made():
    chained = one("a") >> one("b") >> one("c")
    listed = Pipeline([one("a"), one("b"), one("c")])
    assert canonical(chained.definition()) == canonical(listed.definition())
    assert digest(chained.definition()) == digest(listed.definition())
    assert digest(chained.definition()) != digest((one("a") >> one("c") >> one("b")).definition())


def test_the_canonical_text_is_sorted_and_keeps_letters():
    assert canonical({"b": 1, "a": {"ü": [None, True]}}) == '{"a":{"ü":[null,true]},"b":1}'
    assert digest({"a": "\ud800"}) == digest({"a": "\ud800"})
    assert len(digest({})) == 16


def names(step):
    return [each.name for each in step.walk()]


def test_a_walk_meets_every_step_in_path_order():
    inner = Pipeline([one("b"), one("c", fallback=one("d"))], name="inner", fallback=one("e"))
    assert names(Pipeline([one("a"), inner, one("f")], name="all")) == ["all", "a", "inner", "b", "c", "d", "e", "f"]


def test_steps_are_chained_into_one_flat_pipeline():
    chained = (one("a") >> one("b")) >> (one("c") >> one("d"))
    assert [step.name for step in chained.steps] == ["a", "b", "c", "d"]
    assert chained.segment == "sub:pipeline"


@pytest.mark.parametrize(
    "options",
    [
        {"name": "inner"},
        {"version": "2"},
        {"config": StepConfig(max_retries=1)},
        {"input": "{{ input }}"},
        {"sink_to": "scratchpad.x"},
        {"updates_context": True},
        {"fallback": one("spare")},
        {"effects": "local"},
        {"meta": {"owner": "us"}},
    ],
    ids=" ".join,
)
def test_a_pipeline_with_anything_of_its_own_stays_whole_when_chained(options):
    inner = Pipeline([one("a"), one("b")], **options)
    assert (inner >> one("c")).steps[0] is inner
    assert (one("c") >> inner).steps[1] is inner


def test_a_kind_of_pipeline_stays_whole_when_chained():
    class Twice(Pipeline):
        """A kind of its own."""

    twice = Twice([one("a")])
    assert (twice >> one("b")).steps[0] is twice


def test_a_chain_takes_what_its_first_step_takes_and_gives_what_its_last_one_gives():
    pipeline = one("a") >> Step("b", measure) >> Step("c", double)
    assert (pipeline.input_type, pipeline.output_type) == (str, int)
    assert pipeline.takes_previous
    assert repr((Step("t", today) >> one()).input_type) == "typing.Any"


def test_an_empty_pipeline_hands_on_what_it_gets():
    empty = Pipeline()
    assert empty.steps == ()
    assert repr(empty.input_type) == repr(empty.output_type) == "typing.Any"
    assert list((empty >> one()).steps) != []


def test_one_step_alone_is_a_pipeline_of_one():
    assert names(Pipeline(one(), name="p")) == ["p", "one"]


@pytest.mark.parametrize("part", [trim, "trim", None, 7])
def test_a_part_that_is_no_step_is_refused(part):
    assert refusal(lambda: Pipeline([one(), part], name="p")).endswith("in pipeline 'p' is not a step")
    assert refusal(lambda: one() >> part).endswith("in pipeline 'pipeline' is not a step")


@pytest.mark.parametrize("steps", [3, None, "trim"])
def test_what_can_not_be_several_steps_is_refused(steps):
    assert (
        refusal(lambda: Pipeline(steps)) == f"pipeline 'pipeline' has {steps!r} as its steps, expected a list of steps"
    )


def test_a_pipeline_runs_its_steps_and_nothing_else():
    with pytest.raises(TypeError, match="run"):
        Pipeline([one()], run=trim)
    assert refusal(lambda: Pipeline([one()], params={"x": 1})).startswith("step 'pipeline' has params")


def test_every_pair_that_does_not_fit_is_told_at_once():
    with pytest.raises(TypeMismatchError) as caught:
        Pipeline([Step("a", measure), Step("b", trim), Step("c", double), Step("d", measure)])
    assert str(caught.value) == (
        "step 'a' gives int, but step 'b' takes str; "
        "step 'b' gives str, but step 'c' takes int; "
        "step 'c' gives int, but step 'd' takes str"
    )
    assert caught.value.suggestion == "change one of the annotations, or give 'b' an 'input' that converts"


def test_a_step_with_an_input_of_its_own_fits_after_anything():
    Pipeline([Step("a", measure), one("b", input="{{ input }}"), Step("c", today), Step("d", measure)])


def test_a_step_of_undeclared_types_fits_anywhere():
    Pipeline([Step("a", measure), Step("b", lambda x: x), Step("c"), one("d")])


def test_a_nested_pipeline_is_checked_by_its_ends():
    inner = Pipeline([Step("b", measure), Step("c", double)], name="inner")
    Pipeline([one("a"), inner])
    with pytest.raises(TypeMismatchError, match=r"step 'inner' gives int, but step 'd' takes str"):
        Pipeline([inner, one("d")])
    with pytest.raises(TypeMismatchError, match=r"step 'a' gives int, but step 'inner/b' takes str"):
        Pipeline([Step("a", measure), inner])


def test_two_steps_of_one_name_are_refused_with_everything_else_that_is_wrong():
    with pytest.raises(BlueprintError) as caught:
        Pipeline([one("a"), one("a"), Step("b", measure), Step("a", measure)])
    assert str(caught.value) == (
        "two steps are named 'a'; two steps are named 'a'; step 'b' gives int, but step 'a' takes str"
    )
    assert [(f.code, f.path, f.severity) for f in caught.value.findings] == [
        ("V-N02", "a", "error"),
        ("V-N02", "a", "error"),
        ("V-T01", "a", "error"),
    ]


def test_one_name_may_be_used_again_further_in():
    Pipeline([one("a"), Pipeline([one("a")], name="b")])


def test_the_default_input_says_what_it_is():
    assert repr(PREVIOUS) == "PREVIOUS"
    assert "input=PREVIOUS" in repr(one())


def test_a_chain_of_more_than_ten_fallbacks_is_refused_when_the_step_is_made():
    step = one("s0")
    for number in range(1, 11):
        step = one(f"s{number}", fallback=step)

    with pytest.raises(InfiniteFallbackError, match=r"'s11' has a chain of more than 10 fallbacks: s11 -> .* s0"):
        one("s11", fallback=step)


def test_fallbacks_count_in_how_deep_steps_stand():
    step = one()
    for _ in range(64):
        step = one(fallback=Pipeline([step]))

    assert step.depth == Pipeline([step]).depth == 64
    with pytest.raises(ConfigurationError, match="step 'one' holds steps 65 deep"):
        one(fallback=step)
    with pytest.raises(ConfigurationError, match="step 'p' holds steps 65 deep"):
        Pipeline([step], name="p", fallback=step)


def test_what_may_be_another_when_a_run_goes_on_is_in_the_definition_but_not_in_the_identity():
    def asking(message: str, fallback: str = "Why?") -> Any:
        ask = human("ask", message, fallback=human("again", fallback), schema={"type": "string"}, deadline_s=60)
        return Pipeline([loop("twice", ask)])

    one, two = asking("Who?"), asking("Which?", "Since when?")
    assert one.definition() != two.definition()
    assert (one.identity(), one.fingerprint) == (two.identity(), two.fingerprint)
    assert one.identity() != Pipeline([loop("twice", human("ask", "Who?"))]).identity()
