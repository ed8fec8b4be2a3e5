"""The kind of step that keeps what its body came to: `cache`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from flujo.domain.canonical import digest
from flujo.domain.code import code_digest
from flujo.domain.composite import CompositeStep
from flujo.domain.steps import In, Out, Pipeline, Step

__all__ = ["CacheStep"]

_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, eq=False, kw_only=True)
class CacheStep(CompositeStep[In, Out]):
    """Runs its body, or hands out what the same body came to before with the same data, in this run or another.

    The same is: the body's definition, the code that it calls, the data, what its templates read from outside, and
    the fields of the context that `context_keys` name (dotted paths): a function that reads the context has to have
    what it reads named there. What nobody can tell is refused: a function that takes resources, an `input` that is a
    function. What the body changed in the context is done again. A result serves for `ttl_s`
    seconds, without it for as long as the state keeps it. Only successes are kept.
    """

    body: Any = None
    ttl_s: float | None = None
    context_keys: Sequence[str] = ()
    #: A digest of the code that the body calls, taken when the step is made. A run is resumed with changed code, so it
    #: is no part of the definition.
    code: str = field(init=False, repr=False, default="")

    kind: ClassVar[str] = "cache"
    prefix: ClassVar[str] = "cache"
    records: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("body", self._body(self.body))
        ttl: object = self.ttl_s
        if ttl is not None and (
            isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < float("inf")
        ):
            self._wrong(f"has ttl_s {ttl!r}", "ttl_s is how many seconds a result serves, more than nothing")
        self._set("ttl_s", None if ttl is None else float(ttl))  # as files give it: one definition for both
        if isinstance(self.context_keys, str):
            self._wrong(f"has context_keys {self.context_keys!r}", "write a list of names")
        self._set("context_keys", tuple(self.context_keys))
        keys: Sequence[object] = self.context_keys
        for key in keys:
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                self._wrong(f"has a context key {key!r}", "name a field of the context, or a dotted path in one")
        self._check_what_is_read()
        self._set("code", code_digest(self.body))

    def _check_what_is_read(self) -> None:
        """Refuse what a result could depend on without anybody being able to tell."""
        for each in self.body.walk():
            if each.call is not None and "resources" in each.call.injected:
                advice = "let a step before this one take from them what it needs, and hand it on as data"
                self._wrong(f"holds step {each.name!r}, which takes resources: a result is not found by them", advice)
            if callable(each.input):
                advice = "write a template: what that reads counts; or let a step before this one make the data"
                self._wrong(f"holds step {each.name!r}, whose input is a function: what it reads is unknown", advice)

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """The body stands at its name, whatever the pipeline in it is called."""
        return (("/body", self.body),)

    @property
    def reads_context(self) -> bool:
        """Whether the body could change the context."""
        return bool(self.body.touches_context)

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The body."""
        return (self.body,)

    @property
    def output_type(self) -> Any:
        """The body's."""
        return self.body.handed_type

    @cached_property
    def body_digest(self) -> str:
        """A digest of the body's definition, in hexadecimal."""
        return digest(self.body.definition()).hex()
