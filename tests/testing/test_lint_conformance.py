"""A lint rule can keep the contract; each promise can be broken, and the test of that promise notices."""

import itertools

import pytest

from flujo.plugins import LintNote, hookimpl
from flujo.testing.lint import LintRuleConformance


def plugin(rule, code="MY-1", summary="no step is called bad"):
    class Plugin:
        @staticmethod
        @hookimpl
        def flujo_register_lint_rules(registrar):
            registrar.rule(code, rule, summary=summary)

    return Plugin


def no_bad(file):
    return [step.note("it is called bad", "name") for step in file.steps if step.name == "bad"]


class Base(LintRuleConformance):
    code = "MY-1"
    clean = "steps: [{name: good}]"
    faulty = "steps: [{name: good}, {name: bad}]"


class TestGood(Base):
    plugins = (plugin(no_bad),)


numbers = itertools.count()
BROKEN = [
    (plugin(no_bad, code="MY-2"), "test_rule_says_what_it_is_for"),
    (plugin(no_bad, summary=" "), "test_rule_says_what_it_is_for"),
    (plugin(lambda file: [LintNote("no")]), "test_nothing_is_said_of_a_clean_pipeline"),
    (plugin(lambda file: 1 / 0), "test_nothing_is_said_of_a_clean_pipeline"),
    (plugin(lambda file: []), "test_what_is_wrong_is_said"),
    (plugin(lambda file: [LintNote(" ")]), "test_what_is_wrong_is_said"),
    (plugin(lambda file: [LintNote(f"no {next(numbers)}")]), "test_asked_again_it_says_the_same"),
    (plugin(lambda file: [LintNote(file.data["name"])]), "test_a_pipeline_made_in_python_does_no_harm"),
]


@pytest.mark.parametrize(("rule", "promise"), BROKEN)
def test_a_broken_promise_fails_its_test(rule, promise, tmp_path):
    tests = type("Suite", (Base,), {"plugins": (rule,)})()
    with pytest.raises(AssertionError):
        getattr(tests, promise)(*[tmp_path][: 0 if "python" in promise or "for" in promise.split("_") else 1])


def test_every_promise_is_shown_to_be_breakable():
    assert {promise for _, promise in BROKEN} == {name for name in dir(Base) if name.startswith("test_")}
