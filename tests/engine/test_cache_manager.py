"""Keys of cached results, look-ups, and one execution for many who ask at once."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from flujo import OpenContext, PipelineContext, Step, cached
from flujo.engine.cache_manager import CacheKey, CacheManager, Hit, Miss
from flujo.exceptions import ValueNotStorable
from flujo.infra.codec import JsonCodec
from flujo.infra.memory import InMemoryCache
from flujo.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def home() -> InMemoryCache:
    return InMemoryCache()


@pytest.fixture
def caches(home: InMemoryCache, clock: FakeClock) -> CacheManager:
    return CacheManager(home, JsonCodec(), clock, owner="tickets")


def double(data: Any) -> Any:
    return data * 2


def halve(data: Any) -> Any:
    return data / 2


def key_of(
    caches: CacheManager, data: Any = 3, *, run: Any = double, name: str = "s", context: Any = None, **read: Any
) -> CacheKey:
    step = cached("c", Step(name, run))
    return caches.key(step, "loop:l[7]/cache:c", data, context or OpenContext(), read)


async def test_what_was_stored_is_found_with_its_change(caches):
    for value, delta in (([1, (2,), Decimal("0.1")], [["set", ["a"], 1]]), (None, None)):
        await caches.store(key_of(caches), value, delta)
        assert await caches.look_up(key_of(caches)) == Hit(value, delta)


async def test_what_is_found_can_be_changed_without_harm(caches):
    value = [1]
    await caches.store(key_of(caches), value, None)
    value.append(2)
    (await caches.look_up(key_of(caches))).value.append(3)

    assert await caches.look_up(key_of(caches)) == Hit([1], None)


async def test_a_step_without_entries_misses_and_nothing_has_changed(caches):
    assert await caches.look_up(key_of(caches)) == Miss(())


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ({"data": 4}, ("input",)),
        ({"data": True}, ("input",)),
        ({"run": halve}, ("definition", "code")),
        ({"name": "t"}, ("definition",)),
        ({"lang": "en"}, ("lang",)),
        ({"lang": "de", "more": 1}, ("more",)),
        ({"data": 4, "lang": "en"}, ("input", "lang")),
    ],
)
async def test_a_miss_names_what_differs_from_the_newest_entry(caches, other, changed):
    await caches.store(key_of(caches, 99, lang="fr"), "older", None)
    await caches.store(key_of(caches, lang="de"), "newest", None)

    assert await caches.look_up(key_of(caches, **{"lang": "de", **other})) == Miss(changed)


async def test_a_part_that_is_gone_is_named(caches):
    await caches.store(key_of(caches, lang="de"), "x", None)

    assert await caches.look_up(key_of(caches)) == Miss(("lang",))


async def test_code_that_has_changed_is_named(caches):
    def make(factor: int) -> Any:
        return lambda data: data * factor

    await caches.store(key_of(caches, run=make(2)), 6, None)

    assert await caches.look_up(key_of(caches, run=make(3))) == Miss(("code",))
    assert await caches.look_up(key_of(caches, run=make(2))) == Hit(6, None)


async def test_a_result_serves_until_its_time_is_over(caches, clock):
    await caches.store(key_of(caches), 6, None)
    clock.advance(9.5)

    assert await caches.look_up(key_of(caches), 10) == Hit(6, None)
    clock.advance(0.5)
    assert await caches.look_up(key_of(caches), 10) == Miss(("ttl",))
    assert await caches.look_up(key_of(caches), 11) == Hit(6, None)
    assert await caches.look_up(key_of(caches)) == Hit(6, None)


async def test_a_value_that_can_not_be_read_any_more_is_a_miss(caches, home):
    key = key_of(caches)
    await caches.store(key, 6, None)
    await home.put((await home.get(key.digest))._replace(value=b'{"$":"no such thing"}'))

    assert await caches.look_up(key) == Miss(("value",))


async def test_a_change_is_kept_for_contexts_of_one_class(caches):
    step = cached("c", Step("s", double, sink_to="x"))
    one, other = (caches.key(step, "c", 1, context, {}) for context in (OpenContext(), PipelineContext()))

    assert one.digest != other.digest
    assert key_of(caches) == key_of(caches, context=PipelineContext())


def test_the_scope_is_the_step_in_its_pipeline_whatever_the_iteration(caches, home, clock):
    assert key_of(caches).scope == "tickets: loop:l/cache:c"
    assert key_of(CacheManager(home, JsonCodec(), clock)).scope == "loop:l/cache:c"


def test_an_input_that_can_not_be_written_down_is_an_error_that_names_the_step(caches):
    with pytest.raises(ValueNotStorable, match=r"^input of cache 'c' can't be stored: .*object"):
        key_of(caches, object())
    with pytest.raises(ValueNotStorable, match=r"^lang of cache 'c' can't be stored"):
        key_of(caches, lang=object())


async def test_an_output_that_can_not_be_written_down_is_an_error(caches):
    with pytest.raises(ValueNotStorable, match=r"^tickets: loop:l/cache:c can't be stored"):
        await caches.store(key_of(caches), object(), None)


async def ask(caches: CacheManager, calls: list[str], *, fails: bool = False) -> Any:
    key = key_of(caches)
    async with caches.flight(key):
        found = await caches.look_up(key)
        if isinstance(found, Hit):
            return found.value
        calls.append("begin")
        await asyncio.sleep(0.001)
        calls.append("end")
        if fails:
            raise ValueError("no")
        await caches.store(key, "made", None)
        return "made"


async def test_many_who_ask_at_once_wait_for_the_first(caches):
    calls: list[str] = []

    assert await asyncio.gather(*(ask(caches, calls) for _ in range(5))) == ["made"] * 5
    assert calls == ["begin", "end"]


async def test_if_the_first_fails_the_others_do_their_own_work_side_by_side(caches):
    calls: list[str] = []
    asked = [ask(caches, calls, fails=number == 0) for number in range(4)]

    first, *others = await asyncio.gather(*asked, return_exceptions=True)

    assert (str(first), others) == ("no", ["made"] * 3)
    assert calls == ["begin", "end", *["begin"] * 3, *["end"] * 3]


async def test_if_the_first_is_cancelled_nobody_waits_for_ever(caches):
    calls: list[str] = []
    first, second = (asyncio.ensure_future(ask(caches, calls)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == "made"
    assert calls == ["begin", "begin", "end"]


def test_runs_on_event_loops_of_their_own_do_not_wait_for_each_other(caches):
    async def nested() -> list[str]:
        async with caches.flight(key_of(caches)):
            calls: list[str] = []
            return [await asyncio.to_thread(asyncio.run, ask(caches, calls)), *calls]

    assert asyncio.run(nested()) == ["made", "begin", "end"]
