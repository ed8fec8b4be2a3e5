"""Installed plugins: each is loaded by itself, and a broken one is a record that harms nobody."""

import importlib
from importlib.metadata import version

import pytest

from flujo.exceptions import PluginError
from flujo.plugins import create_plugin_manager
from flujo.plugins.discovery import installed_plugins

HEALTHY = """
    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("healthy.greet", "healthy_mod:greet", summary="greet")
"""


def skills(body: str) -> str:
    return f"@hookimpl\ndef flujo_register_skills(registrar):\n    {body}\n"


BROKEN = {
    "import-error": ("import no_such_thing_at_all", "import-failed", "No module named 'no_such_thing_at_all'"),
    "exit": ("import sys; sys.exit('bye')", "import-failed", "SystemExit: bye"),
    "syntax": ("def broken(:", "import-failed", "SyntaxError: invalid syntax"),
    "typo": (
        "@hookimpl\ndef flujo_register_skils(registrar): ...",
        "rejected",
        "unknown hook 'flujo_register_skils': did you mean 'flujo_register_skills'?",
    ),
    "undecorated": (
        "def flujo_register_skills(registrar): ...",
        "rejected",
        "'flujo_register_skills' is not decorated",
    ),
    "async": (
        "@hookimpl\nasync def flujo_register_skills(registrar): ...",
        "rejected",
        "hook 'flujo_register_skills' must be a plain function: neither async, a generator nor a wrapper",
    ),
    "generator": ("@hookimpl\ndef flujo_register_skills(registrar): yield", "rejected", "must be a plain function"),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef flujo_register_skills(registrar): return (yield)",
        "rejected",
        "must be a plain function",
    ),
    "wrong-signature": (
        "@hookimpl\ndef flujo_register_skills(registrar, config): ...",
        "rejected",
        "hook 'flujo_register_skills' has the parameters (registrar, config), expected exactly (registrar)",
    ),
    "default": (
        "@hookimpl\ndef flujo_register_skills(registrar=None): ...",
        "rejected",
        "expected exactly (registrar)",
    ),
    "no-parameter": ("@hookimpl\ndef flujo_register_skills(): ...", "rejected", "has the parameters ()"),
    "partial": (
        "import functools\nflujo_register_skills = hookimpl(functools.partial(print, 'x'))",
        "rejected",
        "hook 'flujo_register_skills' is of type 'partial', expected a function written with def",
    ),
    "empty": ("answer = 42", "rejected", "no hooks found"),
    "future": (
        "FLUJO_PLUGIN_API = '2.0'\n" + skills("..."),
        "incompatible",
        "needs plugin API '2.0', this flujo-core offers '1.0'",
    ),
    "odd-api": ("FLUJO_PLUGIN_API = 1\n" + skills("..."), "incompatible", "FLUJO_PLUGIN_API is 1, expected text"),
    "raises": (skills("raise ValueError('first\\nsecond')"), "register-failed", "ValueError: first"),
    "bad-id": (
        skills("registrar.skill('greet', 'm:greet', summary='')"),
        "register-failed",
        "'greet' is not a skill id, expected names joined by dots, such as 'my_plugin.fetch'",
    ),
    "bad-target": (
        skills("registrar.skill('a.greet', 'm.greet', summary='')"),
        "register-failed",
        "'m.greet' is not a target, expected 'module:attr'",
    ),
    "twice": (
        skills("[registrar.skill('a.b', 'm:b', summary='') for _ in 'ab']"),
        "register-failed",
        "'a.b' is registered twice in skills",
    ),
    "reserved": (
        skills("registrar.skill('flujo.builtins.mine', 'm:mine', summary='')"),
        "register-failed",
        "skill id 'flujo.builtins.mine' is not free: 'flujo.builtins.' belongs to flujo-policies-builtin",
    ),
    "bad-kind": (
        "@hookimpl\ndef flujo_register_step_kinds(registrar):\n"
        "    registrar.kind('a b', 'm:Model', 'm:build', summary='')",
        "register-failed",
        "'a b' is not the name of a kind",
    ),
    "bad-scheme": (
        "@hookimpl\ndef flujo_register_state_backends(registrar): registrar.backend('Re:dis', 'm:open')",
        "register-failed",
        "'Re:dis' is not a url scheme",
    ),
    "bad-provider": (
        "@hookimpl\ndef flujo_register_state_providers(registrar): registrar.provider('my profiles', 'm:open')",
        "register-failed",
        "'my profiles' is not the id of a state provider",
    ),
    "bad-agents": (
        "@hookimpl\ndef flujo_register_agents(registrar): registrar.provider('Open AI', 'm:make')",
        "register-failed",
        "'Open AI' is not an agent provider's prefix, expected small letters, digits, '+', '.' and '-'",
    ),
    "bad-command": (
        "@hookimpl\ndef flujo_register_commands(registrar): registrar.command('Ping  it', 'm:ping', short_help='')",
        "register-failed",
        "'Ping  it' is not a command",
    ),
    "command-in-the-way": (
        "@hookimpl\ndef flujo_register_commands(registrar):\n"
        "    for path in ('ping it', 'pings', 'ping'):\n        registrar.command(path, 'm:ping', short_help='')",
        "register-failed",
        "command 'ping' is not free: the plugin has 'ping it', and one begins the other",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_a_record_and_its_neighbour_works(fake_dist, record_of, fault):
    source, status, error = BROKEN[fault]
    fake_dist("flujo-broken", source, version="0.3.1")
    fake_dist("flujo-healthy", HEALTHY)

    manager = create_plugin_manager()

    record = record_of(manager, "flujo-broken")
    assert record.status == status
    assert error in record.error
    assert "\n" not in record.error
    assert record.contributes == {}
    assert record.problem == f"plugin flujo-broken 0.3.1 is not loaded ({status}: {record.error})"
    assert manager.problems() == [record.problem]
    assert "healthy.greet" in manager.contributions.skills


def test_nothing_stays_of_a_plugin_that_fails_half_way(fake_dist, record_of):
    fake_dist(
        "flujo-half",
        """
        @hookimpl
        def flujo_register_commands(registrar):
            registrar.command("half", "m:half", short_help="half")

        @hookimpl
        def flujo_register_skills(registrar):
            registrar.skill("half.first", "m:first", summary="first")
            raise RuntimeError("no second")
        """,
    )

    manager = create_plugin_manager()

    assert record_of(manager, "flujo-half").status == "register-failed"
    assert "half" not in manager.contributions.commands
    assert "half.first" not in manager.contributions.skills
    assert not manager.has_plugin("flujo-half:flujo-half")


def test_a_keyboard_interrupt_while_a_plugin_loads_is_not_its_failure(fake_dist):
    fake_dist("flujo-slow", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        create_plugin_manager()


def test_two_distributions_may_call_their_entry_points_the_same(fake_dist, record_of):
    for name in ("flujo-one", "flujo-two"):
        greet = f"{name.removeprefix('flujo-')}.greet"
        fake_dist(name, skills(f"registrar.skill({greet!r}, 'm:greet', summary='')"), entry="plugin")

    manager = create_plugin_manager()

    assert record_of(manager, "flujo-one").name == "flujo-one:plugin"
    assert record_of(manager, "flujo-two").contributes == {"skills": ("two.greet",)}


def test_a_module_that_is_announced_twice_is_one_plugin(fake_dist, tmp_path):
    fake_dist("flujo-double", HEALTHY)
    entries = tmp_path / "flujo-double" / "flujo_double-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[flujo.plugins]\na = flujo_double\nb = flujo_double\n")
    importlib.invalidate_caches()

    found = [record for record in create_plugin_manager().records if record.dist == "flujo-double"]

    assert [record.status for record in found] == ["active", "rejected"]
    assert "already registered under a different name" in found[1].error


def test_records_stand_in_the_order_of_distributions_and_not_of_the_path(fake_dist):
    for name in ("flujo-zulu", "flujo-alpha", "flujo-Mike"):
        fake_dist(name, skills("..."))

    dists = [record.dist for record in create_plugin_manager().records]

    assert dists == sorted(dists)
    assert {"flujo-alpha", "flujo-mike", "flujo-zulu"} <= set(dists)


def test_a_record_says_what_a_plugin_is_and_brings(fake_dist, record_of):
    fake_dist("Flujo_Healthy", HEALTHY, version="2.1")

    record = record_of(create_plugin_manager(), "flujo-healthy")

    assert (record.version, record.source, record.target) == ("2.1", "installed", "Flujo_Healthy")
    assert record.contributes == {"skills": ("healthy.greet",)}


def test_a_working_copy_is_told_from_what_is_installed_for_good(fake_dist, record_of):
    for name, info in (("copied", '{"dir_info": {"editable": true}}'), ("fetched", '{"archive_info": {}}')):
        folder = fake_dist(f"flujo-{name}", HEALTHY.replace("healthy", name))
        (folder / f"flujo_{name}-1.0.dist-info" / "direct_url.json").write_text(info)
    importlib.invalidate_caches()

    manager = create_plugin_manager()

    assert record_of(manager, "flujo-copied").source == "editable"
    assert record_of(manager, "flujo-fetched").source == "installed"


EXTRA = ('no-such-driver>=2 ; python_version >= "3" and extra == "fast"',)
LACKS = [
    (EXTRA, "pip install 'flujo-acme[fast]'"),
    (("no_such_driver>=2",), "pip install 'flujo-acme'"),
    (("no-such-driver-at-all",), ""),
]


@pytest.mark.parametrize(("requires", "advice"), LACKS)
def test_what_a_plugin_lacks_is_installed_with_the_extra_that_needs_it(fake_dist, record_of, requires, advice):
    fake_dist("flujo-acme", "import no_such_driver.pool", requires=requires)

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert (record.status, record.suggestion) == ("import-failed", advice)


def test_what_a_plugin_lacks_is_told_where_nobody_can_read_what_it_needs(fake_dist, record_of):
    folder = fake_dist("flujo-acme", "import no_such_driver", requires=EXTRA)
    (folder / "flujo_acme-1.0.dist-info" / "METADATA").write_bytes(b"\xff")
    importlib.invalidate_caches()

    record = record_of(create_plugin_manager(), "flujo-acme")

    assert (record.status, record.suggestion) == ("import-failed", "")


def test_what_a_plugin_lacks_when_it_is_used_is_installed_with_the_extra_that_needs_it(fake_dist):
    hook = 'registrar.pricing("acme", "acme_prices:price")'
    source = f"@hookimpl\ndef flujo_register_pricing(registrar):\n    {hook}\n"
    fake_dist("flujo-acme", source, requires=EXTRA, modules={"acme_prices": "import no_such_driver"})

    with pytest.raises(PluginError, match=r"plugin flujo-acme 1\.0 offers 'acme_prices:price', which can't") as caught:
        create_plugin_manager().contributions.pricing["acme"]
    assert caught.value.suggestion == "pip install 'flujo-acme[fast]'"


def test_an_installation_without_metadata_is_known_by_its_entry_point(fake_dist, tmp_path, record_of):
    fake_dist("flujo-bare", HEALTHY, entry="bare")
    (tmp_path / "flujo-bare" / "flujo_bare-1.0.dist-info" / "METADATA").unlink()
    importlib.invalidate_caches()

    record = record_of(create_plugin_manager(), "bare")

    assert (record.status, record.version) == ("active", "")


def test_an_installation_whose_metadata_is_no_text_is_known_by_its_entry_point(fake_dist, record_of):
    folder = fake_dist("flujo-bare", HEALTHY, entry="bare")
    (folder / "flujo_bare-1.0.dist-info" / "METADATA").write_bytes(b"\xff")
    importlib.invalidate_caches()

    record = record_of(create_plugin_manager(), "bare")

    assert (record.status, record.version, record.source) == ("active", "", "installed")


TORN = {"a line without a value": b"[flujo.plugins]\ntorn\n", "no UTF-8": b"[flujo.plugins]\ntorn = t\xff:m\n"}


@pytest.mark.parametrize("written", TORN)
def test_an_installation_that_can_not_be_read_is_told_of_and_the_others_load(fake_dist, monkeypatch, written):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
    fake_dist("flujo-sound", HEALTHY)
    folder = fake_dist("flujo-torn", HEALTHY)
    (folder / "flujo_torn-1.0.dist-info" / "entry_points.txt").write_bytes(TORN[written])
    importlib.invalidate_caches()

    records = {record.dist: record for record in create_plugin_manager().records}

    assert {name for name, record in records.items() if record.status != "active"} == {"flujo-torn"}
    assert {"flujo-sound", "flujo-policies-builtin"} < set(records)
    start = "plugin flujo-torn 1.0 is not loaded (import-failed: its entry_points.txt can't be read: "
    assert records["flujo-torn"].problem.startswith(start)
    assert records["flujo-torn"].suggestion == "repair or uninstall flujo-torn"


@pytest.mark.parametrize("written", [b"[console_scripts]\nzz\n", b"[console_scripts]\nzz = \xff:m\n"])
def test_an_installation_that_can_not_be_read_and_is_no_plugin_is_nothing_to_flujo(fake_dist, monkeypatch, written):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
    folder = fake_dist("zz", HEALTHY)
    (folder / "zz-1.0.dist-info" / "entry_points.txt").write_bytes(written)
    (folder / "zz-1.0.dist-info" / "METADATA").unlink()
    importlib.invalidate_caches()

    assert "import-failed" not in {record.status for record in create_plugin_manager().records}


def test_what_can_not_be_listed_at_all_is_told_of(monkeypatch, fake_dist):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
    monkeypatch.setattr("importlib_metadata.distributions", lambda: 1 / 0)

    assert create_plugin_manager().problems()[0].startswith("plugin installed plugins is not loaded (import-failed: Z")


def test_a_lazy_target_is_not_imported_when_plugins_are_loaded(fake_dist):
    fake_dist("flujo-lazy", skills("registrar.skill('lazy.skill', 'no_such_module:skill', summary='')"))

    manager = create_plugin_manager()

    assert manager.contributions.skills["lazy.skill"].target == "no_such_module:skill"


def test_the_built_in_plugins_come_by_the_same_road(record_of):
    manager = create_plugin_manager()

    record = record_of(manager, "flujo-policies-builtin")
    assert (record.status, record.version) == ("active", version("flujo-policies-builtin"))
    assert set(record.contributes["kinds"]) >= {"step", "pipeline", "conditional", "loop", "map", "parallel"}
    assert record_of(manager, "flujo-state-sqlite").contributes == {"backends": ("sqlite",)}
    assert manager.problems() == []


def test_looking_for_plugins_loads_none_of_them(fake_dist):
    fake_dist("flujo-broken", "import no_such_thing_at_all")

    assert "flujo-broken:flujo-broken" in [candidate.name for candidate in installed_plugins()]
