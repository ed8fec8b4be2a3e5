"""A state, a state provider and a cache can each break what is promised, and a test notices."""

import inspect
from contextlib import nullcontext

import pytest

from flujo.domain.interfaces import Sync
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import FlujoError, StateError, StateUnavailable
from flujo.infra.memory import InMemoryBackend, InMemoryCache
from flujo.testing import InMemoryStateProvider
from flujo.testing.cache import CacheBackendConformance
from flujo.testing.state import StateBackendConformance
from flujo.testing.state_provider import StateProviderConformance


class Reversing(InMemoryBackend):
    async def load(self, run_id):
        return [*reversed(await super().load(run_id))]


class Trimming(InMemoryBackend):
    async def append(self, claim, record):
        await super().append(claim, record._replace(delta=None))


class Silent(InMemoryBackend):
    """Tells nobody that it has refused something."""

    async def append(self, claim, record):
        await self._silently(super().append(claim, record))

    async def _silently(self, work):
        try:
            return await work
        except StateError:
            return None


class Giving(InMemoryBackend):
    async def claim(self, run_id, *, force=False):
        return await super().claim(run_id, force=True)


class Welcoming(InMemoryBackend):
    async def answer(self, run_id, record):
        await super().answer(run_id, record)
        return True


class Quiet(InMemoryBackend):
    async def waits(self, **options):
        return []


class Deaf(InMemoryBackend):
    async def cancel(self, run_id, *, at):
        return RunStatus.RUNNING

    async def is_cancelled(self, claim):
        return False


class Hoarding(InMemoryBackend):
    async def delete(self, run_id):
        pass

    async def gc(self, **options):
        return 0


class Endless(InMemoryBackend):
    async def finish(self, claim, status, **options):
        await super().finish(claim, RunStatus.INTERRUPTED, at=options["at"])


class Unordered(InMemoryBackend):
    async def list(self, **options):
        return [*reversed(await super().list(**options))]


class Closing(InMemoryBackend):
    closed = False

    async def close(self):
        if self.closed:
            raise ValueError("closed already")
        self.closed = True


STATES = [
    (Reversing, "test_journal_keeps_the_order_of_writing"),
    (Trimming, "test_record_is_read_back_in_every_field"),
    (Silent, "test_second_result_at_one_path_is_refused"),
    (Silent, "test_claim_that_was_given_up_writes_nothing_more"),
    (Giving, "test_owned_run_can_not_be_claimed"),
    (Giving, "test_one_of_many_claims_wins"),
    (Welcoming, "test_one_of_many_answers_is_taken"),
    (Quiet, "test_question_is_open_until_it_is_answered_or_done"),
    (Deaf, "test_owner_is_asked_to_stop"),
    (Hoarding, "test_deleted_run_is_gone_whole"),
    (Hoarding, "test_only_what_has_ended_is_forgotten_with_time"),
    (Endless, "test_finished_run_shows_how_it_ended"),
    (Unordered, "test_list_is_newest_first_and_without_values"),
    (Closing, "test_closing_twice_does_nothing"),
]


class Providing(InMemoryStateProvider):
    """A provider that is at fault where `fault` says so."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    async def load(self, key):
        if self.fault == "stranger" and key not in self.values:
            return {}
        if self.fault == "lost":
            return None
        return self.values.get(key) if self.fault == "shared" else await super().load(key)

    async def save(self, key, data):
        if self.fault != "first" or key not in self.values:
            await super().save(key.lower() if self.fault == "blurred" else key, data)

    async def delete(self, key):
        return False if self.fault == "kept" else await super().delete(key)

    async def close(self):
        if self.fault == "closed" and self.closed:
            raise ValueError("closed already")
        await super().close()


PROVIDERS = [
    ("stranger", "test_a_key_that_was_never_saved_has_no_value"),
    ("lost", "test_what_is_saved_is_loaded"),
    ("first", "test_a_later_value_takes_the_place_of_an_earlier_one"),
    ("blurred", "test_keys_are_told_apart"),
    ("shared", "test_a_loaded_value_belongs_to_who_loaded_it"),
    ("kept", "test_what_is_deleted_is_gone"),
    ("closed", "test_a_second_close_does_nothing"),
]


class Caching(InMemoryCache):
    """A cache that is at fault where `fault` says so."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.seen = []

    async def put(self, entry):
        if self.fault == "first" and entry.key in self.seen:
            return
        self.seen.append(entry.key)
        await super().put(entry._replace(value=entry.value[:100]) if self.fault == "short" else entry)

    async def get(self, key):
        found = await super().get(self.seen[-1] if self.fault == "any" and self.seen else key)
        return found._replace(created_at=0.0) if self.fault == "timeless" and found else found

    async def nearest(self, scope):
        if self.fault == "oldest" and self.seen:
            return (await super().get(self.seen[0])).parts
        return None if self.fault == "lonely" else await super().nearest(scope)


