# SPDX-License-Identifier: GPL-2.0-or-later
"""Root touches nothing that another user has laid: it becomes that user first, and can do no more than that user could."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nutdrv_py.machine.owners import keeper

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lay files for other users")

USER, OTHER, GROUP = 4711, 4712, 4713


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of root's, to which other users can find their way."""
    made = tmp_path_factory.mktemp("owners")
    for one in (made, made.parent, made.parent.parent):
        one.chmod(one.stat().st_mode | 0o011)
    return made


def lay(path: Path, owner: int = 0, mode: int = 0o644, group: int = 0, *, folder: bool = False) -> Path:
    if folder:
        path.mkdir()
    else:
        path.touch()
    path.chmod(mode)
    os.chown(path, owner, group)
    return path


def test_whom_a_file_is_left_to(folder: Path) -> None:
    lay(folder / "root", folder=True, mode=0o755)
    lay(folder / "users", USER, 0o750, folder=True)
    lay(folder / "shared", 0, 0o770, GROUP, folder=True)
    lay(folder / "open", 0, 0o777, folder=True)
    lay(folder / "sticky", 0, 0o1777, folder=True)
    lay(folder / "root" / "own")
    lay(folder / "root" / "given", USER)
    lay(folder / "users" / "own")
    lay(folder / "sticky" / "own")
    lay(folder / "sticky" / "given", USER)
    (folder / "root" / "link").symlink_to(folder / "users" / "own")
    (folder / "root" / "fine").symlink_to(Path("..") / "root" / "own")
    (folder / "users" / "link").symlink_to(folder / "root" / "own")
    (folder / "root" / "loop").symlink_to(folder / "root" / "loop")
    os.chown(folder / "users" / "link", USER, 0, follow_symlinks=False)
    table = {
        "root/own": 0, "root/fine": 0, "root/absent": 0, "root/given": USER, "users/own": USER, "users/absent": USER, "users/link": USER,
        "users/deep/down": USER, "root/link": USER, "shared/x": OTHER, "open/x": OTHER, "sticky/own": 0, "sticky/given": USER,
        "sticky/absent": OTHER, "root/loop": OTHER,
    }  # fmt: skip
    assert {name: keeper(folder / name, OTHER) for name in table} == table


def victim(folder: Path) -> Path:
    path = folder / "root" / "nologin"
    if not path.parent.exists():
        lay(path.parent, folder=True, mode=0o755)
        path.write_text("of root\n")
    return path


TRAPS: dict[str, Callable[[Path, Path], object]] = {
    "the port file is a link": lambda port, root: port.symlink_to(root),
    "its second name is a link": lambda port, root: port.with_name(port.name + "-nocomms").symlink_to(root),
    "its lock is a link to nothing": lambda port, root: (lay(port, USER), port.with_name(f".{port.name}.lock").symlink_to(root.with_name("new")))[0],
    "its lock is a pipe": lambda port, root: (lay(port, USER), os.mkfifo(port.with_name(f".{port.name}.lock")))[1],
}


@pytest.mark.parametrize("way", ["portfile -s", "portfile --away", "a start that fails", "daemon --away"])
@pytest.mark.parametrize("trap", TRAPS)
def test_root_renames_and_makes_nothing_for_another_user(trap: str, way: str, folder: Path) -> None:
    root = victim(folder)
    theirs = lay(folder / "theirs", USER, 0o755, folder=True)
    port = theirs / "home.dev"
    TRAPS[trap](port, root)
    for left in theirs.iterdir():
        os.chown(left, USER, USER, follow_symlinks=False)
    etc = lay(folder / "etc", folder=True, mode=0o755)
    (etc / "keeper.conf").write_text(f"UPS=home\nBACKEND=rct\nHOST=127.0.0.1:1\nPORT_FILE={port}\n")
    (etc / "exports.yml").write_text(f"portfile: {{path: {port}}}\ndevice: {{host: 127.0.0.1}}\n")
    (etc / "ups.conf").write_text("[home]\n driver = nutdrv_py\n backend = rct\n port = 127.0.0.1:1\n config = exports.yml\n bogus = 1\n")
    for file in etc.iterdir():
        file.chmod(0o600)
    command = {
        "portfile -s": ["portfile", "-s", "-c", str(etc / "keeper.conf")],
        "portfile --away": ["portfile", "--away", "-c", str(etc / "keeper.conf")],
        "a start that fails": ["-a", "home"],
        "daemon --away": ["daemon", "--away", "-c", str(etc / "exports.yml")],
    }[way]
    environ = {**os.environ, "NUT_CONFPATH": str(etc), "NUT_STATEPATH": str(folder), "NUT_ALTPIDPATH": str(folder)}
    before = sorted(root.parent.iterdir())
    run = "import sys; from nutdrv_py.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", run, *command], env=environ, capture_output=True, timeout=60, check=False)
    assert root.read_text() == "of root\n"
    assert sorted(root.parent.iterdir()) == before
    assert root.lstat().st_uid == 0
