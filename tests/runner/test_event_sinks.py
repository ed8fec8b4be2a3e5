"""Sinks: given or made by a plugin, detached when they fail, closed by who made them."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, LogSink, Step
from flujo.domain.events import SinkDetached
from flujo.exceptions import ConfigurationError, PluginError, PolicyConflictError
from flujo.plugins import create_plugin_manager, hookimpl
from flujo.runner.event_sinks import NamedSink
from flujo.testing import RecordingSink

PIPELINE = Step("a", str.upper) >> Step("b", str.lower)


class Noisy(RecordingSink):
    """Remembers what it was made with, and whether it was closed."""

    made: list["Noisy"]

    def __init__(self, settings: Any, root: Path) -> None:
        super().__init__()
        self.settings, self.root, self.closed = settings, root, 0
        type(self).made.append(self)

    def close(self) -> None:
        self.closed += 1


class Slow(Noisy):
    async def close(self) -> None:
        self.closed += 1


class Wrong(Noisy):
    def close(self) -> None:
        raise OSError("the line is dead")


class Deaf:
    def __init__(self, settings: Any, root: Path) -> None:
        pass


class Later:
    async def handle(self, event: Any, /) -> None:
        raise AssertionError


class Parts:
    def handle(self, event: Any, /) -> Any:
        yield event


class Calling:
    handle = Later().handle


class Object:
    async def __call__(self, event: Any, /) -> None:
        raise AssertionError


class Holding:
    handle = Object()


class Failing(RecordingSink):
    """Fails at the event number `at`."""

    def __init__(self, at: int, error: BaseException | None = None) -> None:
        super().__init__()
        self.at = at
        self.error = error or ValueError("too much")

    def handle(self, event: Any, /) -> None:
        super().handle(event)
        if len(self.events) == self.at:
            raise self.error


class Plugin:
    @hookimpl
    def flujo_register_event_sinks(self, registrar: Any) -> None:
        registrar.sink("noisy", Noisy, summary="remember everything")
        registrar.sink("slow", Slow, summary="the same, but slowly")
        registrar.sink("wrong", Wrong, summary="the same, but wrong")
        registrar.sink("deaf", Deaf, summary="hears nothing")
        registrar.sink("broken", "no_such_module:sink", summary="is not there")
        registrar.sink("odd", "sys:path", summary="is no function")
        registrar.sink("refusing", lambda settings, root: settings["url"], summary="wants a url")


class Rival:
    @hookimpl
    def flujo_register_event_sinks(self, registrar: Any) -> None:
        registrar.sink("noisy", Noisy, summary="another")


@pytest.fixture
def manager():
    Noisy.made = []
    return create_plugin_manager(Plugin())


async def test_a_sink_is_made_by_its_name_hears_the_run_and_is_closed_with_its_flujo(manager, tmp_path):
    async with Flujo(PIPELINE, plugins=manager, sinks=["noisy"], root=tmp_path) as flujo:
        await flujo.run("x")
        [sink] = Noisy.made
        assert sink.closed == 0

    await flujo.aclose()
    assert (sink.settings, sink.root, sink.closed) == ({}, tmp_path, 1)
    assert len(sink.events) == 8


async def test_a_sink_gets_the_settings_that_are_given_with_its_name(manager):
    async with Flujo(PIPELINE, plugins=manager, sinks=[NamedSink("slow", {"url": "x"})]):
        [sink] = Noisy.made

    assert (sink.settings, sink.root, sink.closed) == ({"url": "x"}, Path.cwd(), 1)


async def test_a_sink_that_is_given_stays_its_owners_to_close(manager):
    sink = Noisy({}, Path())
    async with Flujo(PIPELINE, plugins=manager, sinks=[sink]) as flujo:
        await flujo.run("x")

    assert (len(sink.events), sink.closed) == (8, 0)


async def test_a_sink_that_cannot_be_closed_is_broken_and_the_others_are_closed(manager):
    flujo = Flujo(PIPELINE, plugins=manager, sinks=["noisy", "wrong", "slow"])
    await flujo.aclose()

    noisy, wrong, slow = Noisy.made
    told = "event sink 'wrong' of plugin Plugin failed: OSError: the line is dead"
    assert [(sink, str(error)) for sink, error in flujo.broken_sinks] == [(wrong, told)]
    assert (noisy.closed, slow.closed) == (1, 1)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError("off")], ids=repr)
async def test_a_sink_that_would_end_its_process_when_it_is_closed_is_broken(manager, monkeypatch, error):
    async def close(self: Slow) -> None:
        raise error

    monkeypatch.setattr(Slow, "close", close)
    flujo = Flujo(PIPELINE, plugins=manager, sinks=["noisy", "slow"])
    await flujo.aclose()

    noisy, slow = Noisy.made
    assert ([sink for sink, _ in flujo.broken_sinks], noisy.closed) == ([slow], 1)


@pytest.mark.parametrize("error", [ValueError("too much"), asyncio.CancelledError("too much"), SystemExit("too much")])
@pytest.mark.parametrize("at", range(1, 9))
async def test_a_sink_that_fails_is_detached_whenever_it_fails_and_harms_nobody(at, error):
    failing, other = Failing(at, error), RecordingSink()
    flujo = Flujo(PIPELINE, sinks=[failing, other])
    results = [await flujo.run("x"), await flujo.run("x")]

    assert [result.output for result in results] == ["x", "x"]
    assert (len(failing.events), len(other.of_type(SinkDetached)), len(other.events)) == (at, 1, 17)
    assert [str(error) for sink, error in flujo.broken_sinks] == ["too much"]


@pytest.mark.parametrize("at", range(1, 9))
async def test_a_run_that_a_sink_ends_with_its_process_is_owned_by_nobody(at):
    flujo = Flujo(PIPELINE, sinks=[Failing(at, GeneratorExit())])
    with pytest.raises(GeneratorExit):
        await flujo.run("x", run_id="r")

    [run] = await flujo.runs()
    assert str(run.status) == ("interrupted" if at < 8 else "completed")
    assert (await flujo.resume("r")).output == "x"


async def test_a_sink_that_fails_is_logged_once_with_its_run(caplog):
    flujo = Flujo(PIPELINE, sinks=[Failing(2)])
    await flujo.run("x", run_id="r")
    await flujo.run("x")

    [record] = caplog.records
    assert (record.name, record.levelname) == ("flujo", "WARNING")
    assert record.getMessage().startswith("an event sink failed and was detached (run_id=r, sink=")
    assert record.getMessage().endswith("test_event_sinks:Failing, error=ValueError: too much)")


async def test_where_a_log_sink_listens_it_logs_that_another_failed(caplog):
    await Flujo(PIPELINE, sinks=[Failing(1), LogSink()]).run("x", run_id="r")

    assert [record.flujo["run_id"] for record in caplog.records if record.levelname == "WARNING"] == ["r"]


async def test_a_sink_that_cannot_be_closed_is_logged_without_a_run(manager, caplog):
    await Flujo(PIPELINE, plugins=manager, sinks=["wrong"]).aclose()

    [record] = caplog.records
    assert record.getMessage().startswith("an event sink failed and was detached (sink=")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nosy", ConfigurationError, "there is no event sink 'nosy'"),
        (
            "deaf",
            PluginError,
            "plugin Plugin can't make the event sink 'deaf': 'tests.runner.test_event_sinks:Deaf' is not",
        ),
        ("broken", PluginError, "plugin Plugin offers 'no_such_module:sink', which can't be loaded"),
        ("odd", PluginError, "plugin Plugin offers 'sys:path', expected a function"),
        ("refusing", PluginError, "plugin Plugin can't make the event sink 'refusing': KeyError: 'url'"),
        (RecordingSink, ConfigurationError, "RecordingSink' is not an event sink"),
        (7, ConfigurationError, "'builtins:int' is not an event sink"),
        (Later(), ConfigurationError, "Later' hears nothing: its handle(event) is async or a generator"),
        (Parts(), ConfigurationError, "Parts' hears nothing: its handle(event) is async or a generator"),
        (Calling(), ConfigurationError, "Calling' hears nothing: its handle(event) is async or a generator"),
        (Holding(), ConfigurationError, "Holding' hears nothing: its handle(event) is async or a generator"),
    ],
)
def test_what_is_no_sink_is_refused_when_the_runner_is_made(manager, name, error, says):
    with pytest.raises(error, match=re.escape(says)):
        Flujo(PIPELINE, plugins=manager, sinks=[name])


def test_an_unknown_name_advises_the_nearest(manager):
    with pytest.raises(ConfigurationError) as caught:
        Flujo(PIPELINE, plugins=manager, sinks=["nosy"])
    assert caught.value.suggestion == "did you mean 'noisy'?"


def test_a_name_that_two_plugins_have_is_a_conflict():
    with pytest.raises(PolicyConflictError, match="event sink 'noisy' is claimed by Plugin and Rival"):
        Flujo(PIPELINE, plugins=create_plugin_manager(Plugin(), Rival()), sinks=["noisy"])


def test_a_sinks_name_has_the_form_of_a_name():
    class Bad:
        @hookimpl
        def flujo_register_event_sinks(self, registrar: Any) -> None:
            registrar.sink("no name", Noisy, summary="is refused")

    [record] = create_plugin_manager(Bad(), discover=False).records
    assert "'no name' is not the name of an event sink" in record.error
