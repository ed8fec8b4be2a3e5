"""Addresses of states, and what is made where they point."""

import os
import stat
from pathlib import Path

import pytest

from flujo.exceptions import SettingsError, StateUnavailable
from flujo_state_sqlite.backend import open_sqlite
from flujo_state_sqlite.locations import Location, parse_url


@pytest.mark.parametrize(
    ("url", "path", "sync"),
    [
        ("sqlite:///state.db", "/project/state.db", "auto"),
        ("sqlite:///a/b.db?sync=full", "/project/a/b.db", "full"),
        ("sqlite:////var/b.db?sync=normal", "/var/b.db", "normal"),
        ("sqlite:///my%20runs.db?sync=auto", "/project/my runs.db", "auto"),
        ("sqlite:///odd#name.db?", "/project/odd#name.db", "auto"),
    ],
)
def test_address_says_where_the_file_is_and_how_to_sync(url, path, sync):
    assert parse_url(url, Path("/project")) == Location(Path(path), sync)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://host/state.db", "is not the address"),
        ("sqlite:state.db", "is not the address"),
        ("sqlite:///", "is not the address"),
        ("sqlite:////", "is not the address"),
        ("sqlite:///a%00b", "is not the address"),
        ("sqlite:///:memory:", "would be forgotten"),
        ("sqlite:///a.db?mode=ro", "unknown option 'mode'"),
        ("sqlite:///a.db?sync", "sync '' in"),
        ("sqlite:///a.db?sync=fast", "expected one of auto, full, normal"),
    ],
)
def test_address_that_can_not_be_meant_is_refused(url, said):
    with pytest.raises(SettingsError, match=said):
        open_sqlite(url, Path("/project"))


async def test_nothing_is_made_before_the_first_write(path, backend):
    assert await backend.get("run-1") is None
    assert await backend.list() == []
    await backend.close()
    assert list(path.parent.iterdir()) == []


async def test_new_folder_is_private_and_ignored_by_git(tmp_path, opened, run):
    path = tmp_path / ".flujo" / "state.db"
    await opened(path).create_run(run())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (path.parent / ".gitignore").read_text() == "*\n"
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("state.db*") if file.is_file()}
    assert modes == {0o600}


async def test_a_folder_in_one_that_is_not_there_is_not_made(tmp_path, opened, run):
    with pytest.raises(StateUnavailable, match=r"there is no folder .*nosuch"):
        await opened(tmp_path / "nosuch" / "dir" / "state.db").create_run(run())
    assert list(tmp_path.iterdir()) == []


async def test_folder_that_was_there_is_left_as_it_is(path, backend, run):
    path.parent.chmod(0o755)
    await backend.create_run(run())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert not (path.parent / ".gitignore").exists()


async def test_link_in_the_place_of_the_file_is_not_followed(path, tmp_path, opened, run):
    await opened(tmp_path / "real.db").create_run(run())
    path.symlink_to(tmp_path / "real.db")
    for call in (opened(path).create_run(run("run-2")), opened(path).get("run-1")):
        with pytest.raises(StateUnavailable, match="is a symbolic link"):
            await call


async def test_dangling_link_makes_no_file(path, tmp_path, backend, run):
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StateUnavailable, match="is a symbolic link"):
        await backend.create_run(run())
    assert not (tmp_path / "elsewhere.db").exists()


@pytest.mark.parametrize(("make", "told"), [(os.mkdir, "is a folder"), (os.mkfifo, "is no plain file")])
async def test_anything_else_in_the_place_of_the_file_is_refused(path, backend, run, make, told):
    make(path)
    with pytest.raises(StateUnavailable, match=told):
        await backend.create_run(run())


async def test_file_in_the_place_of_the_folder_is_refused(tmp_path, opened, run):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StateUnavailable, match=r"taken/state\.db"):
        await opened(tmp_path / "taken" / "state.db").create_run(run())


async def test_link_to_the_folder_leads_to_the_same_owners(tmp_path, opened, run):
    (tmp_path / "link").symlink_to(tmp_path)
    await opened(tmp_path / "state.db").create_run(run())
    row = await opened(tmp_path / "link" / "state.db").get("run-1")
    assert row.status == "running"


async def test_closed_state_leaves_one_file(path, backend, run):
    await backend.create_run(run())
    await backend.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["state.db", "state.db.workers"]
    assert list((path.parent / "state.db.workers").iterdir()) == []
