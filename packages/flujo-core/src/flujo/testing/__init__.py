"""Fakes of the engine's ports and tests of their contracts, for flujo's own tests and for yours."""

from flujo.testing.clock import FakeClock
from flujo.testing.dying import DyingBackend
from flujo.testing.providers import InMemoryStateProvider
from flujo.testing.sinks import RecordingSink
from flujo.testing.stubs import stub_policy

__all__ = ["DyingBackend", "FakeClock", "InMemoryStateProvider", "RecordingSink", "stub_policy"]
