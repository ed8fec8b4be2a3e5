"""What every distribution with a plugin has to keep, as tests to subclass."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from flujo.testing.conformance import Conformance
from flujo.testing.probe import PluginProbe, probe_plugin

__all__ = ["PluginConformance"]


@cache
def _probed(dist: str, settings: str) -> PluginProbe:
    """The probe of an installed distribution, which stays the same for as long as tests run."""
    return probe_plugin(dist, settings=json.loads(settings))


class PluginConformance(Conformance):
    """Tests of the distribution `dist`, which has to be installed: subclass it as `Test...`.

    Loading its plugin may import `import_budget` modules, beside those that flujo needs to load plugins: everything
    else is offered as text, "module:attr", and imported when it is used. `settings` is the plugin's own table, as the
    settings of a project have it in `[plugins.settings.NAME]`.
    """

    dist: ClassVar[str]
    import_budget: ClassVar[int] = 20
    settings: ClassVar[Mapping[str, Any]] = {}

    def _probe(self) -> PluginProbe:
        return _probed(self.dist, json.dumps({self.dist: self.settings}))

    def test_plugin_is_loaded(self) -> None:
        """Its hooks are those there are, with their one parameter, and none of them fails."""
        assert self._probe().records == ()

    def test_loading_prints_nothing(self) -> None:
        """Neither to stdout, which belongs to results, nor to stderr."""
        assert self._probe().printed == ""

    def test_loading_starts_no_thread(self) -> None:
        """A plugin that is only loaded does nothing."""
        assert self._probe().threads == ()

    def test_loading_changes_nothing_else(self) -> None:
        """The working directory, the path, signals and streams are the process's, and so of all plugins."""
        assert self._probe().changes == ()

    def test_loading_imports_little(self) -> None:
        """Every command that needs any plugin loads all of them."""
        modules = self._probe().modules
        assert len(modules) <= self.import_budget, f"loading {self.dist} imports {', '.join(modules)}"

    def test_everything_offered_can_be_imported(self) -> None:
        """What is offered is there, with all that it needs, and of its sort: a function, a type of step, a command."""
        assert self._probe().unloadable == ()

    def test_loading_again_gives_the_same(self) -> None:
        """A process may make many plugin managers: a plugin keeps nothing from one to the next."""
        assert self._probe().differs == ()

    def test_versions_agree(self) -> None:
        """The plugin API that the distribution announces is the one of its modules, and it requires flujo-core."""
        assert self._probe().api == ()
