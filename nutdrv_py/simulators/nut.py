# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole NUT in a scratch directory on loopback, with this driver in it: for the demo, the tests and the benchmarks.

The programs are the distribution's own: upsdrvctl, upsd, upsc, upsmon.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from nutdrv_py.errors import StartError
from nutdrv_py.machine.launcher import launcher, link
from nutdrv_py.nut.parseconf import MAX_WORD, quote

__all__ = ["Stage", "find_program", "free_port"]

_PLACES = (
    "/lib/nut", "/usr/lib/nut", "/usr/libexec/nut", "/usr/sbin", "/sbin", "/usr/bin", "/bin",
    "/usr/local/ups/sbin", "/usr/local/ups/bin",
)  # fmt: skip


def find_program(name: str) -> str:
    """Return a program of NUT's. Debian's upsd and upsmon in /sbin are wrappers that may do nothing, so /lib/nut comes first."""
    for folder in _PLACES:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is None:
        raise StartError(f"{name} was not found; type: apt install nut-server nut-client (Fedora: nut nut-client)")
    return found


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Stage:
    """A scratch directory with NUT in it: configuration, sockets, and the processes that run, ended in the end.

    ``section`` are the lines of the UPS's section in ups.conf. As root all run as root, because the interpreter may be
    where NUT's own user cannot read. ``poll`` and ``deadtime`` are upsmon's, in seconds; ``environ`` is added to the
    environment.
    """

    def __init__(
        self, section: dict[str, str], *, ups: str, poll: int = 1, deadtime: int = 15,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.ups = ups
        self._environ = dict(environ)
        self.folder = Path(tempfile.mkdtemp(prefix="nutdrv-"))
        self.port = free_port()
        self.shutdown_file = self.folder / "SHUTDOWNCMD-was-called"
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("etc", "run", "bin", "log"):
            (self.folder / name).mkdir(mode=0o700)
        root = os.geteuid() == 0
        link(launcher(), self.folder / "bin")
        # upsmon writes its shutdown to every terminal of the machine, through whatever `wall` it finds first.
        wall = self.folder / "bin" / "wall"
        wall.write_text("#!/bin/sh\nexec cat >/dev/null\n", encoding="ascii")
        wall.chmod(0o700)
        lines = "".join(f"    {name} = {quote(value, MAX_WORD)}\n" for name, value in section.items())
        self._write("ups.conf", f"driverpath = {self.folder}/bin\n" + "user = root\n" * root + f"[{ups}]\n{lines}")
        self._write("upsd.conf", f"LISTEN 127.0.0.1 {self.port}\nMAXAGE 15\n")
        self._write("upsd.users", "[demo]\n    password = demo\n    upsmon primary\n    actions = SET\n    instcmds = ALL\n")
        self._write(
            "upsmon.conf",
            f"MONITOR {self.address} 1 demo demo primary\nMINSUPPLIES 1\nPOLLFREQ {poll}\nPOLLFREQALERT {poll}\nHOSTSYNC 1\n"
            f'DEADTIME {deadtime}\nFINALDELAY 0\nNOCOMMWARNTIME 300\nSHUTDOWNCMD "/bin/date >> {self.shutdown_file}"\n'
            f"POWERDOWNFLAG {self.folder}/run/killpower\n"
            + "".join(f"NOTIFYFLAG {event} SYSLOG\n" for event in ("ONLINE", "ONBATT", "LOWBATT", "SHUTDOWN", "COMMBAD"))
            + "RUN_AS_USER root\n" * root,
        )
        self._write("nut.conf", "MODE=standalone\n")

    @property
    def address(self) -> str:
        """Return ``ups@host:port``, as upsc wants it."""
        return f"{self.ups}@127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the environment in which NUT's programs use the scratch directory."""
        state = str(self.folder / "run")
        return {
            **os.environ,
            "PATH": f"{self.folder}/bin:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
            "NUT_CONFPATH": str(self.folder / "etc"),
            "NUT_STATEPATH": state,
            "NUT_ALTPIDPATH": state,
            "NUT_PIDPATH": state,
            "NUT_QUIET_INIT_UPSNOTIFY": "true",
            "NUTDRV_PY_HOME": state,
            **self._environ,
        }

    def _write(self, name: str, text: str) -> None:
        """Write a file in etc/, for root or this user alone."""
        path = self.folder / "etc" / name
        path.write_text(text, encoding="ascii")
        path.chmod(0o600)

    def spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a program of NUT's in the foreground; its output goes to log/."""
        with (self.folder / "log" / name).open("ab") as log:
            process = subprocess.Popen(
                [find_program(name), *arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def upsdrvctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run upsdrvctl to its end."""
        return subprocess.run(
            [find_program("upsdrvctl"), *words], env=self.environment(), capture_output=True, text=True, timeout=120, check=False
        )

    def upsd(self) -> subprocess.Popen[bytes]:
        """Start upsd."""
        return self.spawn("upsd", "-F", *(["-u", "root"] if os.geteuid() == 0 else []))

    def upsmon(self) -> subprocess.Popen[bytes]:
        """Start upsmon, as root in one process: the second one that it makes otherwise outlives it."""
        return self.spawn("upsmon", "-F", *(["-p"] if os.geteuid() == 0 else []))

    def upsc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run upsc for the UPS."""
        command = [find_program("upsc"), self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=self.environment())

    def variables(self) -> dict[str, str]:
        """Return the variables that upsc prints; empty when it prints none."""
        lines = self.upsc().stdout.splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def close(self, *, keep: bool = False) -> None:
        """End what was started here, by process id, and remove the scratch directory."""
        for process in reversed(self._processes):
            _end(process)
        for pid_file in (self.folder / "run").glob("*.pid"):
            _end_driver(pid_file)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()
    # Each was started as the leader of a group of its own, so this reaches only its children.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end_driver(pid_file: Path) -> None:
    """End the driver that wrote this pid file, if it still runs here; at once, because no upsmon watches this UPS any more."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if pid_file.parent.samefile(f"/proc/{pid}/cwd"):
            os.kill(pid, signal.SIGKILL)
