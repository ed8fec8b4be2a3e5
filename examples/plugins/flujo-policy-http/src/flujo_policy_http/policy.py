"""What runs a step of kind `http`."""

from functools import cached_property
from ssl import SSLContext
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from flujo import Success
from flujo.plugins import ExecutionFrame, OutputSchema, StepExecutor, StepPolicy
from flujo_policy_http.answers import expected, problem, value_of
from flujo_policy_http.errors import HttpRefused, HttpUnavailable
from flujo_policy_http.request import Asked, allowed, asked, check_secrets, hop, parsed, place
from flujo_policy_http.settings import HttpSettings
from flujo_policy_http.step import HttpStep, literal_part, says_origin

__all__ = ["HttpPolicy"]

#: How long a connection may be silent where the step has no `timeout_s`, in seconds.
_PATIENCE_S = 30.0


class HttpPolicy(StepPolicy[HttpStep]):
    """Sends the request of a step once. Retries and time are the engine's.

    Keeps nothing of a run: the schemas of the steps, and what secures connections.
    """

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self._settings = settings or HttpSettings()
        self._schemas: WeakKeyDictionary[HttpStep, OutputSchema] = WeakKeyDictionary()

    @property
    def handles_type(self) -> type[HttpStep]:
        """`HttpStep`."""
        return HttpStep

    @cached_property
    def _security(self) -> SSLContext:
        return httpx.create_ssl_context()

    def prepare(self, step: HttpStep) -> None:
        """Refuse, before anything runs, a url or a secret that is not allowed, and what is no schema."""
        check_secrets(step, self._settings)
        if says_origin(step.url):
            allowed(parsed(step, literal_part(step.url, "x")), self._settings)
        if step.output_schema is not None:
            self._schemas[step] = OutputSchema.of(step.output_schema)

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> Success[Any]:
        """The answer. Raises `HttpUnavailable` for what may come out differently, `HttpRefused` for what won't."""
        step = frame.step
        assert isinstance(step, HttpStep)
        request = asked(core, frame, step, self._settings)
        value = await self._exchanged(step, request, frame.run.clock.now())
        schema = self._schemas.get(step)
        return Success(value if schema is None else schema.check(value, what="the answer"))

    async def _exchanged(self, step: HttpStep, asked: Asked, now: float) -> Any:
        patience = _PATIENCE_S if step.config.timeout_s is None else None
        try:
            async with httpx.AsyncClient(verify=self._security, timeout=patience) as client:
                response = await self._answer(client, step, asked.request)
                if not expected(step, response):
                    raise await problem(response, asked.secrets, now)
                return await value_of(step, response, asked.secrets)
        except httpx.TransportError as error:
            what = f"{step.method} {place(asked.request.url)} failed: {type(error).__name__}: {error}"
            raise HttpUnavailable(what.removesuffix(": "), cause=error) from error

    async def _answer(self, client: httpx.AsyncClient, step: HttpStep, request: httpx.Request) -> httpx.Response:
        """The answer at the end of the redirects. Leaving the client closes what is still open."""
        for _ in range(step.max_redirects + 1):
            response = await client.send(request, stream=True)
            if response.next_request is None or response.status_code in step.expect:
                return response
            await response.aclose()
            request = hop(response, self._settings)
        raise HttpRefused(f"{place(request.url)} is one redirect too many, of {step.max_redirects} that may be")
