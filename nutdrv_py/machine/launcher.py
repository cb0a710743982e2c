# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that upsdrvctl starts, and where it looks for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine import place as places
from nutdrv_py.machine.paths import layout

__all__ = ["NAME", "driver_path", "launcher", "link"]

NAME = "nutdrv_py"


def launcher() -> Path:
    """Return the program that pip installed as ``nutdrv_py`` for this interpreter. Raises :class:`ConfigError` when there is
    none."""
    for folder in (Path(sys.prefix) / "bin", Path(sys.argv[0]).resolve().parent):
        # The package's own folder has that name too.
        if (folder / NAME).is_file() and os.access(folder / NAME, os.X_OK):
            return folder / NAME
    found = shutil.which(NAME)
    if found is None:
        raise ConfigError("the program nutdrv_py is not installed; type: pip install nutdrv_py")
    return Path(found)


def driver_path() -> Path:
    """Return NUT's directory of drivers on this machine. Raises :class:`ConfigError` when NUT is not installed."""
    for folder in layout().driverpaths:
        if os.path.exists(os.path.join(folder, "dummy-ups")):
            return Path(folder)
    raise ConfigError("NUT's drivers were not found; type: apt install nut-server (Fedora: nut), or give --driverpath")


def link(target: Path, folder: Path) -> Path:
    """Return a symbolic link called ``nutdrv_py`` in ``folder``; replaces an older link, never another file."""
    place = folder / NAME
    if place.exists() and not place.is_symlink() and not place.samefile(target):
        raise ConfigError(f"{place} is there and is not a link of ours; remove it first")
    if not (place.exists() and place.samefile(target)):
        with places.place(place, follow=False) as at:
            at.remove()
            at.link(target)
    return place
