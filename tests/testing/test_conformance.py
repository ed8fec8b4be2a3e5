"""A subclass of a conformance class keeps every standard test, or says why not."""

import pytest

from flujo.testing.policy import StepPolicyConformance
from flujo.testing.state import StateBackendConformance


@pytest.mark.parametrize("instead", [None, lambda self: None, pytest.mark.xfail(lambda self: None)])
def test_a_standard_test_that_is_replaced_without_a_reason_is_refused(instead):
    message = (
        r"Mine\.test_result_is_an_outcome takes the place of a standard test, "
        r"expected a mark: pytest\.mark\.xfail\(reason=\.\.\.\)"
    )
    with pytest.raises(TypeError, match=message):
        type("Mine", (StepPolicyConformance,), {"test_result_is_an_outcome": instead, "__module__": __name__})


def test_a_mixin_before_the_standard_tests_takes_their_place_too():
    class Mixin:
        def test_result_is_an_outcome(self):
            pass

    with pytest.raises(TypeError, match=r"Mixin\.test_result_is_an_outcome takes the place of a standard test"):
        type("Mine", (Mixin, StepPolicyConformance), {})
    assert type("Mine", (StepPolicyConformance, Mixin), {})


def test_a_state_backend_is_held_to_the_same():
    with pytest.raises(TypeError, match="test_record_is_read_back_in_every_field takes the place"):

        class Mine(StateBackendConformance):
            async def test_record_is_read_back_in_every_field(self, backend):
                pass


def test_a_test_that_says_why_it_fails_may_be_replaced():
    class Mine(StepPolicyConformance):
        @pytest.mark.xfail(reason="it has no result before tomorrow")
        async def test_result_is_an_outcome(self):
            await super().test_result_is_an_outcome()

    class Further(Mine):
        async def test_tests_of_its_own(self):
            pass

    assert issubclass(Further, Mine)
