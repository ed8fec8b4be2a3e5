"""What references in files may name, and what not."""

import os
import subprocess
import sys

import pytest

from flujo.blueprint.kinds import SkillSpec
from flujo.blueprint.skills import SkillResolver
from flujo.exceptions import ConfigurationError, MissingAgentError

SKILLS = {
    "flujo.builtins.stringify": SkillSpec("flujo.builtins.stringify", "builtins:str", "text"),
    "flujo.builtins.join": SkillSpec("flujo.builtins.join", "posixpath:join", "paths"),
    "mine.broken": SkillSpec("mine.broken", "no_such_module_at_all:f", "broken"),
    "theirs.broken": SkillSpec("theirs.broken", "no_such_module_at_all:f", "broken", provider="flujo-acme 1.2"),
    "mine.object": SkillSpec("mine.object", len, "an object"),
}


@pytest.fixture
def write(tmp_path):
    def write(name, text=""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def resolver(tmp_path):
    return lambda *allowed, base="", skills=SKILLS: SkillResolver(skills, allowed, root=tmp_path, base=tmp_path / base)


def refused(resolver, reference):
    """Code, message and advice; checking says the same as resolving."""
    with pytest.raises((ConfigurationError, MissingAgentError)) as caught:
        resolver.resolve(reference)
    with pytest.raises(type(caught.value)) as checked:
        resolver.check(reference)
    assert str(checked.value) == str(caught.value)
    return caught.value.code, caught.value.message, caught.value.suggestion


def test_a_skills_id_gives_its_target(resolver):
    assert resolver().resolve("flujo.builtins.stringify") is str
    assert resolver().resolve("mine.object") is len
    assert resolver().check("mine.object") is None


def test_a_skill_that_cannot_be_imported_says_which_and_why(resolver):
    code, message, _ = refused(resolver(), "mine.broken")
    assert code == "V-A05"
    assert message == (
        "loading skill 'mine.broken' from 'no_such_module_at_all:f' raised ModuleNotFoundError: "
        "No module named 'no_such_module_at_all'"
    )


def test_a_skill_of_a_plugin_that_cannot_be_imported_names_the_plugin(resolver):
    assert refused(resolver(), "theirs.broken") == (
        "V-A05",
        "loading skill 'theirs.broken' of plugin flujo-acme 1.2 from 'no_such_module_at_all:f' raised "
        "ModuleNotFoundError: No module named 'no_such_module_at_all'",
        "install what it needs, or another version of the plugin",
    )


@pytest.mark.parametrize(
    ("reference", "advice"),
    [
        ("stringfy", "did you mean 'flujo.builtins.stringify'?"),
        ("flujo.builtins.does_not_exist", "for code of the project write 'module:name'"),
        ("gpt-4", "for code of the project write 'module:name'"),
        ("os.system", "for code of the project write 'module:name'"),
    ],
)
def test_an_unknown_id_names_the_nearest(resolver, reference, advice):
    assert refused(resolver(), reference) == ("V-A01", f"there is no skill {reference!r}", advice)


def test_code_beside_the_pipeline_is_found_by_module_and_name(resolver, write):
    write("skills/h.py", "def f(): ...\nmade = object()\n")
    assert resolver("skills").resolve("skills.h:f").__name__ == "f"
    assert resolver("skills").resolve("skills.h.f").__name__ == "f"
    assert resolver("skills").resolve("skills.h:made") is not None
    assert resolver("skills.h").resolve("skills.h:f").__module__ == "skills.h"


def test_a_package_and_a_plain_module_are_modules_too(resolver, write):
    write("tools/__init__.py", "def f(): ...\n")
    write("alone.py", "def f(): ...\n")
    assert resolver("tools", "alone").resolve("tools:f").__module__ == "tools"
    assert resolver("tools", "alone").resolve("alone:f").__module__ == "alone"


def test_the_pipelines_own_folder_comes_before_the_root(resolver, write):
    write("skills/h.py", "WHERE = 'root'\n")
    write("flows/skills/h.py", "WHERE = 'flow'\n")
    write("common/h.py", "WHERE = 'common'\n")
    inner = resolver("skills", "common", base="flows")
    assert inner.resolve("skills.h:WHERE") == "flow"
    assert inner.resolve("common.h:WHERE") == "common"
    assert resolver("skills").resolve("skills.h:WHERE") == "root"


def test_nothing_is_allowed_by_default(resolver, write):
    write("skills/h.py", "def f(): ...\n")
    code, message, advice = refused(resolver(), "skills.h:f")
    assert (code, message) == ("V-A02", "module 'skills.h' may not be imported by pipeline files")
    assert advice == 'allow it in flujo.toml: blueprint_allowed_imports = ["skills"]'


def test_advice_keeps_what_is_allowed_already(resolver, write):
    write("skills/h.py", "")
    _, _, advice = refused(resolver("helpers"), "skills.h:f")
    assert advice == 'allow it in flujo.toml: blueprint_allowed_imports = ["helpers", "skills"]'


@pytest.mark.parametrize(
    "reference", ["os:system", "subprocess:run", "skillset.h:f", "Skills.h:f", "skill:f", "sys:exit"]
)
def test_what_is_not_allowed_is_refused_before_it_is_imported(resolver, reference):
    code, _, advice = refused(resolver("skills"), reference)
    assert (code, advice) == ("V-A02", "blueprint_allowed_imports in flujo.toml allows 'skills'")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("*", "'*' in blueprint_allowed_imports is no module"),
        ("skills.*", "'skills.*' in blueprint_allowed_imports is no module"),
        ("../skills", "'../skills' in blueprint_allowed_imports is no module"),
        ("", "'' in blueprint_allowed_imports is no module"),
    ],
)
def test_an_allowance_for_everything_is_refused(resolver, entry, message):
    code, said, advice = refused(resolver("skills", entry), "skills.h:f")
    assert (code, said) == ("V-A02", message)
    assert advice == (
        'name each module or package, as in blueprint_allowed_imports = ["skills"]; a package allows the modules in it'
    )


