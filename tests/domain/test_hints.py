"""Types that fit each other, and types that don't."""

import collections.abc as c
from types import NoneType
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    Never,
    NewType,
    NoReturn,
    NotRequired,
    Optional,
    Protocol,
    Self,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo.domain.hints import show, union
from flujo.domain.validation import fits

T = TypeVar("T")
Text = TypeVar("Text", bound=str)
Number = TypeVar("Number", int, float)
UserId = NewType("UserId", int)


class Row(TypedDict):
    id: int


class Priced(Row):
    price: float
    note: NotRequired[str]


class Wrong(TypedDict):
    id: str


class Order(BaseModel):
    total: float


class Refund(Order):
    reason: str


class Box(BaseModel, Generic[T]):
    value: T


class Pair(NamedTuple):
    left: int
    right: str


@runtime_checkable
class Closes(Protocol):
    def close(self) -> None: ...


class Opens(Protocol):
    def open(self) -> None: ...


class Sized(Protocol):
    size: int


class Door:
    def close(self) -> None: ...


class Names(list[str]):
    """Says what it holds."""


class Json(dict):
    """Doesn't."""


class Shelf(Generic[T]):
    """Of our own."""


FIT = [
    (int, int), (bool, int), (int, float), (bool, float), (int, complex), (float, complex), (Refund, Order),
    (int, Any), (Any, int), (object, int), (int, object), (int, None), ("Nowhere", int), (int, ForwardRef("Nowhere")),
    (int, int | None), (int, Optional[int]), (int, float | None), (int | str, str | int | None),  # noqa: UP045
    (Optional[int], Union[None, int, str]), (NoneType, int | None), (Any, int | None),  # noqa: UP007, UP045
    (list, list[int]), (list[int], list), (list[int], list[Any]), (list[Any], list[int]), (list[int], list[float]),
    (list[int], c.Sequence[int]), (list[Refund], c.Iterable[Order]), (list[list], list[list[int]]),
    (dict, dict[str, Any]), (dict[str, Any], dict[str, str]), (dict[str, int], c.Mapping[str, float]),
    (dict[str, int], c.Iterable[str]), (str, c.Iterable[str]), (str, c.Hashable), (Json, dict[str, Any]),
    (Names, list[str]), (Names, list), (set[int], c.Collection[int]), (frozenset, c.Set[int]),
    (tuple, tuple[int, str]), (tuple[int, str], tuple), (tuple[int, str], tuple[float, Any]),
    (tuple[int, int], tuple[float, ...]), (tuple[int, ...], tuple[float, ...]), (tuple[int, bool], c.Sequence[int]),
    (Pair, tuple[int, str]), (Pair, tuple),
    (Annotated[int, "id"], int), (int, Annotated[int, "id"]), (Annotated[int, 1], Annotated[float, 2]),
    (T, int), (int, T), (list[T], list[int]), (str, Text), (Text, str), (int, Number), (Number, float),
    (UserId, int), (int, UserId), (list[UserId], list[int]), (LiteralString, str), (Never, int), (NoReturn, int),
    (Self, int), (Literal["a"], str), (Literal[1], float), (Literal["a"], Literal["a", "b"]),
    (Literal["a", 1], str | int), (Literal["a", None], Optional[Literal["b", "a"]]),  # noqa: UP045
    (Row, dict), (Row, dict[str, Any]), (Row, c.Mapping[str, object]), (dict, Row), (dict[str, Any], Row), (Json, Row),
    (Priced, Row), (list[Priced], list[Row]), (Any, Row), (Row, Row | None),
    (Door, Closes), (Door, Opens), (Door, Sized), (Box[int], Box), (Box[int], Box[int]), (Box[int], BaseModel),
    (Shelf, Shelf[int]), (Shelf[int], Shelf), (Shelf[bool], Shelf[int]),
    (type[int], type), (type[int], type[Any]), (c.Callable[[int], str], c.Callable), (c.Callable[[int], str], Any),
    (c.Callable[[int], str], c.Callable[..., Any]), (c.Generator[int, None, None], c.Iterator[int]),
]  # fmt: skip

