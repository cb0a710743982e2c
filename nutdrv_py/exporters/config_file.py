# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the exporters' YAML file into the sections of :mod:`~nutdrv_py.exporters.config`.

What RctMon's documentation promises holds: each section may be empty or absent. An unknown key of its sections is ignored with
a warning, as it is there without one; a wrong type or a combination that cannot work is an error with file and line. A key
marked secret may also be given as ``<key>_file`` (the file holds nothing else) or ``<key>_env`` (an environment variable).
"""

from __future__ import annotations

import dataclasses
import difflib
import logging.config
import os
import re
import stat
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from nutdrv_py.errors import ConfigError, word
from nutdrv_py.exporters.config import DEFAULT_NAME, SECTIONS, Device, Exports, Key, Machine
from nutdrv_py.exporters.config_checks import check, refuse_code
from nutdrv_py.log import log
from nutdrv_py.machine.files import read
from nutdrv_py.machine.private import read_private

__all__ = ["port_files", "read_exports"]

PLACEHOLDERS = frozenset({"your-token"})
"""Values of RctMon's example that are in place of a secret."""

MOST_SECRET = 4096
"""Bytes of a file that holds a secret."""

_OTHERS = ("device", "devices", "logging")
_RCTMON = ("prometheus", "influxdb", "mqtt")


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
            if name in SECTIONS:
                section = self._section(name, SECTIONS[name], node)
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
                self._stray(name_node, name, [*SECTIONS, *_OTHERS], "section")
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
            spec: Key = fields[target].metadata["key"]
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
            check(made, f"{self._where(node)}: {section}")
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
        refuse_code(settings, f"{self._where(node)}: logging")
        try:
            logging.config.DictConfigurator(settings)
        except (ValueError, TypeError, AttributeError, ImportError) as error:
            raise ConfigError(f"{self._where(node)}: logging: {error}") from None
        return settings


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _converted(text: str, kind: type) -> object:
    try:
        return _TRUTHS.get(text.lower(), text) if kind is bool else kind(text)
    except ValueError:
        return text
