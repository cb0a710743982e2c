# SPDX-License-Identifier: GPL-2.0-or-later
"""``/metrics`` for Prometheus: RctMon's metrics, NUT's variables under the names of nut_exporter, and how the driver does.

Everything is read when it is asked for, in the event loop; nothing of a device is kept. While its data are stale a device shows
no value at all, so that Prometheus ends its series at once instead of drawing the last value on.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import parse_qs

from nutdrv_py.core.telemetry import BUCKETS, Health, Source, View
from nutdrv_py.exporters import config, rctmon
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.wake import WakeExporter
from nutdrv_py.exporters.web import QUERY, Answer, Web
from nutdrv_py.machine.extras import load

__all__ = ["FLAGS", "OWN", "PATH", "PrometheusExporter", "metric_name"]

PATH = "/metrics"

MOST_NAMES = 1000
"""Maximum parts of a query that are read."""

NUT = "network_ups_tools"
"""What nut_exporter's metrics begin with."""

FLAGS = (
    "OL", "OB", "LB", "HB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM", "BOOST", "FSD", "SD", "ALARM",
)  # fmt: skip
"""The flags that are always shown, as 0 or 1: those of nut_exporter 3.2.5 (its option nut.statuses), and ALARM."""

DEVICE = ("contact", "description", "location", "macaddr", "mfr", "model", "part", "serial", "type")
"""The ``device.*`` variables that are labels of device_info."""

RESERVED = frozenset({f"{NUT}_ups_status", f"{NUT}_device", f"{NUT}_device_info"})
"""Metrics that no variable may take the name of."""


@dataclass(frozen=True, slots=True)
class Own:
    """A metric about the driver itself: ``read`` gives its value by the value of ``label``, or by "" when there is no label."""

    name: str
    kind: str
    help: str
    read: Callable[[View, Health], Mapping[str, float]]
    label: str = ""


# fmt: off
OWN: tuple[Own, ...] = (
    Own("nutdrv_py_up", "gauge", "Whether the last poll of the device was good", lambda view, health: {"": health.up}),
    Own("nutdrv_py_stale", "gauge", "Whether the data are stale, as upsd is told", lambda view, health: {"": view.stale}),
    Own("nutdrv_py_data_age_seconds", "gauge", "Seconds since the last good data; not there when there never were any",
        lambda view, health: {} if view.age is None else {"": view.age}),
    Own("nutdrv_py_quantity_age_seconds", "gauge", "Seconds since the device reported this", lambda view, health: health.ages,
        "quantity"),
    Own("nutdrv_py_polls_total", "counter", "Polls of the device", lambda view, health: {"": health.polls}),
    Own("nutdrv_py_poll_failures_total", "counter", "Polls that failed, by what went wrong", lambda view, health: health.failures,
        "kind"),
    Own("nutdrv_py_upsd_clients", "gauge", "Connections to the driver's socket: upsd and its like",
        lambda view, health: {"": health.clients}),
    Own("nutdrv_py_backend_total", "counter", "What the backend counts", lambda view, health: health.counters, "counter"),
)
# fmt: on


def metric_name(variable: str) -> str:
    """Return nut_exporter's name for a variable: what a metric's name may not have becomes ``_``."""
    return f"{NUT}_{re.sub('[^a-zA-Z0-9_]', '_', variable)}"


