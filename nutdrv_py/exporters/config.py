# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections of the exporters' YAML file: RctMon's, as they are, and what was added. One dataclass each, one field per key.

:mod:`~nutdrv_py.exporters.config_file` reads it.
"""

from __future__ import annotations

import ipaddress
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nutdrv_py.errors import ConfigError
from nutdrv_py.log import log

__all__ = [
    "DEFAULT_NAME", "SECTIONS", "Device", "Exports", "InfluxDB", "Key", "Machine", "Mqtt", "Page", "PortFileSection",
    "Prometheus", "Wake", "check", "key", "refuse_code",
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


def check(section: object, where: str) -> None:
    """Refuse combinations that cannot work. Raises :class:`ConfigError` that begins with ``where``."""
    match section:
        case Mqtt():
            if not section.mqtt_host:
                raise ConfigError(f"{where}.mqtt_host is missing: the address of the broker")
            if (section.auth_user is None) != (section.auth_pass is None):
                raise ConfigError(f"{where}: auth_user and auth_pass go together; write both or none")
            if (section.tls_certfile is None) != (section.tls_keyfile is None):
                raise ConfigError(f"{where}: tls_certfile and tls_keyfile go together; write both or none")
            if section.tls_certfile and not section.tls_enable:
                raise ConfigError(f"{where}: tls_certfile needs tls_enable: true; without it nothing is encrypted")
            if section.tls_ca_cert and not section.tls_enable:
                # As in RctMon's example.
                log.warning("%s: tls_ca_cert does nothing without tls_enable: true; nothing is encrypted", where)
            for name in ("topic_prefix", "discovery_prefix"):
                text = getattr(section, name)
                if not text or set("+#\0") & set(text):
                    raise ConfigError(f"{where}.{name} is {text!r}; write a topic without + and #")
            if section.discovery_prefix.startswith("/") or section.discovery_prefix.endswith("/"):
                raise ConfigError(f"{where}.discovery_prefix is {section.discovery_prefix!r}; write it without / at its ends")
        case InfluxDB():
            if not section.url.startswith(("http://", "https://")):
                raise ConfigError(f"{where}.url must begin with http:// or https://")
            if not urlsplit(section.url).hostname:
                raise ConfigError(f"{where}.url has no host; write it like http://localhost:8086")
            if "@" in section.url.split("/")[2]:
                raise ConfigError(f"{where}.url must not hold a user or password; write token, or username and password")
            if (section.username or section.password) and not section.database:
                raise ConfigError(f"{where}: username and password are for 1.x servers; add database, or use token")
            if section.database and section.token:
                raise ConfigError(f"{where}: database is for 1.x servers, which take username and password; remove token")
        case PortFileSection():
            if not section.path:
                raise ConfigError(f"{where}.path is missing: the file that dummy-ups reads")
        case Wake():
            if not 0 < len(section.machines) <= MOST_MACHINES:
                raise ConfigError(
                    f"{where}.machines must name 1 to {MOST_MACHINES} machines: - name: ..., mac: ..., answers: ..."
                )
            _address(section.broadcast, f"{where}.broadcast")
        case Machine():
            if not _MACHINE.fullmatch(section.name):
                raise ConfigError(f"{where}: name must be 1 to 40 letters, digits, dots, hyphens or underscores")
            digits = _MAC.fullmatch(section.mac)
            if digits is None or int(section.mac[:2], 16) & 1 or not int(re.sub("[:-]", "", section.mac), 16):
                raise ConfigError(
                    f"{where}: mac of {section.name} is not that of a network card; write it like 00:11:22:33:44:55"
                )
            host, _, port = section.answers.rpartition(":")
            if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 0x10000):
                raise ConfigError(
                    f"{where}: answers of {section.name} must be an address and a TCP port, such as 192.168.1.10:22"
                )
            _address(host.removeprefix("[").removesuffix("]"), f"{where}: answers of {section.name}", six=True)


_MACHINE = re.compile(r"[A-Za-z0-9._-]{1,40}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")


def _address(text: str, where: str, *, six: bool = False) -> None:
    """Refuse what is no IP address: after an outage a name service may be away."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or (found.version == 6 and not six):
        raise ConfigError(
            f"{where} must hold an {'' if six else 'IPv4 '}address, such as 192.168.1.{10 if six else 255}, not a name"
        )


_LOGGING_CLASS = re.compile(r"logging\.(?:handlers\.)?\w+")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def refuse_code(content: object, where: str) -> None:
    """Refuse what dictConfig would call: with it, a user who may write the file could run programs as the driver's user.

    Raises :class:`ConfigError` that begins with ``where``.
    """
    if isinstance(content, dict):
        for name, value in content.items():
            if name in ("()", ".", "factory"):
                raise ConfigError(f"{where}: {name!r} would run code; use the handlers and formatters of Python's logging")
            if name == "class" and not _LOGGING_CLASS.fullmatch(str(value)):
                raise ConfigError(f"{where}: class must be one of Python's logging or logging.handlers")
            refuse_code(value, where)
    elif isinstance(content, list):
        for value in content:
            refuse_code(value, where)
    elif isinstance(content, str) and content.startswith("ext://") and content not in _STREAMS:
        raise ConfigError(f"{where}: of ext:// only {' and '.join(_STREAMS)} are taken")
