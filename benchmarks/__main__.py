"""`python -m benchmarks [SCENARIO ...] [--rounds N]`: measure, print, and write benchmarks/results/<time>.json."""

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.big_map import big_map
from benchmarks.crowd import crowd
from benchmarks.durable import durable
from benchmarks.fan_out import fan_out
from benchmarks.growth import growth
from benchmarks.linear import linear
from benchmarks.listing import listing
from benchmarks.looping import looping
from benchmarks.measure import Comparison
from benchmarks.resuming import resuming
from benchmarks.start import start
from benchmarks.waiting import waiting

SCENARIOS: dict[str, tuple[Callable[[int], Iterator[Comparison]], int]] = {
    "S1": (linear, 51),
    "S2": (looping, 15),
    "S3": (fan_out, 31),
    "S4": (durable, 61),
    "S5": (crowd, 15),
    "S6": (growth, 15),
    "S7": (start, 21),
    "S8": (waiting, 2),
    "S9": (resuming, 15),
    "S10": (big_map, 2),
    "S11": (listing, 21),
}


def main() -> None:
    """Run the scenarios asked for, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"one or more of {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, help="samples of each side (at least 2)")
    asked = parser.parse_args()
    unknown = sorted(set(asked.scenarios) - set(SCENARIOS))
    if unknown:
        parser.error(f"unknown scenario {unknown[0]!r}, expected one of {', '.join(SCENARIOS)}")
    done: list[Comparison] = []
    for name in asked.scenarios or SCENARIOS:
        scenario, rounds = SCENARIOS[name]
        for comparison in scenario(asked.rounds or rounds):
            print(comparison.line(), flush=True)
            done.append(comparison)
    print(_write(done))
    if not all(comparison.meets(comparison.limit) for comparison in done):
        sys.exit("a limit was missed")


def _write(done: list[Comparison]) -> Path:
    """Write the results and where they were taken; the file."""
    now = datetime.now(UTC)
    load = os.getloadavg()[0]
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count(), "load": load}
    machine["sqlite"] = sqlite3.sqlite_version
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    file = results / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {"taken_at": now.isoformat(), **machine, "comparisons": [comparison.record() for comparison in done]}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return file


if __name__ == "__main__":
    main()
