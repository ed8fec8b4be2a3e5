"""YAML text to plain data with places: core scalars only, every key text, merges and aliases expanded."""

from pathlib import Path
from typing import Any

from flujo.blueprint.diagnostics import Report, brief
from flujo.blueprint.document import Document, Marks, Place, split_lines
from flujo.blueprint.encoding import decode, read_bytes
from flujo.blueprint.nodes import QUOTE, Composer, Node
from flujo.blueprint.scalars import resolve

__all__ = ["load", "parse"]

#: The key that merges mappings into its own.
_MERGE = "<<"


def load(path: Path) -> Document:
    """Read and parse the file at `path`. Raises `BlueprintError` with every finding."""
    return parse(read_bytes(path), str(path))


def parse(data: bytes, file: str) -> Document:
    """Parse the bytes of a file that findings call `file`. Raises `BlueprintError` with every finding."""
    report = Report(file)
    text = decode(data, file)
    root = Composer(text, report).compose()
    maker = _Maker(text, report)
    plain = maker.make(root)
    if report.findings:
        raise report.error()
    return Document(file, text, plain, maker.marks)


class _Maker:
    """Expands the nodes into plain data; every mapping and list is a fresh object with marks of its own."""

    def __init__(self, text: str, report: Report) -> None:
        self.marks: dict[int, Marks] = {}
        self._text = text
        self._report = report

    def make(self, node: Node) -> Any:
        match node.kind:
            case "text":
                return self._scalar(node) if node.plain else node.text
            case "list":
                made: list[Any] = [self.make(item) for _, item in node.items]
                self.marks[id(made)] = Marks(node.place, {}, dict(enumerate(place for place, _ in node.items)))
                return made
            case "map":
                return self._mapping(node)

    def _scalar(self, node: Node) -> Any:
        try:
            return resolve(node.text)
        except ValueError as error:
            self._report.note("V-Y10", str(error), node.place, "quote it if it is meant as text")
            return None

    def _mapping(self, node: Node) -> dict[str, Any]:
        made: dict[str, Any] = {}
        keys: dict[Any, Place] = {}
        values: dict[Any, Place] = {}
        sources, pairs = self._pairs(node)
        for source in sources:
            merged = self._mapping(source)
            marks = self.marks.pop(id(merged))  # its contents live on, the mapping itself does not
            for key in (key for key in merged if key not in made):
                made[key], keys[key], values[key] = merged[key], marks.keys[key], marks.values[key]
        for key, (key_place, place, value) in pairs.items():
            made[key], keys[key], values[key] = self.make(value), key_place, place
        self.marks[id(made)] = Marks(node.place, keys, values)
        return made

    def _pairs(self, node: Node) -> tuple[list[Node], dict[str, tuple[Place, Place, Node]]]:
        """The mappings that `<<` merges in, and the mapping's own keys with their places and values."""
        pairs: dict[str, tuple[Place, Place, Node]] = {}
        sources: list[Node] = []
        for (key_place, key), (place, value) in zip(node.items[::2], node.items[1::2], strict=True):
            if key.kind != "text":
                self._bad_key(key, key_place)
            elif key.text in pairs:
                line = pairs[key.text][0][0]
                self._report.note(
                    "V-Y05", f"the key {brief(key.text)} stands here twice", key_place, f"the first is in line {line}"
                )
            else:
                pairs[key.text] = (key_place, place, value)
                if key.plain and key.text == _MERGE:
                    sources = self._sources(value, place)
        if sources:
            del pairs[_MERGE]
        return sources, pairs

    def _sources(self, value: Node, place: Place) -> list[Node]:
        sources = [item for _, item in value.items] if value.kind == "list" else [value]
        if sources and all(source.kind == "map" for source in sources):
            return sources
        self._report.note("V-Y08", "'<<' should name a mapping, or a list of mappings", place)
        return []

    def _bad_key(self, key: Node, place: Place) -> None:
        line = split_lines(self._text)[place[0] - 1] if not self._report.full else ""
        is_template = line.startswith("{{", max(0, place[1] - 2))
        what = "mapping" if key.kind == "map" else "list"
        self._report.note("V-Y08", f"a key should be text, not a {what}", place, QUOTE if is_template else None)
