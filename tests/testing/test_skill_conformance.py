"""The built-in skills keep the contract; each promise can be broken, and the test of that promise notices."""

import inspect
import itertools

import pytest

from flujo.plugins import create_plugin_manager, hookimpl
from flujo.testing.skill import SkillConformance

PREFIX = "flujo.builtins."


#: What each is given, and what it gives, by its name; and the params, context and files that it needs.
SKILLS = {
    "stringify": ([(1, "1"), ("ü", "ü")], {}),
    "passthrough": ([({"a": [1]}, {"a": [1]}), (None, None)], {}),
    "to_json": ([([1, None], "[1, null]")], {}),
    "from_json": ([('{"a": 1}', {"a": 1})], {}),
    "context_get": ([("x", 7)], {"params": {"path": "found"}, "context": {"found": 7}}),
    "context_set": ([("x", {"path": "found", "value": "x", "success": True})], {"params": {"path": "found"}}),
    "context_merge": (
        [({"a": 1}, {"path": "found", "merged_keys": ["a"], "success": True})],
        {"params": {"path": "found"}},
    ),
    "read_text": ([("notes/a.txt", "one\n")], {"files": {"notes/a.txt": "one\n"}}),
    "read_csv": ([("a.csv", [{"name": "ann"}])], {"files": {"a.csv": "name\nann\n"}}),
    "read_jsonl": ([("a.jsonl", [1, 2])], {"files": {"a.jsonl": "1\n2\n"}}),
    "write_text": ([("text", {"path": "out.txt", "bytes": 4})], {"params": {"path": "out.txt"}}),
}
for _name, (_examples, _more) in SKILLS.items():
    _class = "Test" + _name.title().replace("_", "")
    _fields = {"id": PREFIX + _name, "examples": _examples, "__module__": __name__, **_more}
    globals()[_class] = type(_class, (SkillConformance,), _fields)


def test_every_built_in_skill_is_held_to_it():
    there = create_plugin_manager().contributions.skills
    assert {PREFIX + name for name in SKILLS} == {each for each in there if each.startswith(PREFIX)}


class Odd:
    """No value of JSON, and of no class that anybody has declared."""


numbers = itertools.count()


def skill(target, summary="does something", name="my.skill"):
    class Plugin:
        @staticmethod
        @hookimpl
        def flujo_register_skills(registrar):
            registrar.skill(name, target, summary=summary)

    return Plugin


BROKEN = [
    (skill(str, summary=" "), "test_skill_says_what_it_is_for"),
    (skill(str, name="my.other"), "test_skill_says_what_it_is_for"),
    (skill(str, name="my.other"), "test_skill_can_be_a_step"),
    (skill(lambda data: "other"), "test_examples_come_out_as_expected"),
    (skill(lambda data: data.append(1)), "test_input_stays_as_it_was"),
    (skill(lambda data: Odd()), "test_output_can_be_recorded"),
    (skill(lambda data: next(numbers)), "test_the_same_comes_to_the_same"),
]


@pytest.mark.parametrize(("plugin", "promise"), BROKEN)
async def test_a_broken_promise_fails_its_test(plugin, promise, tmp_path):
    tests = type("Suite", (SkillConformance,), {"id": "my.skill", "examples": [([], "[]")], "plugins": [plugin]})()
    test = getattr(tests, promise)
    with pytest.raises(Exception, match=r"assert|no plugin has|Odd"):
        await _done(test(*[tmp_path][: len(inspect.signature(test).parameters)]))


def test_every_promise_is_shown_to_be_breakable():
    every = {name for name in dir(SkillConformance) if name.startswith("test_")}
    assert every == {promise for _, promise in BROKEN}


async def test_a_skill_with_side_effects_is_not_called_twice_for_nothing(tmp_path):
    with pytest.raises(pytest.skip.Exception):
        await globals()["TestWriteText"]().test_the_same_comes_to_the_same(tmp_path)


async def _done(test):
    if test is not None:
        await test
