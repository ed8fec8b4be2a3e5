"""Objects of declared classes come back as objects of those classes; every other class is refused."""

import dataclasses
import json
import sys
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, Flag, IntEnum, StrEnum, auto
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, SecretStr, create_model, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from flujo.domain.context import HumanInteraction, OpenContext, PipelineContext
from flujo.exceptions import StateCorrupt, ValueNotStorable
from flujo.infra.codec import JsonCodec

T = TypeVar("T")


class Colour(Enum):
    RED = auto()
    SAND = (1, 2)


class Level(IntEnum):
    LOW = 1


class Name(StrEnum):
    ANN = "ann"


class Right(Flag):
    READ = auto()
    WRITE = auto()


@dataclass
class Point:
    x: int
    y: tuple[float, ...] = ()
    made: int = field(init=False, default=0)

    def __post_init__(self):
        self.made += 1


@dataclass
class Box(Generic[T]):
    inner: T


@dataclass(frozen=True, slots=True)
class Frozen:
    inner: Any
    points: list[Point] = field(default_factory=list)

    @property
    def first(self) -> Point:
        return self.points[0]


@dataclass
class Lazy:
    n: int

    @cached_property
    def twice(self) -> int:
        return 2 * self.n


@dataclass
class Sum:
    parts: list[int]

    def __post_init__(self):
        self.total = sum(self.parts)


@pydantic_dataclass
class Checked:
    n: int


class Ticket(BaseModel):
    id: int
    colour: Colour = Colour.RED
    where: Point | None = None
    when: datetime | None = None
    words: set[str] = Field(default_factory=set, alias="Words")
    _seen: int = PrivateAttr(default=0)

    @field_validator("id")
    @classmethod
    def _shift(cls, value: int) -> int:
        return value + 1


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int = 0


class Tree(BaseModel):
    children: list["Tree"] = []


class Page(BaseModel, Generic[T]):
    items: list[T]


class Words(RootModel[list[str]]):
    pass


class WithSecret(BaseModel):
    token: SecretStr


class Row(TypedDict):
    ticket: Ticket


class Entry(NamedTuple):
    colour: Colour


def codec(*types: Any) -> JsonCodec:
    return JsonCodec(types)


def renamed(kind: type, *, module: str, name: str) -> type:
    """Another class, as a later release of the program would have it."""
    kind.__module__, kind.__qualname__ = module, name
    return kind


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Colour.SAND,
        Level.LOW,
        Name.ANN,
        Right.READ,
        Right.READ | Right.WRITE,
        Right(0),
        Point(1, (2.5,)),
        Frozen(b"x", [Point(1)]),
        Box[int](1),
        Checked(5),
        Ticket(id=1, Words={"a"}),
        Ticket(id=1, where=Point(1), when=datetime(2024, 1, 1, tzinfo=UTC), colour=Colour.SAND),
        Open(n=1, more=[(1,)], **{"$": 1}),
        Tree(children=[Tree(), Tree(children=[Tree()])]),
        Page[int](items=[1]),
        Words(["a", "b"]),
        PipelineContext(hitl_history=[HumanInteraction(message_to_human="?", human_response={"a": (1,)})]),
        OpenContext(initial_prompt="x", scratchpad={"$": 1}, extra={"n": 2**70}),
    ],
)
def test_object_of_a_declared_class_comes_back_equal(value):
    known = codec(type(value), Point)
    back = known.decode(known.encode([value], where=""), where="")[0]
    assert back == value
    assert type(back) is type(value)


def test_constructors_and_validators_do_not_run_again():
    known = codec(Ticket)
    point, ticket = Point(1), Ticket(id=1)
    back = known.decode(known.encode([point, ticket], where=""), where="")
    assert (back[0].made, back[1].id) == (1, 2)


def test_model_keeps_which_fields_were_set_and_its_private_attributes():
    ticket = Ticket(id=1)
    ticket._seen = 7
    known = codec(Ticket)
    back = known.decode(known.encode(ticket, where=""), where="")
    assert (back.model_fields_set, back._seen, back.words) == ({"id"}, 7, set())


def test_time_that_pydantic_parsed_comes_back():
    ticket = Ticket.model_validate({"id": 1, "when": "2024-01-01T10:00:00+02:00"})
    known = codec(Ticket)
    back = known.decode(known.encode(ticket, where=""), where="")
    assert back.when == ticket.when
    assert back.when.utcoffset() == ticket.when.utcoffset()


