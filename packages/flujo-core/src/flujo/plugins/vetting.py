"""Is this a plugin? What would make a plugin do nothing, or fail later, is found before it is asked for anything."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.plugins.hookspecs import API_1, PROJECT
from flujo.plugins.registrars import REGISTRARS

__all__ = ["api_of", "check_api", "check_hooks", "check_settings", "is_newer"]

#: Every function of a plugin whose name starts so is a hook.
_PREFIX = "flujo_"

#: What `hookimpl` leaves at what it decorates.
_MARK = f"{PROJECT}_impl"

_OF_CLASS = "the plugin is a class: name an instance of it instead, or make the hook a @staticmethod"

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)?")

_NOT_PLAIN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def api_of(plugin: object, announced: str) -> str:
    """The version of the contract that `plugin` was written for, by default the one that its distribution has
    `announced`. Raises `PluginError` for what is no text."""
    wanted = getattr(plugin, "FLUJO_PLUGIN_API", announced)
    if not isinstance(wanted, str):
        raise PluginError(f"FLUJO_PLUGIN_API is {wanted!r}, expected text such as {API_1!r}")
    return wanted


def check_api(wanted: str, who: str = "it") -> None:
    """Raise `PluginError` unless this core offers the version `wanted` of the contract, as `who` says it needs."""
    if not _VERSION.fullmatch(wanted):
        raise PluginError(f"{who} names plugin API {wanted!r}, expected a version such as {API_1!r}")
    if wanted.partition(".")[0] != API_1.partition(".")[0]:
        raise PluginError(
            f"needs plugin API {wanted!r}, this flujo-core offers {API_1!r}",
            suggestion="install a version of the plugin for this flujo-core, or another flujo-core",
        )


def check_settings(plugin: object, given: Mapping[str, Any]) -> dict[str, str]:
    """What `plugin` says may be set for it: what each setting means, by its name.

    Raises `PluginError` for one of `given` that is not among them; one that says nothing looks for itself.
    """
    known = getattr(plugin, "FLUJO_PLUGIN_SETTINGS", None)
    if known is None:
        return {}
    if not isinstance(known, Mapping) or not all(isinstance(text, str) for pair in known.items() for text in pair):
        raise PluginError(f"FLUJO_PLUGIN_SETTINGS is {known!r}, expected what each setting means, by its name")
    for name in sorted(given.keys() - known.keys()):
        raise PluginError(f"unknown setting {name!r}", suggestion=did_you_mean(name, known, what="settings are"))
    return dict(known)


def is_newer(wanted: str) -> bool:
    """Whether `wanted` may use what this core does not have yet."""
    return _minor(wanted) > _minor(API_1)


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)


def check_hooks(plugin: object, options: Callable[[str], Mapping[str, Any] | None]) -> None:
    """Raise `PluginError` for the first function of `plugin` that looks like a hook and would not work as one.

    `options(name)` tells what `hookimpl` noted at an attribute; None where it is not decorated.
    """
    found = False
    for name in dir(plugin):
        noted = options(name)
        if noted is not None:
            advice = _OF_CLASS if isinstance(plugin, type) else None
            _check_hook(noted.get("specname") or name, getattr(plugin, name), noted, advice)
            found = True
        elif name.startswith(_PREFIX):
            _check_other(name, inspect.getattr_static(plugin, name))
    if not found:
        raise PluginError("no hooks found", suggestion=f"the hooks are {', '.join(REGISTRARS)}")


def _check_other(name: str, there: object) -> None:
    """Raise for what is called as a hook and would not be one: a function without a mark, or a mark without one."""
    if inspect.isroutine(there):
        raise PluginError(f"{name!r} is not decorated", suggestion="put @hookimpl from flujo.plugins above it")
    if _MARK in getattr(there, "__dict__", ()):
        raise PluginError(f"hook {name!r} is of type {type(there).__name__!r}, expected a function written with def")


def _check_hook(name: str, function: Callable[..., Any], noted: Mapping[str, Any], advice: str | None) -> None:
    if name not in REGISTRARS:
        raise PluginError(f"unknown hook {name!r}: {did_you_mean(name, REGISTRARS, what='the hooks are')}")
    if noted.get("wrapper") or noted.get("hookwrapper") or any(test(function) for test in _NOT_PLAIN):
        raise PluginError(f"hook {name!r} must be a plain function: neither async, a generator nor a wrapper")
    parameters = inspect.signature(function).parameters.values()
    if [(p.name, p.default) for p in parameters] != [("registrar", inspect.Parameter.empty)]:
        shown = ", ".join(str(p) for p in parameters)
        told = f"hook {name!r} has the parameters ({shown}), expected exactly (registrar)"
        raise PluginError(told, suggestion=advice)