class PrometheusExporter(Exporter):
    """Serves :data:`PATH` on ``web``, which the caller starts. Raises :class:`ConfigError` when prometheus_client is missing.

    ``points_written`` returns the points that the InfluxDB exporter has written, ``dropped`` by exporter what it threw away,
    ``wake`` how far the machines are that are woken.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        options: config.Prometheus,
        web: Web,
        *,
        points_written: Callable[[], int] | None = None,
        dropped: Mapping[str, Callable[[], int]] | None = None,
        wake: WakeExporter | None = None,
    ) -> None:
        super().__init__(sources)
        client, self._exposition, core = (
            load("prometheus", "the section prometheus", name)
            for name in ("prometheus_client", "prometheus_client.exposition", "prometheus_client.core")
        )
        self._core = core
        self._registry = client.CollectorRegistry()
        self._registry.register(_Collector(core, self.sources, options.exposition, points_written, dropped or {}, wake))
        client.ProcessCollector(registry=self._registry)
        client.PlatformCollector(registry=self._registry)
        client.GCCollector(registry=self._registry)
        web.add(options.bind_address, options.bind_port, PATH, self._answer)

    async def start(self) -> None:
        """Do nothing: the web server does the rest."""

    async def stop(self) -> None:
        """Do nothing: the web server does the rest."""

    def _answer(self, headers: Mapping[str, str]) -> Answer:
        encode, content_type = self._exposition.choose_encoder(headers.get("accept", ""))
        names = frozenset(parse_qs(headers.get(QUERY, ""), max_num_fields=MOST_NAMES).get("name[]", ()))
        registry = _Chosen(self._core, self._registry, names) if names else self._registry
        return Answer(encode(registry), str(content_type), compress=True)


class _Chosen:
    """Holds the samples of these names, as ``?name[]=`` asks for them; prometheus_client's own filter knows its metrics alone."""

    def __init__(self, core: ModuleType, registry: Any, names: frozenset[str]) -> None:
        self._core, self._registry, self._names = core, registry, names

    def collect(self) -> Iterator[Any]:
        for family in self._registry.collect():
            samples = [sample for sample in family.samples if sample.name in self._names]
            if samples:
                chosen = self._core.Metric(family.name, family.documentation, family.type)
                chosen.samples = samples
                yield chosen


class _Family(Protocol):
    """What the families of prometheus_client have in common."""

    def add_metric(self, labels: Sequence[str], *values: object) -> None: ...


class _Families:
    """Metric families, each with one HELP and TYPE however many devices add samples to it."""

    def __init__(self, core: ModuleType) -> None:
        self._core = core
        self._made: dict[str, _Family] = {}
        self._seen: set[tuple[str, tuple[str, ...]]] = set()

    def add(
        self, kind: str, name: str, help: str, labels: tuple[str, ...], values: tuple[str, ...], value: float,
        created: float | None = None,
    ) -> None:  # fmt: skip
        """Add a sample. ``name`` is the one that is shown, with _total or _info. ``created``: Unix time at which it was 0."""
        family = self.family(kind, name, help, labels)
        # Two series of one name and the same labels would cost the whole scrape.
        if (name, values) in self._seen:
            return
        self._seen.add((name, values))
        clean = [text.encode("utf-8", "replace").decode() for text in values]
        if kind == "info":
            family.add_metric(clean, {})
        elif created is not None:
            family.add_metric(clean, float(value), created)
        else:
            family.add_metric(clean, float(value))

    def family(self, kind: str, name: str, help: str, labels: tuple[str, ...]) -> _Family:
        """Return the family of that name, made when it is not there yet."""
        if name not in self._made:
            make = getattr(self._core, f"{kind.capitalize()}MetricFamily")
            self._made[name] = make(name.removesuffix("_info") if kind == "info" else name, help, labels=labels)
        return self._made[name]

    def __iter__(self) -> Iterator[_Family]:
        return iter(self._made.values())


