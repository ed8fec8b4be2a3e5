"""Template text: what stands between the braces is computed, what stands around them is kept exactly."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from flujo.domain.scope import Scope
from flujo.infra.budget import ITEM, Budget, LoopScope
from flujo.infra.expressions import Compiled, Compiler, grammar
from flujo.infra.filters import Filter
from flujo.infra.references import RESERVED, Evaluate
from flujo.infra.tree import count, kind, only_expression, reference
from flujo.infra.values import MAX_TEXT, items_of, show, too_long, truth

__all__ = ["compile_text"]

#: How deep statements may be nested.
_MAX_DEPTH: Final = 32

#: A text that is one dotted name: most are, and such a text needs no parser.
_DOTTED: Final = re.compile(r"\{\{ *((?!(?:true|false|none|not)\b)[a-z]\w*(?:\.[a-z]\w*)*) *\}\}", re.ASCII)


class _Page(Budget):
    """The text so far, and what it cost."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.size = 0

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > MAX_TEXT:
            raise too_long()
        self.parts.append(text)


#: A statement, checked and ready: it writes on the page.
_Emit: TypeAlias = Callable[[Scope, _Page], None]


def compile_text(source: str, filters: Mapping[str, Filter]) -> Compiled:
    """Compile template text. Raises `TemplateResolutionError` with line and column."""
    if "{{" not in source and "{%" not in source:
        return Compiled(frozenset(), lambda _: source)
    dotted = _DOTTED.fullmatch(source)
    nodes = [] if dotted else grammar().parse_template(source)
    expression = reference(dotted[1]) if dotted else only_expression(nodes)
    compiler = Compiler(source, filters)
    if expression is not None:
        return compiler.compiled(compiler.visit(expression))
    emit = _Statements(compiler).block(nodes)

    def write(scope: Scope) -> str:
        page = _Page()
        emit(scope, page)
        return "".join(page.parts)

    return compiler.compiled(write)


class _Statements:
    """Compiles what stands in a text: output, `if` and `for`."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._depth = 0

    def block(self, nodes: Sequence[Any]) -> _Emit:
        """Compile statements that follow each other."""
        self._depth += 1
        emits = [self._statement(node) for node in nodes]
        self._depth -= 1
        if len(emits) == 1:
            return emits[0]

        def emit(scope: Scope, page: _Page) -> None:
            for part in emits:
                part(scope, page)

        return emit

    def _statement(self, node: Any) -> _Emit:
        handler = _HANDLERS.get(kind(node))
        if handler is None:
            raise self._compiler.unknown(node)
        if self._depth > _MAX_DEPTH:
            raise self._compiler.refuse(node, f"statements are nested more than {_MAX_DEPTH} deep")
        return handler(self, node)

    def _output(self, node: Any) -> _Emit:
        pieces = [self._piece(piece) for piece in node.nodes]

        def emit(scope: Scope, page: _Page) -> None:
            for piece in pieces:
                page.write(piece if isinstance(piece, str) else show(piece(scope)))

        return emit

    def _piece(self, node: Any) -> str | Evaluate:
        return str(node.data) if kind(node) == "TemplateData" else self._compiler.visit(node)

    def _if(self, node: Any) -> _Emit:
        cases = [(self._compiler.visit(case.test), self.block(case.body)) for case in (node, *node.elif_)]
        otherwise = self.block(node.else_)

        def emit(scope: Scope, page: _Page) -> None:
            chosen = next((body for test, body in cases if truth(test(scope))), otherwise)
            chosen(scope, page)

        return emit

    def _for(self, node: Any) -> _Emit:
        variable = self._variable(node)
        items = self._compiler.visit(node.iter)
        self._compiler.variables += [variable, "loop"]
        test = self._compiler.visit(node.test) if node.test is not None else None
        body = self.block(node.body)
        del self._compiler.variables[-2:]
        otherwise = self.block(node.else_)
        cost = ITEM + count(node)

        def emit(scope: Scope, page: _Page) -> None:
            found = items_of(items(scope), "a loop")
            page.spend(cost * len(found))
            if test is not None:
                found = [item for item in found if truth(test(_inside(scope, page, {variable: item})))]
            for index, item in enumerate(found):
                body(_inside(scope, page, {variable: item, "loop": _loop(index, len(found))}), page)
            if not found:
                otherwise(scope, page)

        return emit

    def _variable(self, node: Any) -> str:
        """The loop's variable. Only a plain name will do, and none that means something else."""
        if node.recursive:
            raise self._compiler.refuse(node, "'recursive' is not allowed in a template")
        if kind(node.target) != "Name":
            raise self._compiler.refuse(
                node, "a loop has one variable", "read the parts of an item as item[0], item[1]"
            )
        name = str(node.target.name)
        if name.startswith("_") or name == "loop" or name in RESERVED:
            raise self._compiler.refuse(node, f"a loop's variable can't be called {name!r}")
        return name


def _inside(scope: Scope, budget: Budget, names: dict[str, Any]) -> LoopScope:
    extras = {**scope.extras, **names}
    return LoopScope(scope.previous, scope.outputs, scope.context, scope.input, extras, budget.spend)


def _loop(index: int, length: int) -> dict[str, Any]:
    return {"index": index + 1, "index0": index, "first": index == 0, "last": index == length - 1, "length": length}


_HANDLERS: Final[Mapping[str, Callable[[_Statements, Any], _Emit]]] = {
    "For": _Statements._for,
    "If": _Statements._if,
    "Output": _Statements._output,
}
