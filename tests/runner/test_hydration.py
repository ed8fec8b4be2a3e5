"""Fields that live elsewhere are there when a run starts, and saved however it ends."""

import asyncio
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from flujo import ContextReference, Flujo, Pipeline, PipelineContext, RunStatus, Step
from flujo.exceptions import (
    ConfigurationError,
    ContextFieldError,
    PausedException,
    PipelineAbortSignal,
    PluginError,
    PolicyConflictError,
    RunOwnedElsewhere,
    StateProviderError,
    StateStorageFull,
)
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_plugin_manager, hookimpl
from flujo.testing import InMemoryStateProvider

KEY = "user-ann"


class Profile(BaseModel):
    visits: int = 0
    notes: list[str] = []


class Visit(PipelineContext):
    profile: Annotated[Profile, ContextReference("profiles", "user-{initial_prompt}")] = Profile()


def visit(data: str, *, context: Visit) -> str:
    context.profile.visits += 1
    return data


class Last:
    """A step that does what it is told to, and notes its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.does: Any = lambda context: None

    async def run(self, data: str, *, context: Visit) -> str:
        self.calls += 1
        does = self.does(context)
        if isinstance(does, BaseException):
            raise does
        return data if does is None else await does


@pytest.fixture
def last():
    return Last()


@pytest.fixture
def profiles():
    return InMemoryStateProvider({KEY: Profile(visits=1)})


@pytest.fixture
def made(last, profiles):
    """Makes a `Flujo` whose runs count a visit and then do `last`."""

    def make(**options: Any) -> Flujo[Any, Any, Visit]:
        steps = Pipeline([Step("visit", visit), Step("last", last)])
        return Flujo(steps, context_model=Visit, **{"state_providers": {"profiles": profiles}, **options})

    return make


async def test_a_run_starts_with_what_the_provider_has_and_saves_what_it_has_changed(made, profiles):
    result = await made().run("ann")

    assert result.final_pipeline_context.profile.visits == 2
    assert profiles.values == {KEY: Profile(visits=2)}
    assert profiles.calls == [("load", KEY), ("save", KEY)]
    assert not profiles.closed


async def test_a_run_starts_with_its_own_data_where_the_provider_has_nothing(made, profiles):
    await made(initial_context_data={"profile": {"visits": 7}}).run("bob")

    assert profiles.values["user-bob"] == Profile(visits=8)


async def test_a_failed_run_saves_what_it_has_changed(made, last, profiles):
    last.does = lambda context: ValueError("boom")
    result = await made().run("ann")

    assert (result.status, result.error.message) == (RunStatus.FAILED, "boom")
    assert profiles.values[KEY].visits == 2


async def test_a_cancelled_run_saves_what_it_has_changed(made, last, profiles):
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    last.does = lambda context: wait()
    task = asyncio.ensure_future(made().run("ann"))
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert profiles.values[KEY].visits == 2


async def test_a_paused_run_saves_and_one_that_is_resumed_loads_nothing_anew(made, last, profiles):
    backend = InMemoryBackend()
    last.does = lambda context: PausedException("sure?")
    async with made(state_backend=backend) as flujo:
        paused = await flujo.run("ann", run_id="r")
    assert (paused.status, profiles.values[KEY].visits) == (RunStatus.PAUSED, 2)
    profiles.values[KEY] = Profile(visits=100)
    last.does = lambda context: context.profile.notes.append("sure")
    async with made(state_backend=backend) as flujo:
        result = await flujo.resume("r")

    assert result.status is RunStatus.COMPLETED
    assert profiles.values[KEY] == Profile(visits=2, notes=["sure"])
    assert profiles.calls == [("load", KEY), ("save", KEY), ("save", KEY)]


@pytest.mark.parametrize("backend", [InMemoryBackend(), InMemoryBackend(encodes=False)])
async def test_a_value_that_was_saved_at_a_pause_and_changed_back_later_is_saved_again(made, last, profiles, backend):
    async with made(state_backend=backend) as flujo:
        last.does = lambda context: PausedException("sure?")
        await flujo.run("ann", run_id="r")
        last.does = lambda context: setattr(context.profile, "visits", 1)
        await flujo.resume("r")

    assert profiles.values[KEY].visits == 1


@pytest.mark.parametrize("encodes", [True, False])
async def test_a_resumed_run_starts_with_what_was_loaded_then(made, last, profiles, encodes):
    def note(context: Visit) -> BaseException | None:
        seen.append(context.profile.model_copy(deep=True))
        context.profile.notes.append("called")
        return None if len(seen) > 1 else ValueError("boom")

    seen: list[Profile] = []
    last.does = note
    async with made(state_backend=InMemoryBackend(encodes=encodes)) as flujo:
        await flujo.run("ann", run_id="r")
        await flujo.resume("r")

    assert seen == [Profile(visits=2), Profile(visits=2)]


async def test_a_completed_run_that_is_handed_out_again_asks_no_provider(made, profiles):
    backend = InMemoryBackend()
    async with made(state_backend=backend) as flujo:
        await flujo.run("ann", run_id="r")
        profiles.calls.clear()
        again = await flujo.resume("r")

    assert (again.final_pipeline_context.profile.visits, profiles.calls) == (2, [])


async def test_a_provider_that_fails_to_load_ends_the_run_before_it_begins(made, last, profiles):
    backend = InMemoryBackend()
    profiles.broken["load", KEY] = OSError("no route")

    with pytest.raises(StateProviderError, match="can't load context field 'profile'"):
        await made(state_backend=backend).run("ann")
    assert (await backend.list(), last.calls) == ([], 0)


@pytest.mark.parametrize("action", ["load", "save"])
async def test_a_provider_of_a_plugin_that_fails_is_told_with_the_plugin(made, profiles, action):
    profiles.broken[action, KEY] = OSError("no route")
    manager = create_plugin_manager(Plugin(lambda root: profiles))

    with pytest.raises(
        StateProviderError, match=r"\(state provider 'profiles', key 'user-ann'\), of plugin .*: OSError"
    ):
        raise (await made(plugins=manager, state_providers={}).run("ann")).exception


async def test_a_value_that_does_not_fit_ends_the_run_before_it_begins(made, last, profiles):
    profiles.values[KEY] = "Ann"

    with pytest.raises(ContextFieldError, match="state provider 'profiles', key 'user-ann'"):
        await made().run("ann")
    assert last.calls == 0


TOLD = "can't save context field 'profile' (state provider 'profiles', key 'user-ann'): OSError: full"


@pytest.mark.parametrize("signal", [None, PausedException("sure?")])
async def test_a_run_whose_fields_cannot_be_saved_has_failed_and_can_be_resumed(made, last, profiles, signal):
    backend = InMemoryBackend()
    profiles.broken["save", KEY] = OSError("full")
    last.does = lambda context: signal
    async with made(state_backend=backend) as flujo:
        failed = await flujo.run("ann", run_id="r")
        assert (failed.status, failed.output, failed.error.message) == (RunStatus.FAILED, None, TOLD)
        assert isinstance(failed.exception, StateProviderError)
        assert (await backend.get("r")).error == failed.error
        profiles.broken.clear()
        last.does = lambda context: None
        assert (await flujo.resume("r")).success

    assert profiles.values[KEY].visits == 2


async def test_the_run_s_own_error_stays_when_its_fields_cannot_be_saved(made, last, profiles):
    profiles.broken["save", KEY] = OSError("full")
    last.does = lambda context: ValueError("boom")
    result = await made().run("ann")

    assert (result.error.type, result.error.path) == ("ValueError", "last")
    assert result.error.message == f"boom; then {TOLD}"
    assert str(result.exception) == "boom"
    assert result.exception.__notes__ == [TOLD]


async def test_a_run_that_was_ended_on_purpose_says_so_and_what_could_not_be_saved(made, last, profiles):
    profiles.broken["save", KEY] = OSError("full")
    last.does = lambda context: PipelineAbortSignal("enough")
    result = await made().run("ann")

    assert (result.status, result.error.message) == (RunStatus.CANCELLED, f"enough; then {TOLD}")


async def test_a_cancellation_stays_one_when_the_fields_cannot_be_saved(made, last, profiles):
    profiles.broken["save", KEY] = OSError("full")

    async def cancel() -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    last.does = lambda context: cancel()

    with pytest.raises(asyncio.CancelledError) as caught:
        await made().run("ann")
    assert caught.value.__notes__ == [TOLD]


async def test_a_run_that_was_taken_over_saves_nothing(made, last, profiles):
    backend = InMemoryBackend()
    last.does = lambda context: backend.claim("r", force=True)

    with pytest.raises(RunOwnedElsewhere):
        await made(state_backend=backend).run("ann", run_id="r")
    assert profiles.values[KEY].visits == 1


async def test_a_run_whose_end_can_not_be_written_saves_once_and_can_be_resumed(made, profiles):
    class Full(InMemoryBackend):
        async def finish(self, claim, status, /, **kwargs):
            if status is RunStatus.COMPLETED:
                raise StateStorageFull("full")
            await super().finish(claim, status, **kwargs)

    backend = Full()
    with pytest.raises(StateStorageFull):
        await made(state_backend=backend).run("ann", run_id="r")
    assert ((await backend.get("r")).status, profiles.calls) == ("interrupted", [("load", KEY), ("save", KEY)])


def test_a_provider_that_is_not_there_is_found_before_anything_runs(made):
    with pytest.raises(ConfigurationError, match="refers to state provider 'profiles', which is not there"):
        made(state_providers={})


def test_a_provider_that_is_not_there_is_blamed_on_the_plugin_that_did_not_load(made, fake_dist):
    fake_dist("flujo-profiles", "import no_such_driver")

    with pytest.raises(ConfigurationError, match="refers to state provider 'profiles', which is not there") as caught:
        made(state_providers={}, plugins=create_plugin_manager())

    assert "state provider 'profiles' probably comes with flujo-profiles 1.0, which is not" in caught.value.suggestion


class Plugin:
    """A plugin with the provider that `factory` makes."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    @hookimpl
    def flujo_register_state_providers(self, registrar: Any) -> None:
        registrar.provider("profiles", self._factory)


