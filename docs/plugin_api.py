"""The contract of plugins as data: `python -m docs.plugin_api` writes it to api/plugin-api.json.

A change of that file is a change of the contract: what is new raises the minor version, what goes the major one.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import flujo.plugins
from flujo.plugins.discovery import API_GROUP, GROUP
from flujo.plugins.hookspecs import API_1
from flujo.plugins.registrars import REGISTRARS, Registrar

__all__ = ["FILE", "contract"]

FILE = Path(__file__).parents[1] / "api" / "plugin-api.json"


def contract() -> dict[str, Any]:
    """The hooks with what each may call, the public names, and where plugins announce themselves."""
    return {
        "api": API_1,
        "groups": [GROUP, API_GROUP],
        "hooks": {hook: {"registrar": kind.__name__, **_methods(kind)} for hook, kind in sorted(REGISTRARS.items())},
        "every registrar": {"settings": "Mapping[str, Any]", **_methods(Registrar)},
        "names": flujo.plugins.__all__,
    }


def _methods(kind: type) -> dict[str, str]:
    found = {name: value for name, value in vars(kind).items() if inspect.isfunction(value)}
    return {name: _called(value) for name, value in sorted(found.items()) if not name.startswith("_")}


def _called(method: Any) -> str:
    """How a plugin calls `method`; how annotations are written differs from one Python to another."""
    _, *parameters = inspect.signature(method).parameters.values()
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare))


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(contract(), indent=2) + "\n", encoding="utf-8")
