# SPDX-License-Identifier: GPL-2.0-or-later
"""Where NUT keeps its things on this machine: the environment, then what the distribution's packages use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout", "Paths", "layout", "paths", "writable"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one family of packages builds NUT. ``driverpaths`` are tried in order."""

    confpath: str
    statepath: str
    home: str
    user: str
    driverpaths: tuple[str, ...]


# fmt: off
_LAYOUTS = (
    Layout("/etc/nut", "/run/nut", "/var/lib/nut", "nut", ("/usr/libexec/nut", "/usr/lib/nut", "/lib/nut")),  # Debian, Ubuntu
    Layout("/etc/ups", "/run/nut", "/var/lib/ups", "nut", ("/usr/sbin", "/usr/bin")),                         # Fedora, RHEL
    Layout("/usr/local/ups/etc", "/var/state/ups", "/var/state/ups", "nobody", ("/usr/local/ups/bin",)),      # NUT's own defaults
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one run: configuration, sockets, pid files of drivers, home of the NUT user."""

    confpath: Path
    statepath: Path
    pidpath: Path
    home: Path


def layout() -> Layout:
    """Return the layout whose configuration directory exists here; Debian's when none does."""
    return next((known for known in _LAYOUTS if os.path.isdir(known.confpath)), _LAYOUTS[0])


def paths(statepath: str | None = None, environ: Mapping[str, str] = os.environ) -> Paths:
    """Return the directories: ``NUT_CONFPATH``, ``NUT_STATEPATH``, ``NUT_ALTPIDPATH`` first, then ``statepath`` of ups.conf.

    ``NUTDRV_PY_HOME`` is where tokens and other things are kept over a restart, instead of the home of NUT's user.
    """
    known = layout()
    state = environ.get("NUT_STATEPATH") or statepath or known.statepath
    return Paths(
        confpath=Path(environ.get("NUT_CONFPATH") or known.confpath),
        statepath=Path(state),
        pidpath=Path(environ.get("NUT_ALTPIDPATH") or state),
        home=Path(environ.get("NUTDRV_PY_HOME") or known.home),
    )


def writable(*folders: Path) -> Path:
    """Return the first of the folders in which files can be made; the last one when there is none, the present one without
    any."""
    return next((folder for folder in folders if os.access(folder, os.W_OK | os.X_OK)), folders[-1] if folders else Path())
