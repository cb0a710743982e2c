# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of ``nutdrv_py portfile``: the command line, the environment, and the configuration of the enphase-monitor
script."""

from __future__ import annotations

import dataclasses
import difflib
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.commands.portfile_help import KEYS
from nutdrv_py.core.settings import Settings, backend_options
from nutdrv_py.device.backend import load as load_backend
from nutdrv_py.device.backend import names
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import PortFile
from nutdrv_py.machine.assignments import read_assignments
from nutdrv_py.machine.files import read
from nutdrv_py.machine.paths import layout, paths
from nutdrv_py.machine.private import read_private
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import Entry, UpsConf, read_ups_conf

__all__ = ["Plan", "Script", "find", "read_plan"]

DEFAULT_HOST = "envoy.local"
"""Where enphase-monitor looks for the gateway."""

ALIASES: Mapping[str, str] = {
    "HOST": "port", "ENVOY_HOST": "port", "TOKEN_FILE": "tokenfile", "ENPHASE_LOGIN": "login_url", "ENPHASE_TOKENS": "token_url",
}  # fmt: skip
"""Keys that are not the name of an option in capitals."""

SPECIAL = frozenset({
    "UPS", "BACKEND", "PORT_FILE", "STATE_DIR", "DEBUG", "VERBOSE", "CONFIG_FILE", "NUT_SYSCONFIG", "NUT_LOCALSTATE",
    "NUT_CONFPATH", "NUT_STATEPATH",
})  # fmt: skip
TESTS = ("TEST_SESS", "TEST_TOKEN", "TEST_RELAY", "TEST_LIVE", "TEST_REPORTS", "TEST_SECCTRL", "TEST_INFO")
"""What the gateway and the cloud answer in the test mode of the script, which ``TEST`` switches on."""

STEPS = ("TEST_MODE", "TEST_DELAY")
"""The test mode without such answers, for any backend: switched on, and the seconds of each step."""

TEST_DELAY = 10.0

NOBODY = "nobody@test.invalid"
"""User and password in the test mode, whose configuration needs none. Logs hide it, so it is no word of a sentence."""

NAMES = ("enphase-{ups}.conf", "rct-{ups}.conf", "{ups}.conf")
"""Where the configuration of a UPS is looked for, in the folder of NUT's configuration."""

FOLDERS = ("/etc/ups", "/etc/nut")
"""Where it is looked for besides, when nothing names a folder."""

ALERT_KEY, ALERT, LEAST = "POLLFREQALERT", 20.0, 5.0
"""Seconds between two writes off the grid, which the key changes for every backend, and their minimum."""

_OFF = ("", "0", "no", "false", "off")


