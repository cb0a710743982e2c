# SPDX-License-Identifier: GPL-2.0-or-later
"""Backends that are one file each, in a folder that only root may change: for the distribution's package, which has no pip.

Root loads them at the start, so whoever can write there is root. The folder, all folders above it and the file belong to root,
or to the user as whom the program was started, and nobody else may change them.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.files import MOST
from nutdrv_py.machine.paths import layout, paths
from nutdrv_py.machine.place import Place, Unsafe, place

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
        with place(path) as at:
            if at.stat() is None:
                return None
            _check(at, path)
            source = _read(at, path)
    except Unsafe:
        raise
    except OSError:
        # There is no such folder, or this user may not enter it.
        return None
    if len(source) > MOST:
        raise ConfigError(f"{path} is larger than {MOST} bytes and no backend")
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


def _check(at: Place, path: Path) -> None:
    if at.changer is not None:
        _, _, wrong = at.changer.partition(" may change ")
        advice = f"chown root {wrong} && chmod go-w {wrong}"
        if os.stat(wrong).st_mode & stat.S_ISVTX:
            # A folder for everybody, such as /tmp, must stay one.
            advice = f"install -D -o root -m 0644 {path} {layout().confpath}/{FOLDER}/{path.name}"
        raise ConfigError(f"{path} is not loaded, because {at.changer}; type: {advice}")


def _read(at: Place, path: Path) -> bytes:
    try:
        with at.open() as file:
            _check_file(path, os.fstat(file.fileno()))
            return file.read(MOST + 1)
    except Unsafe:
        raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; type: chmod a+r {path}") from None


def _check_file(path: Path, state: os.stat_result) -> None:
    if state.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path} is not loaded, because it belongs to another user; look into it, then type: chown root {path}")
    if state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and state.st_gid != 0):
        raise ConfigError(f"{path} is not loaded, because others may change it; look into it, then type: chmod go-w {path}")


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