async def test_a_plugin_s_provider_is_made_when_it_is_used_and_closed_with_the_runner(made, profiles, tmp_path):
    roots = []
    manager = create_plugin_manager(Plugin(lambda root: roots.append(root) or profiles))
    async with made(plugins=manager, state_providers={}, root=tmp_path) as flujo:
        assert roots == []
        await flujo.run("ann")
        await flujo.run("ann")

    assert (roots, profiles.values[KEY].visits, profiles.closed) == ([tmp_path], 3, True)


async def test_a_provider_given_in_code_beats_a_plugin_s(made, profiles):
    manager = create_plugin_manager(Plugin("nowhere:nothing"))
    async with made(plugins=manager) as flujo:
        await flujo.run("ann")

    assert profiles.values[KEY].visits == 2


@pytest.mark.parametrize(
    ("plugins", "cause", "message"),
    [
        ([Plugin(lambda root: 1 / 0)], PluginError, "can't make the state provider 'profiles': ZeroDivisionError"),
        ([Plugin("nowhere:open")], PluginError, "offers 'nowhere:open', which can't be loaded"),
        ([Plugin(lambda root: 1), Plugin(lambda root: 2)], PolicyConflictError, "'profiles' is claimed by"),
        (
            [Plugin(lambda root: 3)],
            PluginError,
            "make the state provider 'profiles': it gave 3, expected a StateProvider",
        ),
    ],
)
async def test_a_plugin_s_provider_that_is_none_ends_the_run_before_it_begins(made, plugins, cause, message):
    manager = create_plugin_manager(*plugins)

    with pytest.raises(StateProviderError, match=message) as caught:
        await made(plugins=manager, state_providers={}).run("ann")
    assert isinstance(caught.value.__cause__, cause)