@dataclass(frozen=True, slots=True)
class Script:
    """A configuration of the script, as far as it can be read when it is wrong otherwise.

    ``values`` are its assignments, ``state`` the folder that relative names belong to, ``file`` the port file.
    """

    path: Path
    ups: str
    values: Mapping[str, str]
    confpath: Path
    state: Path
    file: Path
    notes: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    unread: str = ""
    """Why the configuration could not be read; ``file`` is then the one that dummy-ups serves."""

    @property
    def debug(self) -> int:
        """Return ``DEBUG``: the level, 1 for any other word."""
        word = self.values.get("DEBUG", "")
        return int(word) if word.isdecimal() else int(bool(word))

    @property
    def verbose(self) -> bool:
        """Return ``VERBOSE``."""
        return self.values.get("VERBOSE", "") not in _OFF

    @property
    def maxage(self) -> float:
        """Return ``MAXAGE`` in seconds where it is a number; else the default of the Enphase backend."""
        word = self.values.get("MAXAGE", "")
        return float(word) if word.isdecimal() else 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The command line, the environment and the configuration together."""

    settings: Settings
    file: PortFile
    every: float
    alert: float
    notes: tuple[str, ...] = ()
    step: float | None = None
    """Seconds of each step of a test mode; None when it is off."""
    answers: Mapping[str, str] | None = None
    """What gateway and cloud answer in the test mode of the script."""

    def with_settings_of_file(self) -> Settings:
        """Return the settings with what the user has set in the port file, as it was read last."""
        overrides = {**self.settings.overrides, **self.file.settings}
        config = dataclasses.replace(self.settings.config, overrides=overrides)
        return dataclasses.replace(self.settings, overrides=overrides, config=config)


def find(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Script:
    """Return the settings of a configuration without its wrong lines.

    Raises :class:`ConfigError` when it cannot be read and ups.conf does not name the file that dummy-ups serves either.
    """
    try:
        path = _path(ups, config or environ.get("CONFIG_FILE") or None, environ)
        return _read(path, ups, read(path).decode("utf-8", "replace"), environ, lenient=True)
    except (OSError, ConfigError) as error:
        name = ups or environ.get("UPS") or (_from_file_name(Path(config)) if config else None) or ""
        script = _read(Path(config or name), name, "", environ, lenient=True)
        served = _of_dummy(script.confpath, name) if name else None
        if served is None:
            raise ConfigError(f"{config or name}: which file is the port file cannot be told: {error}") from error
        return dataclasses.replace(script, file=served, unread=str(error))


def _read(path: Path, ups: str | None, text: str, environ: Mapping[str, str], *, lenient: bool = False) -> Script:
    known = paths(environ=environ)
    confpath = environ.get("NUT_SYSCONFIG") or str(known.confpath)
    state = environ.get("NUT_LOCALSTATE") or environ.get("NUT_STATEPATH") or str(known.home)
    variables = {
        **environ, "NUT_SYSCONFIG": confpath, "NUT_CONFPATH": confpath, "NUT_LOCALSTATE": state, "NUT_STATEPATH": state,
        **({"UPS": ups} if ups else {}),
    }  # fmt: skip
    found = read_assignments(text, str(path), variables, lenient=lenient)
    values = found.values
    name = ups or values.get("UPS") or environ.get("UPS") or _from_file_name(path) or ""
    confpath = values.get("NUT_SYSCONFIG") or values.get("NUT_CONFPATH") or confpath
    state = values.get("STATE_DIR") or values.get("NUT_LOCALSTATE") or values.get("NUT_STATEPATH") or state
    folder = Path(os.path.abspath(state))
    file = values.get("PORT_FILE") or environ.get("PORT_FILE")
    port = folder / file if file else _of_dummy(Path(confpath), name) or folder / f"{name}.dev"
    return Script(path, name, values, Path(confpath), folder, port, found.notes, found.used)


def _of_dummy(confpath: Path, ups: str) -> Path | None:
    """Return the port file that dummy-ups serves as ``ups``."""
    try:
        section = {entry.name: entry.value or "" for entry in read_ups_conf(confpath / "ups.conf", ups).section}
    except ConfigError:
        return None
    port = section.get("port", "")
    return confpath / port if section.get("driver") == "dummy-ups" and port and "@" not in port else None


def read_plan(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Plan:
    """Return all settings. Raises :class:`ConfigError` for what cannot work."""
    path = _path(ups, config or environ.get("CONFIG_FILE") or None, environ)
    try:
        text = read_private(path).decode()
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration {path} is not text in UTF-8") from None
    script = _read(path, ups, text, environ)
    values = script.values
    if not script.ups:
        raise ConfigError(f"{path}: the name of the UPS is missing; write UPS=name, or give it on the command line")
    backend = values.get("BACKEND") or "enphase"
    if backend not in names():
        raise ConfigError(f"{path}: BACKEND={backend} is none of {', '.join(sorted(names()))}")
    served = _of_dummy(script.confpath, script.ups)
    if served is not None and os.path.realpath(served) != os.path.realpath(script.file):
        raise ConfigError(
            f"{path}: the port file is {script.file}, but dummy-ups serves {served} as [{script.ups}] of "
            f"{script.confpath / 'ups.conf'}; write PORT_FILE={served}, or port = {script.file} there"
        )
    _not_open_to_all(script.state)
    answers = {key: values.get(key, "") for key in TESTS} if values.get("TEST", "") not in _OFF else None
    options = backend_options(load_backend(backend).Config)
    section, notes = _entries(script, backend, options)
    if answers is not None:
        account = [key for key in ("username", "password") if not values.get(key.upper())]
        section = [*section, *(Entry(key, NOBODY, f"{path}:TEST") for key in account)]
    conf = UpsConf((), (Entry("driver", "nutdrv_py", str(path)), Entry("backend", backend, str(path)), *section), ())
    environ = {**environ, "NUT_STATEPATH": str(script.state), "NUTDRV_PY_HOME": str(script.state)}
    settings = load(script.ups, "nutdrv_py", conf=conf, environ=environ)
    every = float(settings.config.pollfreq)
    alert = _seconds(values, ALERT_KEY, min(ALERT, every), LEAST, path)
    step = every if answers is not None else None
    if values.get("TEST_MODE", "").lower() not in _OFF:
        step = _seconds(values, "TEST_DELAY", TEST_DELAY, 1.0, path)
    file = PortFile(script.file, float(settings.config.maxage))
    return Plan(settings, file, every, alert, (*script.notes, *notes), step, answers)


def _not_open_to_all(folder: Path) -> None:
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        raise ConfigError(f"STATE_DIR={folder} cannot be used: {error.strerror}") from error
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ConfigError(f"others may write to STATE_DIR={folder}, where tokens are kept; type: chmod o-w {folder}")


def _path(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Path:
    if config:
        return Path(config)
    ups = ups or environ.get("UPS")
    if not ups:
        raise ConfigError("no UPS is named; type: nutdrv_py portfile -c CONFIG, or nutdrv_py portfile UPS")
    named = environ.get("NUT_SYSCONFIG") or environ.get("NUT_CONFPATH")
    folders = [named] if named else [layout().confpath, *(folder for folder in FOLDERS if folder != layout().confpath)]
    candidates = [Path(folder) / name.format(ups=ups) for folder in folders for name in NAMES]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ConfigError(f"there is no configuration for {ups}: none of {', '.join(map(str, candidates))}; give it with -c")
    return found


def _from_file_name(path: Path) -> str | None:
    return next((path.name[len(start) : -len(".conf")] for start in ("enphase-", "rct-") if path.name.startswith(start)), None)


def _entries(script: Script, backend: str, options: Collection[str]) -> tuple[list[Entry], list[str]]:
    """Return the keys as options of a section, and a sentence for each unknown one: the script takes any key."""
    known = sorted({*SPECIAL, *TESTS, *STEPS, "TEST", *ALIASES, ALERT_KEY, *(option.upper() for option in options)})
    entries, notes = [], []
    for key, value in script.values.items():
        name = ALIASES.get(key, key.lower())
        if key in ("HOST", "PORT") and (key == "PORT" or script.values.get("ENVOY_HOST")):
            notes.append(f"{script.path}: {key} has no effect; the address is ENVOY_HOST")
        elif key == key.upper() and name in options and key not in SPECIAL:
            if not any(key == known_key for known_key, _, _ in KEYS):
                notes.append(f"{script.path}: {key} is taken as the option {name}")
            # Any text switches the meters off, as in the script.
            value = "yes" if key == "DISABLE_METERS" and value else value
            if value:
                entries.append(Entry(name, value, f"{script.path}:{key}"))
        elif key not in known and key not in script.used:
            near = difflib.get_close_matches(key.upper(), known, 1)
            notes.append(f"{script.path}: {key} is not known and has no effect" + (f"; do you mean {near[0]}?" if near else ""))
    given = {entry.name: entry.value or "" for entry in entries}
    if "port" not in given:
        if backend != "enphase":
            raise ConfigError(f"{script.path}: HOST= is missing: the address of the device")
        entries.append(Entry("port", DEFAULT_HOST, str(script.path)))
    if "tokenfile" in options:
        entries = [entry for entry in entries if entry.name != "tokenfile"]
        token = script.state / (given.get("tokenfile") or f"enphase-{script.ups}.token")
        entries.append(Entry("tokenfile", str(token), f"{script.path}:TOKEN_FILE"))
    return entries, notes


def _seconds(found: Mapping[str, str], key: str, default: float, least: float, path: Path) -> float:
    try:
        return max(least, float(found.get(key) or default))
    except ValueError:
        raise ConfigError(f"{path}: {key}={found[key]} is not a number of seconds") from None
