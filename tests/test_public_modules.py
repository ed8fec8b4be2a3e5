"""What the packages beside flujo-core, and plugins of others, import of it is public: written down here."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GUIDE = (ROOT / "docs/plugins/README.md").read_text(encoding="utf-8")

#: What kinds that hold other steps and states need beside, as the guide for authors of plugins has it in a table.
CORE = {
    f"{floor}.{name}"
    for floor, names in re.findall(r"^\| `(flujo\.\w+)` \| (.+?) \|", GUIDE, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}

#: What whoever starts, shows and looks after runs needs beside: the command line does.
HOSTS = {
    "flujo.engine.policy_registry",
    "flujo.version",
    *(f"flujo.blueprint.{each}" for each in ("diagnostics", "json_schema", "texts")),
    *(f"flujo.domain.{each}" for each in ("foreign", "hints", "locations", "masking", "validation")),
    *(f"flujo.infra.{each}" for each in ("clock", "codec", "config_manager", "log_sink", "logging")),
    *(
        f"flujo.plugins.{each}"
        for each in ("discovery", "precedence", "records", "registrars", "screening", "switches")
    ),
    *(
        f"flujo.runner.{each}"
        for each in (
            *(
                "answers",
                "definitions",
                "event_sinks",
                "flujo",
                "ids",
                "inbox",
                "pipeline_resolver",
                "plugin_set",
                "replay_inputs",
                "rerun",
            ),
            *("state_backend_manager", "targets", "trace"),
        )
    ),
    "flujo.testing.probe",
}

#: What each package may import beside what every author of a plugin may.
MAY = {
    "packages/flujo-policies-builtin/src": CORE,
    "packages/flujo-state-sqlite/src": CORE,
    "packages/flujo-cli/src": CORE | HOSTS,
    "examples/plugins/flujo-policy-http": set(),
}


def imports(folder):
    """Every name that the modules in `folder` import from flujo, with the module it comes from."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name, "") for alias in node.names if of_flujo(alias.name))
            elif isinstance(node, ast.ImportFrom) and not node.level and of_flujo(node.module or ""):
                yield from ((path.name, *whole(node.module, alias.name)) for alias in node.names)


def of_flujo(module):
    return module.partition(".")[0] == "flujo"


def whole(module, name):
    """`from package import module` is an import of the module."""
    folder = ROOT / "packages/flujo-core/src" / module.replace(".", "/")
    return (f"{module}.{name}", "") if (folder / f"{name}.py").is_file() else (module, name)


@pytest.mark.parametrize("package", MAY)
def test_a_package_imports_public_names_of_public_modules(package, author_modules):
    found = list(imports(package))

    assert found
    assert {(where, module) for where, module, _ in found if module not in MAY[package] | author_modules} == set()
    assert [(where, module, name) for where, module, name in found if name.startswith("_") and name[:2] != "__"] == []


def test_every_module_that_the_guide_names_for_authors_is_there(author_modules):
    assert {"flujo", "flujo.plugins", "flujo.testing", "flujo.testing.lint"} <= author_modules
    assert all(import_module(each) for each in author_modules)


def test_every_name_that_is_imported_is_one_that_its_module_gives():
    names = {(module, name) for package in MAY for _, module, name in imports(package) if name}
    given = {module: {*import_module(module).__all__, "__version__"} for module, _ in names}
    assert [(module, name) for module, name in sorted(names) if name not in given[module]] == []


def test_no_module_is_public_for_nobody():
    used = {module for package in MAY for _, module, _ in imports(package)}
    assert {*CORE, *HOSTS} - used == set()
