# SPDX-License-Identifier: GPL-2.0-or-later
"""Backends that are one file each, in a folder that only root may change: for the distribution's package, which has no pip.

Root loads them at the start, so a user who can write there has the rights of root. The folder, all folders above it and the file
must belong to root, or to the user as whom the program was started, and no other user may change them.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.paths import paths
from nutdrv_py.machine.place import Unsafe
from nutdrv_py.machine.private import read_own

__all__ = ["FOLDER", "VARIABLE", "folder", "found", "plugin"]

FOLDER = "nutdrv_py.d"
"""Name of the folder, beside ups.conf."""

VARIABLE = "NUTDRV_PY_BACKENDS"
"""Environment variable that names another folder."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which backends are looked for; it need not be there."""
    return Path(environ.get(VARIABLE) or paths(environ=environ).confpath / FOLDER)


def found(where: Path | None = None) -> list[str]:
    """Return the names of the files that are there; none for a user who may not look into NUT's folder."""
    try:
        entries = list((where or folder()).iterdir())
    except OSError:
        return []
    return sorted(path.stem for path in entries if path.suffix == ".py" and _NAME.fullmatch(path.stem))


def plugin(name: str, where: Path | None = None) -> ModuleType | None:
    """Return the module that is the file ``name``.py of the folder; None when there is none.

    Raises :class:`ConfigError` when others may change it, with what to type, or when it cannot be loaded.
    """
    if not _NAME.fullmatch(name):
        return None
    path = (where or folder()) / f"{name}.py"
    # A name of its own: a file called json.py must not become the json of everybody else.
    full = f"{__package__}.plugins.{name}"
    if full in sys.modules and sys.modules[full].__file__ == str(path):
        return sys.modules[full]
    try:
        source = read_own(path, "is not loaded, because")
    except Unsafe:
        raise
    except OSError as error:
        if error.errno == errno.EFBIG or (error.errno == errno.EACCES and os.access(path.parent, os.X_OK)):
            raise ConfigError(f"{path} cannot be read: {error.strerror}; type: ls -l {path}") from None
        # There is no such file or folder, or this user may not look into it.
        return None
    module = ModuleType(full)
    module.__file__ = str(path)
    sys.modules[full] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - that is what the folder is for
    except Exception as error:
        del sys.modules[full]
        line = _line(error, path)
        reason = str(error) if isinstance(error, ImportError) else type(error).__name__
        raise ConfigError(f"{path}{f':{line}' if line else ''} cannot be loaded: {reason}") from error
    return module


def _line(error: BaseException, path: Path) -> int | None:
    """Return the line of the file at which loading it ended."""
    if isinstance(error, SyntaxError):
        return error.lineno
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
