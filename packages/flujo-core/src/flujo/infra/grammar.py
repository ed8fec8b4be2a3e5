"""The one place that knows Jinja: its lexer and parser turn text into a tree. Nothing of it renders here.

The parser's nodes know only their line. The tokens handed to it carry their offset in the text instead, so that
every node's `lineno` is an offset, and every error can name line and column.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from flujo.infra.values import refused_at

__all__ = ["parse_expression", "parse_template"]

Tree = TypeVar("Tree")

#: The longest source of one template, in characters, and how deep its brackets may be nested.
_MAX_SOURCE: Final = 64 * 1024
_MAX_BRACKETS: Final = 32

#: The most characters of a number; what it may be worth is checked with the tree.
_MAX_DIGITS: Final = 32

#: Stand-ins for carriage returns, which the lexer would rewrite: white space to it, as they are.
_STAND_INS: Final = "\x1c\x1d\x1e\x1f\x0b\x0c\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"

#: An escape of ours, or a backslash that begins none and so stands for itself.
_BACKSLASH: Final = re.compile(r"""\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})|\\""")

_NESTING: Final = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def parse_template(source: str) -> list[nodes.Node]:
    """The parts of template text, in order. Raises `TemplateResolutionError` with the place."""
    return _guarded(source, lambda text: Parser(_LANGUAGE, text).parse().body)


def parse_expression(source: str) -> nodes.Expr:
    """The one expression that `source` is. Raises `TemplateResolutionError` with the place."""
    return _guarded(source, _one_expression)


def _one_expression(text: str) -> nodes.Expr:
    parser = Parser(_LANGUAGE, text, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        parser.fail(f"unexpected {parser.stream.current.value!r} after the expression")
    return expression


def _guarded(source: str, parse: Callable[[str], Tree]) -> Tree:
    if len(source) > _MAX_SOURCE:
        raise refused_at(source, 0, f"a template of {len(source)} characters is too long, {_MAX_SOURCE} are the most")
    try:
        return parse(source)
    except TemplateSyntaxError as error:
        message = (error.message or "this can't be read").partition(". ")[0].rstrip(".")
        raise refused_at(source, error.lineno, message[:1].lower() + message[1:]) from error
    except RecursionError as error:
        raise refused_at(source, 0, "the template is nested too deeply") from error


class _Language(Environment):
    """Jinja's syntax without comments, with text kept as it is, and with offsets for line numbers."""

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        return TokenStream(self._tokens(source, state), name, filename)

    def _tokens(self, source: str, state: str | None) -> Iterator[Token]:
        stand_in = next((char for char in _STAND_INS if char not in source), None)
        if stand_in is None:
            raise refused_at(source, 0, "the template holds too many kinds of white space")
        for token in self.lexer.wrap(self._located(source.replace("\r", stand_in), state, stand_in)):
            is_text = token.type == "data"
            yield Token(token.lineno, token.type, token.value.replace(stand_in, "\r")) if is_text else token

    def _located(self, source: str, state: str | None, stand_in: str) -> Iterator[tuple[int, str, str]]:
        position = depth = 0
        try:
            for _, kind, value in self.lexer.tokeniter(source, None, None, state):
                position = max(source.find(value, position), position)
                depth += _NESTING.get(value, 0) if kind == "operator" else 0
                _check_token(source, position, kind, value, depth)
                yield position, kind, _string(value, stand_in) if kind == "string" else value
                position += len(value)
        except TemplateSyntaxError as error:
            error.lineno = position
            raise


def _check_token(source: str, offset: int, kind: str, value: str, depth: int) -> None:
    if depth > _MAX_BRACKETS:
        raise refused_at(source, offset, f"brackets are nested more than {_MAX_BRACKETS} deep")
    if kind in ("integer", "float") and (len(value) > _MAX_DIGITS or not value.isascii()):
        raise refused_at(source, offset, "the number is too long, or has digits other than 0 to 9")


def _string(literal: str, stand_in: str) -> str:
    """The literal with every backslash the lexer's decoder would complain of doubled."""
    escaped = _BACKSLASH.sub(lambda found: found[0] if len(found[0]) > 1 else "\\\\", literal)
    return escaped.replace(stand_in, "\\r")


#: Nothing starts a comment: in a template's text only `{{` and `{%` are special.
_LANGUAGE: Final = _Language(comment_start_string="\0{#", comment_end_string="#}\0", keep_trailing_newline=True)
