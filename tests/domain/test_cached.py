"""The step type of cached results: what can't be one, and what it says of itself."""

import pytest

from flujo import CacheStep, Step, cached, loop
from flujo.exceptions import ConfigurationError


def shorten(data: str) -> str:
    return data[:3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"body": []}, "cache 'c' has nothing in its body"),
        ({"ttl_s": 0}, "cache 'c' has ttl_s 0"),
        ({"ttl_s": -1.5}, "cache 'c' has ttl_s -1.5"),
        ({"ttl_s": float("nan")}, "cache 'c' has ttl_s nan"),
        ({"ttl_s": float("inf")}, "cache 'c' has ttl_s inf"),
        ({"ttl_s": "7d"}, "cache 'c' has ttl_s '7d'"),
        ({"ttl_s": True}, "cache 'c' has ttl_s True"),
        ({"context_keys": ["a b"]}, "cache 'c' has a context key 'a b'"),
        ({"context_keys": ["a..b"]}, r"cache 'c' has a context key 'a\.\.b'"),
        ({"context_keys": [3]}, "cache 'c' has a context key 3"),
    ],
)
def test_what_can_not_be_cached_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        cached("c", **{"body": Step("s", shorten), **options})
    assert caught.value.suggestion


def test_names_in_one_text_are_refused():
    with pytest.raises(ConfigurationError, match="cache 'c' has context_keys 'lang'"):
        cached("c", Step("s", shorten), context_keys="lang")


def ask(data: str, *, resources: object) -> object:
    return resources


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (Step("s", ask), "which takes resources"),
        (Step("s", shorten, fallback=Step("t", ask)), "'t', which takes resources"),
        (Step("s", shorten, input=lambda scope: scope.context), "whose input is a function"),
    ],
)
def test_what_reads_anything_is_refused_wherever_it_stands_in_the_body(step, what):
    with pytest.raises(ConfigurationError, match=f"cache 'c' holds step .*{what}") as caught:
        cached("c", loop("l", [Step("first", shorten), step], max_loops=2))
    assert "a step before" in caught.value.suggestion


def test_its_types_are_the_bodys():
    step = cached("c", Step("s", shorten))

    assert (step.input_type, step.output_type) == (str, str)


def test_it_may_change_the_context_if_its_body_does():
    assert not cached("c", Step("s", shorten)).reads_context
    assert cached("c", Step("s", shorten, sink_to="x")).reads_context


def test_code_is_no_part_of_the_definition():
    def adding(more: int) -> CacheStep:
        return cached("c", Step("s", lambda data: data + more), ttl_s=60)

    one, two = adding(1), adding(2)

    assert one.code != two.code
    assert one.definition() == two.definition()
    assert one.definition()["ttl_s"] == 60
