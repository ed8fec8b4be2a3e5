"""Starts `flujo` quickly for tests that start it often: each command is a fork of a process that has loaded everything.

`commands.py FOLDER` serves until its standard input ends, and writes `FOLDER/flujo`, a command as the installed one: it
hands its arguments, folder, environment and streams over, and ends as the fork does, which dies with it. What is other
than in a fresh interpreter: modules are loaded already, and of the environment Python itself has seen nothing.
"""

import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("flujo", "flujo_cli", "flujo_policies_builtin", "flujo_state_sqlite")
#: What needs libraries that few have, or is no code of ours to load.
LEFT = ("flujo.runner.otel", "flujo.testing", "flujo_cli.template")
INSTALLED = Path(sys.executable).with_name("flujo")

COMMAND = """\
#!{python} -IS
import os, socket, sys
if "PYTHONPATH" in os.environ:
    os.execv({installed!r}, [{installed!r}, *sys.argv[1:]])
words = [os.fsencode(each) for each in (os.getcwd(), str(len(sys.argv) - 1), *sys.argv[1:])]
text = bytes(1).join([*words, *(name + b"=" + value for name, value in os.environb.items())])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [len(text).to_bytes(4)], [0, 1, 2])
server.sendall(text)
for number in (0, 1, 2):
    os.close(number)
code, *killed = server.recv(2)
for number in killed:
    os.kill(os.getpid(), number)
os._exit(code)
"""


class Wanted(NamedTuple):
    """One command that somebody has asked for."""

    streams: list[int]
    folder: bytes
    words: list[str]
    environment: dict[bytes, bytes]


def load_everything() -> None:
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(LEFT):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def read(asking: socket.socket) -> Wanted | None:
    """What is asked for; nothing if whoever asks dies while saying it."""
    length, streams, *_ = socket.recv_fds(asking, 4, 3)
    with asking.makefile("rb") as file:
        text = file.read(int.from_bytes(length))
    if not length or len(text) < int.from_bytes(length):
        for stream in streams:
            os.close(stream)
        return None
    folder, count, *rest = text.split(bytes(1))
    words = [os.fsdecode(word) for word in rest[: int(count)]]
    pairs = (pair.partition(b"=") for pair in rest[int(count) :])
    return Wanted(streams, folder, words, {name: value for name, _, value in pairs})


def become(wanted: Wanted) -> None:
    """Be the command that is wanted, in everything that it may ask of its process."""
    for number, stream in enumerate(wanted.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(wanted.folder)
    os.environb.clear()
    os.environb.update(wanted.environment)
    sys.argv[:] = [str(INSTALLED), *wanted.words]
    sys.path[0] = str(INSTALLED.parent)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - as above


class Server:
    """Forks for whoever asks; returns from `serve` in each fork, and at the end of its own input."""

    def __init__(self, address: str) -> None:
        self._selector, self._lives = selectors.DefaultSelector(), dict[int, socket.socket]()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen(64)
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking.fileno())
        for each in (sys.stdin, self._listening, self._woken):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> Wanted | None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._reap()
                elif key.fileobj is not self._listening:
                    self._kill(key.data)
                elif wanted := self._fork():
                    return wanted

    def _fork(self) -> Wanted | None:
        asking, _ = self._listening.accept()
        wanted = read(asking)
        if wanted is None:
            asking.close()
            return None
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._listening, self._woken, self._waking, asking, *self._lives.values()):
                each.close()
            self._selector.close()
            return wanted
        for stream in wanted.streams:
            os.close(stream)
        self._lives[pid] = asking
        self._selector.register(asking, selectors.EVENT_READ, pid)
        return None

    def _kill(self, pid: int) -> None:
        """Whoever asked for the command has died."""
        self._selector.unregister(self._lives[pid])
        os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._lives:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            asking = self._lives.pop(pid)
            if asking in [key.fileobj for key in self._selector.get_map().values()]:
                self._selector.unregister(asking)
                code = os.waitstatus_to_exitcode(status)
                with suppress(BrokenPipeError):  # whoever asked has died just now
                    asking.send(bytes([code] if code >= 0 else [0, -code]))
            asking.close()


def main() -> None:
    folder = Path(sys.argv[1])
    load_everything()
    server = Server(str(folder / "socket"))
    command = folder / "flujo"
    text = COMMAND.format(python=sys.executable, installed=str(INSTALLED), address=str(folder / "socket"))
    command.write_text(text, encoding="utf-8")
    command.chmod(0o700)
    print("ready", flush=True)
    wanted = server.serve()
    if wanted is not None:
        become(wanted)
        importlib.import_module("flujo_cli.main").main()


if __name__ == "__main__":
    main()
