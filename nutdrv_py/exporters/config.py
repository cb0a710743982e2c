# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections of the exporters' YAML file: RctMon's, as they are, and what was added. One dataclass each, one field per key.

:mod:`~nutdrv_py.exporters.config_file` reads it, :mod:`~nutdrv_py.exporters.config_checks` says which values cannot work.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "DEFAULT_NAME", "SECTIONS", "Device", "Exports", "InfluxDB", "Key", "Machine", "Mqtt", "Page", "PortFileSection",
    "Prometheus", "Wake", "key",
]  # fmt: skip

PORT = 9831
"""TCP port of /metrics, RctMon's; the page shares it by default."""

MOST_MACHINES = 50
"""Maximum machines of the section wake: each is asked every few seconds in an outage."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; see :func:`key`."""

    help: str
    secret: bool = False
    least: float | None = None
    most: float = float("inf")


def key(
    help: str, *, default: typing.Any, secret: bool = False, least: float | None = None, most: float = float("inf")
) -> typing.Any:
    """Return a key of a section. ``secret``: never shown, and may be given by a file or an environment variable."""
    return field(default=default, metadata={"key": Key(help, secret, least, most)}, repr=not secret)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Section ``prometheus``: /metrics."""

    enable: bool = key("serve /metrics", default=True)
    exposition: bool = key("show the device's metrics too, not only the driver's own", default=False)
    bind_address: str = key("address to listen on", default="127.0.0.1")
    bind_port: int = key("TCP port to listen on", default=PORT, least=0, most=65535)


@dataclass(frozen=True, slots=True)
class InfluxDB:
    """Section ``influxdb``: points for InfluxDB 2.x and 1.8, or with ``database`` for any 1.x."""

    enable: bool = key("write points", default=False)
    url: str = key("address of the server", default="http://localhost:8086")
    token: str = key("token (1.8: user:password)", default="", secret=True)
    org: str = key("organisation", default="rct")
    bucket: str = key("bucket (1.8: database/retention-policy)", default="rct-inverter")
    database: str = key("database of a 1.x server; it is written to by the older call then", default="")
    username: str = key("user of a 1.x server", default="")
    password: str = key("password of a 1.x server", default="", secret=True)
    interval: float = key("seconds between two sets of points", default=5.0, least=1, most=3600)
    ca_cert: str = key("file with the certificate authority of an https server", default="")


@dataclass(frozen=True, slots=True)
class Mqtt:
    """Section ``mqtt``."""

    enable: bool = key("publish topics", default=False)
    mqtt_host: str | None = key("address of the broker", default=None)
    mqtt_port: int = key("TCP port of the broker", default=1883, least=1, most=65535)
    mqtt_retain: bool = key("have the broker keep the last value", default=True)
    client_name: str = key("client identifier; two programs must not use the same", default="rctmon")
    topic_prefix: str = key("what all topics begin with", default="rctmon")
    auth_user: str | None = key("user of the broker", default=None)
    auth_pass: str | None = key("password of the broker", default=None, secret=True)
    tls_enable: bool = key("use TLS", default=False)
    tls_insecure: bool = key("take any certificate", default=False)
    tls_ca_cert: str | None = key("file with the certificate authority", default=None)
    tls_certfile: str | None = key("file with our certificate", default=None)
    tls_keyfile: str | None = key("file with its key", default=None)
    discovery: bool = key("announce the device to Home Assistant", default=True)
    discovery_prefix: str = key("where Home Assistant looks", default="homeassistant")


@dataclass(frozen=True, slots=True)
class Page:
    """Section ``page``: the status page and its JSON."""

    enable: bool = key("serve the page", default=True)
    bind_address: str = key("address to listen on", default="127.0.0.1")
    bind_port: int = key("TCP port to listen on; the same as that of prometheus is shared", default=PORT, least=0, most=65535)
    title: str = key("heading of the page", default="House battery")
    history: str = key("file that keeps the last day over a restart; empty: beside the driver's own files", default="")


@dataclass(frozen=True, slots=True)
class PortFileSection:
    """Section ``portfile``: the file that dummy-ups reads."""

    enable: bool = key("keep the file", default=True)
    path: str = key("the file; it must exist", default="")
    pollfreq: float = key("seconds between two writes", default=60.0, least=5)
    pollfreqalert: float = key("the same while off the grid", default=20.0, least=5)


@dataclass(frozen=True, slots=True)
class Machine:
    """One of ``wake.machines``: a machine that is off after an outage."""

    enable: bool = key("wake it", default=True)
    name: str = key("name in the log and on the page", default="")
    mac: str = key("hardware address of its network card, as 00:11:22:33:44:55", default="")
    answers: str = key("IP address and TCP port that answer when it is up; a port that refuses counts, too", default="")
    above: float | None = key("percent of charge of its own, instead of that of the section", default=None, least=0, most=100)


@dataclass(frozen=True, slots=True)
class Wake:
    """Section ``wake``: magic packets to machines that were shut down in an outage."""

    enable: bool = key("send packets", default=True)
    machines: tuple[Machine, ...] = key("the machines, each with name, mac and answers", default=())
    above: float = key("percent of charge from which on machines are woken; 0: whatever it is", default=50.0, least=0, most=100)
    after: float = key("seconds for which the grid must have been back", default=300.0, least=1, most=86400)
    interval: float = key("seconds between two packets to a machine", default=60.0, least=1, most=3600)
    attempts: int = key("packets to a machine, at most, for each outage", default=10, least=1, most=100)
    broadcast: str = key("address that the packets are sent to, such as 192.168.1.255", default="255.255.255.255")
    port: int = key("UDP port that the packets are sent to", default=9, least=1, most=65535)


@dataclass(frozen=True, slots=True)
class Device:
    """What the daemon polls: the options of a section of ups.conf, as text. ``where`` is file and line."""

    name: str
    backend: str
    options: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class Exports:
    """The file. A section is None when it is absent or not enabled."""

    path: Path
    prometheus: Prometheus | None = None
    influxdb: InfluxDB | None = None
    mqtt: Mqtt | None = None
    page: Page | None = None
    portfile: PortFileSection | None = None
    wake: Wake | None = None
    logging: Mapping[str, object] | None = None
    devices: tuple[Device, ...] = ()
    disabled: frozenset[str] = frozenset()
    """The sections that are there, and not enabled."""

    @property
    def any(self) -> bool:
        """Return whether there is anything to export to."""
        return any((self.prometheus, self.influxdb, self.mqtt, self.page, self.portfile, self.wake))


SECTIONS: Mapping[str, type] = {
    "prometheus": Prometheus, "influxdb": InfluxDB, "mqtt": Mqtt, "page": Page, "portfile": PortFileSection,
    "wake": Wake,
}  # fmt: skip
"""The sections with keys of their own."""

DEFAULT_NAME = "rct"
"""Name of the device of RctMon's section ``device``, which has none."""