MALFORMED = ["../x:f", "..skills.h:f", "skills..h:f", "skills..h", "/etc/passwd", "skills/h.py", "skills%2eh:f"]
MALFORMED += ["%2e%2e:f", "file:///x:f", "\\\\host\\share:f", "http://x/y:f", "skills.h:f()", "skills.h:f.g", "a:b:c"]
MALFORMED += ["skills.h:", ":f", "", " skills.h:f", "skills.h:f\n", "skills h:f", "sk\u0131lls.h:f", "x" * 101]


@pytest.mark.parametrize("reference", MALFORMED)
def test_what_has_no_references_form_is_refused(resolver, write, reference):
    write("skills/h.py", "def f(): ...\n")
    code, _, _ = refused(resolver("skills"), reference)
    assert code == "V-A03"


def test_what_an_allowed_module_only_imports_is_refused(resolver, write):
    write("skills/h.py", "import os\nfrom os import system\nfrom subprocess import Popen\nfrom skills.g import g\n")
    write("skills/g.py", "def g(): ...\n")
    for name in ("os", "system", "Popen"):
        with pytest.raises(ConfigurationError, match="which pipeline files may not import") as caught:
            resolver("skills").resolve(f"skills.h:{name}")
        assert caught.value.code == "V-A02"
    assert resolver("skills").resolve("skills.h:g").__module__ == "skills.g"


def test_a_missing_module_or_name_is_told_with_the_nearest(resolver, write):
    write("skills/helper.py", "def double(): ...\n")
    found = resolver("skills", "tools")
    assert refused(found, "skills.helpr:f") == (
        "V-A04",
        "there is no module 'skills.helpr'",
        "did you mean 'skills.helper'?",
    )
    assert refused(found, "skills.helper:dubble")[1:] == (
        "module 'skills.helper' has no 'dubble'",
        "did you mean 'double'?",
    )
    code, message, advice = refused(found, "tools.x:f")
    assert (code, message) == ("V-A04", "there is no module 'tools.x'")
    assert advice.startswith("expected tools/x.py under ")


def test_a_link_out_of_the_project_is_refused(resolver, write, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "h.py").write_text("raise SystemExit\n")
    write("tools/h.py").unlink()
    os.symlink(outside, write("x").parent / "skills")
    os.symlink(outside / "h.py", write("tools/y").parent / "h.py")
    for reference in ("skills.h:f", "tools.h:f"):
        code, message, _ = refused(resolver("skills", "tools"), reference)
        assert code == "V-A02"
        assert message.endswith("lies outside the project")


