"""Whose offer counts when two plugins claim one thing, and what is left for later."""

from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.blueprint.kinds import KindSpec
from flujo.exceptions import PluginError, PolicyConflictError
from flujo.infra.plugin_tables import FACETS, PIN_TABLES
from flujo.plugins import Contributions, create_plugin_manager, hookimpl
from flujo.plugins.contributions import settle
from flujo.plugins.manager import PluginManager
from flujo.plugins.precedence import Offer, Rank
from flujo.plugins.records import NOUNS, Candidate
from flujo.plugins.registrars import REGISTRARS


class Skills:
    """A plugin with skills: a mapping from id to whether it overrides."""

    def __init__(self, ids, target="m:attr"):
        self.ids = ids
        self.target = target

    @hookimpl
    def flujo_register_skills(self, registrar):
        for id_, override in self.ids.items():
            registrar.skill(id_, self.target, summary="", override=override)


def candidate(dist, plugin, source="installed"):
    return Candidate(f"{dist}:{dist}", dist, "1.0", source, dist, lambda: plugin)


def manager_of(**plugins):
    return PluginManager([candidate(dist, plugin) for dist, plugin in plugins.items()])


def test_every_sort_of_contribution_is_in_each_table_of_them():
    assert set(FACETS) == set(NOUNS) == set(Contributions._fields)
    assert set(PIN_TABLES) <= set(FACETS)
    assert len(REGISTRARS) == len(FACETS)


def test_two_plugins_that_claim_one_key_spoil_that_key_only():
    manager = manager_of(b=Skills({"x.same": False, "x.b": False}), a=Skills({"x.same": False}))

    assert manager.problems() == []
    assert manager.contributions.skills["x.b"].provider == "b 1.0"
    with pytest.raises(PolicyConflictError, match=r"skill 'x.same' is claimed by a 1.0 and b 1.0") as caught:
        manager.contributions.skills["x.same"]
    assert "override=True" in caught.value.suggestion


def test_an_override_replaces_what_another_plugin_brings():
    manager = manager_of(a=Skills({"x.same": True}), b=Skills({"x.same": False}))

    assert manager.contributions.skills["x.same"].provider == "a 1.0"


def test_two_overrides_of_one_key_contradict_each_other():
    manager = manager_of(a=Skills({"x.same": True}), b=Skills({"x.same": True}), c=Skills({"x.same": False}))

    with pytest.raises(PolicyConflictError, match=r"claimed by a 1\.0 and b 1\.0"):
        manager.contributions.skills["x.same"]


def test_a_plugin_given_in_code_beats_every_installed_one(fake_dist):
    fake_dist(
        "flujo-loud",
        """
        @hookimpl
        def flujo_register_skills(registrar):
            registrar.skill("x.same", "m:loud", summary="", override=True)
        """,
    )

    manager = create_plugin_manager(Skills({"x.same": False}, target="m:mine"))

    assert manager.contributions.skills["x.same"].target == "m:mine"


def test_a_plugin_given_in_code_may_stand_in_for_a_built_in_skill():
    manager = create_plugin_manager(Skills({"flujo.builtins.stringify": False}, target="m:mine"))

    assert manager.contributions.skills["flujo.builtins.stringify"].target == "m:mine"


def test_a_kind_is_imported_when_it_is_looked_up():
    class Kinds:
        @hookimpl
        def flujo_register_step_kinds(self, registrar):
            registrar.kind("lazy", "flujo.blueprint.schema:StepSpec", "flujo:Step", summary="a kind")
            registrar.kind("lost", "no_such_module:Model", dict, summary="a kind")

    kinds = create_plugin_manager(Kinds(), discover=False).contributions.kinds

    assert list(kinds) == ["lazy", "lost"]
    assert isinstance(kinds["lazy"], KindSpec)
    assert kinds["lazy"].model.__name__ == "StepSpec"
    with pytest.raises(PluginError, match=r"Kinds offers 'no_such_module:Model', which can't be loaded: ModuleNot"):
        kinds["lost"]


def test_a_provider_of_agents_is_imported_when_it_is_looked_up():
    class Providers:
        @hookimpl
        def flujo_register_agents(self, registrar):
            registrar.provider("lazy", "operator:itemgetter")
            registrar.provider("given", len)
            registrar.provider("lost", "no_such_module:make")

    agents = create_plugin_manager(Providers(), discover=False).contributions.agents

    assert [agents[prefix].factory for prefix in ("lazy", "given")] == [itemgetter, len]
    with pytest.raises(PluginError, match=r"Providers offers 'no_such_module:make', which can't be loaded"):
        agents["lost"]


def test_an_unknown_key_is_missing_as_in_any_mapping():
    skills = create_plugin_manager(discover=False).contributions.skills

    assert skills.get("x.y") is None
    assert len(skills) == 0
    assert skills != {}
    with pytest.raises(TypeError):
        hash(skills)


KEYS = st.sampled_from(["x.a", "x.b", "x.c"])
PLUGINS = st.dictionaries(st.sampled_from("pqrstu"), st.dictionaries(KEYS, st.booleans(), min_size=1), max_size=6)


@given(plugins=PLUGINS, data=st.data())
def test_the_order_of_discovery_changes_nothing(plugins, data):
    loaded = {dist: Skills(ids) for dist, ids in plugins.items()}
    shuffled = {dist: loaded[dist] for dist in data.draw(st.permutations(sorted(loaded)))}

    assert manager_of(**loaded).contributions == manager_of(**shuffled).contributions


@given(plugins=PLUGINS)
def test_an_unrelated_plugin_changes_no_other_key(plugins):
    loaded = {dist: Skills(ids) for dist, ids in plugins.items()}

    before = manager_of(**loaded).contributions.skills
    after = manager_of(**loaded, z=Skills({"z.z": False})).contributions.skills

    assert {key: after.offers(key) for key in before} == {key: before.offers(key) for key in before}
    assert set(after) == {*before, "z.z"}


@given(ranks=st.lists(st.sampled_from(Rank), min_size=1, max_size=5))
def test_the_highest_rank_wins_alone_or_not_at_all(ranks):
    offers = [Offer("commands", "go", number, f"p{number}", rank) for number, rank in enumerate(ranks)]

    commands = settle(offers).commands

    if ranks.count(max(ranks)) == 1:
        assert commands["go"] == ranks.index(max(ranks))
    else:
        with pytest.raises(PolicyConflictError, match="command 'go' is claimed by p"):
            commands["go"]
