"""The texts of pipeline files, as they are on the disk or as they were."""

import pytest

from flujo.blueprint.texts import Texts
from flujo.exceptions import BlueprintError


def test_what_was_read_is_kept_by_its_path_from_the_root_in_order(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "main.yaml").write_bytes(b"\xef\xbb\xbfsteps: []\n")
    (tmp_path / "parts/child.yaml").write_text("name: ü\n", encoding="utf-8")
    texts = Texts(tmp_path)

    assert texts.read(tmp_path / "main.yaml") == b"\xef\xbb\xbfsteps: []\n"
    texts.read(tmp_path / "parts/../parts/child.yaml")

    assert list(texts.kept().items()) == [("main.yaml", "steps: []\n"), ("parts/child.yaml", "name: ü\n")]


def test_what_is_stored_is_there_and_wins_over_the_disk(tmp_path):
    (tmp_path / "a.yaml").write_text("new")
    (tmp_path / "c.yaml").write_text("disk")
    texts = Texts(tmp_path, {"a.yaml": "old", "b.yaml": "gone"})

    assert [texts.has(tmp_path / f"{name}.yaml") for name in "abcd"] == [True, True, True, False]
    assert [texts.read(tmp_path / f"{name}.yaml") for name in "abc"] == [b"old", b"gone", b"disk"]


def test_a_file_that_is_nowhere_can_not_be_read(tmp_path):
    with pytest.raises(BlueprintError, match="the file can't be read: no such file or directory"):
        Texts(tmp_path).read(tmp_path / "none.yaml")


def test_a_file_outside_the_root_keeps_its_whole_path(tmp_path):
    outside = tmp_path / "main.yaml"
    outside.write_text("steps: []")
    texts = Texts(tmp_path / "project")
    texts.read(outside)
    assert texts.kept() == {str(outside.resolve()): "steps: []"}
