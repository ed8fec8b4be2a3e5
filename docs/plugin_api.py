"""The contract of plugins as data: `python -m docs.plugin_api` writes it to api/plugin-api.json.

A change of that file is a change of the contract. From the first release on it needs another version: with `--release`
the contract is kept as api/released/VERSION.json, which is never changed again, and a later contract is measured by it.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import flujo.plugins
from flujo.plugins.discovery import API_GROUP, GROUP, PROVIDES_GROUP
from flujo.plugins.hookspecs import API_1
from flujo.plugins.registrars import REGISTRARS, Registrar

__all__ = ["FILE", "RELEASED", "contract", "least_version", "version"]

FILE = Path(__file__).parents[1] / "api" / "plugin-api.json"
RELEASED = FILE.parent / "released"


def contract() -> dict[str, Any]:
    """The hooks with what each may call, the public names, and where plugins announce themselves."""
    return {
        "api": API_1,
        "groups": [GROUP, API_GROUP, PROVIDES_GROUP],
        "hooks": {hook: {"registrar": kind.__name__, **_methods(kind)} for hook, kind in sorted(REGISTRARS.items())},
        "every registrar": {"settings": "Mapping[str, Any]", **_methods(Registrar)},
        "attributes": ["FLUJO_PLUGIN_API", "FLUJO_PLUGIN_SETTINGS"],
        "names": flujo.plugins.__all__,
    }


def version(told: dict[str, Any]) -> tuple[int, int]:
    """The version of a contract, to be compared."""
    major, minor = map(int, told["api"].split("."))
    return major, minor


def least_version(old: dict[str, Any], new: dict[str, Any]) -> tuple[int, int]:
    """What the version of `new` must be at least, after `old`: major for what is gone, minor for what is there now."""
    major, minor = version(old)
    before, after = _promises(old), _promises(new)
    if not before <= after:
        return major + 1, 0
    return (major, minor) if before == after else (major, minor + 1)


def _promises(told: dict[str, Any]) -> set[tuple[str, ...]]:
    """Each single thing that plugins may count on; an optional argument is one of its own."""
    hooks = {"every registrar": told["every registrar"], **told["hooks"]}
    found: set[tuple[str, ...]] = {("group", each) for each in told["groups"]}
    found |= {("attribute", each) for each in told.get("attributes", ())}
    found |= {("name", each) for each in told["names"]}
    for hook, methods in hooks.items():
        for method, called in methods.items():
            arguments = called.strip("()").split(", ")
            optional = {each for each in arguments if "=" in each}
            needed = ", ".join(each for each in arguments if each not in optional | {"*"})
            found |= {(hook, method, needed), *((hook, method, needed, each) for each in optional)}
    return found


def _methods(kind: type) -> dict[str, str]:
    found = {name: value for name, value in vars(kind).items() if inspect.isfunction(value)}
    return {name: _called(value) for name, value in sorted(found.items()) if not name.startswith("_")}


def _called(method: Any) -> str:
    """How a plugin calls `method`; how annotations are written differs from one Python to another."""
    _, *parameters = inspect.signature(method).parameters.values()
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare))


if __name__ == "__main__":
    RELEASED.mkdir(parents=True, exist_ok=True)
    TEXT = json.dumps(contract(), indent=2) + "\n"
    FILE.write_text(TEXT, encoding="utf-8")
    if "--release" in sys.argv[1:]:
        with (RELEASED / f"{API_1}.json").open("x", encoding="utf-8") as kept:
            kept.write(TEXT)
