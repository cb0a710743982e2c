# SPDX-License-Identifier: GPL-2.0-or-later
"""The YAML file of the exporters: RctMon's, as it is, and what was added. One dataclass per section, one field per key.

What RctMon's documentation promises holds: each section may be empty or absent. An unknown key of its sections is ignored with
a warning, as it is there without one; a wrong type or a combination that cannot work is an error with file and line. A key
marked secret may also be given as ``<key>_file`` (the file holds nothing else) or ``<key>_env`` (an environment variable).
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import logging.config
import os
import re
import stat
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from nutdrv_py.errors import ConfigError, word
from nutdrv_py.log import log
from nutdrv_py.machine.files import read
from nutdrv_py.machine.private import read_private

__all__ = [
    "Device", "Exports", "InfluxDB", "Machine", "Mqtt", "Page", "PortFileSection", "Prometheus", "Wake", "key", "port_files",
    "read_exports",
]  # fmt: skip

PORT = 9831
"""TCP port of /metrics, RctMon's; the page shares it by default."""

PLACEHOLDERS = frozenset({"your-token"})
"""Values of RctMon's example that are in place of a secret."""

MOST_MACHINES = 50
"""Maximum machines of the section wake: each is asked every few seconds in an outage."""

MOST_SECRET = 4096
"""Bytes of a file that holds a secret."""


@dataclass(frozen=True, slots=True)
class _Key:
    help: str
    secret: bool = False
    least: float | None = None
    most: float = float("inf")


def key(
    help: str, *, default: typing.Any, secret: bool = False, least: float | None = None, most: float = float("inf")
) -> typing.Any:
    """Return a key of a section. ``secret``: never shown, and may be given by a file or an environment variable."""
    return field(default=default, metadata={"key": _Key(help, secret, least, most)}, repr=not secret)


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


_SECTIONS: Mapping[str, type] = {
    "prometheus": Prometheus, "influxdb": InfluxDB, "mqtt": Mqtt, "page": Page, "portfile": PortFileSection,
    "wake": Wake,
}  # fmt: skip
_OTHERS = ("device", "devices", "logging")
_RCTMON = ("prometheus", "influxdb", "mqtt")

DEFAULT_NAME = "rct"
"""Name of the device of RctMon's section ``device``, which has none."""


def read_exports(path: Path, environ: Mapping[str, str] = os.environ) -> Exports:
    """Return the file, checked. Raises :class:`ConfigError` with file and line."""
    try:
        return _Reader(path, environ).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: this is not right: {_problem(error)}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: this is not YAML that can be used: {type(error).__name__}") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong without what YAML quotes of the file: a password may begin like an alias or a tag."""
    found = re.sub(r"'(?!<)[^']*'|\"[^\"]*\"", "that", str(error.problem))
    return f"{found}; put a value that holds special characters into quotes"


def port_files(path: Path, ups: str | None = None) -> list[Path]:
    """Return the paths of the port files that the file names, which may be wrong otherwise; none if they cannot be read.

    They are those of the driver ``ups``, or of the devices that the file itself names.
    """
    try:
        content = yaml.load(read(path).decode("utf-8", "replace"), Loader=yaml.SafeLoader)
        devices = content.get("devices") or [content.get("device") or {}]
        names = [str(device.get("name", DEFAULT_NAME)) for device in devices] if ups is None else [ups]
        name = str(content["portfile"]["path"])
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return []
    return sorted({Path(name.replace("{ups}", ups)) for ups in names})


