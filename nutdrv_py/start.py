# SPDX-License-Identifier: GPL-2.0-or-later
"""Driver mode: from a NUT driver's command line to a process that serves upsd, and its end.

The order is main.c's: banner, options, ups.conf, user, state directory, older instance, background, device, socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nutdrv_py import __version__, interpreter, log, process
from nutdrv_py.backend import load as load_backend
from nutdrv_py.backend import names
from nutdrv_py.clock import Clock
from nutdrv_py.config import CORE, Settings, backend_options, default, load, read_ups_conf
from nutdrv_py.driver import LONGEST_POLL, NUT_VERSION, Driver
from nutdrv_py.errors import CommandError, ConfigError, NutdrvError, Result, StartError
from nutdrv_py.nut.parseconf import escape
from nutdrv_py.options import Arguments, parse, usage
from nutdrv_py.paths import layout, paths, writable
from nutdrv_py.process import PidFile, Ready
from nutdrv_py.server import Server

if TYPE_CHECKING:
    from nutdrv_py.exporting import Exporting

__all__ = ["main"]

NO_ANSWER = 255
"""Exit code of -c when no running driver answers, as main.c has it."""


def main(argv: Sequence[str]) -> int:
    """Run driver mode with the whole ``argv``; returns the exit code."""
    progname = os.path.basename(argv[0])
    if progname == "__main__.py":
        progname = "nutdrv_py"
    # The default action of these would kill the process before its own handlers are there.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    log.to_stderr()
    log.set_debug_level(0)
    quiet = os.environ.get("NUT_QUIET_INIT_BANNER", "0") != "0"
    args = Arguments()
    try:
        args = parse(argv[1:], progname)
        if (not quiet or args.show) and not interpreter.adopted():
            print(_banner(), flush=True)
        if args.show:
            _show(args, progname)
            return 0
        return _run(args, progname, argv)
    except (ConfigError, StartError) as error:
        sys.stdout.flush()
        print(error, file=sys.stderr, flush=True)
        _abandon(args)
        return 1


def _abandon(args: Arguments) -> None:
    """The driver is not started: nobody will keep the port files of its exporters."""
    if args.ups is None or not args.use_conf or args.dump or args.killpower or args.command is not None:
        return
    where = paths().confpath
    with contextlib.suppress(ConfigError):
        entries = (*read_ups_conf(where / "ups.conf", args.ups).section, *args.after)
        named = [entry.value for entry in entries if entry.name == "config" and entry.value]
        if named:
            # Imported here: a driver without exporters stays small.
            from nutdrv_py.exporters.config import port_files
            from nutdrv_py.exporters.portfile import abandon

            abandon(port_files(where / named[-1], args.ups))


def _banner() -> str:
    return f"Network UPS Tools {NUT_VERSION} - Python driver nutdrv_py {__version__}"


def _show(args: Arguments, progname: str) -> None:
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


def _run(args: Arguments, progname: str, argv: Sequence[str]) -> int:
    if args.ups is None:
        raise ConfigError("Error: specifying '-a id' or '-s id' is now mandatory. Try -h for help.")
    if args.command is not None:
        return _command(args, progname)
    read = _loader(args, progname)
    settings = read()
    level = max(args.debug_level, settings.debug_min)
    log.set_debug_level(level)
    if not args.dump:
        interpreter.adopt_name(progname, argv)
    for note in settings.notes:
        log.log.warning("%s", note)

    user = args.user or settings.user or layout().user
    # With another user than the packages' own, upsd reaches the socket through NUT's group (main.c does the same).
    group_name = args.group or settings.group or (process.own_group(layout().user) if user != layout().user else None)
    group = process.group_id(group_name) if group_name else None
    if settings.exports is not None:
        from nutdrv_py.exporting import check_packages

        check_packages(settings.exports)
    needs_state = not (args.dump or args.killpower)
    if needs_state and os.geteuid() == 0 and not os.path.isdir(settings.paths.statepath):
        raise StartError(
            f"Can't chdir to {settings.paths.statepath}: No such file or directory; "
            f"type: install -d -o root -g {user} -m 0770 {settings.paths.statepath}"
        )
    process.drop_privileges(user)
    if settings.exports is not None and not os.access(settings.exports.path, os.R_OK):
        log.log.warning(
            "%s cannot be read by the user %s, so no reload will succeed; type: chgrp %s %s && chmod 0640 %s",
            settings.exports.path, user, layout().user, settings.exports.path, settings.exports.path,
        )  # fmt: skip
    if args.dump:
        return _dump(args, settings, level)
    # Once more as this user: root could read the credentials, this one may not.
    settings.backend.check(settings.config)
    where = settings.paths
    socket_path = Path(os.path.abspath(where.statepath)) / f"{progname}-{settings.ups}"
    pid_file = PidFile(Path(os.path.abspath(where.pidpath)) / f"{progname}-{settings.ups}.pid")
    if args.killpower:
        return _killpower(settings, socket_path)
    _enter(where.statepath)
    if settings.exports is not None and settings.exports.logging is not None:
        # Tried as this user, where relative names will count; it is applied for good when the start has succeeded.
        log.apply(settings.exports.logging)
        log.to_stderr()
    older = functools.partial(process.replace_older, socket_path, pid_file, progname, settings.ups)
    older()

    ready = Ready() if args.in_foreground else process.background()
    if args.in_foreground:
        log.log.warning(
            "Running as foreground process, %s", "but saving a PID file anyway" if args.save_pid else "not saving a PID file"
        )
    if args.save_pid:
        pid_file.write()
    code = 1
    try:
        # Not asyncio.run: that waits for threads, and a name that is being looked up may hold one for minutes.
        code = asyncio.Runner().run(_serve(args, settings, read, socket_path, group, ready, older))
    except (ConfigError, StartError) as error:
        print(error, file=sys.stderr, flush=True)
        _abandon(args)
    except Exception:
        log.log.exception("The driver has failed; please report this:")
    finally:
        if args.save_pid:
            pid_file.remove()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _loader(args: Arguments, progname: str) -> Callable[[], Settings]:
    ups = args.ups or ""

    def read() -> Settings:
        conf = read_ups_conf(paths().confpath / "ups.conf", ups) if args.use_conf else None
        return load(ups, progname, conf=conf, arguments=args.after, before=args.before)

    return read


def _enter(statepath: Path) -> None:
    try:
        os.chdir(statepath)
    except OSError as error:
        raise StartError(
            f"Can't chdir to {statepath}: {error.strerror}; see `user =` and the directory's owner and mode"
        ) from error
    if not os.access(".", os.W_OK):
        raise StartError(
            f"{statepath} is not writable for user id {os.geteuid()}, so no socket can be made there; "
            f"type: chown root:nut {statepath}; chmod 0770 {statepath}"
        )
    os.umask(0o007)


# Serving


async def _serve(
    args: Arguments,
    settings: Settings,
    read: Callable[[], Settings],
    socket_path: Path,
    group: int | None,
    ready: Ready,
    older: Callable[[], None],
) -> int:
    backend = settings.backend(settings.config, Clock())
    driver = Driver(settings, backend, backend.clock, load=read, debug=args.debug_level)
    server = Server(driver, socket_path)
    exporting = _exporting(driver, server)
    _signals(driver)
    _watch(driver)
    running = asyncio.ensure_future(driver.run())
    first = asyncio.ensure_future(driver.ready.wait())
    try:
        await asyncio.wait([running, first], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            # Another start may have come to this point while this one waited for its device.
            await asyncio.to_thread(older)
            await server.start(group)
            log.log.info("Startup successful")
            ready.detach()
            if not args.in_foreground:
                log.to_syslog(os.path.basename(settings.progname), args.quiet)
            if settings.exports is not None and settings.exports.logging is not None:
                log.apply(settings.exports.logging)
            ready.tell()
            if exporting is not None:
                exporting.start_by_and_by()
            process.notify("READY=1", f"MAINPID={os.getpid()}", process.monotonic_usec(), f"STATUS={driver.summary()}")
        status = asyncio.ensure_future(process.tell_status(driver.summary))
        try:
            return await running
        finally:
            status.cancel()
    except StartError:
        driver.stop(1)
        await running
        raise
    finally:
        first.cancel()
        process.notify("STATUS=ending", "STOPPING=1")
        await server.stop()
        if exporting is not None:
            await exporting.stop()


def _exporting(driver: Driver, server: Server) -> Exporting | None:
    settings = driver.settings
    if settings.exports is None:
        return None
    # Imported here: a driver without exporters stays small.
    from nutdrv_py.exporting import Exporting
    from nutdrv_py.telemetry import Source

    source = Source(driver, clients=lambda: server.clients)
    return Exporting(settings.exports, [source], driver.clock, writable(settings.paths.home, settings.paths.statepath))


def _watch(driver: Driver) -> None:
    if process.watched():
        driver.alive = lambda: process.notify("WATCHDOG=1")

    def reloading(begins: bool) -> None:
        process.notify("RELOADING=1" if begins else "READY=1", process.monotonic_usec())

    driver.reloading = reloading


def _signals(driver: Driver) -> None:
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        log.log.info("Signal %d: exiting", number)
        driver.stop(0)

    def reload(or_exit: bool) -> None:
        task = asyncio.ensure_future(_reload(driver, or_exit))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    tasks: set[asyncio.Future[None]] = set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload, False)
    loop.add_signal_handler(signal.SIGUSR1, reload, True)
    loop.add_signal_handler(signal.SIGURG, lambda: print(_data(driver), flush=True))


async def _reload(driver: Driver, or_exit: bool) -> None:
    try:
        await driver.reload(or_exit=or_exit)
    except CommandError as error:
        log.log.warning("%s", error)


def _data(driver: Driver) -> str:
    """The data tree as -d prints it: names in order, values escaped."""
    variables = driver.snapshot.variables
    return "\n".join(f"{name}: {escape(variables[name].value)}" for name in sorted(variables, key=str.lower))


# One-shot modes


def _dump(args: Arguments, settings: Settings, level: int) -> int:
    """-d N: N+1 updates, then the data; without socket, pid file or harm to a running driver."""

    async def collect() -> int:
        backend = settings.backend(settings.config, Clock())
        driver = Driver(settings, backend, backend.clock, debug=level)
        polls = 0
        try:
            while polls < args.dump + 1:
                await driver.poll_once()
                polls += 1
        finally:
            await driver.close()
        driver.set_state("dumping")
        print(_data(driver), flush=True)
        return 0

    return asyncio.run(collect())


def _killpower(settings: Settings, socket_path: Path) -> int:
    code = process.killpower_running(socket_path, LONGEST_POLL)
    if code is not None:
        log.log.info("Request to killpower via running driver instance returned code %d", code)
    if code == Result.HANDLED:
        return 0

    async def cut() -> None:
        driver = Driver(settings, settings.backend(settings.config, Clock()), Clock())
        try:
            await driver.shutdown()
        finally:
            await driver.close()

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


def _command(args: Arguments, progname: str) -> int:
    """-c: over the socket, or as a signal with -P."""
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
        socket_path = _loader(args, progname)().paths.statepath / socket_path.name
    code = process.command(socket_path, name=name, timeout=15.0)
    if code is None:
        print(f"No running driver answers on {socket_path}; is it started?", file=sys.stderr)
        return NO_ANSWER
    print(f"{name}: {Result(code).name if code in list(Result) else code}")
    return code
