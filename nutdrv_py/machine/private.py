# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold a secret."""

from __future__ import annotations

import stat
from pathlib import Path

from nutdrv_py.errors import ConfigError

__all__ = ["private_file"]


def private_file(path: Path) -> None:
    """Raise :class:`ConfigError` when others may read the file or put another into its folder; nothing if it is absent."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be looked at: {error.strerror}; see the owner and mode of its folder") from error
    if mode & 0o007:
        raise ConfigError(f"{path} holds a secret and others may use it (mode {mode:04o}); type: chmod o-rwx {path}")
    folder = stat.S_IMODE(path.parent.stat().st_mode)
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise ConfigError(f"others may write to {path.parent}, where {path.name} holds a secret; type: chmod o-w {path.parent}")
