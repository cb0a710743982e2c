# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file on disk: replaced as a whole and only when something has changed, or taken away. Entries of others stay."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.log import log
from nutdrv_py.machine.files import MOST, look, remove, replacing
from nutdrv_py.machine.place import Place, Unsafe, place
from nutdrv_py.nut.portfile import MAX_ENTRY, Entry, entry, fitting, parse, update

__all__ = ["FIRST", "NOCOMMS", "SETTABLE", "PortFile", "abandon", "locate", "take_away"]

NOCOMMS = "-nocomms"
"""What the name of the file ends in while there are no data; enphase-monitor's word."""

SETTABLE = ("battery.charge.low", "battery.voltage.high", "battery.voltage.nominal", "battery.voltage.low")
"""Variables that the user may set in the file, besides all that end in .mfr and .model; what stands there at the start counts."""

_MAKERS = (".mfr", ".model")
_MARK = "# nutdrv_py keeps: "
_AGES = ("experimental.data.age", "experimental.livedata.age", "experimental.token.days")
_ALARM = "ALARM "
_CUT = "ups.alarm"

FIRST = 20.0
"""Seconds that a young file from before may be served after the start while the device does not answer."""

FUTURE = 120.0
"""Seconds that a file may be younger than now: its time moves by a second with each write."""

SCRIPT = {
    "battery.charge.low": "20", "battery.voltage.high": "86.4", "battery.voltage.nominal": "76.8", "battery.voltage.low": "68.5",
    "ups.mfr": "Enphase Energy", "device.mfr": "Enphase Energy", "ups.model": "IQ Gateway", "device.model": "IQ Gateway",
}  # fmt: skip
"""What enphase-monitor writes by itself: in a file of the script these are nobody's wishes."""


def locate(path: Path) -> Path:
    """The file itself where ``path``, under either name, is a link to it: the file is replaced, and so would a link be.

    Raises OSError: a link that another user may have made is not followed.
    """
    for name in (path, path.with_name(path.name + NOCOMMS)):
        with contextlib.suppress(FileNotFoundError), place(name) as at:
            if at.stat() is not None:
                return at.path.with_name(at.path.name.removesuffix(NOCOMMS))
    return path


def take_away(path: Path) -> bool:
    """Rename the file to ``-nocomms``, if it is there and nobody keeps it. True when it was renamed. Raises OSError."""
    path = locate(path)
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
        at = stack.enter_context(place(path))
        if at.stat() is None:
            return False
        # Without the right to a lock that another user left, nobody can be asked; who keeps the file will write it again.
        try:
            stack.callback(os.close, _lock(at))
        except PermissionError:
            pass
        except Unsafe as error:
            log.warning("%s", error)
        at.rename(path.name + NOCOMMS)
        return True
    return False


