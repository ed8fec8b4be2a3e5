"""Requests to web services as steps of flujo.

Names are imported on first use, so that the plugin costs nothing where no pipeline makes a request.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo_policy_http.errors import HostNotAllowed, HttpRefused, HttpUnavailable
    from flujo_policy_http.settings import HttpSettings
    from flujo_policy_http.step import HttpStep, http

__all__ = ["HostNotAllowed", "HttpRefused", "HttpSettings", "HttpStep", "HttpUnavailable", "http"]

_HOMES = {"HttpSettings": "settings", "HttpStep": "step", "http": "step"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