class _Reader:
    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._secret = False
        self._idle_secret = False

    def read(self) -> Exports:
        path = self._path
        try:
            text = read(path).decode()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not text in UTF-8") from None
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: this is not YAML: {_problem(error)}") from None
        found: dict[str, object] = {}
        disabled: set[str] = set()
        for name, name_node, node in self._entries(root, "the file"):
            if name in _SECTIONS:
                section = self._section(name, _SECTIONS[name], node)
                if section.enable:
                    found[name] = section
                else:
                    disabled.add(name)
            elif name == "device":
                found["devices"] = (*self._devices(found), self._rctmon_device(node))
            elif name == "devices":
                found["devices"] = (*self._devices(found), *self._list_of_devices(node))
            elif name == "logging":
                found["logging"] = self._logging(node)
            else:
                self._stray(name_node, name, [*_SECTIONS, *_OTHERS], "section")
        devices = self._devices(found)
        for index, device in enumerate(devices):
            if device.name in {other.name for other in devices[:index]}:
                raise ConfigError(f"{device.where}: there are two devices of the name {device.name}; give each its own")
        if self._secret and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
            raise ConfigError(f"{path} holds a secret and others may use it; type: chmod o-rwx {path}")
        if self._idle_secret and not self._secret and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
            # RctMon's example is installed so.
            log.warning("%s may be read by others; before you enable what needs its secrets, type: chmod o-rwx %s", path, path)
        return Exports(path, disabled=frozenset(disabled), **found)  # type: ignore[arg-type]

    @staticmethod
    def _devices(found: Mapping[str, object]) -> tuple[Device, ...]:
        return typing.cast("tuple[Device, ...]", found.get("devices", ()))

    def _where(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _entries(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield key, its node and the value's of a mapping; an empty one has none."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
            return
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self._where(node)}: {what} must hold lines of the form key: value")
        seen: set[str] = set()
        yaml.SafeLoader("").flatten_mapping(node)
        for name_node, value in node.value:
            name = str(name_node.value) if isinstance(name_node, yaml.ScalarNode) else ""
            if not name:
                raise ConfigError(f"{self._where(name_node)}: a key must be a word")
            if name in seen:
                raise ConfigError(f"{self._where(name_node)}: {word(name)} is there twice; remove one")
            seen.add(name)
            yield name, name_node, value

    def _stray(self, node: yaml.Node, name: str, known: list[str], kind: str = "key") -> None:
        """Warn of a word that RctMon ignores. Raises :class:`ConfigError` where ignoring it may send a secret in clear."""
        error, near = self._unknown(node, name, known, kind), difflib.get_close_matches(word(name), known, n=1)
        if word(name) in known or (near and near[0].startswith("tls")):
            raise error
        log.warning("%s. It is ignored", error)

    def _unknown(self, node: yaml.Node, name: str, known: list[str], kind: str = "key") -> ConfigError:
        shown = word(name)
        near = difflib.get_close_matches(shown, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the {kind}s are {', '.join(sorted(known))}"
        if shown in known:
            hint = f"write a blank behind the colon: {shown}: ..."
        return ConfigError(f"{self._where(node)}: there is no {kind} {shown}{'' if shown == name else '...'}; {hint}")

    def _section(self, section: str, kind: type, node: yaml.Node) -> typing.Any:
        fields = {item.name: item for item in dataclasses.fields(kind)}
        hints = typing.get_type_hints(kind)
        secrets = {name for name, item in fields.items() if item.metadata["key"].secret}
        elsewhere = {f"{name}_{form}": name for name in secrets for form in ("file", "env")}
        values: dict[str, object] = {}
        secret = idle = False
        for name, name_node, value in self._entries(node, f"the section {section}"):
            target = elsewhere.get(name, name)
            if target not in fields and section in _RCTMON:
                self._stray(name_node, name, [*fields, *elsewhere])
                continue
            if target not in fields:
                raise self._unknown(name_node, name, [*fields, *elsewhere])
            if isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null":
                # A key without a value, as in the example: its default, and not an address of "".
                continue
            if target in values:
                raise ConfigError(
                    f"{self._where(name_node)}: {target} is given twice; keep one of {target}, {target}_file, {target}_env"
                )
            if target == "machines":
                values[target] = self._machines(value)
                continue
            spec: _Key = fields[target].metadata["key"]
            if name in elsewhere:
                text = self._scalar(value, str, f"{section}.{name}")
                values[target] = self._from_file(str(text), value) if name.endswith("_file") else self._from_env(str(text), value)
                continue
            found = self._scalar(value, hints[name], f"{section}.{name}")
            secret = secret or (spec.secret and bool(found) and found not in PLACEHOLDERS)
            idle = idle or (spec.secret and bool(found))
            if isinstance(found, int | float) and spec.least is not None and not spec.least <= found <= spec.most:
                most = f"to {spec.most:g}" if spec.most < float("inf") else "or more"
                raise ConfigError(f"{self._where(value)}: {section}.{name} is {found}; it must be {spec.least:g} {most}")
            values[target] = found
        made = kind(**values)
        self._secret = self._secret or (secret and made.enable)
        self._idle_secret = self._idle_secret or idle
        if made.enable:
            _check(made, f"{self._where(node)}: {section}")
        return made

    def _machines(self, node: yaml.Node) -> tuple[Machine, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(f"{self._where(node)}: wake.machines must be a list: - name: ..., mac: ..., answers: ...")
        found: dict[str, Machine] = {}
        for item in node.value:
            machine = self._section("wake.machines", Machine, item)
            if machine.name in found:
                raise ConfigError(f"{self._where(item)}: there are two machines of the name {machine.name}; give each its own")
            found[machine.name] = machine
        return tuple(machine for machine in found.values() if machine.enable)

    def _from_file(self, name: str, node: yaml.Node) -> str:
        path = Path(name) if Path(name).is_absolute() else self._path.parent / name
        try:
            return read_private(path, MOST_SECRET).decode(errors="replace").strip()
        except OSError as error:
            raise ConfigError(f"{self._where(node)}: {path} cannot be read: {error.strerror}") from error

    def _from_env(self, name: str, node: yaml.Node) -> str:
        if name not in self._environ:
            raise ConfigError(f"{self._where(node)}: the environment variable {name} is not set")
        return self._environ[name]

    def _scalar(self, node: yaml.Node, hint: object, what: str) -> object:
        """Return the value as the type ``hint``. Where a text is due, one that looks like a number is a text: a password of
        digits."""
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        optional = type(None) in kinds
        kind = next(kind for kind in kinds if kind is not type(None))
        kind_name = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError(f"{self._where(node)}: {what} must be {kind_name}")
        value = yaml.SafeLoader("").construct_object(node, deep=True)
        if optional and (value is None or value == ""):
            return None
        if kind is str:
            return "" if value is None else str(node.value)
        if isinstance(value, str) or (kind is bool and value in (0, 1)):
            # RctMon takes quoted numbers and truth values, and 0 and 1, too.
            value = _converted(str(value), kind)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind or value != value:
            # The value is not shown: it may be a password in the wrong place.
            raise ConfigError(f"{self._where(node)}: {what} must be {kind_name}")
        return typing.cast(object, value)

    def _rctmon_device(self, node: yaml.Node) -> Device:
        options = {"host": "127.0.0.1", "port": "8899", "name": DEFAULT_NAME}
        for name, name_node, value in self._entries(node, "the section device"):
            if name not in options:
                self._stray(name_node, name, list(options))
                continue
            options[name] = str(self._scalar(value, int if name == "port" else str, f"device.{name}"))
        host = options["host"]
        port = f"{f'[{host}]' if ':' in host else host}:{options['port']}"
        return Device(options["name"], "rct", {"port": port}, self._where(node))

    def _list_of_devices(self, node: yaml.Node) -> Iterator[Device]:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(f"{self._where(node)}: devices must be a list: - name: ..., backend: ..., port: ...")
        for item in node.value:
            options: dict[str, str] = {}
            for name, _, value in self._entries(item, "a device"):
                options[name] = str(self._scalar(value, str, f"devices.{name}"))
            missing = [name for name in ("name", "backend", "port") if not options.get(name)]
            if missing:
                raise ConfigError(f"{self._where(item)}: this device has no {' and no '.join(missing)}")
            yield Device(options.pop("name"), options.pop("backend"), options, self._where(item))

    def _logging(self, node: yaml.Node) -> Mapping[str, object] | None:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ConfigError(f"{self._where(node)}: logging must hold what Python's logging.config.dictConfig takes")
        settings = {"version": 1, "disable_existing_loggers": False, **value}
        _refuse_code(settings, f"{self._where(node)}: logging")
        try:
            logging.config.DictConfigurator(settings)
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            raise ConfigError(f"{self._where(node)}: logging: {error}") from None
        return settings


_LOGGING_CLASS = re.compile(r"logging\.(?:handlers\.)?\w+")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def _refuse_code(content: object, where: str) -> None:
    """Refuse what dictConfig would call: with it, a user who may write the file could run programs as the driver's user."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name in ("()", ".", "factory"):
                raise ConfigError(f"{where}: {name!r} would run code; use the handlers and formatters of Python's logging")
            if name == "class" and not _LOGGING_CLASS.fullmatch(str(value)):
                raise ConfigError(f"{where}: class must be one of Python's logging or logging.handlers")
            _refuse_code(value, where)
    elif isinstance(content, list):
        for value in content:
            _refuse_code(value, where)
    elif isinstance(content, str) and content.startswith("ext://") and content not in _STREAMS:
        raise ConfigError(f"{where}: of ext:// only {' and '.join(_STREAMS)} are taken")


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _converted(text: str, kind: type) -> object:
    try:
        return _TRUTHS.get(text.lower(), text) if kind is bool else kind(text)
    except ValueError:
        return text


def _check(section: object, where: str) -> None:
    """Refuse combinations that cannot work."""
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