def test_cached_property_is_left_to_be_found_again():
    lazy = Lazy(4)
    assert lazy.twice == 8
    known = codec(Lazy)
    assert vars(known.decode(known.encode(lazy, where=""), where="")) == {"n": 4}


@pytest.mark.parametrize(
    "annotation",
    [
        Ticket | None,
        Optional[Ticket],  # noqa: UP045 - the older spelling is another object
        typing.List[Ticket],  # noqa: UP006
        dict[str, list[Ticket]],
        tuple[Ticket, ...],
        Annotated[Ticket, {"unhashable": []}],
        Annotated[list[Ticket], Field(min_length=1)],
        NewType("Alias", Ticket),
        TypeVar("Bound", bound=Ticket),
        TypeVar("OneOf", int, Ticket),
        Callable[[Ticket], int],
        Iterable[Ticket],
        type[Ticket],
        Row,
        Box[Ticket],
        Page[Ticket],
        dataclasses.make_dataclass("Holder", [("ticket", Ticket)]),
    ],
)
def test_class_is_found_anywhere_in_an_annotation(annotation):
    known = codec(annotation)
    value = [Ticket(id=1, where=Point(1)), Colour.SAND]
    assert known.decode(known.encode(value, where=""), where="") == value


@pytest.mark.parametrize("annotation", [Literal[Colour.RED, "x"], Entry, Ticket])
def test_enum_is_found_in_literals_and_fields(annotation):
    known = codec(annotation)
    assert known.decode(known.encode(Colour.RED, where=""), where="") is Colour.RED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement is new in Python 3.12")
def test_class_is_found_behind_a_type_statement():
    scope = {"Ticket": Ticket}
    exec("type Json = list[Json] | Ticket", scope)
    known = codec(scope["Json"])
    assert known.decode(known.encode(Ticket(id=1), where=""), where="") == Ticket(id=1)


def test_annotations_that_say_nothing_are_passed_over():
    @dataclass
    class Local:
        n: int
        other: "Missing"  # noqa: F821 - it can't be resolved, on purpose

    known = codec(Any, None, ..., "Ticket", 5, object, int, T, Local)
    assert known.decode(known.encode(Local(1, "x"), where=""), where="") == Local(1, "x")


def refusal(value: Any, *types: Any) -> str:
    with pytest.raises(ValueNotStorable) as caught:
        codec(*types).encode(value, where="it")
    return f"{caught.value}; {caught.value.suggestion}"


@pytest.mark.parametrize("value", [Ticket(id=1), Point(1), Colour.RED, Level.LOW, Name.ANN, Page[int](items=[])])
def test_undeclared_class_is_refused_with_advice(value):
    name = type(value).__qualname__
    message = refusal({"a": [value]})
    assert f"{name}', which is not declared at $.a[0]; declare {name!r} as the step's output type" in message


def test_subclass_of_a_declared_class_is_refused():
    class Special(Ticket):
        pass

    assert "which is not declared" in refusal(Special(id=1), Ticket)


def test_secret_in_a_model_is_refused_at_its_field():
    assert "a secret (SecretStr) at $.token" in refusal(WithSecret(token=SecretStr("hush")), WithSecret)


def test_attribute_that_is_no_field_is_refused():
    assert "with attributes that are no fields: total at $[0]" in refusal([Sum([1])], Sum)


def test_object_that_lacks_a_field_is_refused():
    point = Point(1)
    del point.x
    assert "with a field that was never set" in refusal(point, Point)
    assert "without its field 'id'" in refusal(Ticket.model_construct(), Ticket)


def test_dataclass_that_is_a_list_as_well_is_refused():
    @dataclass
    class Both(list):
        n: int

    assert "which is not declared" in refusal(Both(1), Both)


def test_nameless_enum_member_is_refused():
    member = object.__new__(Colour)
    member._name_, member._value_ = "PINK", (3,)
    assert "a nameless member of" in refusal(member, Colour)


def test_two_classes_of_one_name_are_refused():
    first, second = (renamed(dataclasses.make_dataclass("A", ["n"]), module="m", name="A") for _ in range(2))
    assert "one of two classes named 'm:A'" in refusal(first(1), first, second)
    known = codec(first, second)
    assert type(known.decode(known.encode(second(1), where=""), where="")) is second


def unreadable(data: bytes, *types: Any) -> str:
    with pytest.raises(StateCorrupt) as caught:
        codec(*types).decode(data, where="the result of 'x'")
    assert caught.value.suggestion
    return str(caught.value)