def test_an_installed_module_can_be_allowed(resolver):
    assert resolver("posixpath").resolve("posixpath:join") is os.path.join
    assert resolver("posixpath").check("posixpath:join") is None
    assert refused(resolver("no_such_module_at_all"), "no_such_module_at_all:f")[0] == "V-A04"
    with pytest.raises(MissingAgentError, match=r"module 'json\.tool' has no 'nope'"):
        resolver("json").resolve("json.tool:nope")


def test_a_module_that_merely_lies_in_the_working_directory_is_refused(resolver, write, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "strays.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.syspath_prepend("")
    code, message, _ = refused(resolver("strays"), "strays:f")
    assert (code, message) == ("V-A02", "module 'strays' lies outside the project")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n1 / 0\n", "ZeroDivisionError: division by zero (skills/h.py:2)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (skills/h.py:2)"),
        ("raise Exception\n", "Exception (skills/h.py:1)"),
        (
            "import ast\nast.literal_eval('f(')\n",
            "SyntaxError: '(' was never closed (<unknown>, line 1) (skills/h.py:2)",
        ),
        (
            "import no_such_module_at_all\n",
            "ModuleNotFoundError: No module named 'no_such_module_at_all' (skills/h.py:1)",
        ),
        ("raise ValueError('one\\ntwo')\n", "ValueError: one (skills/h.py:1)"),
        ("def __getattr__(name):\n    raise KeyError(name)\n", "KeyError: 'f' (skills/h.py:2)"),
    ],
)
def test_code_that_fails_while_it_is_imported_says_where(resolver, write, text, said):
    write("skills/h.py", text)
    with pytest.raises(ConfigurationError) as caught:
        resolver("skills").resolve("skills.h:f")
    assert caught.value.message == f"importing 'skills.h' raised {said}"
    assert caught.value.code == "V-A05"


def test_a_module_that_is_no_python_is_told_with_its_line_and_so_is_one_that_it_imports(resolver, write):
    write("skills/h.py", "import skills.g\n")
    write("skills/g.py", "\ndef f(:\n")
    assert refused(resolver("skills"), "skills.g:f")[:2] == ("V-A05", "skills/g.py:2 can't be parsed: invalid syntax")
    with pytest.raises(ConfigurationError, match=r"skills/g\.py:2 can't be parsed"):
        resolver("skills").resolve("skills.h:f")


def test_a_module_without_names_and_one_that_is_nowhere_are_told_with_advice(resolver, write, tmp_path):
    write("skills/h.py")
    write("flows/skills/h.py")
    assert refused(resolver("skills"), "skills.h:f")[2] == "the module defines nothing"
    expected = f"expected skills/x.py under {str(tmp_path / 'flows')!r} or {str(tmp_path)!r}"
    assert refused(resolver("skills", base="flows"), "skills.x:f") == (
        "V-A04",
        "there is no module 'skills.x'",
        expected,
    )


@pytest.mark.parametrize("text", ["from os.path import *\n", "def __getattr__(name): ...\n", "if 1:\n    f = 2\n"])
def test_checking_lets_pass_what_only_running_can_tell(resolver, write, text):
    write("skills/h.py", text + "1 / 0\n")
    assert resolver("skills").check("skills.h:f") is None


AUDITED = """
import sys
from pathlib import Path
from flujo.blueprint.skills import SkillResolver
from flujo.exceptions import FlujoError

resolver = SkillResolver({}, ("skills",), root=Path(sys.argv[1]), base=Path(sys.argv[1]))
seen = []
sys.addaudithook(lambda event, args: seen.append((event, *args[:1])) if seen is not None else None)
for reference in sys.argv[2:]:
    try:
        resolver.resolve(reference)
        print("resolved", reference)
    except FlujoError:
        pass
doing = ("import", "open", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect")
print([event for event in seen if event[0] in doing])
"""


def test_what_is_refused_is_neither_imported_nor_opened(write, tmp_path):
    write("other/h.py", "raise SystemExit\n")
    references = ["os:system", "subprocess.run", "subprocess:run", "other.h:f", "Skills.h:f", *filter(None, MALFORMED)]
    command = [sys.executable, "-c", AUDITED, str(tmp_path), *references]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