def abandon(files: Iterable[Path]) -> None:
    """Take away those that nobody keeps, and log it: dummy-ups would serve what they hold for ever."""
    for file in files:
        try:
            if take_away(file):
                log.warning("Nobody keeps the port file %s; it is taken away", file)
        except BlockingIOError:
            pass  # Another process keeps it.
        except OSError as error:
            log.error("%s CANNOT BE TAKEN AWAY (%s): dummy-ups serves old data", file, error.strerror)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _lock(at: Place) -> int:
    """Be the only keeper of the file until the descriptor is closed. Raises BlockingIOError when there is another one."""
    descriptor = at.lock_file(_lock_of(at.path).name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class PortFile:
    """The file at ``path``, or ``<path>-nocomms``: one of them must exist, so that a slip of the pen makes no new file.

    ``maxage`` is how many seconds old a file may be that was left by somebody else. Raises :class:`ConfigError` when there is
    no file, when the folder does not allow it to be replaced, or when another process keeps it.
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
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"files in {path.parent} cannot be replaced by this user; put the port file into a folder of its own, such as "
                f"/var/lib/nut/port: install -d -o {os.geteuid()} -m 0750 /var/lib/nut/port"
            )
        self._guard = threading.Lock()
        self._ended = False
        try:
            with place(path) as at:
                self._lock = _lock(at)
                with contextlib.suppress(OSError):
                    for litter in at.names(f".{path.name}.", ".new"):
                        at.remove(litter)
        except Unsafe:
            raise
        except OSError as error:
            lock = _lock_of(path)
            why = (
                "another process keeps it; end that one first" if isinstance(error, BlockingIOError)
                else f"{lock}: {error.strerror}; when nothing runs that keeps it, type: rm {lock}"
            )  # fmt: skip
            raise ConfigError(f"the port file {path} cannot be kept: {why}") from None
        self._maxage = maxage
        if self.left_from_before():
            log.warning("The port file %s was left from before; it is taken away until there are data", path)
            self.hide()
        text = _text(self._old())
        marked = _marked(text)
        # What differs from what was written last, or was not written here, is the user's.
        self._user = {
            name: value
            for name, value in _settables(text).items()
            if marked.get(name) != value and (marked or SCRIPT.get(name) != value)
        }
        self._ours = set(marked)
        self._last = {name: value for name, value in marked.items() if _settable(name)}

    def close(self) -> None:
        """Let others keep the file."""
        os.close(self._lock)

    def left_from_before(self) -> bool:
        """Whether the file is older than ``maxage``, from before the machine was started, or from the future."""
        found = look(self.path)
        age = time.time() - found.st_mtime if found is not None else 0.0
        return not -FUTURE <= age <= min(self._maxage, time.clock_gettime(time.CLOCK_BOOTTIME))

    @property
    def shown(self) -> bool:
        """Whether dummy-ups can read the file now."""
        return look(self.path) is not None

    @property
    def settings(self) -> Mapping[str, str]:
        """What the user had set in the file at the start: :data:`SETTABLE`, makers and models."""
        return self._user

    def show(self, variables: Mapping[str, str]) -> bool:
        """Write what is known now; true when the file has changed. Raises OSError."""
        values = {name: _fitted(name, value) for name, value in variables.items() if _wanted(name, value)}
        if "ups.status" in values:
            # dummy-ups 2.8.3 never clears an ALARM that it has read in the status.
            values["ups.status"] = values["ups.status"].removeprefix(_ALARM)
        old = self._old()
        before = _text(old)
        for name, value in _settables(before).items():
            # What the user has changed since the last write is kept; it counts from the next start.
            if name in self._last and value != self._last[name]:
                self._user[name] = value
        values.update({name: value for name, value in self._user.items() if name in values})
        gone = self._ours - values.keys() - self._user.keys()
        text = update(_unmarked(before), {**dict.fromkeys(sorted(gone), ""), **values})
        self._ours |= values.keys()
        self._last = {name: fitting(value) for name, value in values.items() if _settable(name)}
        text += _MARK + " ".join(_marking(name, values.get(name, "")) for name in sorted(self._ours - self._user.keys())) + "\n"
        if text == before and self.shown:
            return False
        self._replace(text, old[1] if old is not None else None)
        return True

    def hide(self, *, final: bool = False) -> bool:
        """Take the file away: dummy-ups has to know that there are no data. True when it was there. Raises OSError.

        ``final``: a write that is under way in another thread must not bring it back.
        """
        with self._guard:
            self._ended = self._ended or final
        with contextlib.suppress(FileNotFoundError), place(self.path) as at:
            with self._guard:
                if at.stat() is None:
                    return False
                at.rename(self.away.name)
            at.sync()
            return True
        return False

    def _old(self) -> tuple[bytes, os.stat_result] | None:
        """What stands under either name, and the state of that very file: its owner may have no other file's content."""
        for path in (self.path, self.away):
            with contextlib.suppress(FileNotFoundError), place(path) as at, at.open() as file:
                data = file.read(MOST + 1)
                if len(data) > MOST:
                    raise OSError(errno.EFBIG, f"{path} is no port file: it has more than {MOST} bytes")
                return data, os.fstat(file.fileno())
        return None

    def _replace(self, text: str, old: os.stat_result | None) -> None:
        with replacing(self.path, 0o600 if old is None else old.st_mode & 0o666) as new:
            new.write(text.encode("utf-8", "surrogateescape"))
            if old is not None:
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    self._give(new.fd, old)
                # dummy-ups compares whole seconds: two writes within one would be one.
                if int(os.fstat(new.fd).st_mtime) <= int(old.st_mtime):
                    moved = (int(old.st_mtime) + 1) * 1_000_000_000
                    os.utime(new.fd, ns=(moved, moved))
            with self._guard:
                if self._ended:
                    raise OSError("the keeper of the file has ended")
                new.commit()
            remove(self.away)
            new.sync()

    @staticmethod
    def _give(descriptor: int, old: os.stat_result) -> None:
        """The owner and group of the old file, or at least its group: dummy-ups reads it as another user."""
        for owner in (old.st_uid, -1):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, owner, old.st_gid)
                return
        if not old.st_mode & 0o004:
            raise PermissionError(1, f"the group of the file ({old.st_gid}) cannot be given to the new one")


def _text(old: tuple[bytes, os.stat_result] | None) -> str:
    return old[0].decode("utf-8", "surrogateescape") if old is not None else ""


def _wanted(name: str, value: str) -> bool:
    """What dummy-ups can hold, without the driver's own and without what only counts time."""
    if name.startswith("driver.") or name in _AGES or (len(value) > MAX_ENTRY and name != _CUT):
        return False
    try:
        entry(name, "")
    except ProtocolError:
        return False
    return True


def _fitted(name: str, value: str) -> str:
    return fitting(value) if name == _CUT else value


def _settable(name: str) -> bool:
    return name in SETTABLE or name.endswith(_MAKERS)


def _settables(text: str) -> dict[str, str]:
    """The entries that a user may set, by name in lower case."""
    found = {item.name.lower(): item.value for item in parse(text) if isinstance(item, Entry) and item.value}
    return {name: value for name, value in found.items() if _settable(name)}


def _marking(name: str, value: str) -> str:
    return f"{name}={quote(fitting(value))}" if _settable(name) else name


def _marked(text: str) -> dict[str, str]:
    """The names in the mark, with the values of those that the user may set."""
    words = [word for line in text.splitlines() if line.startswith(_MARK) for word in line.removeprefix(_MARK).split()]
    return {name: unquote(value) for name, _, value in (word.partition("=") for word in words)}


def _unmarked(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_MARK))
