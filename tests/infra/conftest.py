"""A scope to evaluate in, and short ways to say 'this text is worth that'."""

from dataclasses import replace

import pytest

from flujo.domain.context import OpenContext
from flujo.domain.scope import Outputs, Scope
from flujo.infra.templates import Templates


@pytest.fixture
def scope():
    """A scope as a run would have it after two steps."""
    outputs = Outputs()
    outputs.add("fetch", {"status": "done", "rows": [{"id": 1}, {"id": 2}], "output": "inner"})
    outputs.add("sum-up", "two rows")
    return Scope(
        previous="text",
        outputs=outputs,
        context=OpenContext(score=0.9, tags=["a", "b"], d={"k": 1}, given="G", n=10, off=False),
        input="the input",
        extras={"item": 3, "output": "of the step"},
    )


@pytest.fixture
def worth(scope):
    """The value of template text; `names` stand for the scope's fields or, failing that, are extras."""

    def evaluate(text, *, filters=None, **names):
        fields = {name: names.pop(name) for name in ("previous", "context", "input") if name in names}
        return Templates(filters).compile(text).render(replace(scope, **fields, extras={**scope.extras, **names}))

    return evaluate
