"""Projects in one process each have their own modules."""

import sys

import pytest

from flujo.blueprint.modules import Project


@pytest.fixture
def make(tmp_path):
    """Make a project of files; both its folders are the same unless a base is named."""

    def make(name, files, base="."):
        root = tmp_path.resolve() / name
        for file, text in files.items():
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Project((root / base).resolve(), root)

    return make


FILES = {
    "skills/__init__.py": "",
    "skills/h.py": "from skills.g import NAME\nimport beside\nBESIDE = beside.NAME\n",
    "skills/g.py": "NAME = '{0}'\n",
    "beside.py": "NAME = '{0}'\n",
}


def files(name, *, namespace=False):
    return {file: text.format(name) for file, text in FILES.items() if not (namespace and "__init__" in file)}


@pytest.mark.parametrize("namespace", [False, True])
def test_two_projects_with_modules_of_one_name_each_get_their_own(make, namespace):
    first, second = (make(name, files(name, namespace=namespace)) for name in ("one", "two"))
    one, two = first.load("skills.h"), second.load("skills.h")
    assert (one.NAME, one.BESIDE, two.NAME, two.BESIDE) == ("one", "one", "two", "two")
    assert first.load("skills.h") is one
    assert second.load("skills.h") is two
    assert first.load("skills.g").NAME == "one"
    assert second.load("skills.g").NAME == "two"


def test_a_module_keeps_its_plain_name(make):
    first, second = (make(name, files(name)) for name in ("one", "two"))
    assert first.load("skills.h").__name__ == second.load("skills.h").__name__ == "skills.h"
    assert sys.modules["skills.h"] is first.load("skills.h")


def test_a_second_project_leaves_nothing_in_the_firsts_package(make):
    first = make("one", files("one"))
    second = make("two", {**files("two"), "skills/late.py": "WHOSE = 'two'\n"})
    first.load("skills.h")
    second.load("skills.late")
    assert "skills.late" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        first.load("skills.late")


def test_a_module_from_elsewhere_under_the_same_name_is_not_taken(make, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "helpers.py").write_text("NAME = 'elsewhere'\n")
    monkeypatch.syspath_prepend(str(other))
    import helpers

    project = make("one", {"helpers.py": "NAME = 'one'\n"})
    assert project.load("helpers").NAME == "one"
    assert sys.modules["helpers"] is helpers


def test_what_the_program_itself_imported_from_the_project_is_used(make, monkeypatch):
    project = make("one", {"mine.py": "NAME = 'one'\n"})
    monkeypatch.syspath_prepend(str(project.root))
    import mine

    assert project.load("mine") is mine


def test_pipelines_of_one_project_share_what_is_at_its_root(make):
    shared = {"common.py": "THINGS = []\n", "a/x.py": "import common\n", "b/x.py": "import common\n"}
    a, b = make("one", shared, base="a"), make("one", shared, base="b")
    assert a.load("x").common is b.load("x").common
    assert a.load("x") is not b.load("x")


def test_libraries_are_never_loaded_twice(make):
    first, second = (make(name, {"m.py": "import wave\n"}) for name in ("one", "two"))
    assert first.load("m").wave is second.load("m").wave


def test_a_library_in_an_environment_inside_the_project_is_no_module_of_it(make, monkeypatch):
    lib = {".venv/lib/library.py": "", "m.py": "import library\n"}
    first, second = make("one", lib), make("two", {"m.py": "import library\n"})
    monkeypatch.syspath_prepend(str(first.root / ".venv/lib"))
    assert first.load("m").library is second.load("m").library


def test_after_a_failed_import_the_rest_stands_and_a_mended_module_loads(make):
    project = make("one", {"m.py": "import n\n1 / 0\n", "n.py": ""})
    with pytest.raises(ZeroDivisionError):
        project.load("m")
    (project.root / "m.py").write_text("import n\nNAME = 'mended, and longer'\n")
    assert project.load("m").NAME.startswith("mended")


def test_a_module_that_changes_the_import_path_is_borne_with(make):
    project = make("one", {"m.py": "import sys\nsys.path.pop(0)\n"})
    path = list(sys.path)
    project.load("m")
    assert sys.path == path


def test_a_module_that_is_not_there_has_no_file(make):
    project = make("one", {"m.py": "", "skills/h.py": ""})
    assert project.find("nope.m") is None
    assert project.find("skills.nope") is None
    assert project.find("skills.h") == project.root / "skills/h.py"
    assert project.siblings("skills.nope") == ["skills.h"]
    assert project.siblings("nope") == ["m"]
