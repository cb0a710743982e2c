# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py daemon``: the exporters without NUT, from RctMon's configuration as it is. One process, one or several devices."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from nutdrv_py import log
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.telemetry import Source
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import Device, Exports, Prometheus
from nutdrv_py.exporters.config_file import port_files, read_exports
from nutdrv_py.exporters.exporting import Exporting, check_packages
from nutdrv_py.exporters.portfile import abandon, young
from nutdrv_py.machine.paths import writable
from nutdrv_py.process import background, systemd
from nutdrv_py.process.kept import Kept
from nutdrv_py.process.loading import load
from nutdrv_py.process.serving import contain, feed, on_signals, tell_systemd
from nutdrv_py.process.upsconf import Entry, UpsConf

__all__ = ["HELP", "configure", "run"]

HELP = "serve exporters (Prometheus, InfluxDB, MQTT, page, port file) without NUT, as RctMon does"

CONFIG = "/etc/rctmon.yml"
"""Path of RctMon's configuration."""

DEBUG = 3
FRAME_DEBUG = 5
"""Debug levels of ``--debug`` and ``--frame-debug``; the latter shows each frame."""

LEFT = 120.0
"""Seconds that a port file may be old when its keeper is started again: as long as a good reading is served."""

LEAVE = 1.5
"""Seconds in which all must have ended; systemd must not wait for a server that hangs."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("-c", dest="config", metavar="FILE", default=CONFIG, help="configuration (YAML; default: %(default)s)")
    parser.add_argument("--away", action="store_true", help="rename the port files to -nocomms and end: their keeper is gone")
    parser.add_argument("-d", "--debug", action="store_true", help="debug messages")
    parser.add_argument("--frame-debug", action="store_true", help="debug messages, and each frame of an RCT inverter")


def run(args: argparse.Namespace) -> int:
    """Poll and export until a signal comes. Exit code 0."""
    log.to_stdout()
    log.set_debug_level(FRAME_DEBUG if args.frame_debug else DEBUG if args.debug else 0)
    path = Path(args.config)
    if args.away:
        _abandon(path)
        return 0
    try:
        exports = _exports(path)
        devices = [_settings(device) for device in exports.devices]
        check_packages(exports)
    except ConfigError:
        # With this configuration nothing updates the port files, and dummy-ups would serve them for ever.
        _abandon(path)
        raise
    for settings in devices:
        for note in settings.notes:
            log.log.warning("%s: %s", settings.ups, note)
    if exports.logging is not None:
        log.apply(exports.logging)
    code = asyncio.Runner().run(_serve(exports, devices))
    # Threads that wait for a server that hangs would hold up the end.
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code)


def _abandon(path: Path) -> None:
    files = port_files(path)
    for file in files[:1]:
        background.become_keeper(file)
    again = systemd.restarts()
    abandon(file for file in files if not (again and young(file, LEFT)))


def _exports(path: Path) -> Exports:
    exports = read_exports(path)
    if not exports.devices:
        raise ConfigError(f"{path}: there is no device; write device: with host:, or a list devices: of name:, backend:, port:")
    if not exports.any and "prometheus" not in exports.disabled:
        # RctMon's default for a section that is not there.
        exports = dataclasses.replace(exports, prometheus=Prometheus())
    if not exports.any:
        # RctMon runs with such a file, too.
        log.log.warning("%s: there is nothing to export to: no section but device is enabled; write enable: true into one", path)
    return exports


def _settings(device: Device) -> Settings:
    entries = [Entry(name, value, device.where) for name, value in device.options.items()]
    section = (Entry("driver", "nutdrv_py", device.where), Entry("backend", device.backend, device.where), *entries)
    return load(device.name, "nutdrv_py", conf=UpsConf((), section))


async def _serve(exports: Exports, devices: Sequence[Settings]) -> int:
    clock = Clock()
    state = os.environ.get("STATE_DIRECTORY")
    folder = writable(*([Path(state)] if state else []), devices[0].paths.home, devices[0].paths.statepath, Path.cwd())
    # The owner of the port file, else that of the history.
    background.become_keeper(next(iter(port_files(exports.path)), folder / "history"))
    drivers = []
    for settings in devices:
        kept = Kept(settings, folder)
        drivers.append(Driver(settings, settings.backend(settings.config, clock), clock, memory=kept.read()))
        drivers[-1].keep = kept.keep
        drivers[-1].backend.for_exporters = True
    exporting = Exporting(exports, [Source(driver) for driver in drivers], clock, folder)
    ended = asyncio.Event()
    on_signals(ended.set, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    contain()
    living = feed(drivers, healthy=lambda: not exporting.stuck)
    await exporting.start()
    running = [asyncio.ensure_future(driver.run()) for driver in drivers]
    told = asyncio.ensure_future(_tell_systemd(drivers))
    stopped = asyncio.ensure_future(ended.wait())
    try:
        left = {*running}
        while left and not ended.is_set():
            done, _ = await asyncio.wait([stopped, *left], return_when=asyncio.FIRST_COMPLETED)
            left -= done
            for driver, task in zip(drivers, running, strict=True):
                if task in done:
                    log.log.error("The device %s has been given up; the reason was logged", driver.settings.ups)
                    # Neither READY nor the watchdog waits for it any more.
                    driver.ready.set()
                    living.discard(driver)
        return 0 if ended.is_set() else 1
    finally:
        systemd.notify("STOPPING=1")
        told.cancel()
        stopped.cancel()
        restart = exports.portfile is not None and await asyncio.to_thread(systemd.restarts)
        for driver in drivers:
            driver.stop(0, at_once=exports.portfile is None)
        # What reads a port file holds an alarm against its end, as upsmon does.
        looks = max(settings.config.looks for settings in devices) if exports.portfile is not None else 0
        await asyncio.wait(running, timeout=looks + LEAVE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE):
                await asyncio.gather(exporting.stop(restart=restart), *running, return_exceptions=True)


async def _tell_systemd(drivers: Sequence[Driver]) -> None:
    def summary() -> str:
        lines = [f"{driver.settings.ups}: {driver.summary()}" if len(drivers) > 1 else driver.summary() for driver in drivers]
        return "; ".join(lines)

    await tell_systemd(asyncio.gather(*(driver.ready.wait() for driver in drivers)), summary)
