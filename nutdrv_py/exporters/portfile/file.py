# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file on disk: replaced as a whole and only when something has changed, or taken away. Entries of others stay."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile.disk import NO_ROOM, Old, lock, lock_of, overwritten, read, replaced
from nutdrv_py.exporters.portfile.text import begun, is_kept, stripped
from nutdrv_py.log import Trouble, log
from nutdrv_py.machine.files import look, remove
from nutdrv_py.machine.place import Place, Unsafe, place

__all__ = ["FIRST", "NOCOMMS", "PortFile", "abandon", "locate", "not_taken_away", "take_away", "young"]

NOCOMMS = "-nocomms"
"""What the name of the file ends in while there are no data; enphase-monitor's word."""

FIRST = 20.0
"""Seconds that a young file from before may be served after the start while the device does not answer."""

FUTURE = 120.0
"""Seconds that a file may be younger than now: its time moves by a second with each write."""


def locate(path: Path) -> Path:
    """Return the file itself where ``path`` is a link to it: the file is replaced, and so would a link be.

    Raises OSError: a link that another user may have made is not followed.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), place(path) as at:
        return at.path
    return path


def young(path: Path, maxage: float) -> bool:
    """Return whether the file, if it is there, is younger than ``maxage`` seconds, not from the future, nor from before the
    start."""
    found = look(path)
    age = time.time() - found.st_mtime if found is not None else 0.0
    return -FUTURE <= age <= min(maxage, time.clock_gettime(time.CLOCK_BOOTTIME))


def not_taken_away(path: Path, reason: object) -> str:
    """Return the sentence about a file that could not be renamed, with the command that does it."""
    return f"{path} CANNOT BE TAKEN AWAY ({reason}): dummy-ups serves old data. As root, type: mv {path} {path}{NOCOMMS}"


def take_away(path: Path, *, ours: bool = False) -> bool:
    """Rename the file to ``-nocomms``, if it is there and nothing updates it; of what was written here the user's entries stay.

    With ``ours`` only a file that was written here last: another program's is its own business. True when it was renamed.
    Raises OSError.
    """
    path = locate(path)
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
        at = stack.enter_context(place(path))
        if at.stat() is None or (ours and not is_kept(read(path).text)):
            return False
        # Without the right to a lock that another user left, nothing can be checked; its keeper writes the file again.
        try:
            stack.callback(os.close, lock(at))
        except PermissionError:
            pass
        except Unsafe as error:
            log.warning("%s", error)
        _put_away(at)
        return True
    return False


def abandon(files: Iterable[Path]) -> None:
    """Take away the files that nothing updates, and log it: dummy-ups would serve their values for ever."""
    for file in files:
        try:
            if take_away(file):
                log.warning("No process keeps the port file %s; it is taken away", file)
        except BlockingIOError:
            pass  # Another process keeps it.
        except OSError as error:
            log.error("%s", not_taken_away(file, error.strerror))


def _put_away(at: Place) -> None:
    """Rename the file; the next keeper would leave an entry of ours unchanged for ever."""
    away = at.path.with_name(at.path.name + NOCOMMS)
    with contextlib.suppress(OSError):
        old = read(at.path)
        if not _aside(at, away.name) and (text := stripped(old.text)) != old.text:
            replaced(away, text, old)
            at.remove()
            return
    _rename(at, away.name)


def _aside(at: Place, away: str) -> bool:
    """Return whether there is a file that was taken away already: it has what its user wants to keep."""
    with place(at.path.with_name(away), follow=False) as other:
        found = other.stat()
        return found is not None and stat.S_ISREG(found.st_mode)


def _rename(at: Place, away: str) -> None:
    if _aside(at, away):
        at.remove()
    else:
        at.rename(away)


class PortFile:
    """The file at ``path``, or ``<path>-nocomms``: one of them must exist, so that a slip of the pen makes no new file.

    ``maxage`` is the maximum age in seconds of a file that another program left. Raises :class:`ConfigError` when there is
    no file, when it can neither be replaced nor written, or when another process keeps it.
    """

    def __init__(self, path: Path, maxage: float = FIRST) -> None:
        try:
            self.path = path = locate(path)
            self.away = path.with_name(path.name + NOCOMMS)
            if self._old() is None:
                raise ConfigError(
                    f"the port file {path} does not exist (nor {self.away.name}); make it, for the user that runs this: "
                    f"touch {path}"
                )
        except OSError as error:
            raise ConfigError(f"the port file {path} cannot be used: {error.strerror}") from error
        if not os.access(path.parent, os.W_OK | os.X_OK) and not os.access(path, os.W_OK):
            raise ConfigError(
                f"files in {path.parent} cannot be replaced by this user; put the port file into a folder of its own, such as "
                f"/var/lib/nut/port: install -d -o {os.geteuid()} -m 0750 /var/lib/nut/port"
            )
        self._guard = threading.Lock()
        self._ended = False
        self._trouble = Trouble()
        try:
            with place(path) as at:
                self._lock = lock(at)
                with contextlib.suppress(OSError):
                    for litter in at.names(f".{path.name}.", ".new"):
                        at.remove(litter)
        except Unsafe:
            raise
        except OSError as error:
            locked = lock_of(path)
            why = (
                "another process keeps it; end that one first" if isinstance(error, BlockingIOError)
                else f"{locked}: {error.strerror}; when nothing runs that keeps it, type: rm {locked}"
            )  # fmt: skip
            raise ConfigError(f"the port file {path} cannot be kept: {why}") from None
        if not young(path, maxage):
            log.warning("The port file %s was left from before; it is taken away until there are data", path)
            try:
                self.hide()
            except OSError as error:
                log.error("%s", not_taken_away(path, error.strerror))
        old = self._old()
        self._owners = begun(old.text if old is not None else "")
        self.ours = old is not None and is_kept(old.text)
        """Whether the file, as it was found, had been written here."""

    def close(self) -> None:
        """Let others keep the file."""
        os.close(self._lock)

    @property
    def shown(self) -> bool:
        """Return whether dummy-ups can read the file now."""
        return look(self.path) is not None

    @property
    def settings(self) -> Mapping[str, str]:
        """Return what the user has set in the file as it was read last, of :data:`.text.SETTABLE`, makers and models."""
        return self._owners.user

    def show(self, variables: Mapping[str, str]) -> bool:
        """Write what is known now; true when the file has changed. Raises OSError."""
        old = self._old()
        before = old.text if old is not None else ""
        text, self._owners = self._owners.merged(before, variables)
        if text == before and self.shown and look(self.away) is None:
            return False
        try:
            replaced(self.path, text, old, self._not_ended())
            self._trouble.clear("in place", f"{self.path} is replaced as a whole again")
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._bring_back()
            overwritten(self.path, text, self._not_ended())
            why = f"{self.path} is written in place, because no new file can be made there ({error.strerror})"
            self._trouble.report("in place", f"{why}: a reader may see a part of it")
        with contextlib.suppress(OSError):
            remove(self.away)
        return True

    def _bring_back(self) -> None:
        """Give the file its name again where it is away: that takes no room."""
        with contextlib.suppress(FileNotFoundError), place(self.away) as at, self._not_ended():
            if not self.shown:
                at.rename(self.path.name)

    @contextlib.contextmanager
    def _not_ended(self) -> Iterator[None]:
        with self._guard:
            if self._ended:
                raise OSError("the keeper of the file has ended")
            yield

    def hide(self, *, final: bool = False) -> bool:
        """Take the file away: dummy-ups has to know that there are no data. True when it was there. Raises OSError.

        ``final``: nothing updates it any more, so nothing of ours stays in it, and a write that is under way in another thread
        must not bring it back.
        """
        with self._guard:
            self._ended = self._ended or final
        with contextlib.suppress(FileNotFoundError), place(self.path) as at:
            with self._guard:
                if at.stat() is None:
                    return False
                if final:
                    _put_away(at)
                else:
                    _rename(at, self.away.name)
            at.sync()
            return True
        return False

    def _old(self) -> Old | None:
        """Return the file under either name; one that was taken away holds the user's own entries."""
        for path in (self.away, self.path):
            with contextlib.suppress(FileNotFoundError):
                return read(path)
        return None
