# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold a secret, or that decide where one is sent."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.files import MOST, read
from nutdrv_py.machine.paths import layout
from nutdrv_py.machine.place import Place, Unsafe, place

__all__ = ["own_file", "private_file", "read_own", "read_private", "read_trusted"]


def private_file(path: Path) -> None:
    """Raise :class:`ConfigError` when others may read the file or put another into its folder; nothing if it is absent."""
    try:
        with place(path) as at:
            if (found := at.stat()) is not None:
                at.check(found)
                _private(at, found)
    except FileNotFoundError:
        return
    except Unsafe:
        raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be looked at: {error.strerror}; see the owner and mode of its folder") from error


def own_file(path: Path, refused: str) -> None:
    """Raise :class:`ConfigError` when anybody but root and this user may change a file or a folder above it.

    The sentence has the path, ``refused`` (such as "is not run, because"), the reason and what to type. Raises OSError for a file
    that is not there.
    """
    with place(path) as at:
        found = at.stat()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
        at.check(found)
        _own(at, found, refused)


def read_own(path: Path, refused: str, most: int = MOST) -> bytes:
    """Return the content of a file that only root and this user may change, as :func:`own_file` has it."""
    return read(path, most, check=lambda at, found: _own(at, found, refused))


def read_private(path: Path, most: int = MOST) -> bytes:
    """Return the content of a file that only its owner and group may use. Raises OSError, :class:`ConfigError` for another."""
    return read(path, most, check=_private)


def read_trusted(path: Path, most: int = MOST) -> bytes:
    """Return the content of a file that only its owner and group may change. Raises OSError, :class:`ConfigError` for another."""
    return read(path, most, check=_trusted)


def _own(at: Place, found: os.stat_result, refused: str) -> None:
    path = at.path
    if at.changer is not None:
        _, _, wrong = at.changer.partition(" may change ")
        # A folder for everybody, such as /tmp, must stay one.
        open_to_all = os.stat(wrong).st_mode & stat.S_ISVTX
        advice = f"type: chown root {wrong} && chmod go-w {wrong}"
        if open_to_all:
            advice = f"put it into a folder that only root may change: {wrong} is none"
        raise ConfigError(f"{path} {refused} {at.changer}; {advice}")
    # Root refuses NUT's user at the start; `check`, which has become that user, must not accept itself.
    if found.st_uid not in (0, os.geteuid()) or found.st_uid == _nuts_user():
        raise ConfigError(f"{path} {refused} it belongs to another user; look into it, then type: chown root {path}")
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0):
        raise ConfigError(f"{path} {refused} others may change it; look into it, then type: chmod go-w {path}")


def _nuts_user() -> int | None:
    """Return the number of NUT's own user; None when there is none here."""
    try:
        return pwd.getpwnam(layout().user).pw_uid or None
    except KeyError:
        return None


def _private(at: Place, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o007:
        raise ConfigError(f"{at.path} holds a secret and others may use it (mode {mode:04o}); type: chmod o-rwx {at.path}")
    _trusted(at, found)


def _trusted(at: Place, found: os.stat_result) -> None:
    path, folder = at.path, at.folder().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise ConfigError(f"others may write to {path.parent}, where {path.name} holds a secret; type: chmod o-w {path.parent}")
    if found.st_mode & stat.S_IWOTH or (folder & stat.S_IWOTH and found.st_uid not in (0, os.geteuid())):
        raise ConfigError(f"{path} may have been written by another user; look at what it holds, or type: rm {path}")
