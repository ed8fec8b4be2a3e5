"""Whether what a plugin offers is there, and of the sort that it is offered as."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flujo.domain.steps import Step
from flujo.engine.policy import StepPolicy
from flujo.exceptions import FlujoError, PluginError
from flujo.plugins import Offer, PluginManager
from flujo.plugins.contributions import ANY_STEP
from flujo.plugins.discovery import load_target
from flujo.plugins.switches import normal

__all__ = ["wrong_offers"]


def wrong_offers(manager: PluginManager, dist: str) -> Iterator[str]:
    """A line for each thing that the plugins of `dist` offer and that can't be imported, or is none of its sort."""
    offers = (offer for table in manager.contributions for key in table for offer in table.rivals(key))
    for offer in (each for each in offers if normal(each.dist) == normal(dist)):
        try:
            _check(offer)
        except FlujoError as error:
            yield f"{offer.facet} {offer.key!r}: {error}"


def _check(offer: Offer) -> None:
    for name, (is_right, expected) in _EXPECTED[offer.facet].items():
        target = getattr(offer.value, name)
        if not is_right(load_target(target, offer.provider)):
            raise PluginError(f"plugin {offer.provider} offers {target!r}, expected {expected}")


def _is_step_type(found: Any) -> bool:
    return found == ANY_STEP or (isinstance(found, type) and issubclass(found, Step))


def _is_policy(found: Any) -> bool:
    """What a function makes is not asked for: it may need what only a run has."""
    if isinstance(found, type):
        return issubclass(found, StepPolicy)
    return isinstance(found, StepPolicy) or callable(found)


def _is_model(found: Any) -> bool:
    from flujo.blueprint.schema import StepSpec  # noqa: PLC0415 - it loads pydantic, for kinds alone

    return isinstance(found, type) and issubclass(found, StepSpec)


def _is_called(method: str) -> Callable[[Any], bool]:
    return lambda found: callable(getattr(found, method, None))


_FUNCTION = (callable, "a function")

#: What each sort of contribution names, and how that is told from anything else. Commands are told by a method of
#: click's, which is not looked for on this floor.
_EXPECTED: Mapping[str, Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "policies": {
        "handles": (_is_step_type, "a type of step"),
        "factory": (_is_policy, "a StepPolicy or what makes one"),
    },
    "kinds": {"model": (_is_model, "a subclass of StepSpec"), "build": _FUNCTION},
    "skills": {
        "target": (lambda found: callable(found) or _is_called("run")(found), "a function, or what has a method 'run'")
    },
    "commands": {"target": (_is_called("make_context"), "a click command")},
    "lint_rules": {"target": _FUNCTION},
    "pricing": {"target": _FUNCTION},
    **{facet: {"factory": _FUNCTION} for facet in ("agents", "backends", "state_providers", "sinks")},
}
