"""S11: listing plugins, as whole processes from wheels in an environment of their own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Comparison, Target, compare
from benchmarks.start import environment, spent

__all__ = ["listing"]

#: What `flujo --version` does, and then the scan for entry points that everyone who looks for plugins has to do.
SCAN = """\
from flujo_cli.app import run_command_line
run_command_line(["--version"])
from importlib_metadata import entry_points
print(len(entry_points(group="flujo.plugins")))
"""


def listing(rounds: int) -> Iterator[Comparison]:
    """CPU time of `flujo plugins list` beside `flujo --version` and the scan."""
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as name:
        folder = Path(name)
        commands = environment(folder)
        listed = (commands / "flujo", "plugins", "list")
        scanned = (commands / "python", "-c", SCAN)
        yield compare(
            "S11 plugins list",
            unit="ms CPU",
            limit=Target("ratio", 1.3),
            goal=None,
            ours=lambda: spent(listed, folder, "flujo-policies-builtin"),
            bare=lambda: spent(scanned, folder, "3"),
            rounds=rounds,
        )
