"""What tests of the runner share: none leaves a task, a thread, an open file or a warning behind."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def clean(nothing_left: None) -> Iterator[None]:
    """No test leaves anything behind, and what is only collected warns in the test that made it."""
    yield
    gc.collect(1)
