"""A limit that nothing could enforce is refused when the step is made."""

import pytest

from flujo import Pipeline, Step, StepConfig
from flujo.exceptions import ConfigurationError

LIMITED = StepConfig(timeout_s=1)


async def fetch(data: str) -> str:
    return data


def test_a_plain_function_can_not_have_a_timeout_unless_it_runs_in_a_thread():
    with pytest.raises(ConfigurationError, match="'a' has timeout_s, but runs a plain function") as caught:
        Step("a", str.upper, config=LIMITED)

    assert "blocking=True" in str(caught.value.suggestion)
    assert Step("a", str.upper, config=LIMITED, blocking=True).config.timeout_s == 1


@pytest.mark.parametrize(
    "step", [Step("a", fetch, config=LIMITED), Step("a", config=LIMITED), Pipeline(config=LIMITED)]
)
def test_what_can_be_cancelled_can_have_a_timeout(step):
    assert step.config.timeout_s == 1
