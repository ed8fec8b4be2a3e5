"""Callables: what is found out when a step is made, and that the call then does what was promised."""

import asyncio
import functools
import inspect
import operator
import sys
from collections.abc import Awaitable, Coroutine
from types import SimpleNamespace
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from flujo.domain.callables import UNKNOWN, inspect_call, reference
from flujo.exceptions import ConfigurationError, SettingsError

T = TypeVar("T")
HERE = __name__


def called(call, data=None, **injected):
    """What the call gives, called as a policy does."""
    assert set(injected) == set(call.injected)
    value = call.target(*((data,) if call.takes_data else ()), **injected)
    assert inspect.isawaitable(value) == call.is_async
    return asyncio.run(value) if call.is_async else value


def refusal(target, params=None):
    with pytest.raises(ConfigurationError) as caught:
        inspect_call(target, params)
    assert caught.value.suggestion
    return str(caught.value)


def double(x: int) -> int:
    return 2 * x


async def slow_double(x: int) -> int:
    return 2 * x


class Doubler:
    """Called itself."""

    async def __call__(self, x: int) -> int:
        return 2 * x


class Agent:
    """An agent, made with or without a factor."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    async def run(self, data: int) -> int:
        return self.factor * data


class Methods:
    """One of each."""

    def bound(self, x: int) -> int:
        return 2 * x

    @classmethod
    def of_class(cls, x: int) -> int:
        return 2 * x

    @staticmethod
    def static(x: int) -> int:
        return 2 * x


class OfClass:
    """`run` needs no instance."""

    @classmethod
    def run(cls, x: int) -> int:
        return 2 * x


class Static:
    """`run` needs nothing at all."""

    @staticmethod
    def run(x: int) -> int:
        return 2 * x


class Box(BaseModel, Generic[T]):
    value: T


def texts(x: "int") -> "list[str]":
    return [str(x)]


def half_known(x: "Nowhere", y: int = 1) -> "int":  # noqa: F821 - the name is missing on purpose
    return y


def in_words(x: "the number to double") -> int:  # noqa: F722 - words, not a type
    return 2 * x


def later(x: int) -> Awaitable[int]:
    return slow_double(x)


def later_still(x: int) -> Coroutine[Any, Any, int]:
    return slow_double(x)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def scaled(x: int, factor: int) -> int:
    return factor * x


def make_scaler(factor: int):
    def scale(x: int) -> int:
        return factor * x

    return scale


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (double, "double"),
        (slow_double, "slow_double"),
        (Doubler(), "Doubler"),
        (Agent(), "Agent"),
        (Agent, "Agent"),
        (OfClass, "OfClass"),
        (Static, "Static"),
        (Static(), "Static"),
        (Methods().bound, "Methods.bound"),
        (Methods.of_class, "Methods.of_class"),
        (Methods.static, "Methods.static"),
        (functools.partial(scaled, factor=2), "scaled"),
        (functools.partial(functools.partial(scaled), factor=2), "scaled"),
        (functools.partial(scaled, 2), "scaled"),
        (functools.lru_cache(double), "double"),
        (logged(double), "double"),
    ],
)
def test_what_can_be_called_is_called_with_the_data_and_knows_its_types(target, name):
    call = inspect_call(target)
    assert (call.input_type, call.output_type) == (int, int)
    assert call.reference == f"{HERE}:{name}"
    assert call.takes_data
    assert called(call, 21) == 42


@pytest.mark.parametrize(
    ("target", "data", "value", "name"),
    [
        (len, "abc", 3, "builtins:len"),
        (str.upper, "abc", "ABC", "builtins:str.upper"),
        ("-".join, ["a", "b"], "a-b", "builtins:str.join"),
        ({"a": 1}.get, "a", 1, "builtins:dict.get"),
        (max, [1, 3, 2], 3, "builtins:max"),
        (operator.itemgetter(1), "abc", "b", "operator:itemgetter"),
        (list[int], "ab", ["a", "b"], "types:GenericAlias"),
        (lambda x: x + 1, 1, 2, f"{HERE}:<lambda>"),
    ],
)
def test_what_declares_nothing_is_called_with_the_data_all_the_same(target, data, value, name):
    call = inspect_call(target)
    assert (call.input_type, call.output_type) == (UNKNOWN, UNKNOWN)
    assert call.reference == name
    assert called(call, data) == value


@pytest.mark.parametrize("target", [3, None, "text", object(), operator, functools.partialmethod(double)])
def test_what_cannot_be_called_is_refused(target):
    assert "can't be called" in refusal(target)


@pytest.mark.parametrize("cls", [int, Doubler, Methods])
def test_a_class_without_run_is_refused(cls):
    assert refusal(cls) == f"class '{reference(cls)}' has no method 'run'"


def test_a_class_is_made_once_with_the_params():
    made = []

    class Counted(Agent):
        def __init__(self, factor):
            made.append(factor)
            super().__init__(factor)

    call = inspect_call(Counted, {"factor": 3})
    assert (called(call, 2), called(call, 3), made) == (6, 9, [3])


def test_a_class_that_the_params_do_not_fit_is_refused():
    assert refusal(Agent, {"fctr": 3}).startswith(f"class '{HERE}:Agent' can't be made with params fctr: ")


def test_a_class_that_cannot_be_made_is_refused_with_its_reason():
    class Moody(Agent):
        def __init__(self):
            raise LookupError("no key in the environment")

    assert refusal(Moody).endswith("can't be made without params: LookupError: no key in the environment")


def test_an_error_of_ours_from_a_constructor_stays_what_it_is():
    class Strict(Agent):
        def __init__(self):
            raise SettingsError("no such model")

    with pytest.raises(SettingsError, match="no such model"):
        inspect_call(Strict)


def test_params_that_leave_room_for_the_data_are_bound_by_name():
    call = inspect_call(scaled, {"factor": 5})
    assert call.input_type is int
    assert called(call, 2) == 10


def test_the_data_finds_its_parameter_wherever_it_stands():
    assert called(inspect_call(lambda first, second: (first, second), {"first": 1}), 2) == (1, 2)
    assert called(inspect_call(lambda context, x: (context, x)), 2, context="c") == ("c", 2)


def test_an_async_function_may_have_its_data_second():
    async def tell(context, x: str) -> str:
        return f"{context} {x}"

    call = inspect_call(tell)
    assert call.input_type is str
    assert called(call, "x", context="c") == "c x"


def test_params_that_fill_the_whole_signature_make_a_factory():
    call = inspect_call(make_scaler, {"factor": 4})
    assert call.input_type is int
    assert call.reference == f"{HERE}:make_scaler"
    assert called(call, 2) == 8


@pytest.mark.parametrize("product", [Agent, Agent(), double])
def test_a_factory_may_give_whatever_a_step_can_run(product):
    call = inspect_call(lambda k, **more: product, {"k": 1, "other": 2})
    assert called(call, 4) == 8


def test_a_factory_that_gives_nothing_to_call_is_refused():
    assert refusal(double, {"x": 1}) == f"factory '{HERE}:double' gave a value of type 'int', which can't be called"


def test_a_factory_that_fails_is_refused_with_its_reason():
    assert refusal(lambda k: 1 // len(k), {"k": 5}).endswith(
        "failed with params k: TypeError: object of type 'int' has no len()"
    )


def test_a_function_that_wants_more_than_its_params_is_no_factory():
    def report(title, *, context):
        return f"{title}: {context}"

    call = inspect_call(report, {"title": "all"})
    assert not call.takes_data
    assert called(call, context="c") == "all: c"


def test_an_async_function_is_no_factory():
    call = inspect_call(slow_double, {"x": 2})
    assert not call.takes_data
    assert called(call) == 4


def test_the_params_of_an_object_with_run_are_bound():
    call = inspect_call(Agent(3), {"data": 2})
    assert not call.takes_data
    assert called(call) == 6


def test_a_param_nobody_asked_for_is_refused():
    assert refusal(scaled, {"fctr": 2}) == f"'{HERE}:scaled' has no parameter 'fctr'"
    assert refusal(scaled, {1: 2}) == f"'{HERE}:scaled' has no parameter 1"
    with pytest.raises(ConfigurationError) as caught:
        inspect_call(lambda: 1, {"x": 2})
    assert caught.value.suggestion == "its parameters are none"


def test_a_param_for_a_parameter_without_a_name_to_callers_is_refused():
    def place(x, y, /):
        return x - y

    assert "takes its parameter 'y' by position" in refusal(place, {"y": 2})
    assert "takes its parameter 'obj' by position" in refusal(len, {"obj": "abc"})


def test_a_param_may_have_the_name_of_a_positional_parameter_where_any_name_goes():
    def place(x, /, **names):
        return x, names

    assert called(inspect_call(place, {"x": 2}), 1) == (1, {"x": 2})


def test_params_reach_a_builtin_that_tells_nothing_of_itself():
    assert called(inspect_call(max, {"key": len}), ["a", "abc", "ab"]) == "abc"


def test_a_parameter_that_nothing_fills_is_refused():
    assert refusal(scaled) == f"nothing fills parameter 'factor' of '{HERE}:scaled'"
    assert "nothing fills parameter 'data'" in refusal(lambda *, data: data)
    assert "nothing fills parameter 'x'" in refusal(Methods.bound)


def test_a_function_without_a_place_for_data_gets_none():
    assert called(inspect_call(lambda: 1), 2) == 1
    assert called(inspect_call(lambda *, size=3: size), 2) == 3
    assert called(inspect_call(lambda **names: names), 2) == {}


def test_star_args_take_the_data_when_they_are_first():
    def add(*numbers: int) -> int:
        return sum(numbers)

    call = inspect_call(add)
    assert (call.input_type, called(call, 3)) == (int, 3)
    assert called(inspect_call(lambda x, *rest: (x, rest)), 3) == (3, ())
    assert called(inspect_call(lambda context, *rest: (context, rest)), 3, context="c") == ("c", ())


def test_injected_names_are_found_and_not_taken_for_data():
    def work(x: str, run, *, resources=None, context=None, other=1) -> str:
        return f"{x} {run} {resources} {context} {other}"

    call = inspect_call(work)
    assert call.injected == ("run", "resources", "context")
    assert called(call, "x", run=1, resources=2, context=3) == "x 1 2 3 1"


def test_a_param_with_an_injected_name_is_not_injected():
    call = inspect_call(lambda x, context: (x, context), {"context": "mine"})
    assert called(call, 1) == (1, "mine")


def test_an_injected_name_that_cannot_be_passed_by_name_is_refused():
    assert "takes 'context' by position" in refusal(lambda x, context, /: x)
    assert called(inspect_call(lambda x, **context: context), 1) == {}


def test_annotations_written_as_text_are_resolved():
    call = inspect_call(texts)
    assert (call.input_type, call.output_type) == (int, list[str])


@pytest.mark.parametrize("target", [half_known, in_words])
def test_an_annotation_that_means_nothing_here_declares_nothing_and_spoils_no_other(target):
    call = inspect_call(target)
    assert (call.input_type, call.output_type) == (UNKNOWN, int)


@pytest.mark.parametrize("target", [later, later_still])
def test_a_declared_awaitable_is_awaited_and_gives_what_it_resolves_to(target):
    call = inspect_call(target)
    assert (call.is_async, call.output_type) == (True, int)
    assert called(call, 21) == 42


def test_generic_and_annotated_types_are_kept():
    def pack(x: Annotated[int, "positive"]) -> Box[int]:
        return Box(value=x)

    call = inspect_call(pack)
    assert (call.input_type, call.output_type) == (Annotated[int, "positive"], Box[int])


def test_nothing_declared_is_not_none_declared():
    def quiet(x: None) -> None: ...

    assert inspect_call(quiet).output_type is type(None)
    assert inspect_call(quiet).input_type is type(None)


def test_an_attribute_called_run_that_cannot_be_called_does_not_count():
    class Callable:
        run = "fast"

        def __call__(self, x):
            return x

    assert called(inspect_call(Callable()), 1) == 1


@pytest.mark.parametrize(
    ("spec", "file", "name"),
    [
        (None, "/some/where/app.py", "app"),
        (SimpleNamespace(name="shop.app"), "/shop/app.py", "shop.app"),
        (SimpleNamespace(name="__main__"), "app.zip/__main__.py", "__main__"),
        (None, None, "__main__"),
    ],
    ids=["a file", "python -m", "an archive", "typed in"],
)
@pytest.mark.parametrize("started", ["__main__", "__mp_main__"])
def test_the_file_that_the_program_was_started_as_is_named_as_if_it_were_imported(
    monkeypatch, started, spec, file, name
):
    monkeypatch.setitem(sys.modules, started, SimpleNamespace(__spec__=spec, __file__=file))
    function = type("Holder", (), {"__module__": started})

    assert reference(function) == f"{name if name != '__main__' else started}:Holder"


def test_a_reference_is_always_module_and_name():
    assert reference(double) == f"{HERE}:double"
    assert reference(3) == "builtins:int"
    assert reference(functools.partialmethod(double)) == "functools:partialmethod"
    assert reference(functools.partial(functools.partial(len))) == "builtins:len"
