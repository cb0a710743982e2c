# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold a secret, or that decide where one is sent."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.files import MOST, read
from nutdrv_py.machine.place import Place, Unsafe, place

__all__ = ["private_file", "read_private", "read_trusted"]


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


def read_private(path: Path, most: int = MOST) -> bytes:
    """Return the content of a file that only its owner and group may use. Raises OSError, :class:`ConfigError` for another."""
    return read(path, most, check=_private)


def read_trusted(path: Path, most: int = MOST) -> bytes:
    """Return the content of a file that only its owner and group may change. Raises OSError, :class:`ConfigError` for another."""
    return read(path, most, check=_trusted)


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
