"""docs/reference/skills.md has the skills that are installed, with their params."""

import inspect
import re
from importlib import import_module

import pytest

from flujo.domain.callables import INJECTED
from flujo.plugins import create_plugin_manager

PREFIX = "flujo.builtins."


@pytest.fixture(scope="module")
def manager():
    return create_plugin_manager()


def test_the_skills_are_those_there_are(page, manager):
    assert {PREFIX + name for name in page("skills").names("skill")} == set(manager.contributions.skills)


def test_each_skill_has_the_params_that_it_takes(page, manager):
    for name, (data, params, _) in page("skills").table("skill").items():
        module, _, attr = manager.contributions.skills[PREFIX + name].target.partition(":")
        taken = set(inspect.signature(getattr(import_module(module), attr)).parameters) - INJECTED - {"data"}
        assert set(re.findall(r"`(\w+)`", params)) == taken
        assert set(re.findall(r"`(\w+)`", data)) <= taken
