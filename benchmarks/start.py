"""S7: whole processes, from wheels in an environment of their own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Comparison, Target, compare

__all__ = ["environment", "spent", "start"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flujo-core", "flujo-state-sqlite", "flujo-cli", "flujo-policies-builtin")

HELLO = """\
version: "0.1"
name: hello
steps:
  - name: hello
    agent: { id: "flujo.builtins.stringify" }
    input: "hello {{ input }}"
"""
SCRIPT = """\
from flujo import Flujo, step

@step
async def one(data: int) -> int: return data + 1
@step
async def two(data: int) -> int: return data + 1
@step
async def three(data: int) -> int: return data + 1

print(Flujo(one >> two >> three).run_sync(0).output)
"""
SCRIPT_BY_HAND = """\
import asyncio

async def add_one(data: int) -> int: return data + 1
async def main() -> int: return await add_one(await add_one(await add_one(0)))

print(asyncio.run(main()))
"""
#: The libraries that `flujo run` can't do without. `import pydantic` alone loads next to nothing: names come later.
FLOOR = "from pydantic import BaseModel; import click, yaml, jinja2, pluggy"


def environment(folder: Path) -> Path:
    """Build the wheels, install them in a new environment, and return its folder of commands."""
    dist = folder / "dist"
    for package in PACKAGES:
        build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT / "packages" / package))
        subprocess.run([sys.executable, *build], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    commands = folder / "venv" / "bin"
    pip = (commands / "pip", "install", "-q", "-c", ROOT / "constraints.txt", "--find-links", dist)
    subprocess.run([*pip, "flujo-core", "flujo-policies-builtin"], check=True)
    return commands


def spent(command: Sequence[str | Path], folder: Path, expected: str) -> float:
    """Milliseconds of CPU, user and system, that the process took from start to end."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FLUJO", "COV"))}
    process = subprocess.Popen(
        command, cwd=folder, env=kept, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0, command
    assert expected in printed, (command, printed)
    return (used.ru_utime + used.ru_stime) * 1000


def start(rounds: int) -> Iterator[Comparison]:
    """CPU time of `flujo run`, `flujo --version` and a script of three steps."""
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as name:
        folder = Path(name)
        commands = environment(folder)
        (folder / "hello.yaml").write_text(HELLO)
        (folder / "three.py").write_text(SCRIPT)
        (folder / "by_hand.py").write_text(SCRIPT_BY_HAND)
        flujo, python = commands / "flujo", commands / "python"

        def pair(
            title: str,
            limits: tuple[Target | None, Target | None],
            ours: tuple[Sequence[str | Path], str],
            bare: tuple[Sequence[str | Path], str],
        ) -> Comparison:
            return compare(
                title,
                unit="ms CPU",
                limit=limits[0],
                goal=limits[1],
                ours=lambda: spent(ours[0], folder, ours[1]),
                bare=lambda: spent(bare[0], folder, bare[1]),
                rounds=rounds,
            )

        run = ((flujo, "run", "hello.yaml", "--input", "x"), "hello x")
        yield pair("S7 flujo run", (Target("ratio", 2), Target("ratio", 1.6)), run, ((python, "-c", FLOOR), ""))
        version = ((flujo, "--version"), "0.")
        yield pair("S7 flujo --version", (None, Target("ratio", 1.5)), version, ((python, "-c", "import click"), ""))
        yield pair("S7 script", (None, None), ((python, "three.py"), "3"), ((python, "by_hand.py"), "3"))
