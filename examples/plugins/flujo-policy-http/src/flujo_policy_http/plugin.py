"""What this package contributes; nothing of it is imported before it is used, but how its settings are read."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from flujo.plugins import API_1, LintRegistrar, PolicyRegistrar, StepKindRegistrar, hookimpl
from flujo_policy_http.settings import HttpSettings

__all__ = [
    "FLUJO_PLUGIN_API",
    "FLUJO_PLUGIN_SETTINGS",
    "flujo_register_lint_rules",
    "flujo_register_policies",
    "flujo_register_step_kinds",
]

FLUJO_PLUGIN_API = API_1

FLUJO_PLUGIN_SETTINGS = {
    "allow": "the origins that requests may go to, such as https://api.example.com or *.example.com; by default none",
    "secrets": "the environment variables that headers may hold; by default none",
}

_HERE = "flujo_policy_http"


@hookimpl
def flujo_register_policies(registrar: PolicyRegistrar) -> None:
    """Run requests, as far as the settings allow them."""
    settings = HttpSettings.of(registrar.settings)
    registrar.policy(f"{_HERE}.step:HttpStep", _later(f"{_HERE}.policy", "HttpPolicy", settings))


@hookimpl
def flujo_register_step_kinds(registrar: StepKindRegistrar) -> None:
    """Let files say `kind: http`."""
    registrar.kind(
        "http", f"{_HERE}.kinds:HttpSpec", f"{_HERE}.kinds:build_http", summary="one request to a web service"
    )


@hookimpl
def flujo_register_lint_rules(registrar: LintRegistrar) -> None:
    """Find secrets that are written in files, and requests that would not be allowed."""
    settings = HttpSettings.of(registrar.settings)
    registrar.rule(
        "HTTP-101", f"{_HERE}.lint:secrets", severity="error", summary="a secret is written in a request itself"
    )
    registrar.rule(
        "HTTP-102",
        _later(f"{_HERE}.lint", "places", settings),
        severity="error",
        summary="a request goes where the settings do not allow it",
    )


def _later(module: str, name: str, settings: HttpSettings) -> Callable[..., Any]:
    """What calls `name` of `module` with the settings as its first argument, and imports it only then."""
    return partial(_called, module, name, settings)


def _called(module: str, name: str, *arguments: Any) -> Any:
    return getattr(import_module(module), name)(*arguments)