def test_missing_class_is_named_and_nothing_is_imported():
    before = set(sys.modules)
    message = unreadable(b'{"$":"antigravity:Gone","v":{}}', Ticket)
    assert message.startswith("the result of 'x' can't be read: it holds an object of class 'antigravity:Gone'")
    assert set(sys.modules) == before


def test_class_that_moved_to_another_module_is_found_by_its_name():
    data = codec(Point).encode(Point(1), where="").replace(Point.__module__.encode(), b"__main__")
    assert b"__main__:Point" in data
    assert codec(Point).decode(data, where="") == Point(1)


def test_moved_class_is_not_guessed_among_two_of_its_name():
    kinds = [renamed(dataclasses.make_dataclass("A", ["n"]), module=module, name="A") for module in ("m", "n")]
    assert "class 'old:A', which the pipeline does not declare" in unreadable(b'{"$":"old:A","v":{"n":1}}', *kinds)


def version(base: type, **fields: Any) -> type:
    """The class `m:A` as one release has it, with fields of these types, or types and makers of defaults."""
    if base is BaseModel:
        wanted = {
            name: (hint[0], Field(default_factory=hint[1])) if isinstance(hint, tuple) else (hint, ...)
            for name, hint in fields.items()
        }
        return renamed(create_model("A", **wanted), module="m", name="A")
    parts = [
        (name, hint[0], field(default_factory=hint[1])) if isinstance(hint, tuple) else (name, hint)
        for name, hint in fields.items()
    ]
    return renamed(dataclasses.make_dataclass("A", parts), module="m", name="A")


@pytest.mark.parametrize("base", [BaseModel, object])
def test_field_that_is_gone_or_new_without_a_default_is_named(base):
    old, new = version(base, a=int), version(base, b=int)
    data = codec(old).encode(old(a=1), where="")
    assert "the class 'm:A' has changed since: it has no field 'a' any more" in unreadable(data, new)
    wider = version(base, a=int, b=int)
    assert "it has a new field 'b' without a default" in unreadable(data, wider)


@pytest.mark.parametrize("base", [BaseModel, object])
def test_new_field_gets_its_default(base):
    old, wider = version(base, a=int), version(base, a=int, b=(list, list))
    data = codec(old).encode(old(a=1), where="")
    assert codec(wider).decode(data, where="") == wider(a=1, b=[])


def test_new_field_gets_a_plain_default():
    old = version(object, a=int)
    wider = renamed(dataclasses.make_dataclass("A", [("a", int), ("b", int, 5)]), module="m", name="A")
    assert codec(wider).decode(codec(old).encode(old(a=1), where=""), where="") == wider(1, 5)


@pytest.mark.parametrize("members", [{"GREEN": 1}, {"RED": 2}])
def test_enum_whose_member_is_gone_or_means_something_else_is_named(members):
    old = renamed(Enum("E", {"RED": 1}), module="m", name="E")
    new = renamed(Enum("E", members), module="m", name="E")
    data = codec(old).encode(old.RED, where="")
    assert "'m:E' has changed since: its member 'RED' is gone or has another value" in unreadable(data, new)


@pytest.mark.parametrize("data", [b'{"$":"m:A"}', b'{"$":"m:A","v":1}', b'{"$":"m:A","v":[]}'])
@pytest.mark.parametrize("base", [BaseModel, object])
def test_broken_object_is_corrupt(base, data):
    assert "its part of type 'm:A' is broken" in unreadable(data, version(base, a=int))


def test_stored_object_is_readable_json():
    stored = json.loads(codec(Ticket).encode(Ticket(id=1, where=Point(1)), where=""))
    assert stored["$"].endswith(":Ticket")
    assert stored["v"]["where"]["v"] == {"x": 1, "y": {"$": "tuple", "v": []}, "made": 1}


@pytest.mark.parametrize("annotation", [BaseModel, Enum, Exception, typing.Union[int, str], int | None, list, Callable])  # noqa: UP007
def test_general_annotation_declares_nothing(annotation):
    assert "which is not declared" in refusal(Point(1), annotation)


def test_objects_nest_a_hundred_levels_deep():
    value: Any = 1
    for _ in range(100):
        value = Box(value)
    known = codec(Box)
    assert known.decode(known.encode(value, where=""), where="") == value
    assert "nested more than 100 levels deep" in refusal([value], Box)
