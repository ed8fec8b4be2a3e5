"""Whose contribution counts, what of it another plugin beats, and what is flujo's own."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.exceptions import PluginError, PolicyConflictError
from flujo.plugins import PluginOptions, hookimpl
from flujo.plugins.manager import PluginManager
from flujo.plugins.precedence import Rank
from flujo.plugins.records import Candidate


class Kit:
    """A plugin that offers what is listed: (sort, key, override)."""

    def __init__(self, *offers):
        self.offers = offers

    def _of(self, sort):
        return ((key, override) for facet, key, override in self.offers if facet == sort)

    @hookimpl
    def flujo_register_step_kinds(self, registrar):
        for key, override in self._of("kinds"):
            registrar.kind(key, "m:Model", "m:build", summary="", override=override)

    @hookimpl
    def flujo_register_policies(self, registrar):
        for key, override in self._of("policies"):
            registrar.policy(key, "m:Policy", override=override)

    @hookimpl
    def flujo_register_skills(self, registrar):
        for key, override in self._of("skills"):
            registrar.skill(key, "m:skill", summary="", override=override)

    @hookimpl
    def flujo_register_event_sinks(self, registrar):
        for key, override in self._of("sinks"):
            registrar.sink(key, "m:sink", summary="", override=override)

    @hookimpl
    def flujo_register_commands(self, registrar):
        for key, _ in self._of("commands"):
            registrar.command(key, "m:command", short_help="")


def candidate(dist, plugin, source="installed"):
    return Candidate(f"{dist}:{dist}", dist, "1.0", source, dist, lambda: plugin)


def manager_of(*candidates, **pins):
    return PluginManager(candidates, PluginOptions(pins=pins))


def kind(dist, *, override=False, source="installed"):
    return candidate(dist, Kit(("kinds", "sql", override)), source)


def winner(manager, facet="kinds", key="sql"):
    return [offer.provider for offer in getattr(manager.contributions, facet).offers(key)]


LADDER = [
    (kind("a"), kind("b", override=True), "b 1.0", "it is registered with override=True"),
    (kind("a", override=True), kind("b", source="local"), "b 1.0", "the project's own plugin files"),
    (kind("a", source="local"), kind("b", source="explicit"), "b 1.0", "it is given in code"),
]


@pytest.mark.parametrize(("lower", "upper", "provider", "reason"), LADDER)
def test_a_higher_layer_beats_a_lower_one_and_says_why(lower, upper, provider, reason):
    for order in ((lower, upper), (upper, lower)):
        manager = manager_of(*order)
        assert winner(manager) == [provider]
        assert manager.contributions.kinds.reason("sql").startswith(reason)
        assert manager.conflicts() == ()


@pytest.mark.parametrize("others", [[kind("b", override=True)], [kind("b", source="local")], [kind("b"), kind("c")]])
def test_what_a_project_names_beats_whatever_is_not_given_in_code(others):
    manager = manager_of(kind("a"), *others, kinds={"sql": "A"})

    assert winner(manager) == ["a 1.0"]
    assert manager.contributions.kinds.reason("sql") == "the project's settings name it"
    assert manager.contributions.kinds.rivals("sql")[0].rank is Rank.PINNED
    assert winner(manager_of(kind("a"), kind("b", source="explicit"), kinds={"sql": "a"})) == ["b 1.0"]


def test_a_conflict_names_who_claims_it_and_the_line_that_settles_it():
    manager = manager_of(kind("flujo-db"), kind("flujo-sql"))

    [conflict] = manager.conflicts()

    assert str(conflict) == "kind 'sql' is claimed by flujo-db 1.0 and flujo-sql 1.0"
    assert (conflict.facet, conflict.key, conflict.fix) == ("kinds", "sql", 'kinds.sql = "flujo-db"')
    with pytest.raises(PolicyConflictError) as caught:
        manager.contributions.kinds["sql"]
    assert caught.value.suggestion == (
        'say at the top of flujo.toml which one counts: kinds.sql = "flujo-db"; '
        "or let one be registered with override=True"
    )
    assert manager.contributions.kinds.reason("sql") == str(conflict)


def test_the_line_that_settles_a_key_with_odd_characters_is_toml():
    offers = [candidate(dist, Kit(("policies", "acme.steps:Http", False))) for dist in ("a", "b")]

    fix = manager_of(*offers).conflicts()[0].fix
    assert fix == 'policies."acme.steps:Http" = "a"'
    assert tomllib.loads(fix) == {"policies": {"acme.steps:Http": "a"}}
    assert manager_of(*offers, policies={"acme.steps:Http": "a"}).conflicts() == ()


def test_what_settings_have_no_table_for_is_settled_by_switching_one_off():
    offers = [candidate(dist, Kit(("sinks", "chat", False))) for dist in ("a", "b")]

    fix = manager_of(*offers).conflicts()[0].fix
    assert fix == 'plugins.disable = ["b:sinks"]'
    assert tomllib.loads(fix) == {"plugins": {"disable": ["b:sinks"]}}
    assert PluginManager(offers, PluginOptions(disable=("b:sinks",))).conflicts() == ()


@pytest.mark.parametrize(
    ("facet", "fix"),
    [("kinds", 'kinds.sql = "a:a"'), ("sinks", 'plugins.disable = ["a:other:sinks"]')],
)
def test_two_plugins_of_one_distribution_are_told_apart_by_their_entry_points(facet, fix):
    one, other = (candidate("a", Kit((facet, "sql", False))) for _ in range(2))
    both = [one, replace(other, name="a:other")]

    [conflict] = manager_of(*both).conflicts()

    assert (conflict.providers, conflict.fix) == (("a 1.0 (a:a)", "a 1.0 (a:other)"), fix)
    disable = ("a:other:sinks",) if facet == "sinks" else ()
    settled = PluginManager(both, PluginOptions(pins={"kinds": {"sql": "a:a"}}, disable=disable))
    assert settled.conflicts() == ()
    assert [offer.name for offer in getattr(settled.contributions, facet).offers("sql")] == ["a:a"]


def test_two_that_are_given_in_code_are_settled_there():
    manager = manager_of(kind("a", source="explicit"), kind("b", source="explicit"), kinds={"sql": "c"})

    with pytest.raises(PolicyConflictError) as caught:
        manager.contributions.kinds["sql"]
    assert caught.value.suggestion == "give only one of them to create_plugin_manager(...)"


def test_a_type_is_named_in_settings_as_flujo_exports_it():
    loop = "flujo.domain.kinds:LoopStep"
    offers = [candidate(dist, Kit(("policies", loop, False))) for dist in ("a", "b")]

    assert winner(manager_of(*offers, policies={"flujo:LoopStep": "b"}), "policies", loop) == ["b 1.0"]


def test_a_type_that_is_registered_as_flujo_exports_it_is_the_same_type():
    exported, defined = (Kit(("policies", f"{home}:LoopStep", False)) for home in ("flujo", "flujo.domain.kinds"))

    [conflict] = manager_of(candidate("a", exported), candidate("b", defined)).conflicts()

    assert str(conflict) == "policy for step type 'flujo.domain.kinds:LoopStep' is claimed by a 1.0 and b 1.0"


def test_what_flujo_does_not_export_is_no_step_type(record_of):
    record = record_of(manager_of(candidate("a", Kit(("policies", "flujo:LopStep", False)))), "a")

    assert (record.status, record.error) == ("register-failed", "flujo exports no 'LopStep'")
    assert record.suggestion == "did you mean 'LoopStep'?"


@pytest.mark.parametrize("rivals", [[kind("a")], [kind("a"), kind("b")], [kind("a", override=True)]])
def test_a_key_that_is_to_come_from_a_plugin_that_lacks_it_comes_from_nobody(rivals):
    manager = manager_of(*rivals, kinds={"sql": "flujo-lost"})

    with pytest.raises(PolicyConflictError, match="kind 'sql' is to come from 'flujo-lost', which does not") as caught:
        manager.contributions.kinds["sql"]
    assert caught.value.suggestion == 'install flujo-lost, or say at the top of flujo.toml: kinds.sql = "a"'


def test_a_record_tells_what_another_plugin_beats_and_what_it_took(record_of):
    loser = candidate("a", Kit(("kinds", "sql", False), ("kinds", "csv", False)))
    taker = candidate("b", Kit(("kinds", "sql", True), ("kinds", "new", True)))

    manager = manager_of(loser, taker)

    assert record_of(manager, "a").status == "active"
    assert record_of(manager, "a").shadowed == {"kinds": ("sql",)}
    assert record_of(manager, "b").overrides == {"kinds": ("sql",)}


@pytest.mark.parametrize(("source", "pins"), [("local", {}), ("installed", {"sql": "b"}), ("explicit", {})])
def test_what_counts_in_place_of_another_is_told_however_it_came_to_count(record_of, source, pins):
    manager = manager_of(kind("a"), kind("b", source=source), kinds=pins)

    assert record_of(manager, "b").overrides == {"kinds": ("sql",)}
    assert record_of(manager, "a").overrides == {}


def test_a_plugin_that_others_beat_in_everything_is_shadowed_and_no_problem(record_of):
    manager = manager_of(kind("a"), kind("b", override=True))

    record = record_of(manager, "a")
    assert (record.status, record.loaded, record.error) == ("shadowed", True, "")
    assert manager.problems() == []


@pytest.mark.parametrize(
    ("path", "other"), [("run", "run"), ("runs", "runs list"), ("run again", "run"), ("runs list", "runs list")]
)
def test_a_command_of_flujos_own_is_nobody_elses(record_of, path, other):
    core = candidate("flujo-cli", Kit(("commands", "run", False), ("commands", "runs list", False)))
    thief = candidate("acme", Kit(("kinds", "sql", False), ("commands", path, False)), "explicit")

    manager = manager_of(core, thief)

    record = record_of(manager, "acme")
    assert (record.status, record.phase) == ("vetoed", "commands")
    assert record.error == f"command {path!r} is not free: {other!r} is flujo's own"
    assert record.contributes == {}
    assert "sql" not in manager.contributions.kinds
    assert not manager.has_plugin("acme:acme")
    assert manager.contributions.commands["run"].provider == "flujo-cli 1.0"


def test_a_command_that_begins_with_the_words_of_anothers_is_a_conflict():
    short, long = (
        candidate(dist, Kit(("commands", path, False))) for dist, path in [("a", "http"), ("b", "http ping")]
    )

    manager = manager_of(short, long)
    conflicts = manager.conflicts()

    assert [str(conflict) for conflict in conflicts] == [
        "command 'http' is claimed by a 1.0 and b 1.0 as 'http ping'",
        "command 'http ping' is claimed by b 1.0 and a 1.0 as 'http'",
    ]
    assert conflicts[0].fix == 'plugins.disable = ["b:commands"]'
    with pytest.raises(PolicyConflictError) as caught:
        manager.contributions.commands["http ping"]
    assert caught.value.suggestion == 'say at the top of flujo.toml which one counts: plugins.disable = ["a:commands"]'
    assert PluginManager([short, long], PluginOptions(disable=("b:commands",))).conflicts() == ()


def test_a_plugin_file_that_is_called_as_the_command_line_has_none_of_its_commands():
    core = candidate("flujo-cli", Kit(("commands", "run", False)))
    thief = replace(candidate("flujo-cli", Kit(("commands", "run", False)), "local"), name="flujo-cli")

    assert [record.status for record in manager_of(core, thief).records] == ["vetoed", "active"]


def test_a_plugin_file_does_not_replace_a_skill_of_flujos_own(record_of):
    name = "flujo.builtins.passthrough"

    record = record_of(
        manager_of(candidate("flujo-policies-builtin", Kit(("skills", name, False)), "local")), "flujo-policies-builtin"
    )

    assert record.status == "register-failed"
    assert record.error == f"skill id {name!r} is not free: 'flujo.builtins.' belongs to flujo-policies-builtin"


def test_a_command_beside_flujos_own_is_welcome():
    core = candidate("flujo-cli", Kit(("commands", "runs list", False)))

    manager = manager_of(
        core, candidate("acme", Kit(("commands", "runs export", False), ("commands", "runner", False)))
    )

    assert manager.problems() == []
    assert list(manager.contributions.commands) == ["runner", "runs export", "runs list"]


OFFERS = st.lists(
    st.tuples(st.sampled_from(["kinds", "sinks", "commands"]), st.sampled_from(["x", "y", "z"]), st.booleans()),
    unique_by=lambda offer: offer[:2],
    max_size=4,
)
SOURCES = st.sampled_from(["installed", "local"])
PLUGINS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "flujo-cli"]), st.tuples(OFFERS, SOURCES), max_size=5)
PINS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("abcd"), max_size=2)


@given(plugins=PLUGINS, pins=PINS, data=st.data())
def test_any_order_of_discovery_gives_the_same_plugins_and_the_same_contributions(plugins, pins, data):
    found = [candidate(dist, Kit(*offers), source) for dist, (offers, source) in plugins.items()]
    shuffled = data.draw(st.permutations(found))

    one, other = manager_of(*found, kinds=pins), manager_of(*shuffled, kinds=pins)

    assert one.contributions == other.contributions
    assert one.conflicts() == other.conflicts()
    timeless = [
        [(r.name, r.status, r.error, r.contributes, r.shadowed, r.overrides) for r in m.records] for m in (one, other)
    ]
    assert timeless[0] == timeless[1]


KEPT_OUT = [
    ({"safe": True}, "--no-plugins or FLUJO_NO_PLUGINS: only flujo's own plugins are loaded"),
    ({"block": ("a",)}, "-P no:a"),
    ({"block": ("a:kinds",)}, "-P no:a:kinds"),
    ({"only": ()}, "FLUJO_PLUGINS, which does not name it"),
]


@pytest.mark.parametrize(("switches", "reason"), KEPT_OUT)
def test_what_a_switch_keeps_out_is_not_waited_for_though_the_project_names_it(switches, reason):
    options = PluginOptions(pins={"kinds": {"sql": "A"}}, origins={"kinds.sql": "flujo.toml:2"}, **switches)

    manager = PluginManager([kind("a"), kind("flujo-cli")], options)

    assert manager.set_aside == (f"kinds.sql (flujo.toml:2) does not count: 'A' is switched off by {reason}",)
    assert manager.notices() == [*manager.set_aside]
    assert (winner(manager), manager.conflicts()) == (["flujo-cli 1.0"], ())


def test_what_is_not_there_is_not_waited_for_where_only_flujos_own_plugins_count():
    for pin, aside in (("flujo-lost", 1), ("flujo-state-sqlite", 0)):
        options = PluginOptions(pins={"kinds": {"sql": pin}}, safe=True)
        manager = PluginManager([kind("flujo-cli")], options)
        assert (len(manager.set_aside), len(manager.conflicts())) == (aside, 1 - aside)


def test_a_key_that_is_to_come_from_a_broken_plugin_tells_what_is_wrong_with_that():
    broken = replace(kind("b"), load=lambda: {}["it"])
    settings = PluginOptions(pins={"kinds": {"sql": "b"}})

    for found, why in ((broken, "import-failed: KeyError: 'it'"), (kind("b"), "disabled: by plugins.disable")):
        options = settings if found is broken else settings._replace(disable=("b",))
        with pytest.raises(PolicyConflictError) as caught:
            PluginManager([kind("a"), found], options).contributions.kinds["sql"]
        assert str(caught.value) == f"kind 'sql' is to come from 'b', but plugin b 1.0 is not loaded ({why})"
        assert caught.value.suggestion == (
            'see `flujo plugins show b`, or say at the top of flujo.toml: kinds.sql = "a"'
        )


def test_a_plugin_that_is_there_is_not_to_be_installed_for_what_it_does_not_offer():
    with pytest.raises(PolicyConflictError, match="from 'b', which does not offer it") as caught:
        manager_of(kind("a"), candidate("b", Kit(("kinds", "csv", False))), kinds={"sql": "b"}).contributions.kinds[
            "sql"
        ]
    assert caught.value.suggestion == 'say at the top of flujo.toml: kinds.sql = "a"'


def test_where_problems_are_not_borne_a_conflict_raises():
    with pytest.raises(PluginError) as caught:
        PluginManager([kind("a"), kind("b")], PluginOptions(strict=True))
    assert caught.value.message == "kind 'sql' is claimed by a 1.0 and b 1.0"
    assert 'kinds.sql = "a"' in caught.value.suggestion
    assert caught.value.suggestion.endswith("it is an error because of FLUJO_PLUGINS_STRICT")
