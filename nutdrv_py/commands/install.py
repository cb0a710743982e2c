# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py install``: put the launcher where upsdrvctl looks, or take it away again."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from nutdrv_py.errors import ConfigError, StartError
from nutdrv_py.machine.installed import Manager, packaged
from nutdrv_py.machine.launcher import NAME, driver_path, launcher, link
from nutdrv_py.machine.paths import layout
from nutdrv_py.process.interpreter import make_named_interpreter, named_interpreter

__all__ = ["configure", "run"]

HELP = "put the launcher where upsdrvctl looks"

_REMOVE: Mapping[Manager, str] = {"debian": "apt remove nutdrv-py", "rpm": "dnf remove nutdrv_py"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--driverpath", type=Path, help="NUT's directory of drivers (default: found)")
    parser.add_argument("--remove", action="store_true", help="undo an installation")
    parser.add_argument(
        "--interpreter", action="store_true", help="only make or renew the interpreter of the driver's name, as packages do"
    )


def hidden_from(user: str, path: Path) -> Path | None:
    """Return the first directory on the way to ``path`` that ``user`` may not pass; None when the way is open."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return None
    groups = set(os.getgrouplist(user, account.pw_gid))
    for folder in reversed(path.resolve().parents):
        found = folder.stat()
        shift = 6 if found.st_uid == account.pw_uid else 3 if found.st_gid in groups else 0
        if not found.st_mode >> shift & stat.S_IXOTH:
            return folder
    return None


def _interpreter_alone() -> int:
    try:
        make_named_interpreter(NAME)
    except (OSError, StartError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{named_interpreter(NAME)} cannot be made: {error}") from error
    return 0


def _remove(folder: Path) -> int:
    place = folder / NAME
    interpreter = named_interpreter(NAME)
    for found in (place if place.is_symlink() else None, interpreter):
        if found is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            try:
                found.unlink()
            except PermissionError as error:
                raise ConfigError(f"{found} cannot be removed: {error.strerror}; run this as root") from error
            print(f"removed {found}")
    # Only when it is empty: links with a preset backend have interpreters of their own.
    with contextlib.suppress(OSError):
        interpreter.parent.rmdir()
    return 0


def run(args: argparse.Namespace) -> int:
    """Install or remove, saying each step."""
    if args.interpreter:
        return _interpreter_alone()
    owner = packaged()
    if owner is not None and args.driverpath is None:
        if args.remove:
            raise ConfigError(f"the driver belongs to a package of the distribution; type: {_REMOVE[owner]}")
        print("the distribution's package has put the driver where upsdrvctl looks; nothing to do")
        return 0
    folder = args.driverpath or driver_path()
    if args.remove:
        return _remove(folder)
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give --driverpath the one that holds NUT's drivers, such as dummy-ups")
    try:
        place = link(launcher(), folder)
    except OSError as error:
        raise ConfigError(f"{folder / NAME} cannot be made: {error.strerror}; run this as root") from error
    print(f"{place} -> {launcher()}")
    try:
        print(f"interpreter for upsdrvctl 2.8.3 and later: {make_named_interpreter(NAME)}")
    except (OSError, StartError, subprocess.SubprocessError) as error:
        print(f"note: no interpreter of the driver's name ({error}); upsdrvctl 2.8.3 and later cannot stop the driver")
    user = layout().user
    blocked = hidden_from(user, launcher()) or hidden_from(user, Path(sys.executable))
    if blocked is not None:
        raise ConfigError(
            f"NUT's user {user} may not enter {blocked}, so the driver would fail after it gave up root; "
            "install nutdrv_py into a place all may read, such as /opt/nutdrv_py"
        )
    print("now write a section with driver = nutdrv_py into ups.conf and type: upsdrvctl start")
    return 0
