"""What runs when a step has failed for good."""

from typing import Any

from flujo.domain.steps import Step
from flujo.domain.usage import Usage
from flujo.engine.frame import ExecutionFrame

__all__ = ["FallbackHandler"]


class FallbackHandler:
    """Makes the frame of a fallback. How long a chain may be is checked when the step is made."""

    def frame(self, failed: ExecutionFrame, fallback: Step[Any, Any]) -> ExecutionFrame:
        """The fallback's frame: its own path under the failed step's, and the same data."""
        return failed.child(fallback, failed.data, at=f"/fallback:{fallback.name}")

    def spent_before(self, failed: ExecutionFrame, fallback: Step[Any, Any]) -> Usage:
        """What is recorded under the failed step from before its fallback, in an earlier attempt or life."""
        return failed.run.spent_under(failed.path, f"{failed.path}/fallback:{fallback.name}")
