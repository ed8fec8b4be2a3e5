"""What every distribution with a plugin has to keep, as tests to subclass."""

from functools import cache
from typing import ClassVar

from flujo.testing.conformance import Conformance
from flujo.testing.probe import PluginProbe, probe_plugin

__all__ = ["PluginConformance"]


@cache
def _probed(dist: str) -> PluginProbe:
    """The probe of an installed distribution, which stays the same for as long as tests run."""
    return probe_plugin(dist)


class PluginConformance(Conformance):
    """Tests of the distribution `dist`, which has to be installed: subclass it as `Test...`.

    Loading its plugin may import `import_budget` modules, beside those that flujo needs to load plugins: everything
    else is offered as text, "module:attr", and imported when it is used.
    """

    dist: ClassVar[str]
    import_budget: ClassVar[int] = 20

    def test_plugin_is_loaded(self) -> None:
        """Its hooks are those there are, with their one parameter, and none of them fails."""
        assert _probed(self.dist).records == ()

    def test_loading_prints_nothing(self) -> None:
        """Neither to stdout, which belongs to results, nor to stderr."""
        assert _probed(self.dist).printed == ""

    def test_loading_starts_no_thread(self) -> None:
        """A plugin that is only loaded does nothing."""
        assert _probed(self.dist).threads == ()

    def test_loading_imports_little(self) -> None:
        """Every command that needs any plugin loads all of them."""
        modules = _probed(self.dist).modules
        assert len(modules) <= self.import_budget, f"loading {self.dist} imports {', '.join(modules)}"

    def test_everything_offered_can_be_imported(self) -> None:
        """What is offered as text is there, with all that it needs."""
        assert _probed(self.dist).unloadable == ()

    def test_loading_again_gives_the_same(self) -> None:
        """A process may make many plugin managers: a plugin keeps nothing from one to the next."""
        assert _probed(self.dist).differs == ()

    def test_versions_agree(self) -> None:
        """The plugin API that the distribution announces is the one of its modules, and it requires flujo-core."""
        assert _probed(self.dist).api == ()
