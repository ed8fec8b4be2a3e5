"""`flujo plugins new`: the package that it writes is whole, says what it should, and is good."""

import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from flujo_cli.rendering import PARTS, Scaffold

ALL = ",".join(PARTS)
COMBINATIONS = [some for count in range(1, len(PARTS) + 1) for some in combinations(PARTS, count)]


def test_a_package_is_written_and_its_files_are_told(flujo, project):
    ran = flujo("plugins", "new", "http", "--with", "policy")
    folder = project / "flujo-policy-http"
    assert ran.code == 0
    assert {Path(line) for line in ran.out.splitlines()} == {
        each.relative_to(project) for each in folder.rglob("*") if each.is_file()
    }
    assert "next: pip install --editable 'flujo-policy-http[test]'; flujo plugins check flujo-policy-http" in ran.err
    assert (folder / "src/flujo_policy_http/py.typed").read_text() == ""
    assert "class HttpStep(" in (folder / "src/flujo_policy_http/steps.py").read_text()


def test_the_folder_may_be_said_and_what_is_written_is_an_object_too(flujo, project):
    told = flujo("plugins", "new", "http", "--with", "sink,lint", "--into", "there/now", "--json").json
    assert (told["schema"], told["dist"]) == ("flujo.plugins.new/1", "flujo-plugin-http")
    assert told["next"] == [
        "pip install --editable 'there/now/flujo-plugin-http[test]'",
        "flujo plugins check flujo-plugin-http",
    ]
    assert all((project / told["folder"] / file).is_file() for file in told["files"])


@pytest.mark.parametrize("some", COMBINATIONS, ids="-".join)
def test_any_parts_go_together(some, author_modules):
    texts = Scaffold("http", some).files()
    hooks = texts[next(path for path in texts if path.endswith("/plugin.py"))]
    assert hooks.count("@hookimpl") == sum(len(PARTS[part].registrars) for part in some)
    assert [path for path in texts if path.startswith("tests/test_")] == sorted(
        ["tests/test_plugin.py", *(f"tests/test_{PARTS[part].module}.py" for part in some)]
    )
    modules = re.findall(r"^from (flujo(?:\.\w+)*) import", "\n".join(texts.values()), re.MULTILINE)
    assert set(modules) <= author_modules
    assert not any("$" in text for path, text in texts.items() if path.endswith((".py", ".toml", ".md")))


def test_a_package_is_tried_with_the_oldest_flujo_core_that_it_allows():
    texts = Scaffold("http", ["policy"]).files()
    lowest = re.search(r'"flujo-core>=([\d.]+),<', texts["pyproject.toml"])[1]
    assert f'"oldest": "flujo-core=={lowest}"' in texts["noxfile.py"]


@pytest.mark.parametrize(
    ("parts", "dist"),
    [
        (["policy"], "flujo-policy-http"),
        (["state"], "flujo-state-http"),
        (["sink"], "flujo-sink-http"),
        (["lint"], "flujo-plugin-http"),
        (["policy", "lint"], "flujo-plugin-http"),
    ],
)
def test_the_distribution_is_named_after_what_it_adds(parts, dist):
    assert Scaffold("http", parts).dist == dist


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["HTTP"], "'HTTP' is no name for a plugin"),
        (["h_t"], "'h_t' is no name for a plugin"),
        (["a" * 21], "is no name for a plugin"),
        (["flujo-http"], "begins with 'flujo', as the package will anyway"),
        (["test"], "'test' begins what pytest collects"),
        (["v", "--with", "lint"], "'v' begins what pytest collects, or is of flujo's own checks"),
        (["class"], "'class' is a word of Python's own"),
        (["true"], "'true' is a word of YAML's own"),
        (["null", "--with", "sink"], "'null' is a word of YAML's own"),
        (["http", "--with", "stat"], "a plugin has no part 'stat'\n  help: did you mean 'state'?"),
        (["http", "--with", ","], "--with names no part\n  help: the parts are policy, state, sink, command, lint"),
        (["loop"], "'loop' in kinds is flujo-policies-builtin"),
        (["sqlite", "--with", "state"], "'sqlite' in backends is flujo-state-sqlite"),
        (["run", "--with", "command"], "'run' in commands is flujo-cli"),
        (["http", "--into", "pipeline.yaml/x"], "can't be written: Not a directory\n  help: choose another folder"),
    ],
)
def test_what_can_not_be_a_package_is_refused(flujo, project, args, message):
    before = sorted(project.rglob("*"))
    ran = flujo("plugins", "new", *args)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert sorted(project.rglob("*")) == before


def test_nothing_is_overwritten(flujo, project):
    assert flujo("plugins", "new", "http").code == 0
    mine = project / "flujo-policy-http/README.md"
    mine.write_text("mine")
    ran = flujo("plugins", "new", "http")
    assert ran.code == 2
    assert "'flujo-policy-http' is there already, and not empty" in ran.err
    assert mine.read_text() == "mine"


def test_a_package_with_everything_is_good_code_and_passes_its_own_tests(flujo, tmp_path):
    told = flujo("plugins", "new", "probe", "--with", ALL, "--into", str(tmp_path), "--json").json
    package, installed = Path(told["folder"]), tmp_path / "installed"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    environment = {**kept, "PYTHONPATH": str(installed), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(*words):
        command = [Path(sys.executable).with_name("flujo")] if words[0] == "plugins" else [sys.executable, "-m"]
        done = subprocess.run(
            [*command, *words], cwd=package, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(installed), str(package))
    run("plugins", "check", told["dist"])
    run("ruff", "format", "--check", "--no-cache", ".")
    run("ruff", "check", "--no-cache", ".")
    run("mypy")
    pyright = {"include": ["src", "tests"], "extraPaths": ["src"], "typeCheckingMode": "strict"}
    (package / "pyrightconfig.json").write_text(json.dumps(pyright))
    run("basedpyright", "--pythonpath", sys.executable)
    run("pytest", "-p", "no:cacheprovider")
