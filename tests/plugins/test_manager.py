"""The plugin manager: plugins given in code, state URLs, and what is settled for good."""

import sys
from types import ModuleType

import pytest

from flujo.exceptions import PluginError, PolicyConflictError, StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_plugin_manager, hookimpl


class Backends:
    """A plugin that opens URLs of one scheme by `factory`."""

    def __init__(self, scheme, factory):
        self.scheme = scheme
        self.factory = factory

    @hookimpl
    def flujo_register_state_backends(self, registrar):
        registrar.backend(self.scheme, self.factory)


def test_a_module_a_class_and_instances_can_be_plugins():
    class Nothing:
        @staticmethod
        @hookimpl
        def flujo_register_skills(registrar):
            pass

    module = ModuleType("my_module")
    module.flujo_register_skills = Nothing.flujo_register_skills

    manager = create_plugin_manager(module, Nothing, Nothing(), Nothing(), discover=False)

    qualname = Nothing.__qualname__
    assert [r.name for r in manager.records] == ["my_module", qualname, f"{qualname}#2", f"{qualname}#3"]
    assert {r.status for r in manager.records} == {"active"}
    assert {r.source for r in manager.records} == {"explicit"}


def test_a_class_whose_hooks_need_an_instance_is_told_so():
    class Plugin:
        @hookimpl
        def flujo_register_skills(self, registrar): ...

    [record] = create_plugin_manager(Plugin, discover=False).records
    assert record.error.startswith("hook 'flujo_register_skills' has the parameters (self, registrar), expected")
    assert record.suggestion.startswith("the plugin is a class: name an instance of it instead")
    assert create_plugin_manager(Plugin(), discover=False).records[0].loaded


def test_a_broken_plugin_in_code_is_a_record_too():
    manager = create_plugin_manager(object(), discover=False)

    assert manager.problems()[0].startswith("plugin object is not loaded (rejected: no hooks found")


def test_without_discovery_there_is_what_the_core_can_do_itself(tmp_path):
    manager = create_plugin_manager(discover=False)

    assert manager.records == ()
    assert list(manager.contributions.backends) == ["memory"]
    assert isinstance(manager.open_backend("memory:", tmp_path), InMemoryBackend)


def test_a_state_url_is_opened_by_the_backend_of_its_scheme(tmp_path):
    opened = []
    backend = InMemoryBackend()

    def open_odd(url, root):
        opened.append((url, root))
        return backend

    manager = create_plugin_manager(Backends("odd", open_odd), discover=False)

    assert manager.open_backend("odd://host/name", tmp_path) is backend
    assert opened == [("odd://host/name", tmp_path)]


@pytest.mark.parametrize(
    ("url", "message", "suggestion"),
    [
        ("state.db", "'state.db' is not a state url", "expected a scheme first, as in 'sqlite:///state.db'"),
        ("sqlite:///x.db", "no state backend opens 'sqlite' urls", "'memory'; pip install flujo-state-sqlite"),
        ("memorx:", "no state backend opens 'memorx' urls", "did you mean 'memory'?"),
        ("zz://user:secret@host", "no state backend opens 'zz' urls", "known schemes are 'memory'"),
    ],
)
def test_a_state_url_that_nobody_opens_is_refused_with_advice(tmp_path, url, message, suggestion):
    with pytest.raises(StateUnavailable) as caught:
        create_plugin_manager(discover=False).open_backend(url, tmp_path)

    assert str(caught.value) == message
    assert caught.value.suggestion.endswith(suggestion)


def test_a_missing_backend_is_blamed_on_the_plugin_that_did_not_load(fake_dist, tmp_path):
    fake_dist("flujo-state-zz", "import no_such_driver", version="0.3.1")

    with pytest.raises(StateUnavailable) as caught:
        create_plugin_manager().open_backend("zz://host", tmp_path)

    told = "comes with flujo-state-zz 0.3.1, which is not loaded (import-failed: ModuleNotFoundError"
    assert told in caught.value.suggestion


def test_a_backend_that_can_not_be_imported_is_unavailable(tmp_path):
    manager = create_plugin_manager(Backends("zz", "no_such_driver:open"), discover=False)

    with pytest.raises(StateUnavailable, match=r"plugin Backends offers 'no_such_driver:open', which can't be loaded"):
        manager.open_backend("zz:", tmp_path)


def test_a_scheme_that_two_plugins_claim_opens_nothing(tmp_path):
    manager = create_plugin_manager(Backends("zz", "m:a"), Backends("zz", "m:b"), discover=False)

    with pytest.raises(PolicyConflictError, match="state backend 'zz' is claimed by Backends and Backends#2"):
        manager.open_backend("zz:", tmp_path)


def test_a_plugin_can_not_come_late():
    manager = create_plugin_manager(discover=False)

    with pytest.raises(PluginError, match="comes too late") as caught:
        manager.register(sys)
    assert caught.value.suggestion == "pass it to create_plugin_manager(...)"


def test_what_a_plugin_registers_after_it_is_loaded_comes_too_late():
    kept = []

    class Late:
        @hookimpl
        def flujo_register_skills(self, registrar):
            kept.append(registrar)

    create_plugin_manager(Late(), discover=False)

    with pytest.raises(PluginError, match=r"^'a\.b' comes too late: plugins register what they have while they are"):
        kept[0].skill("a.b", "json:dumps", summary="")
