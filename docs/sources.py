"""Reading the code: definitions, signatures and docstrings, as the pages made from it show them."""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["Named", "described", "filled", "notes", "page", "source", "table", "type_of", "words"]

Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WIDTH = 100

#: What stands between these lines of a page is made; the rest of it is written by hand.
_MADE = re.compile(r"(?<=^<!-- made: )([^\n]+)( -->\n\n).*?(?=\n\n<!-- end -->$)", re.MULTILINE | re.DOTALL)


@cache
def _text(module: str) -> str:
    return Path(str(import_module(module).__file__)).read_text(encoding="utf-8")


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(_text(name))


def source(module: str, name: str) -> Named | None:
    """The definition of `name`: of overloads the last one, which is the function itself. None for what is no class
    and no function."""
    found = [node for node in _module(module).body if isinstance(node, Named) and node.name == name]
    return found[-1] if found else None


def type_of(annotation: ast.expr | None) -> str:
    """An annotation as it is meant: without the quotes of one that is written as text."""
    if annotation is None:
        return ""
    return str(ast.literal_eval(annotation)) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The parameters as they are written, with the marks between them, without `self`."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for number, (arg, default) in enumerate(zip(positional, defaults, strict=True), 1):
        if arg.arg not in ("self", "cls"):
            yield _parameter(arg, default)
        if number == len(args.posonlyargs) and arg.arg != "self":
            yield "/"
    if args.vararg:
        yield f"*{_parameter(args.vararg, None)}"
    elif args.kwonlyargs:
        yield "*"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, default)
    if args.kwarg:
        yield f"**{_parameter(args.kwarg, None)}"


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    kind = f": {type_of(arg.annotation)}" if arg.annotation else ""
    value = "" if default is None else ast.unparse(default)
    return arg.arg + kind + (f" = {value}" if value and kind else f"={value}" if value else "")


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The line that defines a function; one parameter a line where it would be too long."""
    parameters = list(_parameters(node))
    start = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {node.name}("
    end = f") -> {type_of(node.returns)}" if node.returns else ")"
    line = start + ", ".join(parameters) + end
    if len(line) <= _WIDTH:
        return line
    return "\n".join([start, *(f"    {parameter}," for parameter in parameters), end])


def _class(node: ast.ClassDef) -> str:
    """The line that defines a class, its fields or members, and how it is made where that is written out."""
    bases = [ast.unparse(base) for base in node.bases]
    head = f"class {node.name}({', '.join(bases)})" if bases else f"class {node.name}"
    lines = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_"):
            value = f" = {ast.unparse(each.value)}" if each.value else ""
            lines.append(f"    {ast.unparse(each.target)}: {type_of(each.annotation)}{value}")
        elif isinstance(each, ast.Assign) and ast.unparse(each.targets[0]).isupper():
            lines.append(f"    {ast.unparse(each)}")
        elif isinstance(each, _FUNCTIONS) and each.name in ("__init__", "__new__"):
            lines.append(textwrap.indent(_signature(each).removesuffix(" -> None"), "    "))
    return "\n".join([f"{head}:", *lines]) if lines else head


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(mark) for mark in node.decorator_list}


def _aliases(node: Named, name: str) -> list[str]:
    """Other names of the method `name`."""
    same = [each for each in node.body if isinstance(each, ast.Assign) and ast.unparse(each.value) == name]
    return [ast.unparse(each.targets[0]) for each in same]


def words(node: Named) -> str:
    """What its docstring says; what stands indented in it is code."""
    text = ast.get_docstring(node) or ""
    return text.replace("Example:\n", "Example:\n\n")


def _block(code: str) -> str:
    return f"```python\n{code}\n```"


def described(node: Named, level: str) -> Iterator[str]:
    """A name's heading, definition and docstring, and those of its methods."""
    yield f"{level} {node.name}"
    yield _block(_class(node) if isinstance(node, ast.ClassDef) else _signature(node))
    yield words(node)
    for each in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(each, _FUNCTIONS) and not each.name.startswith("_") and "overload" not in _marks(each):
            yield f"{level}# {node.name}.{each.name}"
            line = _signature(each)
            yield _block(f"@property\n{line}" if "property" in _marks(each) else line)
            yield words(each)
            yield "".join(f"Also: `{name}`." for name in _aliases(node, each.name))


def notes(cls: type) -> dict[str, str]:
    """What the comments that begin with `#:` say above the fields of `cls`, its own and those of its bases."""
    found: dict[str, str] = {}
    for each in reversed([base for base in cls.__mro__ if base.__module__.startswith("flujo")]):
        node, lines = source(each.__module__, each.__name__), _text(each.__module__).splitlines()
        assert node, f"{each.__module__} has no {each.__name__}"
        for field in (field for field in node.body if isinstance(field, ast.AnnAssign)):
            first = field.lineno - 1
            while lines[first - 1].startswith("    #:"):
                first -= 1
            text = " ".join(line.strip().removeprefix("#:").strip() for line in lines[first : field.lineno - 1])
            found[ast.unparse(field.target)] = text
    return found


def table(head: str, rows: Mapping[str, tuple[str, ...]]) -> str:
    """A table under the columns `head`, "key | default", whose first column is code."""
    ruler = "|".join(["---"] * (head.count(" | ") + 1))
    made = [" | ".join((f"`{name}`", *cells)) for name, cells in rows.items()]
    return "\n".join([f"| {head} |", f"|{ruler}|", *(f"| {row} |" for row in made)])


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """The text of a page with each of `blocks` between the lines that name it. Each has to be there, and no other."""
    places = [found[1] for found in _MADE.finditer(text)]
    assert sorted(places) == sorted(blocks), set(places) ^ set(blocks) or "a block is there twice"
    return _MADE.sub(lambda found: f"{found[1]}{found[2]}{blocks[found[1]]}", text)


def page(title: str, *parts: str) -> str:
    """The text of a page."""
    return "\n\n".join(part for part in (f"# {title}", *parts) if part) + "\n"
