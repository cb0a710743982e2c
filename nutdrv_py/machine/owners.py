# SPDX-License-Identifier: GPL-2.0-or-later
"""Which user a file is left to: root follows no name that another user could have laid.

Root that renames, creates or writes below a folder of another user does it to whatever that user made of the name: a link to
/etc/nologin, for example. So root becomes that user first, and can do no more than that user could.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["keeper"]

MOST_LINKS = 40
"""Links on the way to a file that are followed, as many as the kernel follows."""


def keeper(path: Path, otherwise: int) -> int:
    """Return the number of the user that must do what is done at ``path``: 0 where only root has made the way to it.

    That is the first owner on the way whose folder another user may write; ``otherwise`` where it is a group that may.
    """
    left = list(Path(os.path.abspath(path)).parts[1:])
    at, links = Path("/"), 0
    while left:
        folder = at.lstat()
        if folder.st_uid != 0:
            return folder.st_uid
        if folder.st_mode & stat.S_IWGRP and folder.st_gid != 0:
            return otherwise
        open_to_all = bool(folder.st_mode & stat.S_IWOTH)
        at = at / left.pop(0)
        try:
            found = at.lstat()
        except OSError:
            return otherwise if open_to_all else 0
        if open_to_all and found.st_uid != 0:
            return found.st_uid
        if open_to_all and not folder.st_mode & stat.S_ISVTX:
            return otherwise
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > MOST_LINKS:
                return otherwise
            target = Path(os.path.normpath(at.parent / os.readlink(at)))
            left, at = [*target.parts[1:], *left], Path("/")
        elif found.st_uid != 0 and not left:
            return found.st_uid
    return 0
