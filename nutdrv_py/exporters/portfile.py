# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file that NUT's ``dummy-ups`` reads, kept up to date.

dummy-ups never expires what it has read, so the file is taken away (renamed to ``<file>-nocomms``) when the data are stale and
when nobody keeps it any more. Entries of others stay as they are. The file is replaced as a whole, and only when something
has changed: at once when the status has, else not more often than asked for, because it may lie on a memory card.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from nutdrv_py.clock import Clock
from nutdrv_py.errors import ConfigError, ProtocolError
from nutdrv_py.log import Trouble, log
from nutdrv_py.nut.portfile import MAX_ENTRY, Entry, entry, fitting, parse, update

__all__ = ["NOCOMMS", "SETTABLE", "PortFile", "Writer", "locate", "take_away"]

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

PATIENCE = 15.0
"""Seconds for which writes may fail before the file is taken away: what it says is old then."""

STUCK = 60.0
"""Seconds that one write may take before the writer counts as stuck."""

SCRIPT = {
    "battery.charge.low": "20", "battery.voltage.high": "86.4", "battery.voltage.nominal": "76.8", "battery.voltage.low": "68.5",
    "ups.mfr": "Enphase Energy", "device.mfr": "Enphase Energy", "ups.model": "IQ Gateway", "device.model": "IQ Gateway",
}  # fmt: skip
"""What enphase-monitor writes by itself: in a file of the script these are nobody's wishes."""

RETRY = 5.0
"""Seconds before a write that has failed is tried again."""


def locate(path: Path) -> Path:
    """The file itself where ``path``, under either name, is a link to it: the file is replaced, and so would a link be."""
    for name in (path, path.with_name(path.name + NOCOMMS)):
        if name.is_symlink():
            target = name.resolve()
            return target.with_name(target.name.removesuffix(NOCOMMS))
    return path


def take_away(path: Path) -> bool:
    """Rename the file to ``-nocomms``, if it is there and nobody keeps it. True when it was renamed. Raises OSError."""
    path = locate(path)
    with contextlib.suppress(FileNotFoundError), _locked(path):
        path.replace(path.with_name(path.name + NOCOMMS))
        return True
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Be the only keeper of the file until the descriptor is closed. Raises BlockingIOError when there is another one."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        self.path = path = locate(path)
        self.away = path.with_name(path.name + NOCOMMS)
        if not path.is_file() and not self.away.is_file():
            raise ConfigError(
                f"the port file {path} does not exist (nor {self.away.name}); make it, for the user that runs this: touch {path}"
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"files in {path.parent} cannot be replaced by this user; put the port file into a folder of its own: "
                f"install -d -o {os.geteuid()} {path.parent}"
            )
        self._guard = threading.Lock()
        self._ended = False
        try:
            self._lock = _lock(path)
        except OSError as error:
            why = "another process keeps it; end that one first" if isinstance(error, BlockingIOError) else error.strerror
            raise ConfigError(f"the port file {path} cannot be kept: {why}") from None
        for litter in path.parent.glob(f".{path.name}.*.new"):
            litter.unlink(missing_ok=True)
        self._maxage = maxage
        if self.left_from_before():
            log.warning("The port file %s was left from before; it is taken away until there are data", path)
            self.hide()
        text = self._read()
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
        return self.shown and self._old(self._maxage)

    def _old(self, maxage: float) -> bool:
        age = time.time() - self.path.stat().st_mtime
        return not -FUTURE <= age <= min(maxage, time.clock_gettime(time.CLOCK_BOOTTIME))

    @property
    def shown(self) -> bool:
        """Whether dummy-ups can read the file now."""
        return self.path.exists()

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
        before = self._read()
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
        self._replace(text)
        return True

    def hide(self, *, final: bool = False) -> bool:
        """Take the file away: dummy-ups has to know that there are no data. True when it was there. Raises OSError.

        ``final``: a write that is under way in another thread must not bring it back.
        """
        with self._guard:
            self._ended = self._ended or final
            if not self.shown:
                return False
            self.path.replace(self.away)
        self._sync()
        return True

    def _read(self) -> str:
        for path in (self.path, self.away):
            with contextlib.suppress(FileNotFoundError):
                return path.read_text(encoding="utf-8", errors="surrogateescape")
        return ""

    def _replace(self, text: str) -> None:
        old = next((path.stat() for path in (self.path, self.away) if path.exists()), None)
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".new", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if old is not None:
                os.chmod(name, old.st_mode & 0o7777)
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    self._give(name, old)
                # dummy-ups compares whole seconds: two writes within one would be one.
                made = os.stat(name)
                if int(made.st_mtime) <= int(old.st_mtime):
                    moved = (int(old.st_mtime) + 1) * 1_000_000_000
                    os.utime(name, ns=(moved, moved))
            with self._guard:
                if self._ended:
                    raise OSError("the keeper of the file has ended")
                os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        with contextlib.suppress(FileNotFoundError):
            self.away.unlink()
        self._sync()

    @staticmethod
    def _give(name: str, old: os.stat_result) -> None:
        """The owner and group of the old file, or at least its group: dummy-ups reads it as another user."""
        for owner in (old.st_uid, -1):
            with contextlib.suppress(PermissionError):
                os.chown(name, owner, old.st_gid)
                return
        if not old.st_mode & 0o004:
            raise PermissionError(1, f"the group of the file ({old.st_gid}) cannot be given to the new one")

    def _sync(self) -> None:
        """Make the rename last: after a power cut the file must not be half of something."""
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


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


