"""What is wrong with a step's texts is told before anything runs, with the step's name."""

import pytest

from flujo import Flujo, Step, branch, loop
from flujo.exceptions import TemplateResolutionError


@pytest.mark.parametrize(
    "step",
    [
        Step("first") >> Step("odd", input="{{ input | uper }}"),
        Step("first") >> Step("odd", static_invariants=["output | uper"]),
        loop("around", Step("odd", input={"x": ["{{ input | uper }}"]}), max_loops=1),
        branch("odd", on="input | uper", branches={"a": Step("a")}),
    ],
)
def test_a_text_that_is_no_template_names_its_step(step):
    with pytest.raises(TemplateResolutionError) as caught:
        Flujo(step)
    assert str(caught.value) == "step 'odd': there is no filter 'uper'"
    assert (caught.value.suggestion, caught.value.line) == ("did you mean 'upper'?", 1)
