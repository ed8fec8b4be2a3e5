"""YAML events to a tree of nodes, within limits that hold for hostile text too.

The parser's events are put together on a stack of our own: sizes and depths, those behind aliases included, are
known before anything is expanded, and nothing recurses.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import yaml

from flujo.blueprint.diagnostics import Report, brief
from flujo.blueprint.document import Place, place_of, split_lines
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import BlueprintError

__all__ = ["MAX_ALIASES", "MAX_DEPTH", "MAX_NODES", "MAX_PLAIN", "QUOTE", "Composer", "Node"]

MAX_ALIASES = 32
#: Steps stand up to 64 deep in one another, and each takes a few mappings and lists.
MAX_DEPTH = 64 * 5
#: How deep values may be that hold no steps.
MAX_PLAIN = 64
MAX_NODES = 20_000

#: Advice for a template without quotes, which YAML takes for a mapping.
QUOTE = "quote text that begins with '{': \"{{ ... }}\""

_Parser = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_ENDS = "\r\n\x85\u2028\u2029"
#: One line, with its end. (Lines are looked at one by one: Python 3.11.2 gets possessive repetitions wrong.)
_LINE = re.compile(rf"[^{_ENDS}]*(?:[{_ENDS}]|\Z)")
#: A value that begins like a template but is no quoted text.
_BARE_TEMPLATE = re.compile(r"(?:^|[:\[,-])[ \t]+\{\{")


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, list or mapping of the text; `items` are its children with the places where they are used.

    `size` and `height` are those of its tree with every alias expanded; a scalar's height is 0. `bare` is the height
    down to the next mappings with a name, which steps are.
    """

    kind: Literal["text", "list", "map"]
    place: Place
    text: str = ""
    plain: bool = False
    items: list[tuple[Place, "Node"]] = field(default_factory=list)
    size: int = 1
    height: int = 0
    bare: int = 0
    is_open: bool = False


def _is_blank(line: str) -> bool:
    """Whether the line holds nothing but space and a comment."""
    return line.strip()[:1] in ("", "#")


class Composer:
    """Puts the events of one document together, notes mistakes, and stops at the first limit that is passed."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._open: list[Node] = []
        self._anchors: dict[str, Node] = {}
        self._aliases = 0
        self._nodes = 0
        self._root: Node | None = None

    def compose(self) -> Node:
        """The document's root; of an empty text, an empty scalar. Raises `BlueprintError`."""
        self._refuse_tag_directives()
        try:
            for event in yaml.parse(self._text, Loader=_Parser):
                if isinstance(event, yaml.DocumentEndEvent):
                    self._refuse_more(event)
                    break
                self._take(event)
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from error
        return self._root or Node("text", (1, 1), plain=True)

    def _take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                node = self._node("text", event)
                node.text, node.plain = event.value, event.implicit[0]
                self._add(node.place, node)
            case yaml.AliasEvent():
                self._alias(event.anchor, _place(event.start_mark))
            case yaml.MappingStartEvent():
                self._enter(self._node("map", event))
            case yaml.SequenceStartEvent():
                self._enter(self._node("list", event))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._leave()
            case _:
                return  # the beginning of the stream and of the document

    def _node(self, kind: Literal["text", "list", "map"], event: Any) -> Node:
        node = Node(kind, _place(event.start_mark))
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report.note(
                "V-Y06", f"the tag {brief(tag)} is not allowed", node.place, "leave it out: values are plain data"
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._count(1, node.place)
        return node

    def _enter(self, node: Node) -> None:
        node.height, node.bare, node.is_open = 1, 1, True
        self._check_depth(node.height, node.place)
        self._open.append(node)

    def _leave(self) -> None:
        node = self._open.pop()
        node.is_open = False
        if node.kind == "map" and any(map(_is_name, node.items[::2], node.items[1::2])):
            node.bare = 0
        self._add(node.place, node)

    def _add(self, place: Place, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.items.append((place, node))
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        parent.bare = max(parent.bare, node.bare + 1)
        if parent.bare > MAX_PLAIN:
            self._stop("V-Y04", f"mappings and lists stand more than {MAX_PLAIN} deep in one another", place)

    def _alias(self, anchor: Any, place: Place) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._stop("V-Y04", f"there are more than {MAX_ALIASES} aliases", place)
        target = self._anchors.get(anchor)
        if target is None or target.is_open:
            what = "names no anchor before it" if target is None else "stands inside what it names"
            advice = did_you_mean(anchor, self._anchors, what="anchors are") if target is None else None
            self._report.note("V-Y07", f"the alias {brief(anchor)} {what}", place, advice)
            target = Node("text", place, plain=True)
        self._count(target.size, place)
        self._check_depth(target.height, place)
        self._add(place, target)

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._stop(
                "V-Y04", f"there are more than {MAX_NODES} values, those behind aliases counted each time", place
            )

    def _check_depth(self, more: int, place: Place) -> None:
        if len(self._open) + more > MAX_DEPTH:
            self._stop("V-Y04", f"mappings, lists and steps stand more than {MAX_DEPTH} deep in one another", place)

    def _refuse_tag_directives(self) -> None:
        """Stop at a %TAG directive before the parser sees it: its time for many of those is quadratic."""
        for line in _LINE.finditer(self._text):
            if line[0].startswith("%TAG"):
                self._stop("V-Y06", "the directive '%TAG' is not allowed", place_of(self._text, line.start()))
            if not (_is_blank(line[0]) or line[0].startswith("%")):
                return

    def _refuse_more(self, end: Any) -> None:
        """Stop at what follows the document, beside blank lines, comments and its end marker."""
        for line in _LINE.finditer(self._text, end.end_mark.index):
            is_marker = line[0].startswith("...") and not line[0][3:].strip()
            if not (is_marker or _is_blank(line[0])):
                self._stop("V-Y09", "the file holds more than one document", place_of(self._text, line.start()))

    def _stop(self, code: str, message: str, place: Place) -> NoReturn:
        self._report.note(code, message, place)
        raise self._report.error()

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> BlueprintError:
        message = error.problem or ""
        number, column = _place(error.problem_mark) if error.problem_mark else (1, 1)
        if error.context:
            message += f" {error.context}"
            message += f" that begins at line {error.context_mark.line + 1}" if error.context_mark else ""
        lines = split_lines(self._text)
        while number > len(lines) or (number > 1 and not lines[number - 1].strip()):
            number -= 1  # what is missing at the end belongs after the last line that says something
            column = len(lines[min(number, len(lines)) - 1]) + 1
        line = lines[number - 1]
        advice = "indent with spaces, not with tabs" if line[column - 1 : column] == "\t" else None
        if message.startswith("mapping values are not allowed"):
            advice = 'quote text that has a colon and a space in it: "note: this"'
        if _BARE_TEMPLATE.search(line):
            advice = QUOTE
        self._report.note("V-Y02", message, (number, column), advice)
        return self._report.error()


def _is_name(key: tuple[Place, Node], value: tuple[Place, Node]) -> bool:
    return key[1].text in ("name", "step") and value[1].kind == "text"


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1
