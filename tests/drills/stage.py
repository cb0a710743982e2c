# SPDX-License-Identifier: GPL-2.0-or-later
"""One scene: a scratch NUT with its own upsmon around one driver, and a record of all that upsd serves meanwhile."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from nutdrv_py.nut.parseconf import MAX_WORD, quote
from nutdrv_py.simulators.nut import find_program
from tests.drills.devices import DEVICES, FILE, SimulatedDevice
from tests.drills.ports import move
from tests.drills.scripted import polls_file
from tests.drills.seen import GONE, SILENT, STALE, WAIT, Monitor, Record, Sample, Upsd
from tests.integration import conftest
from tests.integration.conftest import Watched

__all__ = ["Scene", "Stopped", "alone"]

BETWEEN, ALL_BETWEEN = 0.2, 0.9
"""Seconds between two looks at the status that upsd serves, and at all variables."""

PROGRAM_START = 30.0
"""Seconds that a program may take to start while all scenes start at a time."""

_starting = threading.BoundedSemaphore(4)  # two cores are busy with the start of that many drivers
_asking = threading.BoundedSemaphore(20)  # one that asks a simulator before it serves waits for most of that time

alone = functools.cache(conftest.alone)


class Stopped(Exception):
    """A scene that cannot go on; the text says why."""


class Scene(Watched):
    """A scratch NUT in which a row is played; :attr:`record` is what came of it."""

    def __init__(self, device: str, options: Mapping[str, str], monitor: Monitor, phase: float) -> None:
        self.device = DEVICES[device]()
        self.phase, self.timing = phase, monitor
        self.record = Record()
        self.mark = time.monotonic()
        """When the last thing happened that a bound is counted from."""
        self.driver: subprocess.Popen[bytes] | None = None
        self.monitor: subprocess.Popen[bytes] | None = None
        self.server: subprocess.Popen[bytes] | None = None
        self.limits: tuple[str, ...] = ()
        """Words before the driver's command at its next start."""
        self.after = contextlib.ExitStack()
        """What is ended with the scene."""
        self._rhythm = self._all_at = self.mark
        section = {"driver": "nutdrv_py", "pollinterval": "1", **self.device.section, **options}
        super().__init__(section, ups="home")
        move(self)
        self._upsd = Upsd(self.port)
        etc = self.folder / "etc"
        self.device.prepare(etc)
        self._environ.update(self.device.environ)
        for name, change in (("ups.conf", self._place), ("upsmon.conf", monitor.configure)):
            (etc / name).write_text(change((etc / name).read_text()))

    def _place(self, text: str) -> str:
        return text.replace(f"port = {quote(FILE, MAX_WORD)}", f"port = {quote(str(self.folder / 'etc' / FILE), MAX_WORD)}")

    # What is seen

    def look(self) -> None:
        """Record the status that upsd serves now, and from time to time all variables."""
        try:
            answer = self._upsd.ask("GET VAR home ups.status", b"VAR ")
            now = time.monotonic()
            if answer.startswith(b"VAR ") and now >= self._all_at:
                self._all_at = now + ALL_BETWEEN
                self._look_at_all()
        except OSError:
            return
        if answer.startswith(b"ERR"):
            self.record.samples.append(Sample(now, STALE if b"DATA-STALE" in answer else GONE))
        else:
            self.record.samples.append(Sample(now, answer.decode("ascii", "replace").split('"')[1]))

    def _look_at_all(self) -> None:
        answer = self._upsd.ask("LIST VAR home", b"END LIST VAR").decode("ascii", "replace")
        found = re.findall(r'^VAR home (\S+) "(.*)"$', answer, re.MULTILINE)
        for name, value in found:
            self.record.values.setdefault(name, set()).add(value)
        self.record.most = max(self.record.most, len(found))

    def watch(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        """Record for so long, or until that is true or upsmon has shut down; return whether it became true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.shut_down:
            self._reap()
            self.look()
            if until():
                return True
            time.sleep(max(0.0, min(BETWEEN, end - time.monotonic())))
        return bool(until())

    @property
    def shut_down(self) -> bool:
        """Whether upsmon has called SHUTDOWNCMD."""
        return self.shutdown_file.exists()

    @property
    def shutdown_after(self) -> float | None:
        """Seconds from the mark to SHUTDOWNCMD; None while it was not called."""
        try:
            wall = self.shutdown_file.stat().st_mtime
        except OSError:
            return None
        return wall - time.time() + time.monotonic() - self.mark

    def polls(self, how: str) -> int:
        """Return how many polls of a scripted device ended in that way."""
        lines = polls_file(self.device.path).read_text().splitlines()
        return sum(1 for line in lines if line.partition(" ")[2] == how)

    @property
    def alive(self) -> bool:
        """Whether the driver runs."""
        return self.driver is not None and self.driver.poll() is None

    def _reap(self) -> None:
        for process in self._processes:
            process.poll()

    # What happens

    def happens(self) -> None:
        """Count the bound of the verdict from now."""
        self.mark = time.monotonic()

    def start_driver(self) -> None:
        """Start a driver and wait until it serves, as ``upsdrvctl start`` does; then upsd, if it does not run yet."""
        # Only the first start takes turns: a restart is a part of the story.
        turns = _asking if isinstance(self.device, SimulatedDevice) else _starting
        with contextlib.nullcontext() if self.record.starts else turns:
            self.record.starts.append(time.monotonic())
            with (self.folder / "log" / "driver").open("ab") as log:
                self.driver = subprocess.Popen(
                    [*self.limits, str(self.folder / "bin" / "nutdrv_py"), "-a", "home", "-FF"],
                    env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            self._processes.append(self.driver)
            served = self.watch(PROGRAM_START, lambda: self._serves() or not self.alive)
            if not (served and self.alive) and not self.shut_down:
                raise Stopped(f"the driver did not start: {self.log()[-300:]}")
        self.start_upsd()

    def _serves(self) -> bool:
        # A driver that was killed leaves its socket behind.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(os.fspath(self.socket))
            return True
        return False

    def start_upsd(self) -> None:
        """Start upsd once, and wait until it answers."""
        if self.server is not None:
            return
        self.server = self.upsd()
        if not self.watch(PROGRAM_START, self._upsd_answers) and not self.shut_down:
            raise Stopped(f"upsd did not start: {self.log('upsd')[-300:]}")

    def _upsd_answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._upsd.ask("VER", b"Network UPS").startswith(b"Network UPS")
        return False

    def start_upsmon(self) -> None:
        """Start upsmon, and go on ``phase`` seconds after one of its looks; it looks at once, and every ``look`` seconds."""
        self.start_upsd()
        self.watch(PROGRAM_START, lambda: self.record.status != WAIT)
        command = [*alone(), find_program("upsmon"), "-F", *(["-p"] if os.geteuid() == 0 else [])]
        with (self.folder / "log" / "upsmon").open("ab") as log:
            monitor = self.monitor = subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._processes.append(monitor)
        # A UPS without data takes no login; then its start is near enough.
        began = time.monotonic()
        patience = PROGRAM_START if self.record.status not in SILENT else 0.3
        if self.watch(patience, self._logged_in):
            began = time.monotonic()
        if monitor.poll() is not None and not self.shut_down:
            raise Stopped(f"upsmon did not start: {self.log('upsmon')[-300:]}")
        self._rhythm = began
        self.next_look()

    def next_look(self) -> None:
        """Wait for upsmon's next look, and go on ``phase`` seconds after it."""
        look = self.timing.look
        # A look that comes at this very moment may have missed what has just happened.
        count = math.ceil((time.monotonic() + 0.3 - self._rhythm) / look)
        self.watch(self._rhythm + count * look + self.phase - time.monotonic())

    def _logged_in(self) -> bool:
        return self._upsd.ask("GET NUMLOGINS home", b"NUMLOGINS").strip().endswith(b" 1")

    def upsdrvctl_stop(self) -> None:
        """Run ``upsdrvctl stop`` to its end; this process is the driver's parent and must reap it meanwhile."""
        command = subprocess.Popen(
            [find_program("upsdrvctl"), "stop"], env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._processes.append(command)
        self._ended()
        self.watch(PROGRAM_START, lambda: command.poll() is not None)

    def driver_exit(self) -> None:
        """Ask the driver over its socket to end, and wait for it."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.fspath(self.socket))
            line.sendall(b"INSTCMD driver.exit\n")
            self._ended()

    def signal(self, number: signal.Signals) -> None:
        """Send the driver a signal, and wait for its end if it is one to end."""
        assert self.driver is not None
        if number is signal.SIGKILL:
            self.record.kills.append(time.monotonic())
        os.kill(self.driver.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._ended()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill upsd or upsmon; the next start of it is another one."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process is self.server:
            self.server = None

    def client(self, program: str, *words: str) -> str:  # type: ignore[override]
        """Run upsrw or upscmd as upsd's user, and return what it prints."""
        command = [find_program(program), "-u", "demo", "-p", "demo", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_START, check=False, env=self.environment())
        return (done.stdout + done.stderr).strip()

    def _ended(self) -> None:
        began = time.monotonic()
        if not self.watch(PROGRAM_START, lambda: not self.alive) and not self.shut_down:
            raise Stopped("the driver did not end")
        self.record.stop_seconds = time.monotonic() - began

    def close(self, *, keep: bool = False) -> None:
        """Kill all that was started here, and remove the scratch directory."""
        self._upsd.close()
        self.after.close()
        for process in self._processes:
            # Each is the leader of a group of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self.device.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