UNFIT = [
    (str, int), (float, int), (int, str), (Order, Refund), (Order, dict), (dict, Order), (NoneType, int),
    (int, NoneType), (int | None, int), (int | str, int), (str, int | None), (list[int], list[str]),
    (list[int], c.Iterable[str]), (list[int], set[int]), (c.Iterator[int], list[int]), (dict[str, int], dict[str, str]),
    (list[list[int]], list[list[str]]),
    (dict[str, int | None], dict[str, int]), (Names, list[int]), (list, dict[str, int]), (int, list[int]),
    (list[int], int),
    (tuple[int, str], tuple[int, ...]), (tuple[int, str], tuple[int]), (tuple[int, ...], tuple[int, int]),
    (tuple[int, str], c.Sequence[int]), (Annotated[str, "id"], int), (int, Text), (str, Number), (str, UserId),
    (str, Literal["a"]), (Literal["a"], int), (Literal["c"], Literal["a", "b"]), (Literal["a", 1], str),
    (str, Row), (list[int], Row), (Row, Priced), (Row, Wrong), (Row, list), (Row, dict[int, Any]), (str, Closes),
    (Box[int], Box[str]), (Shelf[int], Shelf[str]), (type[int], type[str]),
    (c.Callable[[int], str], c.Callable[[int], int]),
]  # fmt: skip

HINTS = st.recursive(
    st.sampled_from([int, str, float, bool, bytes, NoneType, Any, Order, Refund, Row]),
    lambda inner: st.one_of(
        inner.map(lambda a: list[a]),
        inner.map(lambda a: a | None),
        inner.map(lambda a: Annotated[a, "note"]),
        st.tuples(inner, inner).map(lambda pair: dict[str, pair[0]] | list[pair[1]]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(("offered", "wanted"), FIT, ids=str)
def test_what_may_be_handed_on_fits(offered, wanted):
    assert fits(offered, wanted)


@pytest.mark.parametrize(("offered", "wanted"), UNFIT, ids=str)
def test_what_would_fail_at_the_next_step_does_not_fit(offered, wanted):
    assert not fits(offered, wanted)


@pytest.mark.parametrize("hint", [5, "", c.Callable[[int], str], NewType, Generic])
def test_a_hint_that_cannot_be_judged_is_no_mismatch(hint):
    assert fits(hint, hint)
    assert fits(5, int)


@given(HINTS)
def test_every_type_fits_itself_any_and_its_optional(hint):
    assert fits(hint, hint)
    assert fits(hint, Any)
    assert fits(hint, hint | None)


@given(HINTS, HINTS)
def test_a_union_fits_exactly_when_both_its_members_do(one, other):
    for wanted in (one, int | str, list[Any]):
        assert fits(one | other, wanted) == (fits(one, wanted) and fits(other, wanted))


@given(HINTS, HINTS)
def test_lists_fit_exactly_as_their_elements_do(one, other):
    assert fits(list[one], list[other]) == fits(one, other)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (NoneType, "None"),
        (Order, "Order"),
        (list[int], "list[int]"),
        (Any, "Any"),
        (Optional[int], "Optional[int]"),  # noqa: UP045
        (int | None, "int | None"),
    ],
)
def test_types_are_shown_as_they_are_written(hint, text):
    assert show(hint) == (text,)


def test_two_classes_of_one_name_are_shown_with_their_modules():
    other = type("Order", (), {"__module__": "shop", "__qualname__": "Order"})
    assert show(Order, other) == (f"{__name__}.Order", "shop.Order")
    assert show(list[Order], list[Order]) == (str(list[Order]), str(list[Order]))


def test_the_union_of_what_is_no_type_promises_nothing():
    assert union([int, str]) == int | str
    assert union([int, Any]) is Any
    assert union([int, (int,)]) is Any