CACHES = [
    ("timeless", "test_entry_is_read_back_in_every_field"),
    ("any", "test_unknown_key_has_no_entry"),
    ("first", "test_later_entry_takes_the_place_of_the_earlier"),
    ("short", "test_values_keep_every_byte"),
    ("oldest", "test_nearest_is_the_newest_of_the_scope"),
    ("lonely", "test_entry_that_is_put_again_is_the_newest"),
    ("any", "test_many_can_put_and_get_at_once"),
]
EVERY = [
    *((StateBackendConformance, make, promise) for make, promise in STATES),
    *((StateProviderConformance, lambda fault=fault: Providing(fault), promise) for fault, promise in PROVIDERS),
    *((CacheBackendConformance, lambda fault=fault: Caching(fault), promise) for fault, promise in CACHES),
]


@pytest.mark.parametrize(("tests", "make", "promise"), EVERY, ids=[promise for _, _, promise in EVERY])
async def test_a_broken_promise_fails_its_test(tests, make, promise):
    test = getattr(tests(), promise)
    given = {"delta": b"[]", "status": RunStatus.COMPLETED}
    more = {name: given[name] for name in inspect.signature(test).parameters if name in given}
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception, FlujoError)):
        await test(make(), **more)


@pytest.mark.parametrize(("tests", "held"), [(StateProviderConformance, PROVIDERS), (CacheBackendConformance, CACHES)])
def test_every_promise_of_the_small_ones_is_shown_to_be_breakable(tests, held):
    assert {promise for _, promise in held} == {name for name in dir(tests) if name.startswith("test_")}


@pytest.mark.parametrize("durable", [True, False])
def test_a_state_that_forgets_with_its_process_may_not_say_that_it_is_durable(tmp_path, durable):
    class Forgetful(StateBackendConformance):
        def open(self, folder):
            return InMemoryBackend()

    Forgetful.durable = durable
    with pytest.raises(AssertionError if durable else pytest.skip.Exception):
        Forgetful().test_what_was_acknowledged_outlives_a_kill(tmp_path)


class Ambiguous(InMemoryBackend):
    """Has an error at a commit where it is told to, and makes of it what `fault` says."""

    def __init__(self, fails, after, fault):
        super().__init__()
        self.fails, self.after, self.fault = fails, after, fault
        self.doubled = []

    async def create_run(self, run):
        return await self._commit(lambda: super(Ambiguous, self).create_run(run), run.run_id)

    async def append(self, claim, record):
        await self._commit(lambda: super(Ambiguous, self).append(claim, record), record.path)

    async def _commit(self, write, name):
        failed = self.fails()
        done = await write() if self.after or not failed else None
        if failed and self.fault == "doubles":
            self.doubled.append(name)
        if failed and self.fault != "loses":
            raise StateUnavailable("no answer")
        return done

    async def load(self, run_id):
        return [r for r in await super().load(run_id) for _ in range(1 + (r.path in self.doubled))]

    async def list(self, **options):
        return [r for r in await super().list(**options) for _ in range(1 + (r.run_id in self.doubled))]


@pytest.mark.parametrize(("fault", "after"), [("doubles", True), ("loses", False), (None, True), (None, False)])
@pytest.mark.parametrize(
    ("promise", "more"),
    [
        ("test_record_of_unknown_effect_is_there_once", {"sync": Sync.FULL, "count": 1}),
        ("test_run_of_unknown_effect_is_there_once", {}),
    ],
)
async def test_a_commit_of_unknown_effect_may_neither_lose_nor_double(tmp_path, fault, after, promise, more):
    class Tests(StateBackendConformance):
        def open_failing(self, folder, fails, *, after):
            return Ambiguous(fails, after, fault)

    with pytest.raises(AssertionError) if fault else nullcontext():
        await getattr(Tests(), promise)(tmp_path, after=after, **more)
