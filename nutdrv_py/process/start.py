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
from typing import TYPE_CHECKING, TextIO

from nutdrv_py import log
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.errors import ConfigError, Result, StartError
from nutdrv_py.machine.paths import layout, paths, writable
from nutdrv_py.process import background, systemd
from nutdrv_py.process.background import PidFile, Ready
from nutdrv_py.process.interpreter import program
from nutdrv_py.process.kept import Kept
from nutdrv_py.process.loading import Loaded
from nutdrv_py.process.older import replace_older
from nutdrv_py.process.oneshot import banner, command, data, dump, killpower, loader, show
from nutdrv_py.process.options import Arguments, parse
from nutdrv_py.process.server import Server
from nutdrv_py.process.serving import contain, feed, on_signals
from nutdrv_py.process.upsconf import read_ups_conf

if TYPE_CHECKING:
    from nutdrv_py.exporters.config import Exports
    from nutdrv_py.exporters.exporting import Exporting

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run driver mode with the whole ``argv``; returns the exit code."""
    progname = program(argv)
    # The default action of these would kill the process before its own handlers are there.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    log.to_stderr()
    log.set_debug_level(0)
    quiet = os.environ.get("NUT_QUIET_INIT_BANNER", "0") != "0"
    args = Arguments()
    try:
        args = parse(argv[1:], progname)
        if not quiet or args.show:
            _print(banner())
        if args.show:
            show(args, progname)
            return 0
        return _run(args, progname)
    except (ConfigError, StartError) as error:
        _flush()
        _print(error, sys.stderr)
        _abandon(args)
        return 1


def _print(text: object, to: TextIO | None = None) -> None:
    """Print a line for people. A full disk behind the stream must neither keep the driver from starting nor end it."""
    with contextlib.suppress(OSError):
        print(text, file=to, flush=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def _abandon(args: Arguments) -> None:
    """Take away the port files of the exporters: the driver is not started, so nothing updates them.

    Root becomes the driver's user first: the port files may lie in a folder of that user.
    """
    if args.ups is None or not args.use_conf or args.dump or args.killpower or args.command is not None:
        return
    where = paths().confpath
    with contextlib.suppress(ConfigError, StartError):
        conf = read_ups_conf(where / "ups.conf", args.ups)
        section = (*args.before, *conf.section, *args.after)
        named = [entry.value for entry in section if entry.name == "config" and entry.value]
        if named:
            # Imported here: a driver without exporters stays small.
            from nutdrv_py.exporters.config_file import port_files
            from nutdrv_py.exporters.portfile import abandon

            files = port_files(where / named[-1], args.ups)
            # The start has failed, perhaps before root was given up; the process ends after this.
            for file in files[:1]:
                background.become_keeper(file)
            abandon(files)


def _run(args: Arguments, progname: str) -> int:
    if args.ups is None:
        raise ConfigError("Error: specifying '-a id' or '-s id' is now mandatory. Try -h for help.")
    if args.command is not None:
        return command(args, progname)
    read = loader(args, progname)
    settings = read()
    level = max(args.debug_level, settings.debug_min)
    log.set_debug_level(level)
    for note in settings.notes:
        log.log.warning("%s", note)

    user = args.user or settings.user or layout().user
    # With another user than the packages' own, upsd reaches the socket through NUT's group (main.c does the same).
    group_name = args.group or settings.group or (background.own_group(layout().user) if user != layout().user else None)
    group = background.group_id(group_name) if group_name else None
    if settings.exports is not None:
        from nutdrv_py.exporters.exporting import check_packages

        check_packages(settings.exports)
    own = background.own_group(user) or user
    needs_state = not (args.dump or args.killpower)
    if needs_state and os.geteuid() == 0 and not os.path.isdir(settings.paths.statepath):
        raise StartError(
            f"Can't chdir to {settings.paths.statepath}: No such file or directory; "
            f"type: install -d -o root -g {own} -m 0770 {settings.paths.statepath}"
        )
    background.drop_privileges(user)
    if settings.exports is not None and not os.access(settings.exports.path, os.R_OK):
        log.log.warning(
            "%s cannot be read by the user %s, so no reload will succeed; type: chgrp %s %s && chmod 0640 %s",
            settings.exports.path, user, own, settings.exports.path, settings.exports.path,
        )  # fmt: skip
    if args.dump:
        return dump(args, settings, level)
    # Once more as this user: root could read the credentials, this one may not.
    settings.backend.check(settings.config)
    where = settings.paths
    socket_path = Path(os.path.abspath(where.statepath)) / f"{progname}-{settings.ups}"
    pid_file = PidFile(Path(os.path.abspath(where.pidpath)) / f"{progname}-{settings.ups}.pid")
    if args.killpower:
        return killpower(settings, socket_path)
    _enter(where.statepath, own)
    if settings.exports is not None and settings.exports.logging is not None:
        # Tried as this user, where relative names will count; it is applied for good when the start has succeeded.
        log.apply(settings.exports.logging)
        log.to_stderr()
    older = functools.partial(replace_older, socket_path, pid_file, progname, settings.ups, settings.config.looks)

    def take_over() -> None:
        older()
        if args.save_pid:
            pid_file.write()

    # Whether ignorelb can work is known after the first poll. A driver that runs goes on until then, with its pid file: a start
    # that must fail must not leave upsd without any.
    waits = settings.ignorelb
    if not waits:
        older()
    ready = Ready() if args.in_foreground else background.background()
    if args.in_foreground:
        log.log.warning(
            "Running as foreground process, %s", "but saving a PID file anyway" if args.save_pid else "not saving a PID file"
        )
    if args.save_pid and not waits:
        pid_file.write()
    code = 1
    try:
        # Not asyncio.run: that waits for threads, and a name that is being looked up may hold one for minutes.
        code = asyncio.Runner().run(_serve(args, settings, read, socket_path, group, ready, take_over if waits else older))
    except (ConfigError, StartError) as error:
        _print(error, sys.stderr)
        _abandon(args)
    except SystemExit as error:
        log.log.error("The driver ends: the backend %s called sys.exit(%r)", settings.backend_name, error.code)
    except Exception:
        log.log.exception("The driver has failed; please report this:")
    finally:
        if args.save_pid:
            pid_file.remove()
        _flush()
    os._exit(code)


def _enter(statepath: Path, group: str) -> None:
    try:
        os.chdir(statepath)
    except OSError as error:
        raise StartError(
            f"Can't chdir to {statepath}: {error.strerror}; see `user =` and the directory's owner and mode"
        ) from error
    if not os.access(".", os.W_OK):
        raise StartError(
            f"{statepath} is not writable for user id {os.geteuid()}, so no socket can be made there; start the driver as root, "
            f"or, if you did, type: chown root:{group} {statepath}; chmod 0770 {statepath}"
        )
    os.umask(0o007)


# Serving


async def _serve(
    args: Arguments,
    settings: Loaded,
    read: Callable[[], Loaded],
    socket_path: Path,
    group: int | None,
    ready: Ready,
    older: Callable[[], None],
) -> int:
    clock = Clock()
    contain()
    kept = Kept(settings)
    driver = Driver(settings, settings.backend(settings.config, clock), clock, debug=args.debug_level, memory=kept.read())
    driver.keep = kept.keep
    reload = Reload(driver, read)
    reload.told = lambda begins: systemd.notify("RELOADING=1" if begins else "READY=1", systemd.monotonic_usec())
    requests = Requests(driver, reload)
    server = Server(driver, requests, socket_path)
    exporting = _exporting(driver, server, settings.exports)
    _signals(driver, requests)
    feed([driver])
    running = asyncio.ensure_future(driver.run())
    first = asyncio.ensure_future(driver.ready.wait())
    try:
        await asyncio.wait([running, first], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            # Another start may have come to this point while this one waited for its device.
            await asyncio.to_thread(older)
            await server.start(group)
            driver.opened()
            log.log.info("Startup successful")
            ready.detach()
            if not args.in_foreground:
                log.to_syslog(os.path.basename(settings.progname), args.quiet)
            if settings.exports is not None and settings.exports.logging is not None:
                log.apply(settings.exports.logging)
            ready.tell()
            if exporting is not None:
                exporting.start_by_and_by()
            systemd.notify("READY=1", f"MAINPID={os.getpid()}", systemd.monotonic_usec(), f"STATUS={driver.summary()}")
        status = asyncio.ensure_future(systemd.tell_status(driver.summary))
        try:
            return await running
        finally:
            status.cancel()
    except StartError:
        driver.stop(1, at_once=True)
        await running
        raise
    finally:
        first.cancel()
        systemd.notify("STATUS=ending", "STOPPING=1")
        await server.stop()
        if exporting is not None and settings.exports is not None:
            has_file = settings.exports.portfile is not None
            await exporting.stop(restart=has_file and await asyncio.to_thread(systemd.restarts, systemd.ASK_SOON))


def _exporting(driver: Driver, server: Server, exports: Exports | None) -> Exporting | None:
    if exports is None:
        return None
    # Imported here: a driver without exporters stays small.
    from nutdrv_py.core.telemetry import Source
    from nutdrv_py.exporters.exporting import Exporting

    source = Source(driver, clients=lambda: server.clients)
    where = driver.settings.paths
    return Exporting(exports, [source], driver.clock, writable(where.home, where.statepath))


def _signals(driver: Driver, requests: Requests) -> None:
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Future[Result]] = set()

    def reload(command: str) -> None:
        task = asyncio.ensure_future(requests.instcmd(command, None))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    on_signals(driver.stop, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    loop.add_signal_handler(signal.SIGHUP, reload, "driver.reload")
    loop.add_signal_handler(signal.SIGUSR1, reload, "driver.reload-or-exit")
    loop.add_signal_handler(signal.SIGURG, lambda: _print(data(driver)))
