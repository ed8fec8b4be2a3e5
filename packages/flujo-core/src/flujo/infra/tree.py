"""What the nodes of a parsed template say of themselves. Nodes are known by the names of their classes."""

from itertools import takewhile
from typing import Any, Final, NamedTuple

__all__ = [
    "REFERENCES",
    "Getattr",
    "Name",
    "count",
    "flat",
    "is_output_of_step",
    "kind",
    "label",
    "only_expression",
    "path",
    "reference",
]

#: The nodes that lead to data.
REFERENCES: Final = frozenset({"Getattr", "Getitem", "Name"})


class Name(NamedTuple):
    """A bare name, called as the parser calls it."""

    name: str
    lineno: int = 0


class Getattr(NamedTuple):
    """A dotted name, called as the parser calls it."""

    node: "Name | Getattr"
    attr: str
    lineno: int = 0


def reference(dotted: str) -> Name | Getattr:
    """The nodes of a dotted name, made without the parser."""
    first, *rest = dotted.split(".")
    node: Name | Getattr = Name(first)
    for name in rest:
        node = Getattr(node, name)
    return node


def kind(node: Any) -> str:
    """The kind of a node: the name of its class."""
    return type(node).__name__


def path(node: Any) -> str:
    """The dotted name that a reference reads, up to the first key that isn't a name; nothing for a non-reference."""
    root, links = _chain(node)
    names = takewhile(lambda name: isinstance(name, str), (_key(link) for link in links))
    return ".".join([root, *names]) if root else ""


def label(node: Any) -> str:
    """What errors call the value of `node`: a reference as it is written, or just that."""
    root, links = _chain(node)
    written = [f".{link.attr}" if kind(link) == "Getattr" else f"[{_key(link)!r}]" for link in links]
    return root + "".join(written).replace("[None]", "[...]") if root else "the value"


def _chain(node: Any) -> tuple[str, list[Any]]:
    """The root name of a reference, and its dots and brackets in the order they are read."""
    links = []
    while kind(node) in ("Getattr", "Getitem"):
        links.append(node)
        node = node.node
    return (str(node.name) if kind(node) == "Name" else "", links[::-1])


def _key(link: Any) -> Any:
    if kind(link) == "Getattr":
        return link.attr
    return link.arg.value if kind(link.arg) == "Const" else None


def is_output_of_step(node: Any) -> bool:
    """Whether this is `steps.NAME.output`, or its other spellings: `steps.NAME` is that already."""
    step = node.node
    is_step = kind(step) in ("Getattr", "Getitem") and kind(step.node) == "Name" and step.node.name == "steps"
    return is_step and node.attr in ("output", "result", "value")


def flat(node: Any) -> list[Any]:
    """The operands of a chain of one operator, left to right."""
    chained, operands = kind(node), []
    while kind(node) == chained:
        operands.append(node.right)
        node = node.left
    return [node, *reversed(operands)]


def only_expression(nodes: list[Any]) -> Any | None:
    """The expression that a template's `nodes` are, if they are nothing else."""
    pieces = nodes[0].nodes if len(nodes) == 1 and kind(nodes[0]) == "Output" else []
    return pieces[0] if len(pieces) == 1 and kind(pieces[0]) != "TemplateData" else None


def count(node: Any) -> int:
    """How many nodes `node` is made of."""
    waiting, found = [node], 0
    while waiting:
        waiting.extend(waiting.pop().iter_child_nodes())
        found += 1
    return found
