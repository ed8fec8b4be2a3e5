"""What can be known of the templates in a step's `input` before anything runs: their grammar, and their names."""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import TemplateResolutionError

__all__ = ["NO_STEPS", "Mistake", "Visible", "mistakes"]

#: The names that every template has. Any other bare name may be a field of the context, which is open in files.
_ROOTS = ("context", "input", "previous_step", "resume_input", "steps")

#: How like a root a name must be to be taken for a slip: one letter more or less, or two letters in a long one.
_SLIP = 0.88

_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)

_FIRST = "it is the first step: its data is previous_step, and the run's input is input"


class Visible(NamedTuple):
    """The steps around a template: those whose outputs it can read, and those that have none yet.

    A step sees what stands before it in its own sequence, and what the steps around it see.
    """

    before: tuple[str, ...]
    later: tuple[str, ...]

    def at(self, names: Sequence[str | None], index: int) -> "Visible":
        """What the step number `index` of a sequence sees; `names` are those of all steps in it."""
        before, later = names[:index], names[index:]
        return Visible((*self.before, *filter(None, before)), (*self.later, *filter(None, later)))


#: Around a whole pipeline there is nothing.
NO_STEPS = Visible((), ())


class Mistake(NamedTuple):
    """What is wrong in a template's text; `line` and `column` count from 1 in it, and may be unknown."""

    code: str
    message: str
    advice: str | None
    line: int | None = None
    column: int | None = None


def mistakes(text: str, templates: TemplateCompiler, steps: Visible, fields: Collection[str]) -> Iterator[Mistake]:
    """Everything wrong with the template `text` of a step that sees `steps`; `fields` of the context are known."""
    rest: str | None = text
    names: frozenset[str] = frozenset()
    while rest is not None:
        try:
            names = templates.compile(rest).names
            break
        except TemplateResolutionError as error:
            yield Mistake("V-T02", error.message, error.suggestion, error.line, error.column)
            rest = _without(rest, error)
    for name in sorted(names):
        root, _, rest = name.partition(".")
        if root == "steps" and rest:
            yield from _of_step(text, rest, steps)
        elif root not in _ROOTS and root not in fields:
            yield from _of_root(text, root)


def _without(text: str, error: TemplateResolutionError) -> str | None:
    """`text` with blanks in the place of the expression that `error` is about; None where that isn't known."""
    if error.line is None or error.column is None:
        return None
    at = sum(len(line) + 1 for line in text.split("\n")[: error.line - 1]) + error.column - 1
    around = next((each for each in _EXPRESSION.finditer(text) if each.start() <= at < each.end()), None)
    if around is None:
        return None
    return text[: around.start()] + re.sub(r"[^\n]", " ", around[0]) + text[around.end() :]


def _of_step(text: str, name: str, steps: Visible) -> Iterator[Mistake]:
    """What is wrong with `name`: a step's, and maybe what is read in its output, all joined by dots."""
    if _step_in(name, steps.before):
        return
    later = _step_in(name, steps.later)
    step = later or name.partition(".")[0]
    place = _place(text, rf"\bsteps\W+({re.escape(step)})(?!\w)")
    if later:
        message = f"the output of step {step!r} is not yet produced here"
        yield Mistake("V-T04", message, "a template can read what the steps before its own have produced", *place)
    else:
        advice = did_you_mean(step, steps.before, what="steps before it are") if steps.before else _FIRST
        yield Mistake("V-T03", f"there is no step {step!r} before this one", advice, *place)


def _step_in(name: str, steps: Collection[str]) -> str | None:
    """The step that `name` begins with. Names of steps may have dots in them."""
    return next((step for step in steps if name == step or name.startswith(f"{step}.")), None)


def _of_root(text: str, name: str) -> Iterator[Mistake]:
    for root in _ROOTS:
        if name[0] == root[0] and (sorted(name) == sorted(root) or SequenceMatcher(None, name, root).ratio() > _SLIP):
            message = f"there is no {name!r} in templates"
            advice = f"did you mean {root!r}? A field of the context called {name!r} is context.{name}"
            yield Mistake("V-T05", message, advice, *_place(text, rf"(?<![\w.])({re.escape(name)})(?!\w)"))


def _place(text: str, pattern: str) -> tuple[int, int] | tuple[()]:
    """Line and column of the pattern's group, where it is found."""
    found = re.search(pattern, text, re.ASCII)
    if found is None:
        return ()
    start = found.start(1)
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
