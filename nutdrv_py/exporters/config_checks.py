# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot work in the exporters' file: refused when it is read. Only certificates are looked at when an exporter starts."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import MOST_MACHINES, InfluxDB, Machine, Mqtt, PortFileSection, Wake
from nutdrv_py.exporters.topics import unfit
from nutdrv_py.log import log

__all__ = ["check", "refuse_code"]


def check(section: object, where: str) -> None:
    """Refuse combinations that cannot work. Raises :class:`ConfigError` that begins with ``where``."""
    match section:
        case Mqtt():
            _mqtt(section, where)
        case InfluxDB():
            if not section.url.startswith(("http://", "https://")):
                raise ConfigError(f"{where}.url must begin with http:// or https://")
            if not _is_address(section.url):
                raise ConfigError(f"{where}.url has no host, or a port that is none; write it like http://localhost:8086")
            if "@" in section.url.split("/")[2]:
                raise ConfigError(f"{where}.url must not hold a user or password; write token, or username and password")
            if not (section.token.isascii() and section.token.isprintable()):
                raise ConfigError(f"{where}.token holds characters that no token has; copy it again")
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


def _mqtt(section: Mqtt, where: str) -> None:
    if not section.mqtt_host:
        raise ConfigError(f"{where}.mqtt_host is missing: the address of the broker")
    if not _is_host(section.mqtt_host):
        # Not shown: it may be the URL of a broker with a password.
        raise ConfigError(f"{where}.mqtt_host is neither a name nor an address; a login belongs into auth_user and auth_pass")
    if bool(section.auth_user) != bool(section.auth_pass):
        raise ConfigError(f"{where}: auth_user and auth_pass go together; write both or none")
    if bool(section.tls_certfile) != bool(section.tls_keyfile):
        raise ConfigError(f"{where}: tls_certfile and tls_keyfile go together; write both or none")
    if section.tls_certfile and not section.tls_enable:
        raise ConfigError(f"{where}: tls_certfile needs tls_enable: true; without it nothing is encrypted")
    if section.tls_ca_cert and not section.tls_enable:
        # As in RctMon's example.
        log.warning("%s: tls_ca_cert does nothing without tls_enable: true; nothing is encrypted", where)
    for name in ("topic_prefix", "discovery_prefix"):
        text = getattr(section, name)
        if not text or any(map(unfit, text)):
            raise ConfigError(f"{where}.{name} is {text!r}; write a topic without + and #")
    if section.discovery_prefix != section.discovery_prefix.strip("/"):
        raise ConfigError(f"{where}.discovery_prefix is {section.discovery_prefix!r}; write it without / at its ends")
    if any(unfit(letter) and letter not in "+#" for letter in section.client_name):
        raise ConfigError(f"{where}.client_name holds control characters; write letters and digits")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    try:
        return bool(re.fullmatch(r"[^\s\x00-\x1f/@]+", host)) and bool(host.encode("idna"))
    except UnicodeError:
        return False


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
