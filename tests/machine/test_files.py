# SPDX-License-Identifier: GPL-2.0-or-later
"""Which links are followed, and what stands at a path when somebody else has put it there."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.files import look, read, remove, replace, replacing
from nutdrv_py.machine.place import Unsafe, place
from nutdrv_py.machine.private import private_file, read_private, read_trusted

OTHER = 65_533
"""Number of another user; no account is needed."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files that belong to others")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    return folder


def test_links_of_this_user_are_followed_on_the_way_and_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "run" / "nut").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "run").symlink_to("../run")
    (tmp_path / "state").symlink_to(tmp_path / "var" / "run" / "nut")
    replace(tmp_path / "state" / "x", b"one")
    (tmp_path / "name").symlink_to("state/x")
    assert read(tmp_path / "name") == b"one"
    with place(tmp_path / "name") as at:
        assert at.path == tmp_path.resolve() / "run" / "nut" / "x"


def test_links_in_a_circle_are_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        look(tmp_path / "a")


@needs_root
def test_a_link_of_another_user_is_named_with_the_user_who_can_have_made_it(theirs: Path) -> None:
    (theirs / "x").symlink_to("/etc/passwd")
    with pytest.raises(Unsafe, match=f"{theirs}/x is a link, and user {OTHER} may change {theirs}, .*; type: rm {theirs}/x, or "):
        read(theirs / "x")


@needs_root
@pytest.mark.parametrize(
    ("mode", "group", "owner", "followed"),
    [
        (0o755, 0, 0, True), (0o775, 0, 0, True), (0o775, OTHER, 0, False), (0o757, 0, 0, False), (0o777, 0, 0, False),
        (0o1777, 0, 0, True), (0o1777, 0, OTHER, False), (0o1775, OTHER, 0, True),
    ],
)  # fmt: skip
def test_a_link_is_followed_where_only_root_and_this_user_can_have_made_it(tmp_path: Path, mode: int, group: int, owner: int, followed: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "file").write_bytes(b"one")
    (folder / "x").symlink_to(tmp_path / "file")
    os.chown(folder / "x", owner, owner, follow_symlinks=False)
    os.chown(folder, 0, group)
    folder.chmod(mode)
    if followed:
        assert read(folder / "x") == b"one"
    else:
        with pytest.raises(Unsafe):
            read(folder / "x")


@needs_root
def test_the_way_back_out_of_another_users_folder_is_not_taken(theirs: Path) -> None:
    (theirs / "in").mkdir()
    (theirs.parent / "file").write_bytes(b"one")
    with pytest.raises(Unsafe, match="write the path without"):
        read(theirs / "in" / ".." / ".." / "file")


@needs_root
def test_a_folder_that_is_swapped_while_a_file_is_written_does_not_lead_elsewhere(theirs: Path) -> None:
    inner, aside, elsewhere = theirs / "in", theirs / "aside", theirs.parent / "elsewhere"
    for folder in (inner, elsewhere):
        folder.mkdir()
    (elsewhere / "x").write_bytes(b"root's")
    with replacing(inner / "x") as new:
        inner.rename(aside)
        inner.symlink_to(elsewhere)
        new.write(b"one")
        new.commit()
    assert [place.name for place in elsewhere.iterdir()] == ["x"]
    assert (elsewhere / "x").read_bytes() == b"root's"
    assert (aside / "x").read_bytes() == b"one"


def test_a_file_is_replaced_as_a_whole_with_the_mode_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        replace(tmp_path / "x", b"one", 0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
    assert [place.name for place in tmp_path.iterdir()] == ["x"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [place.name for place in tmp_path.iterdir()] == ["x"]


def test_where_a_link_stands_the_link_is_replaced_or_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    for act in (lambda path: replace(path, b"two"), remove):
        (tmp_path / "x").unlink(missing_ok=True)
        (tmp_path / "x").symlink_to("file")
        act(tmp_path / "x")
        assert (tmp_path / "file").read_bytes() == b"one"
        assert not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize("reader", [read, read_private, read_trusted, private_file])
def test_a_fifo_is_refused_at_once(tmp_path: Path, reader: object) -> None:
    os.mkfifo(tmp_path / "x", 0o600)
    began = time.monotonic()
    with pytest.raises(Unsafe, match=f"{tmp_path}/x is a FIFO"):
        reader(tmp_path / "x")  # type: ignore[operator]
    assert time.monotonic() - began < 5


def test_a_file_beyond_the_limit_is_not_taken_in(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read(tmp_path / "x", 4)


def test_an_absolute_path_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    replace(Path("x"), b"one")
    assert read(Path("./x")) == b"one"


@needs_root
def test_a_hard_linked_backup_of_a_users_own_file_is_read(theirs: Path) -> None:
    """cp -al makes one; a token that is refused for it would be missing in the next outage."""
    (theirs / "x").write_bytes(b"one")
    os.chown(theirs / "x", OTHER, OTHER)
    (theirs / "copy").hardlink_to(theirs / "x")
    assert read(theirs / "x") == b"one"


# Secrets


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601])
def test_a_secret_that_others_may_use_is_refused_when_it_is_read(tmp_path: Path, mode: int) -> None:
    (tmp_path / "x").write_bytes(b"one")
    (tmp_path / "x").chmod(mode)
    for reader in (read_private, private_file):
        with pytest.raises(ConfigError, match=f"type: chmod o-rwx {tmp_path}/x"):
            reader(tmp_path / "x")


@needs_root
def test_a_secret_that_another_user_made_in_a_folder_for_all_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "x").write_bytes(b"one")
    (folder / "x").chmod(0o640)
    assert read_private(folder / "x") == b"one"
    os.chown(folder / "x", OTHER, 0)
    for reader in (read_private, read_trusted, private_file):
        with pytest.raises(ConfigError, match="another user"):
            reader(folder / "x")


def test_a_full_path_works_when_the_folder_that_the_process_stands_in_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver stands in its state path, which an upgrade of NUT may make anew."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    (tmp_path / "run").rmdir()
    replace(tmp_path / "x", b"one")
    assert read(tmp_path / "x") == b"one"
