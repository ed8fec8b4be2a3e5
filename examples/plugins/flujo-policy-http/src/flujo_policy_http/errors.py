"""What a request can come to that is no answer.

flujo.FlujoError
├── flujo.exceptions.ConfigurationError    never retried
│   └── HostNotAllowed    the project's settings do not let requests go there
├── flujo.exceptions.ExecutionError        retried
│   └── HttpUnavailable   nobody answered, or the service is busy or broken (429, 5xx)
└── flujo.exceptions.ValidationError       not retried, as the next answer would be the same
    └── HttpRefused       the answer is not what the step expects, or can't be taken
"""

from flujo.exceptions import ConfigurationError, ExecutionError, ValidationError

__all__ = ["HostNotAllowed", "HttpRefused", "HttpUnavailable"]


class HostNotAllowed(ConfigurationError, code="HTTP-1"):
    """The settings of the plugin do not let a request go there."""


class HttpUnavailable(ExecutionError, code="HTTP-2"):
    """No answer, or that of a service which can't answer now; `status` is its code, None without an answer."""

    status: int | None = None


class HttpRefused(ValidationError, code="HTTP-3"):
    """An answer that the step does not expect, or can't take; `status` is its code."""

    status: int | None = None
