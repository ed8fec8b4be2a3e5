"""Commands on a state that may be read and not written: they show it, and refuse the rest before anything runs."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534

ASKS = """
version: "0.1"
steps:
  - { name: note, uses: "skills.notes:note" }
  - { kind: hitl, name: ask, message: "ok?" }
"""

NOTES = """
from pathlib import Path


def note(data: str) -> str:
    with open("notes.txt", "a") as notes:
        notes.write(data)
    return data
"""


READS = ("runs list", "runs show r1", "runs trace r1", "why note", "inbox", "db check")
WRITES = ("run --input two --run-id r2", "resume r1 --answer yes", "runs cancel r1")


@pytest.fixture
def shelf(flujo, monkeypatch):
    """A folder with a run that waits, of a user for whom permissions count."""
    folder = Path(tempfile.mkdtemp(prefix="flujo-"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "xdg"))
    (folder / "skills").mkdir()
    (folder / "skills" / "notes.py").write_text(NOTES)
    (folder / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n')
    (folder / "pipeline.yaml").write_text(ASKS)
    assert flujo("run", "--input", "one", "--run-id", "r1").code == 6
    for words in (*READS, *WRITES):  # that user may not be able to read Python's own files: they are loaded before
        assert flujo(*words.split(), "--state", "sqlite:///other/state.db").code in (0, 2, 6)
    (folder / "notes.txt").write_text("")
    if os.geteuid() == 0:
        for place in [folder, *folder.rglob("*")]:
            os.chown(place, NOBODY, NOBODY)
    yield folder
    monkeypatch.chdir("/")
    for place in [folder, *folder.rglob("*")]:
        place.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture
def as_its_user(flujo, shelf):
    """Run a command as the user whose folder it is."""

    def run(words):
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)
        try:
            return flujo(*words.split())
        finally:
            if root:
                os.seteuid(0)

    return run


@pytest.mark.parametrize(("place", "mode"), [(".flujo", 0o555), (".flujo/state.db", 0o444)])
def test_a_state_that_may_not_be_written_is_shown_and_nothing_runs_in_it(as_its_user, shelf, place, mode):
    (shelf / place).chmod(mode)

    assert [(as_its_user(words).code, words) for words in READS] == [(0, words) for words in READS]
    for words in WRITES:
        ran = as_its_user(words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == (
            f"error[FLUJO-610] the state '{shelf}/.flujo/state.db' can't be used: "
            "attempt to write a readonly database\n"
            "  help: check that the file and its folder exist and may be read and written\n"
        )
    assert (shelf / "notes.txt").read_text() == ""
