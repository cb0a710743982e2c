# SPDX-License-Identifier: GPL-2.0-or-later
"""The exporters of one process: made from the configuration, begun together, ended in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import Source
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import Exports
from nutdrv_py.exporters.web import Web
from nutdrv_py.log import Trouble, log
from nutdrv_py.machine.extras import EXTRAS, load

__all__ = ["Exporting", "check_packages", "places"]

AGAIN = 30.0
"""Seconds before an exporter that could not begin is tried again: a port in use may become free."""

LEAVE = 1.5
"""Seconds in which all exporters must have ended; what has not is left to the end of the process."""


def check_packages(exports: Exports) -> None:
    """Raise :class:`ConfigError` when a section that is enabled needs a package that is not there."""
    for section in EXTRAS:
        # An extra for a section has its name.
        if getattr(exports, section, None) is not None:
            load(section, f"the section {section}")


def places(exports: Exports) -> list[str]:
    """Return where each enabled section can be looked at, or where it sends to; no secret is in it."""
    found = []
    for section, path in ((exports.prometheus, "/metrics"), (exports.page, "/")):
        if section is not None:
            host = f"[{section.bind_address}]" if ":" in section.bind_address else section.bind_address
            found.append(f"http://{host}:{section.bind_port}{path}")
    if (influx := exports.influxdb) is not None:
        target = f"database {influx.database}" if influx.database else f"bucket {influx.bucket}"
        found.append(f"InfluxDB at {influx.url}, {target}")
    if (mqtt := exports.mqtt) is not None:
        found.append(f"the MQTT broker {mqtt.mqtt_host}:{mqtt.mqtt_port}, topics {mqtt.topic_prefix}/...")
    if exports.portfile is not None:
        found.append(exports.portfile.path)
    if (wake := exports.wake) is not None:
        names = ", ".join(machine.name for machine in wake.machines)
        found.append(f"magic packets to {wake.broadcast}:{wake.port} for {names} after an outage")
    return found


class Exporting:
    """All exporters that ``exports`` enables for these sources. ``folder`` is where they may keep files of their own."""

    def __init__(self, exports: Exports, sources: Sequence[Source], clock: Clock, folder: Path) -> None:
        self._exports = exports
        self._sources = tuple(sources)
        self._clock = clock
        self._folder = folder
        self._web = Web()
        self._trouble = Trouble()
        self._exporters = self._make(tuple(sources))
        self._begun: list[Exporter] = []
        self._later: asyncio.Task[None] | None = None

    def _make(self, sources: tuple[Source, ...]) -> list[Exporter]:
        exports = self._exports
        made: dict[str, Exporter] = {}
        points_written = None
        if exports.influxdb is not None:
            from nutdrv_py.exporters.influxdb import InfluxExporter
            from nutdrv_py.protocols.rct.objects import OBJECTS

            influx = InfluxExporter(sources, exports.influxdb, oids={row.name: row.oid for row in OBJECTS})
            made["influxdb"] = influx
            points_written = lambda: influx.written  # noqa: E731
        if exports.mqtt is not None:
            from nutdrv_py.exporters.mqtt import MqttExporter

            made["mqtt"] = MqttExporter(sources, exports.mqtt)
        if exports.portfile is not None:
            from nutdrv_py.exporters.portfile.exporter import PortFileExporter

            made["portfile"] = PortFileExporter(sources, exports.portfile, self._clock)
        wake = None
        if exports.wake is not None:
            from nutdrv_py.exporters.wake import WakeExporter

            made["wake"] = wake = WakeExporter(sources, exports.wake, self._clock, self._folder)
        if exports.page is not None:
            from nutdrv_py.exporters.page import PageExporter

            made["page"] = PageExporter(sources, exports.page, self._web, self._clock, self._folder, wake)
        if exports.prometheus is not None:
            from nutdrv_py.exporters.prometheus import PrometheusExporter

            dropped = {name: (lambda exporter=exporter: exporter.dropped) for name, exporter in made.items()}
            made["prometheus"] = PrometheusExporter(
                sources, exports.prometheus, self._web, points_written=points_written, dropped=dropped, wake=wake
            )
        return list(made.values())

    @property
    def stuck(self) -> bool:
        """Return whether an exporter has hung, so that what others read of it is old."""
        return any(exporter.stuck for exporter in self._begun)

    async def start(self) -> None:
        """Begin all. Raises :class:`ConfigError` for what only an administrator can mend; what has begun is ended then."""
        failed = await self._begin(strict=True)
        if failed:
            await self.stop()
            raise ConfigError("; ".join(failed))
        self._announce()

    def _announce(self) -> None:
        devices = ", ".join(source.ups for source in self._sources)
        log.info("Exporting %s to %s", devices, "; ".join(places(self._exports)) or "nothing")

    def start_by_and_by(self) -> None:
        """Begin, and try again for what cannot: a driver's work for upsd does not depend on its exporters."""
        self._later = asyncio.ensure_future(self._try())

    async def _begin(self, *, strict: bool = False) -> list[str]:
        """Begin what has not begun; why the others could not. None waits for another, but ``strict`` ends with a failure."""
        failed: list[str] = []
        first = [exporter for exporter in self._exporters if exporter.first]
        # The ports before brokers and servers: a second process with the same file is to end before it disturbs the first.
        last = [exporter for exporter in self._exporters if not exporter.first]
        steps: list[Exporter | Web] = [*first, self._web, *last]
        for what in steps:
            if failed and strict:
                break
            if isinstance(what, Exporter) and what in self._begun:
                continue
            try:
                await what.start()
            except ConfigError as error:
                failed.append(str(error))
            except Exception as error:
                text = f"internal error in {type(what).__name__}: {type(error).__name__}"
                if self._trouble.report("internal", text, logging.ERROR):
                    log.error("please report this:", exc_info=error)
                failed.append(text)
            else:
                if isinstance(what, Exporter):
                    self._begun.append(what)
        return failed

    async def _try(self) -> None:
        while True:
            failed = await self._begin()
            for text in failed:
                self._trouble.report("start", f"{text}; upsd is served all the same, and this is tried again", logging.ERROR)
            if not failed:
                self._trouble.clear("start", "All exporters have begun")
                self._announce()
                return
            await self._clock.sleep(AGAIN)

    async def stop(self, *, restart: bool = False) -> None:
        """End all, at the same time, within :data:`LEAVE` seconds. ``restart``: the process is started again at once."""
        if self._later is not None:
            self._later.cancel()
        # Of several port files the first may be kept although the second could not be.
        begun = [exporter for exporter in self._exporters if exporter in self._begun or exporter.first]
        for exporter in begun:
            exporter.restart = restart
        ends = [asyncio.ensure_future(exporter.stop()) for exporter in begun]
        ends.append(asyncio.ensure_future(self._web.stop()))
        self._begun = []
        _, late = await asyncio.wait(ends, timeout=LEAVE)
        for end in late:
            end.cancel()
        for end in ends:
            with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
                if end.done() and (error := end.exception()) is not None:
                    log.error("internal error while an exporter ended; please report this:", exc_info=error)
