# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``nutdrv_py portfile`` is told: the command line, the environment, and the configuration of the enphase-monitor script."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.core.settings import Settings, backend_options
from nutdrv_py.device.backend import load as load_backend
from nutdrv_py.device.backend import names
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import PortFile
from nutdrv_py.machine.assignments import read_assignments
from nutdrv_py.machine.files import read
from nutdrv_py.machine.paths import paths
from nutdrv_py.machine.private import read_private
from nutdrv_py.process.upsconf import Entry, UpsConf, load, read_ups_conf

__all__ = ["TEST_DELAY", "Plan", "find_file", "read_plan"]

DEFAULT_HOST = "envoy.local"
"""Where enphase-monitor looks for the gateway."""

ALIASES: Mapping[str, str] = {"HOST": "port", "ENVOY_HOST": "port", "TOKEN_FILE": "tokenfile"}
"""Keys that are not the name of an option in capitals."""

SPECIAL = frozenset({"UPS", "BACKEND", "PORT_FILE", "NUT_SYSCONFIG", "NUT_LOCALSTATE"})
TEST = "TEST_"
"""What the keys of the test mode begin with: TEST_MODE switches it on, TEST_DELAY is the seconds of each step."""

TEST_DELAY = 10.0

NAMES = ("enphase-{ups}.conf", "rct-{ups}.conf", "{ups}.conf")
"""Where the configuration of a UPS is looked for, in the folder of NUT's configuration."""

ALERT_KEY, ALERT, LEAST = "POLLFREQALERT", 20.0, 5.0
"""Seconds between two writes off the grid, which the key changes for every backend, and their minimum."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line, the environment and the configuration say together."""

    settings: Settings
    file: PortFile
    every: float
    alert: float
    test_delay: float | None = None
    """Seconds of each step of the test mode; None when it is off."""


def find_file(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Path:
    """Where the port file is, from a configuration that need not be right otherwise. Raises :class:`ConfigError`."""
    script = _find(ups, config, environ)
    try:
        text = read(script.path).decode("utf-8", "replace")
    except OSError:
        text = ""
    return _port_file(_read(script, text, lenient=True), environ)


@dataclass(frozen=True, slots=True)
class _Script:
    """A configuration of the script: where it is, the folders it may name, the UPS, and what was found in it."""

    path: Path
    folders: Mapping[str, str]
    ups: str | None
    found: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _find(ups: str | None, config: str | None, environ: Mapping[str, str]) -> _Script:
    known = paths(environ=environ)
    folders = {
        "NUT_SYSCONFIG": environ.get("NUT_SYSCONFIG") or str(known.confpath),
        "NUT_LOCALSTATE": environ.get("NUT_LOCALSTATE") or str(known.home),
    }
    ups = ups or environ.get("UPS") or None
    path = _config_path(ups, config or environ.get("CONFIG_FILE") or None, Path(folders["NUT_SYSCONFIG"]))
    return _Script(path, folders, ups)


def _read(script: _Script, text: str, *, lenient: bool = False) -> _Script:
    known = {**script.folders, **({"UPS": script.ups} if script.ups else {})}
    found = read_assignments(text, str(script.path), known, lenient=lenient)
    folders = {name: found.get(name, folder) for name, folder in script.folders.items()}
    return _Script(script.path, folders, script.ups or found.get("UPS") or _from_file_name(script.path), found)


def read_plan(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Plan:
    """Everything that was told. Raises :class:`ConfigError` for what cannot be meant so."""
    script = _find(ups, config, environ)
    path = script.path
    try:
        text = read_private(path).decode()
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration {path} is not text in UTF-8") from None
    script = _read(script, text)
    found = script.found
    if not script.ups:
        raise ConfigError(f"{path}: the name of the UPS is missing; write UPS=name, or give it on the command line")
    backend = found.get("BACKEND") or "enphase"
    if backend not in names():
        raise ConfigError(f"{path}: BACKEND={backend} is none of {', '.join(sorted(names()))}")
    section = _entries(found, path, backend)
    conf = UpsConf((), (Entry("driver", "nutdrv_py", str(path)), Entry("backend", backend, str(path)), *section), ())
    environ = {**environ, "NUT_STATEPATH": script.folders["NUT_LOCALSTATE"]}
    settings = load(script.ups, "nutdrv_py", conf=conf, environ=environ)
    file = PortFile(_port_file(script, environ), float(settings.config.maxage))
    overrides = {**file.settings, **settings.overrides}
    settings = dataclasses.replace(
        settings, overrides=overrides, config=dataclasses.replace(settings.config, overrides=overrides)
    )
    alert = _seconds(found, ALERT_KEY, min(ALERT, settings.config.pollfreq), LEAST, path)
    test = found.get(f"{TEST}MODE", "").lower() not in ("", "0", "no", "false", "off")
    delay = _seconds(found, f"{TEST}DELAY", TEST_DELAY, 1.0, path)
    return Plan(settings, file, float(settings.config.pollfreq), alert, delay if test else None)


def _config_path(ups: str | None, config: str | None, folder: Path) -> Path:
    if config:
        return Path(config)
    if not ups:
        raise ConfigError("nothing says which UPS; type: nutdrv_py portfile -c CONFIG, or nutdrv_py portfile UPS")
    candidates = [folder / name.format(ups=ups) for name in NAMES]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ConfigError(f"there is no configuration for {ups}: none of {', '.join(map(str, candidates))}; give it with -c")
    return found


def _from_file_name(path: Path) -> str | None:
    return next(
        (path.name[len(start) : -len(".conf")] for start in ("enphase-", "rct-") if path.name.startswith(start)), None
    )


def _port_file(script: _Script, environ: Mapping[str, str]) -> Path:
    """``PORT_FILE``, else the port of that section of ups.conf, else ``<ups>.dev`` beside it."""
    folder, ups = Path(script.folders["NUT_SYSCONFIG"]), script.ups or ""
    name = script.found.get("PORT_FILE") or environ.get("PORT_FILE")
    if not name:
        with contextlib.suppress(ConfigError):
            section = {entry.name: entry.value for entry in read_ups_conf(folder / "ups.conf", ups).section}
            if section.get("driver") == "dummy-ups":
                name = section.get("port")
    return folder / (name or f"{ups}.dev")


def _entries(found: Mapping[str, str], path: Path, backend: str) -> list[Entry]:
    """The keys as options of a section. An unknown one is an error, with what may be meant."""
    options = backend_options(load_backend(backend).Config)
    entries: list[Entry] = []
    for key, value in found.items():
        if key in SPECIAL or key.startswith(TEST):
            continue
        name = ALIASES.get(key, key.lower())
        if key == ALERT_KEY and name not in options:
            continue
        if key != key.upper() or name not in options:
            known = ", ".join(sorted({*SPECIAL, *ALIASES, ALERT_KEY, *(option.upper() for option in options)}))
            raise ConfigError(f"{path}: {key} is not known; the keys are {known}")
        if value == "" and name != "port":
            continue
        entries.append(Entry(name, value, f"{path}:{key}"))
    if not any(entry.name == "port" for entry in entries):
        if backend != "enphase":
            raise ConfigError(f"{path}: HOST= is missing: the address of the device")
        entries.append(Entry("port", DEFAULT_HOST, str(path)))
    return entries


def _seconds(found: Mapping[str, str], key: str, default: float, least: float, path: Path) -> float:
    try:
        return max(least, float(found.get(key) or default))
    except ValueError:
        raise ConfigError(f"{path}: {key}={found[key]} is not a number of seconds") from None
