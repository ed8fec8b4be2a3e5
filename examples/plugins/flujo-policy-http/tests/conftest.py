"""A service on this machine that answers as it is told, and pipelines that may ask it."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import hypothesis
import pytest

from flujo import Flujo, Step
from flujo.plugins import PluginManager, PluginOptions, create_plugin_manager
from flujo.testing import FakeClock

hypothesis.settings.register_profile("patient", deadline=None)  # no test depends on how busy the machine is
hypothesis.settings.load_profile("patient")

NAME = "flujo-policy-http"


class Got(NamedTuple):
    """A request that the service was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Service:
    """Answers the requests to each path in turn, the last answer again and again; remembers what it was asked."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: dict[str, list[tuple[int, bytes, dict[str, str]]]] = {}
        self.hold: threading.Event | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def says(self, path: str, value: Any = None, status: int = 200, **headers: str) -> None:
        """Answer the next request to `path` with `value`: bytes as they are, anything else as JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers.setdefault(path, []).append((status, body, named))

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.got.append(Got(self.command, self.path, headers, body))
                if service.hold is not None:
                    service.hold.wait(10)
                answers = service.answers[self.path.partition("?")[0]]
                status, content, named = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **named}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD" and service.hold is None:
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as the server looks for them

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        return Handler


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go straight to the service, whatever the machine is told of proxies."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def plugins(service: Service) -> Callable[..., PluginManager]:
    """A manager of what is installed, whose settings allow the service and more."""

    def make(*allow: str, secrets: tuple[str, ...] = ()) -> PluginManager:
        table = {"allow": [service.url, *allow], "secrets": list(secrets)}
        return create_plugin_manager(options=PluginOptions(settings={NAME: table}, strict=True))

    return make


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def run(plugins: Callable[..., PluginManager], clock: FakeClock) -> Callable[..., Any]:
    """Run a step, and say what the run came to."""

    async def run(step: Step[Any, Any], data: Any = None, manager: PluginManager | None = None) -> Any:
        async with Flujo(step, plugins=manager or plugins(), clock=clock) as flujo:
            return await flujo.run(data)

    return run
