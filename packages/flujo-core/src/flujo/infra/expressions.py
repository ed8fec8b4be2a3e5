"""The one language of templates and conditions: a checked tree becomes functions of the scope, once.

The tree is checked against an allow-list: a construct that has no handler here doesn't exist. What it may do is
bounded in `values`, `operators` and `filters`; nothing is ever compiled or rendered by another engine.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from flujo.domain.scope import Scope
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import TemplateResolutionError
from flujo.infra import references, tree
from flujo.infra.budget import charged
from flujo.infra.calls import METHODS, bind, filtered, method
from flujo.infra.filters import FILTERS, TESTS, Filter
from flujo.infra.operators import ARITHMETIC, COMPARISONS, bounded_number, concat, is_number
from flujo.infra.references import Evaluate
from flujo.infra.values import MISSING, Undefined, kind_of, refused_at, truth

__all__ = ["Compiled", "Compiler", "compile_expression", "grammar"]

#: How deep a tree may be.
_MAX_DEPTH: Final = 100

#: Words in which errors speak of what isn't in the language.
_WORDS: Final[Mapping[str, str]] = {
    "Assign": "'set'",
    "AssignBlock": "'set'",
    "CallBlock": "'call'",
    "FilterBlock": "'filter'",
    "FromImport": "'from'",
    "Pow": "'**'",
    "Scope": "'autoescape'",
    "Slice": "a slice",
}

#: Expressions that may be undefined as a whole, for which `or`, `default()` and `is defined` look.
_MAYBE: Final = tree.REFERENCES | {"And", "Call"}
_MAYBE_FILTERS: Final = frozenset({"d", "default", "first", "last"})

#: Filters that don't look at every item.
_QUICK: Final = frozenset({"count", "first", "last", "length"})

#: Filters that make text of anything, as `~` does.
_WRITERS: Final = frozenset({"join", "string", "tojson"})


def grammar() -> ModuleType:
    """The module that parses. It loads Jinja, so it is loaded when the first template needs it."""
    from flujo.infra import grammar as module  # noqa: PLC0415 - a run without templates need not pay for Jinja

    return module


class Compiled(NamedTuple):
    """A template or condition, checked and ready. `names` are the dotted names it reads, its own loops' left out.

    `render` gives its value in a scope, or raises `TemplateResolutionError`.
    """

    names: frozenset[str]
    render: Evaluate


def compile_expression(source: str, filters: Mapping[str, Filter] = FILTERS) -> Compiled:
    """Compile a condition: an expression, bare or as the one thing in `{{ }}`.

    Raises `TemplateResolutionError`, with line and column, for text that isn't an expression of ours.
    """
    text = source.strip()
    if text.startswith("{{"):
        node = tree.only_expression(grammar().parse_template(text))
    else:
        node = grammar().parse_expression(text)
    if node is None:
        raise refused_at(text, 0, "this is more than one expression", "write it without any braces")
    compiler = Compiler(text, filters)
    return compiler.compiled(compiler.visit(node))


class Compiler:
    """Turns one template's nodes into functions of the scope, refusing all that isn't in the language.

    `variables` are the loop variables in force; `names` collects the dotted names that are read.
    """

    def __init__(self, source: str, filters: Mapping[str, Filter]) -> None:
        self.source = source
        self.names: set[str] = set()
        self.variables: list[str] = []
        self._filters = filters
        self._depth = 0

    def compiled(self, run: Evaluate) -> Compiled:
        """What was compiled, as a whole: `run` gives its value."""

        def render(scope: Scope) -> Any:
            try:
                return run(scope)
            except RecursionError as error:
                raise TemplateResolutionError("the values in the template are nested too deeply") from error

        return Compiled(frozenset(self.names), render)

    def refuse(self, node: Any, message: str, suggestion: str | None = None) -> TemplateResolutionError:
        """The error for `node`, with its place."""
        return refused_at(self.source, node.lineno or 0, message, suggestion)

    def visit(self, node: Any) -> Evaluate:
        """Compile any expression, and note the name it reads if it is a reference."""
        path = tree.path(node) if tree.kind(node) in tree.REFERENCES else ""
        if path and path.split(".")[0] not in self.variables:
            self.names.add(path)
        return self._build(node)

    def _build(self, node: Any) -> Evaluate:
        handler = _HANDLERS.get(tree.kind(node))
        if handler is None:
            raise self.unknown(node)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.refuse(node, "the expression is nested too deeply")
        evaluate = handler(self, node)
        self._depth -= 1
        if not self.variables:
            return evaluate
        return charged(evaluate, characters=8) if _writes(node) else charged(evaluate)

    def unknown(self, node: Any) -> TemplateResolutionError:
        """The error for a construct that isn't in the language."""
        word = _WORDS.get(tree.kind(node), f"{tree.kind(node).lower()!r}")
        return self.refuse(node, f"{word} is not allowed in a template")

    def _base(self, node: Any) -> Evaluate:
        """Compile what a reference starts from; only the whole reference is a name that is read."""
        return self._build(node) if tree.kind(node) in tree.REFERENCES else self.visit(node)

    def _optional(self, node: Any) -> Evaluate:
        """Compile `node` to give `MISSING` where it is undefined as a whole."""
        evaluate = self.visit(node)
        if tree.kind(node) not in _MAYBE and getattr(node, "name", None) not in _MAYBE_FILTERS:
            return evaluate

        def attempt(scope: Scope) -> Any:
            try:
                return evaluate(scope)
            except Undefined:
                return MISSING

        return attempt

    def _const(self, node: Any) -> Evaluate:
        value = node.value
        try:
            if isinstance(value, str):
                value.encode()  # half a surrogate pair is no text
            elif value is not None:
                bounded_number(value)
        except UnicodeEncodeError as error:
            raise self.refuse(node, "this constant can't be used: it isn't text") from error
        except TemplateResolutionError as error:
            raise self.refuse(node, f"this constant can't be used: {error}") from error
        return lambda _: value

    def _name(self, node: Any) -> Evaluate:
        self._no_underscore(node, node.name)
        return references.name(node.name)

    def _getattr(self, node: Any) -> Evaluate:
        self._no_underscore(node, node.attr)
        if tree.is_output_of_step(node):
            return (
                self._base(node.node) if node.attr == "output" else references.either(self._base(node.node), node.attr)
            )
        if node.attr == "output" and tree.path(node) == "previous_step.output":
            return references.either(self._base(node.node), node.attr)
        return references.field(self._base(node.node), node.attr, tree.label(node.node))

    def _getitem(self, node: Any) -> Evaluate:
        key = node.arg
        if tree.kind(key) == "Const" and str(key.value).startswith("__"):
            raise self.refuse(node, f"{key.value!r} can't be read in a template")
        return references.item(self._base(node.node), self.visit(key), tree.label(node.node))

    def _no_underscore(self, node: Any, word: str) -> None:
        if word.startswith("_"):
            advice = "a mapping's key may be written in brackets, as in x['_id']"
            raise self.refuse(node, f"the name {word!r} starts with '_', which no name in a template may", advice)

    def _call(self, node: Any) -> Evaluate:
        word = node.node.attr if tree.kind(node.node) == "Getattr" else ""
        if word not in METHODS:
            listed = ", ".join(METHODS)
            raise self.refuse(node, "this can't be called in a template", f"the methods there are: {listed}")
        least, most = METHODS[word]
        arguments, named = self._arguments(node)
        if named or not least <= len(arguments) <= most:
            raise self.refuse(node, f"{word}() takes {least} to {most} arguments, none of them by name")
        receiver = node.node.node
        return method(self.visit(receiver), word, arguments, tree.label(receiver))

    def _arguments(self, node: Any) -> tuple[list[Evaluate], dict[str, Evaluate]]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise self.refuse(node, "'*' and '**' can't stand before an argument")
        named = {argument.key: self.visit(argument.value) for argument in node.kwargs}
        return [self.visit(argument) for argument in node.args], named

    def _filter(self, node: Any) -> Evaluate:
        if node.name in ("default", "d"):
            return self._default(node)
        function = self._filters.get(node.name)
        if function is None:
            known = [*self._filters, "default"]
            raise self.refuse(
                node, f"there is no filter {node.name!r}", did_you_mean(node.name, known, what="there are")
            )
        arguments, named = self._arguments(node)
        self._bind(node, function, arguments, named)
        subject = self.visit(node.node)
        if self.variables and node.name not in _QUICK:
            subject = charged(subject, items=1)
        return filtered(node.name, function, subject, arguments, named)

    def _bind(
        self, node: Any, function: Filter, arguments: list[Evaluate], named: dict[str, Evaluate]
    ) -> dict[str, Any]:
        try:
            return bind(function, arguments, named)
        except TypeError as error:
            raise self.refuse(node, f"filter {node.name!r} can't be used so: {error}") from error

    def _default(self, node: Any) -> Evaluate:
        bound = self._bind(node, _default, *self._arguments(node))
        value = self._optional(node.node)
        fallback = bound.get("default_value", lambda _: "")
        also_empty = bound.get("boolean", lambda _: False)

        def evaluate(scope: Scope) -> Any:
            found = value(scope)
            if found is MISSING or (also_empty(scope) and not truth(found)):
                return fallback(scope)
            return found

        return evaluate

    def _test(self, node: Any) -> Evaluate:
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise self.refuse(node, f"test {node.name!r} takes no arguments")
        if node.name in ("defined", "undefined"):
            value, wanted = self._optional(node.node), node.name == "undefined"
            return lambda scope: (value(scope) is MISSING) is wanted
        test = TESTS.get(node.name)
        if test is None:
            advice = did_you_mean(node.name, [*TESTS, "defined", "undefined"], what="there are")
            raise self.refuse(node, f"there is no test {node.name!r}", advice)
        tested = self.visit(node.node)
        return lambda scope: test(tested(scope))

    def _or(self, node: Any) -> Evaluate:
        operands = [self._optional(operand) for operand in tree.flat(node)]

        def evaluate(scope: Scope) -> Any:
            value = None
            for operand in operands:
                value = operand(scope)
                if value is not MISSING and truth(value):
                    return value
            return None if value is MISSING else value

        return evaluate

    def _and(self, node: Any) -> Evaluate:
        operands = [self.visit(operand) for operand in tree.flat(node)]

        def evaluate(scope: Scope) -> Any:
            value: Any = True
            for operand in operands:
                value = operand(scope)
                if not truth(value):
                    break
            return value

        return evaluate

    def _not(self, node: Any) -> Evaluate:
        value = self.visit(node.node)
        return lambda scope: not truth(value(scope))

    def _sign(self, node: Any) -> Evaluate:
        value, sign = self.visit(node.node), -1 if tree.kind(node) == "Neg" else 1

        def evaluate(scope: Scope) -> Any:
            number = value(scope)
            if is_number(number):
                return sign * bounded_number(number)
            raise TemplateResolutionError(f"a sign can't stand before {kind_of(number)}")

        return evaluate

    def _binary(self, node: Any) -> Evaluate:
        apply, left, right = ARITHMETIC[tree.kind(node)], self.visit(node.left), self.visit(node.right)
        return lambda scope: apply(left(scope), right(scope))

    def _concat(self, node: Any) -> Evaluate:
        values = [self.visit(value) for value in node.nodes]
        return lambda scope: concat([value(scope) for value in values])

    def _compare(self, node: Any) -> Evaluate:
        first = self.visit(node.expr)
        steps = [(COMPARISONS[operand.op], self.visit(operand.expr)) for operand in node.ops]
        if len(steps) == 1:
            apply, second = steps[0]
            return lambda scope: apply(first(scope), second(scope))

        def evaluate(scope: Scope) -> bool:
            left = first(scope)
            for compare, operand in steps:
                right = operand(scope)
                if not compare(left, right):
                    return False
                left = right
            return True

        return evaluate

    def _conditional(self, node: Any) -> Evaluate:
        test, then = self.visit(node.test), self.visit(node.expr1)
        otherwise = self.visit(node.expr2) if node.expr2 is not None else lambda _: None
        return lambda scope: then(scope) if truth(test(scope)) else otherwise(scope)

    def _list(self, node: Any) -> Evaluate:
        items = [self.visit(item) for item in node.items]
        return lambda scope: [item(scope) for item in items]

    def _dict(self, node: Any) -> Evaluate:
        for pair in node.items:
            if tree.kind(pair.key) != "Const":
                raise self.refuse(pair, "a mapping's keys are written as constants")
        items = {pair.key.value: self.visit(pair.value) for pair in node.items}
        return lambda scope: {key: item(scope) for key, item in items.items()}


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> None:
    """The signature of the filter `default`; what it does is up to the compiler."""


def _writes(node: Any) -> bool:
    return tree.kind(node) == "Concat" or (tree.kind(node) == "Filter" and node.name in _WRITERS)


_HANDLERS: Final[Mapping[str, Callable[[Compiler, Any], Evaluate]]] = {
    **dict.fromkeys(ARITHMETIC, Compiler._binary),
    "And": Compiler._and,
    "Call": Compiler._call,
    "Compare": Compiler._compare,
    "Concat": Compiler._concat,
    "CondExpr": Compiler._conditional,
    "Const": Compiler._const,
    "Dict": Compiler._dict,
    "Filter": Compiler._filter,
    "Getattr": Compiler._getattr,
    "Getitem": Compiler._getitem,
    "List": Compiler._list,
    "Name": Compiler._name,
    "Neg": Compiler._sign,
    "Not": Compiler._not,
    "Or": Compiler._or,
    "Pos": Compiler._sign,
    "Test": Compiler._test,
    "Tuple": Compiler._list,
}
