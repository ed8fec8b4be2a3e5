"""What runs when a step has failed for good, and how far that may go."""

from typing import Any, ClassVar

from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.exceptions import InfiniteFallbackError

__all__ = ["FallbackHandler"]


class FallbackHandler:
    """Makes the frame of a fallback. The chain of steps that have failed travels in the frame, nowhere else."""

    #: How many fallbacks may follow each other.
    max_chain: ClassVar[int] = 10

    def frame(self, failed: ExecutionFrame, fallback: Step[Any, Any]) -> ExecutionFrame:
        """The fallback's frame: its own path under the failed step's, and the same data.

        Raises `InfiniteFallbackError`, naming the chain, for a cycle or a chain that is too long.
        """
        chain = (*failed.chain, failed.step.name)
        if len(chain) > self.max_chain or fallback.name in chain:
            names = " -> ".join((*chain, fallback.name))
            raise InfiniteFallbackError(
                f"fallbacks do not come to an end: {names}",
                suggestion=f"let a chain of at most {self.max_chain} fallbacks end in a step that has none",
            )
        return failed.child(fallback, failed.data, at=f"/fallback:{fallback.name}")._replace(chain=chain)