class Writer:
    """Decides when the file is written. ``every`` and ``alert`` are seconds between two writes, on the grid and off it."""

    def __init__(self, file: PortFile, clock: Clock, *, every: float, alert: float) -> None:
        self.file = file
        self._clock = clock
        self._every = every
        self._alert = alert
        self._trouble = Trouble()
        self._latest: Mapping[str, str] | None = None
        self._known = False
        self._status: str | None = None
        self._wrote_at = float("-inf")
        self._retry_at = float("-inf")
        self._failing_since: float | None = None
        self._began = self._turned_at = clock.monotonic()
        self._news = asyncio.Event()
        self.written = asyncio.Event()
        """Set when the file has been brought up to date, or taken away, for the first time."""

    @property
    def stuck(self) -> bool:
        """Whether the present write lasts too long: what the file says is old."""
        return self._clock.monotonic() - self._turned_at > STUCK

    def tell(self, variables: Mapping[str, str] | None) -> None:
        """What is known now; None while the data are stale."""
        self._known = self._known or variables is not None
        self._latest = variables
        self._news.set()

    async def run(self) -> None:
        """Keep the file until cancelled."""
        while True:
            self._news.clear()
            await self.step()
            waits = [asyncio.ensure_future(self._clock.sleep(1.0)), asyncio.ensure_future(self._news.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def step(self) -> None:
        """Write or hide, if it is time to. Never raises: a keeper that has failed must not leave an old file behind."""
        now = self._clock.monotonic()
        if now >= self._retry_at:
            try:
                await self._bring(now)
                self._failing_since = None
                self._trouble.clear("write", "The port file can be written again")
            except Exception as error:
                await self._failed(error, now)
        self._turned_at = self._clock.monotonic()

    async def _bring(self, now: float) -> None:
        if self._latest is None:
            if self._known or now - self._began >= FIRST:
                if await asyncio.to_thread(self.file.hide):
                    log.warning("No data: the port file is now %s", self.file.away)
                self.written.set()
            self._status = None
        elif self._due(self._latest, now):
            latest, status = self._latest, self._latest.get("ups.status", "")
            back = not self.file.shown
            await asyncio.to_thread(self.file.show, latest)
            self._wrote_at, self._status = now, status
            if back:
                log.info("The port file %s is there again", self.file.path)
            self.written.set()

    async def _failed(self, error: Exception, now: float) -> None:
        """Try again later; meanwhile the file says what was, so after a while, or with another status, it is taken away."""
        self._retry_at = now + RETRY
        self._failing_since = self._failing_since if self._failing_since is not None else now
        reason = error.strerror or str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        self._trouble.report("write", f"The port file {self.file.path} cannot be written: {reason}", logging.ERROR)
        status = (self._latest or {}).get("ups.status", "")
        if status != self._status or now - self._failing_since >= PATIENCE:
            try:
                if self.file.hide():
                    log.error("The port file is taken away, because it says what is no longer true: now %s", self.file.away)
            except OSError as worse:
                sentence = f"{self.file.path} CANNOT BE TAKEN AWAY ({worse.strerror}): dummy-ups serves old data"
                self._trouble.report("hide", sentence, logging.ERROR)

    def _due(self, variables: Mapping[str, str], now: float) -> bool:
        status = variables.get("ups.status", "")
        every = self._alert if "OB" in status.split() else self._every
        return status != self._status or now - self._wrote_at >= every or not self.file.shown