class _Collector:
    """Makes all metrics anew for each scrape."""

    def __init__(
        self,
        core: ModuleType,
        sources: tuple[Source, ...],
        exposition: bool,
        points_written: Callable[[], int] | None,
        dropped: Mapping[str, Callable[[], int]],
        wake: WakeExporter | None,
    ) -> None:
        self._wake = wake
        self._core = core
        self._sources = sources
        self._exposition = exposition
        self._points_written = points_written
        self._dropped = dropped
        # RctMon's counters are prometheus_client's, which show it unless this is set.
        hidden = os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower() in ("true", "1", "t")
        self._created = None if hidden else time.time()
        self._inverters: dict[str, str] = {}
        """The inverters' names by section. They outlast stale data, lest rctmon_device_up go on as another series."""

    def collect(self) -> Iterator[_Family]:
        """Yield the families, as prometheus_client's registry asks for them."""
        families = _Families(self._core)
        looks = [(source.view(), source.health()) for source in self._sources]
        for view, health in looks:
            _driver(families, view, health)
        for exporter, dropped in self._dropped.items():
            name, help = "nutdrv_py_exporter_dropped_total", "What was thrown away because a server could not take it"
            families.add("counter", name, help, ("exporter",), (exporter,), dropped())
        for name, sent in self._wake.sent.items() if self._wake is not None else ():
            help = "Magic packets that were sent to the machine since the start"
            families.add("counter", "nutdrv_py_wake_packets_total", help, ("machine",), (name,), sent)
        for row in self._wake.progress if self._wake is not None else ():
            help = "Whether the machine was up in the last outage and is not back yet"
            families.add("gauge", "nutdrv_py_wake_waiting", help, ("machine",), (row.name,), row.waits)
        self._rctmon(families, [look for look in looks if look[0].backend == "rct"])
        if self._exposition:
            for view, _ in looks:
                _variables(families, view)
        yield from families

    def _rctmon(self, families: _Families, looks: Sequence[tuple[View, Health]]) -> None:
        if self._points_written is not None:
            families.add(
                "counter", "rctmon_influx_points_written_total", "Points written to InfluxDB", (), (), self._points_written()
            )
        inverters = self._named([view for view, _ in looks])
        for view, health in looks:
            version = view.texts.get("driver.version.internal", "")
            parts = ([*version.split("."), "", "", ""])[:3]
            families.add(
                "info", "rctmon_info", "The program", ("version", "version_major", "version_minor", "version_patch"),
                (version, *parts), 1,
            )  # fmt: skip
            inverter = inverters[view.ups]
            up = view.answering or (health.up and not view.stale)
            families.add("gauge", "rctmon_device_up", "Whether the inverter answers", ("inverter",), (inverter,), up)
            for counter in rctmon.COUNTERS:
                labels = ("inverter", counter.label) if counter.label else ("inverter",)
                for label, name in counter.counters.items():
                    values = (inverter, label) if counter.label else (inverter,)
                    count = health.counters.get(name or "", 0)
                    families.add("counter", counter.name, counter.help, labels, values, count, self._created)
            if self._exposition:
                for row in rctmon.ROWS:
                    for found, value in rctmon.samples(row, view.current_raw):
                        families.add(row.kind, row.name, row.help, ("inverter", *row.labels), (inverter, *found), value)

    def _named(self, views: Sequence[View]) -> dict[str, str]:
        """Return the label ``inverter`` of each section: the device's name, with the section where two devices have the same
        one."""
        for view in views:
            name = view.raw.get("android_description")
            if isinstance(name, str) and name.strip():
                self._inverters[view.ups] = name.strip()
        names = [self._inverters.get(view.ups, view.ups) for view in views]
        return {
            view.ups: name if names.count(name) == 1 else f"{name} ({view.ups})" for view, name in zip(views, names, strict=True)
        }


def _driver(families: _Families, view: View, health: Health) -> None:
    version = view.texts.get("driver.version.internal", "")
    families.add("info", "nutdrv_py_info", "The driver", ("ups", "backend", "version"), (view.ups, view.backend, version), 1)
    for row in OWN:
        labels = ("ups", row.label) if row.label else ("ups",)
        for label, value in row.read(view, health).items():
            families.add(row.kind, row.name, row.help, labels, (view.ups, label) if row.label else (view.ups,), value)
    counts = [(str(bound), float(count)) for bound, count in zip(BUCKETS, health.buckets, strict=True)]
    durations = families.family("histogram", "nutdrv_py_poll_duration_seconds", "How long polls took", ("ups",))
    durations.add_metric([view.ups], [*counts, ("+Inf", float(health.polls))], health.seconds)


def _variables(families: _Families, view: View) -> None:
    """Add NUT's variables as nut_exporter names them; none while the data are stale, not even the driver's own."""
    if view.stale:
        return
    texts = view.texts
    found = set(texts.get("ups.status", "").split())
    for flag in FLAGS:
        families.add("gauge", f"{NUT}_ups_status", "The flags of ups.status", ("ups", "flag"), (view.ups, flag), flag in found)
    about = tuple(texts.get(f"device.{name}", "") for name in DEVICE)
    families.add("info", f"{NUT}_device_info", "NUT variables device.*", ("ups", *DEVICE), (view.ups, *about), 1)
    for variable, value in sorted(view.numbers.items()):
        if (name := metric_name(variable)) not in RESERVED:
            families.add("gauge", name, f"NUT variable {variable}", ("ups",), (view.ups,), value)
