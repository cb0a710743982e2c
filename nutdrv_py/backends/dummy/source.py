# SPDX-License-Identifier: GPL-2.0-or-later
"""The file on the disk: read whole or not at all, with a sentence for each way in which that can fail."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from nutdrv_py.backends.dummy.watch import Mark
from nutdrv_py.errors import DeviceError

__all__ = ["LOST", "MAX_FILE", "Content", "read"]

MAX_FILE = 1 << 20
"""Bytes of the largest file that is read: a hundred times what the largest device needs."""

LOST = "-nocomms"
"""What a writer of port files adds to the file's name while it does not reach its device (enphase-monitor's rule)."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was in the file, and in which state of the file."""

    data: bytes
    mark: Mark

    @property
    def cut(self) -> bool:
        """Return whether it may be the first part of something that is being written: empty, or no line feed at the end."""
        return not self.data.endswith(b"\n")


def read(path: str) -> Content:
    """Return the file's content. Raises :class:`DeviceError`."""
    try:
        # Without O_NONBLOCK a named pipe in the file's place would hold us for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DeviceError(_why(path, error)) from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise DeviceError(f"{path} is not a file; write port = the name of a .dev or .seq file in ups.conf")
        pieces: list[bytes] = []
        while sum(map(len, pieces)) <= MAX_FILE and (piece := os.read(fd, MAX_FILE + 1)):
            pieces.append(piece)
    except OSError as error:
        raise DeviceError(_why(path, error)) from error
    finally:
        os.close(fd)
    data = b"".join(pieces)
    if len(data) > MAX_FILE:
        raise DeviceError(f"{path} is larger than {MAX_FILE >> 10} KiB, which no port file is; look at what writes it")
    if b"\0" in data:
        raise DeviceError(f"{path} holds NUL bytes, as after a crash in the middle of writing; write it anew")
    return Content(data, Mark.of(found))


def _why(path: str, error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and os.path.exists(path + LOST):
        return f"{path} is not there but {os.path.basename(path)}{LOST} is: its writer has lost its device; look at its log"
    if number == errno.ENOENT:
        return f"{path} is not there; start what writes it, or correct port = in ups.conf"
    if number == errno.EACCES:
        return f"{path} may not be read by the user of this driver; give that user the right to read it and to enter its folder"
    return f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else error}"
