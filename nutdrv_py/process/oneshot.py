# SPDX-License-Identifier: GPL-2.0-or-later
"""The modes that end at once: ``-d``, ``-k``, ``-c``, ``-h`` and ``-L``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from nutdrv_py import __version__, log
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.poller import LONGEST_POLL
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings, backend_options, default
from nutdrv_py.core.snapshots import NUT_VERSION
from nutdrv_py.device.backend import load as load_backend
from nutdrv_py.device.backend import names
from nutdrv_py.errors import ConfigError, NutdrvError, Result
from nutdrv_py.machine.paths import paths
from nutdrv_py.nut.parseconf import escape
from nutdrv_py.process import older
from nutdrv_py.process.loading import Loaded, load
from nutdrv_py.process.options import Arguments, usage
from nutdrv_py.process.upsconf import CORE, read_ups_conf

__all__ = ["banner", "command", "data", "dump", "killpower", "loader", "show"]

LONGEST_END = 60.0
"""Seconds in which a driver that was asked to exit must have ended: its ``looks``, and more."""

NO_ANSWER = 255
"""Exit code of -c when no running driver answers, as main.c has it."""


def banner() -> str:
    """Return the first line that a NUT driver prints."""
    return f"Network UPS Tools {NUT_VERSION} - Python driver nutdrv_py {__version__}"


def show(args: Arguments, progname: str) -> None:
    """Print what ``-h``, ``-V`` or ``-L`` ask for."""
    chosen = next((e.value for e in [*args.before, *args.after] if e.name == "backend" and e.value), None)
    _, _, preset = progname.partition("nutdrv_py_")
    wanted = [chosen or preset] if chosen or preset else sorted(names())
    if args.show == "h":
        print(usage(progname))
        print("\nOptions of ups.conf and -x, by backend:")
    if args.show in ("h", "L"):
        for row in CORE:
            if row.kind != "ignored" and row.scope != "global" and row.kind != "backend":
                print(_option_line(args.show, row.name, row.kind == "flag", row.help))
        for name in wanted:
            backend = load_backend(name)
            print(f"Backend {name}: {backend.description} {backend.version}" if args.show == "h" else f"# backend = {name}")
            for option, settled in backend_options(backend.Config).items():
                flag = isinstance(default(backend.Config, option), bool)
                if settled.sensitive and args.show == "L":
                    print("UNKNOWN")
                else:
                    print(_option_line(args.show, option, flag, settled.help))
    if args.show == "h":
        print("\nFor more information please see\n\tman nutdrv_py, man nutupsdrv, and the samples in ups.conf.example")


def _option_line(show: str, name: str, flag: bool, text: str) -> str:
    if show == "L":
        return f'{"FLAG" if flag else "VALUE"} {name} "{escape(text)}"'
    shown = name if flag else f"{name}=<value>"
    return f"  {shown:>30}\t{text}"


def loader(args: Arguments, progname: str) -> Callable[[], Loaded]:
    """Return what reads the settings, now and for each reload."""
    ups = args.ups or ""

    def read() -> Loaded:
        conf = read_ups_conf(paths().confpath / "ups.conf", ups) if args.use_conf else None
        return load(ups, progname, conf=conf, arguments=args.after, before=args.before)

    return read


def data(driver: Driver) -> str:
    """Return the data tree as -d prints it: names in order, values escaped."""
    variables = driver.snapshot.variables
    return "\n".join(f"{name}: {escape(variables[name].value)}" for name in sorted(variables, key=str.lower))


def dump(args: Arguments, settings: Settings, level: int) -> int:
    """Run -d N: N+1 updates, then the data; without socket, pid file or harm to a running driver."""

    async def collect() -> int:
        backend = settings.backend(settings.config, Clock())
        driver = Driver(settings, backend, backend.clock, debug=level)
        polls = 0
        try:
            while polls < args.dump + 1:
                await driver.poller.once()
                polls += 1
        finally:
            await driver.poller.close()
        driver.set_state("dumping")
        print(data(driver), flush=True)
        return 0

    return asyncio.run(collect())


def killpower(settings: Settings, socket_path: Path) -> int:
    """Run -k: by the running driver, else by the device itself."""
    code = older.killpower_running(socket_path, LONGEST_POLL)
    if code is not None:
        log.log.info("Request to killpower via running driver instance returned code %d", code)
    if code == Result.HANDLED:
        return 0

    async def cut() -> None:
        driver = Driver(settings, settings.backend(settings.config, Clock()), Clock())
        try:
            await Requests(driver, Reload(driver)).shutdown()
        finally:
            await driver.poller.close()

    log.log.info("Initiating UPS shutdown")
    try:
        asyncio.run(cut())
    except (NutdrvError, TimeoutError) as error:
        print(error or "the device did not answer in time", file=sys.stderr, flush=True)
        return 1
    except Exception as error:
        print(f"internal error in the backend: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def command(args: Arguments, progname: str) -> int:
    """Run -c: over the socket, or as a signal with -P."""
    name = f"driver.{args.command}"
    if args.pid is not None:
        number = {"exit": signal.SIGTERM, "reload-or-exit": signal.SIGUSR1}.get(args.command or "", signal.SIGHUP)
        try:
            os.kill(args.pid, number)
        except OSError as error:
            print(f"Can't signal process {args.pid}: {error.strerror}", file=sys.stderr)
            return 1
        return 0
    socket_path = paths().statepath / f"{progname}-{args.ups}"
    with contextlib.suppress(ConfigError):
        socket_path = loader(args, progname)().paths.statepath / socket_path.name
    pid = older.listening_pid(socket_path)
    code = older.command(socket_path, name=name, timeout=15.0)
    if code is None:
        print(f"No running driver answers on {socket_path}; is it started?", file=sys.stderr)
        return NO_ANSWER
    if args.command == "exit" and code == Result.HANDLED and pid is not None and not older.ended(pid, LONGEST_END):
        print(f"The driver (process {pid}) has not ended within {LONGEST_END:.0f} s", file=sys.stderr)
        return 1
    print(f"{name}: {Result(code).name if code in list(Result) else code}")
    return code
