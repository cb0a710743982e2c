# SPDX-License-Identifier: GPL-2.0-or-later
"""The interpreter under the driver's name.

upsdrvctl 2.8.3 and later compare the name of a process's executable with the driver's before they signal it. A script's
executable is ``python3.11``, so the driver goes on in a hard link to (or a copy of) the interpreter that has the right name.
"""

from __future__ import annotations

import os
import stat
import sys

# pathlib and subprocess are imported where they are needed, types not at all: adopt_name runs before the driver, in an
# interpreter that ends with it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["adopt_name", "make_named_interpreter", "named_interpreter", "program"]

_ADOPTED = "NUTDRV_PY_ADOPTED"


def named_interpreter(progname: str) -> Path:
    """Return where the interpreter called ``progname`` lives: ``libexec`` of the virtual environment, else
    /usr/libexec/nutdrv_py.

    On the file system of Python itself: a hard link costs nothing there, and /var may be mounted ``noexec``. In a virtual
    environment it must be one level below ``pyvenv.cfg``, or it would not find its packages.
    """
    from pathlib import Path

    return Path(_named(progname))


def _named(progname: str) -> str:
    libexec = os.path.join(sys.prefix, "libexec")
    return os.path.join(libexec, progname) if sys.prefix != sys.base_prefix else os.path.join(libexec, "nutdrv_py", progname)


def _trusted(path: str) -> bool:
    """Return whether only root and this user could have made the file and its directory."""
    for place in (os.path.dirname(path), path):
        try:
            found = os.stat(place)
        except OSError:
            return False
        if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o022:
            return False
    return True


def make_named_interpreter(progname: str) -> Path:
    """Make (or renew) the interpreter called ``progname``: a hard link to this one, or a copy; tried before it is used.

    Raises OSError when this user may not, and :class:`StartError` when the result does not run.
    """
    import subprocess
    from pathlib import Path

    from nutdrv_py.errors import StartError

    target = named_interpreter(progname)
    source = Path(os.path.realpath(sys.executable))
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            os.link(source, new)
        except OSError:
            # "x": what another user has put there in the meantime is not written to.
            with new.open("xb") as copy:
                copy.write(source.read_bytes())
                os.fchmod(copy.fileno(), 0o755)
        # It must find its own library and the packages of this environment.
        question = f"import asyncio, sys; sys.exit(sys.prefix != {sys.prefix!r})"
        tried = subprocess.run([new, "-c", question], capture_output=True, check=False, timeout=30)
        if tried.returncode != 0:
            raise StartError(f"the interpreter copied to {target} does not run: {tried.stderr.decode(errors='replace')[-200:]}")
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    return target


def adopt_name(argv: Sequence[str]) -> None:
    """Go on as a process whose executable is called like ``argv[0]``; return when that is so already or cannot be had.

    upsdrvctl 2.8.3 and later read /proc/PID/exe and leave alone what is not called like the driver. The interpreter
    under that name is made by ``nutdrv_py install`` and repaired here after an upgrade of Python, where permissions
    allow. Without it everything works but `upsdrvctl stop` of those releases.
    """
    progname = program(argv)
    current = os.path.basename(os.path.realpath("/proc/self/exe"))
    again = os.environ.pop(_ADOPTED, None) == str(os.getpid())
    if current == progname or again:
        return
    interpreter = _named(progname)
    try:
        if not _same(os.path.realpath(sys.executable), interpreter):
            make_named_interpreter(progname)
        if not _trusted(interpreter):
            return
        os.environ[_ADOPTED] = str(os.getpid())
        flags = ["-I"] if sys.flags.isolated else []
        os.execv(interpreter, [interpreter, *flags, *argv])
    except Exception:
        # Whatever keeps it from that: a driver under another name is better than none.
        os.environ.pop(_ADOPTED, None)


def program(argv: Sequence[str]) -> str:
    """Return the driver's name, as NUT has it: that of the program started."""
    name = os.path.basename(argv[0])
    return "nutdrv_py" if name == "__main__.py" else name


def _same(source: str, interpreter: str) -> bool:
    if not os.path.exists(interpreter):
        return False
    if os.path.samefile(source, interpreter):
        return True
    import filecmp

    return filecmp.cmp(source, interpreter, shallow=True)
