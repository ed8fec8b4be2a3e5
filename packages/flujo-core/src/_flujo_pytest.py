"""flujo's fixtures for pytest. Importing this imports nothing of flujo; a fixture does, once it is used.

Nothing happens in a test that asks for none of them. `flujo_testing = off` in pytest's configuration leaves them out.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flujo.engine.policy_registry import PolicyRegistry
    from flujo.plugins import PluginManager, PluginRecord
    from flujo.testing.command_line import CommandLine
    from flujo.testing.dists import FakeDists
    from flujo.testing.project import Project
    from flujo.testing.sinks import RecordingSink
    from flujo.testing.workbench import Workbench

__all__ = ["Fixtures", "Verdicts", "pytest_addoption", "pytest_configure"]

#: The failures of the standard tests are told with the values that were compared, as those of a test's own file are.
pytest.register_assert_rewrite("flujo.testing")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let pytest's configuration say `flujo_testing = off`."""
    parser.addini("flujo_testing", "whether there are the fixtures of flujo", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Put the fixtures in, unless they are not wanted."""
    if config.getini("flujo_testing"):
        config.pluginmanager.register(Fixtures(), "flujo-fixtures")
        config.pluginmanager.register(Verdicts(), "flujo-verdicts")


def _home(module: str) -> Any:
    """A module of `flujo`, imported now and not before."""
    return import_module(f"flujo.{module}")


def _standard(cls: type | None) -> list[str]:
    """The tests that a conformance class has to pass, none for any other class."""
    shared = sys.modules.get("flujo.testing.conformance")
    if cls is None or shared is None or not issubclass(cls, shared.Conformance):
        return []
    homes = [base for base in cls.__mro__ if base.__module__.startswith("flujo.testing.")]
    return sorted({name for home in homes for name in vars(home) if name.startswith("test")})


class Verdicts:
    """Tells in the end of each conformance class whether every standard test of it was there and has passed."""

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let the reports of a test say whose it is: they come from other processes, too."""
        if isinstance(item, pytest.Function) and (tests := _standard(item.cls)):
            item.user_properties.append(("flujo", [item.nodeid.rpartition("::")[0], item.originalname, tests]))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each class, unless pytest is to be quiet."""
        if terminalreporter.config.get_verbosity() < 0:
            return
        standard: dict[str, list[str]] = {}
        ended: defaultdict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for outcome, reports in terminalreporter.stats.items():
            own = (value for each in reports for key, value in getattr(each, "user_properties", ()) if key == "flujo")
            for suite, test, tests in own:
                standard[suite] = tests
                ended[suite][test].add(outcome)
        for suite, tests in sorted(standard.items()):
            left = [test for test in tests if ended[suite][test] - {""} != {"passed"}]
            verdict = f"PARTIAL, without {', '.join(left)}" if left else "FULL"
            terminalreporter.write_line(f"{suite}: {verdict}")


class Fixtures:
    """What a test may ask for."""

    @pytest.fixture
    def flujo_project(self, tmp_path: Path) -> "Project":
        """A project's folder, with a flujo.toml; `flujo` and `python` run processes in it.

        Example:
            def test_the_version_is_told(flujo_project):
                flujo_project.write("notes/today.txt", "nothing")
                assert flujo_project.flujo("--version").out.startswith("flujo ")
                assert flujo_project.python("import os; print(os.listdir('notes'))").out == "['today.txt']\\n"
        """
        project: Project = _home("testing.project").Project(tmp_path / "project")
        return project

    @pytest.fixture
    def flujo_events(self) -> "RecordingSink":
        """Every event of every run of `flujo_run`, in order.

        Example:
            async def test_a_step_starts_once(flujo_run, flujo_events):
                await flujo_run(Step("one", str.upper), "x")
                assert flujo_events.paths(StepStarted) == ["", "one"]
                assert flujo_events.one(RunFinished).result.output == "X"
        """
        sink: RecordingSink = _home("testing.sinks").RecordingSink()
        return sink

    @pytest.fixture
    def _flujo_workbench(self, flujo_project: "Project", flujo_events: "RecordingSink") -> "Workbench":
        workbench: Workbench = _home("testing.workbench").Workbench(flujo_project, flujo_events)
        return workbench

    @pytest.fixture
    def flujo_host(self, _flujo_workbench: "Workbench") -> "PluginManager":
        """A plugin manager that has flujo's own plugins and no others, and takes none that is broken.

        Example:
            def test_there_are_loops(flujo_host):
                assert "loop" in flujo_host.contributions.kinds
        """
        return _flujo_workbench.host()

    @pytest.fixture
    def flujo_plugin(self, _flujo_workbench: "Workbench") -> "Callable[..., AbstractContextManager[PluginRecord]]":
        """Add a plugin, a module, class or object, to what `flujo_run` works with, for as long as a `with` is open.

        A plugin that is broken raises `PluginError`; with `strict=False` its record tells of it.

        Example:
            class Shouting:
                @staticmethod
                @hookimpl
                def flujo_register_skills(registrar):
                    registrar.skill("my.shout", str.upper, summary="make it loud")

            async def test_files_can_shout(flujo_plugin, flujo_run):
                with flujo_plugin(Shouting) as record:
                    assert record.contributes == {"skills": ("my.shout",)}
                    ran = await flujo_run("steps: [{name: loud, uses: my.shout}]", "hi")
                assert ran.result.output == "HI"
        """
        return _flujo_workbench.plugin

    @pytest.fixture
    def flujo_registry(self, flujo_host: "PluginManager") -> "PolicyRegistry":
        """The policies of flujo's own plugins, in a registry that a test may change.

        Example:
            async def test_without_the_world(flujo_registry, flujo_run):
                flujo_registry.register(stub_policy(Step, "mocked"))
                ran = await flujo_run(Step("fetch", print), "x", registry=flujo_registry)
                assert ran.result.output == "mocked"
        """
        registry: PolicyRegistry = _home("plugins").create_default_registry(flujo_host)
        return registry

    @pytest.fixture
    def flujo_run(self, _flujo_workbench: "Workbench") -> Callable[..., Any]:
        """Run a step, or the text of a pipeline file, in memory: `await flujo_run(step, data, **options of Flujo)`.

        Example:
            async def test_a_run_is_told(flujo_run):
                ran = await flujo_run(Step("one", str.upper, sink_to="loud"), "x")
                assert (ran.result.output, ran.context.loud) == ("X", "X")
                assert isinstance(ran.events[-1], RunFinished)
        """
        return _flujo_workbench.run

    @pytest.fixture
    def flujo_cli(
        self, flujo_project: "Project", monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> "CommandLine":
        """Run a command of flujo in this process, in the folder of `flujo_project`. Skips where flujo-cli is not there.

        Example:
            def test_a_file_is_run(flujo_cli, flujo_project):
                flujo_project.write("pipeline.yaml", "steps: [{name: same, uses: flujo.builtins.passthrough}]")
                done = flujo_cli("run", "pipeline.yaml", input="x", plugins=[])
                assert (done.code, done.out) == (0, "x\\n")
        """
        command_line: CommandLine = _home("testing.command_line").CommandLine(flujo_project, monkeypatch, capfd)
        return command_line

    @pytest.fixture
    def fake_dist(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[FakeDists]":
        """Write a distribution that is found as if it were installed: `fake_dist(name, source of its plugin)`.

        Example:
            def test_a_broken_plugin_harms_nobody(fake_dist):
                fake_dist("flujo-broken", "import no_such_thing", version="0.3")
                records = {record.dist: record for record in create_plugin_manager().records}
                assert records["flujo-broken"].status == "import-failed"
        """
        dists: FakeDists = _home("testing.dists").FakeDists(tmp_path, monkeypatch)
        yield dists
        dists.forget()
