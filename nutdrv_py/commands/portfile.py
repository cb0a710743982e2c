# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py portfile``: keep a port file for ``driver = dummy-ups``, as the enphase-monitor script does; no upsd needed.

Options, configuration, environment and file rules are those of the script, whose configuration is read as it is. The values
come from the same backends by the same driver that serves upsd.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py import log, process
from nutdrv_py.assignments import read_assignments
from nutdrv_py.backend import load as load_backend
from nutdrv_py.backend import names
from nutdrv_py.backends.enphase.config import private_file
from nutdrv_py.backends.steps import STEPS, Steps
from nutdrv_py.clock import Clock
from nutdrv_py.config import Entry, Settings, UpsConf, backend_options, load, read_ups_conf
from nutdrv_py.driver import Driver
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import PortFile, Writer, take_away
from nutdrv_py.nut.snapshot import Snapshot
from nutdrv_py.paths import paths

__all__ = ["HELP", "Plan", "configure", "read_plan", "run"]

HELP = "keep a port file for dummy-ups, as enphase-monitor does"

DEFAULT_HOST = "envoy.local"
"""Where enphase-monitor looks for the gateway."""

ALIASES: Mapping[str, str] = {"HOST": "port", "ENVOY_HOST": "port", "TOKEN_FILE": "tokenfile", "TOKENFILE": "tokenfile"}
"""Keys that are not the name of an option in capitals."""

SPECIAL = frozenset({"UPS", "BACKEND", "PORT_FILE", "NUT_SYSCONFIG", "NUT_LOCALSTATE"})
TEST = "TEST_"
"""What the keys of the test mode begin with: TEST_MODE switches it on, TEST_DELAY is the seconds of each step."""

TEST_DELAY = 10.0

NAMES = ("enphase-{ups}.conf", "rct-{ups}.conf", "{ups}.conf")
"""Where the configuration of a UPS is looked for, in the folder of NUT's configuration."""

ALERT_KEY, ALERT, LEAST = "POLLFREQALERT", 20.0, 5.0
"""Seconds between two writes off the grid, which the key changes for every backend, and their minimum."""

SUMMARY_EVERY = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ups", nargs="?", metavar="UPS", help="name of the UPS; its configuration is looked for by this name")
    parser.add_argument("-c", dest="config", metavar="CONFIG", help="configuration file (KEY=VALUE lines)")
    parser.add_argument("-d", dest="debug", action="count", default=0, help="debug messages; more of them show more")
    parser.add_argument("-s", dest="single", action="store_true", help="write the file once and end")
    parser.add_argument("-v", dest="verbose", action="store_true", help="show each status as it comes")
    parser.add_argument("--away", action="store_true", help="rename the port file to -nocomms and end: its keeper is gone")
    parser.add_argument("-x", dest="expire", action="store_true", help="forget the token that is kept, and fetch a new one")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line, the environment and the configuration say together."""

    settings: Settings
    file: PortFile
    every: float
    alert: float
    test_delay: float | None = None
    """Seconds of each step of the test mode; None when it is off."""


def run(args: argparse.Namespace) -> int:
    """Keep the file until a signal comes; with ``-s`` once. 0, or 1 when ``-s`` found no data."""
    log.to_stderr()
    log.set_debug_level(args.debug)
    if args.away:
        take_away(find_file(args.ups, args.config, os.environ))
        return 0
    try:
        plan = read_plan(args.ups, args.config, os.environ)
    except ConfigError:
        # Nobody will keep the file with this configuration. Another process that keeps it would write it again.
        with contextlib.suppress(ConfigError, OSError):
            take_away(find_file(args.ups, args.config, os.environ))
        raise
    for note in plan.settings.notes:
        log.log.warning("%s", note)
    if args.expire:
        _forget_token(plan.settings)
    return asyncio.Runner().run(_keep(plan, single=args.single, verbose=args.verbose))


def find_file(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Path:
    """Where the port file is, from a configuration that need not be right otherwise. Raises :class:`ConfigError`."""
    where = _where(environ)
    ups = ups or environ.get("UPS") or None
    path = _config_path(ups, config or environ.get("CONFIG_FILE") or None, Path(where["NUT_SYSCONFIG"]))
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = read_assignments(text, str(path), {**where, **({"UPS": ups} if ups else {})}, lenient=True)
    name = ups or found.get("UPS") or _from_file_name(path)
    return _port_file(name or "", found, {**where, **{key: found[key] for key in where if key in found}}, environ)


def _where(environ: Mapping[str, str]) -> dict[str, str]:
    known = paths(environ=environ)
    return {
        "NUT_SYSCONFIG": environ.get("NUT_SYSCONFIG") or str(known.confpath),
        "NUT_LOCALSTATE": environ.get("NUT_LOCALSTATE") or str(known.home),
    }


def read_plan(ups: str | None, config: str | None, environ: Mapping[str, str]) -> Plan:
    """Everything that was told. Raises :class:`ConfigError` for what cannot be meant so."""
    variables = _where(environ)
    ups = ups or environ.get("UPS") or None
    path = _config_path(ups, config or environ.get("CONFIG_FILE") or None, Path(variables["NUT_SYSCONFIG"]))
    private_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the configuration {path} is not text in UTF-8") from None
    known = {**variables, **({"UPS": ups} if ups else {})}
    found = read_assignments(text, str(path), known)
    variables.update({name: value for name, value in found.items() if name in variables})
    name = ups or found.get("UPS") or _from_file_name(path)
    if not name:
        raise ConfigError(f"{path}: the name of the UPS is missing; write UPS=name, or give it on the command line")
    backend = found.get("BACKEND") or "enphase"
    if backend not in names():
        raise ConfigError(f"{path}: BACKEND={backend} is none of {', '.join(sorted(names()))}")
    section = _entries(found, path, backend)
    conf = UpsConf((), (Entry("driver", "nutdrv_py", str(path)), Entry("backend", backend, str(path)), *section), ())
    settings = load(name, "nutdrv_py", conf=conf, environ={**environ, "NUT_STATEPATH": variables["NUT_LOCALSTATE"]})
    file = PortFile(_port_file(name, found, variables, environ), float(settings.config.maxage))
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


def _port_file(ups: str, found: Mapping[str, str], variables: Mapping[str, str], environ: Mapping[str, str]) -> Path:
    """``PORT_FILE``, else the port of that section of ups.conf, else ``<ups>.dev`` beside it."""
    folder = Path(variables["NUT_SYSCONFIG"])
    name = found.get("PORT_FILE") or environ.get("PORT_FILE")
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
        if key != key.upper() or (name not in options and name != "pollinterval"):
            known = ", ".join(sorted({*SPECIAL, *ALIASES, *(option.upper() for option in options)}))
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


def _forget_token(settings: Settings) -> None:
    """Remove the token that the Enphase backend keeps, so that the next request fetches a new one."""
    from nutdrv_py.backends.enphase.config import EnphaseConfig, token_path

    if isinstance(settings.config, EnphaseConfig):
        with contextlib.suppress(FileNotFoundError):
            token_path(settings.config).unlink()


async def _keep(plan: Plan, *, single: bool, verbose: bool) -> int:
    clock = Clock()
    settings = _for_test(plan.settings) if plan.test_delay else plan.settings
    backend = Steps(settings.config, clock) if plan.test_delay else settings.backend(settings.config, clock)
    driver = Driver(settings, backend, clock)
    writer = Writer(plan.file, clock, every=plan.every, alert=plan.alert)
    if single:
        return await _once(driver, plan.file)

    def changed(old: Snapshot, new: Snapshot) -> None:
        writer.tell(None if new.stale else _texts(new))
        before, after = (snapshot.variables.get("ups.status") for snapshot in (old, new))
        if verbose and after is not None and not new.stale and before != after:
            log.log.info("%s", driver.summary())

    driver.subscribe(changed)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, driver.stop, 0)
    if process.watched():
        driver.alive = lambda: None if writer.stuck else process.notify("WATCHDOG=1")
    tasks = [asyncio.ensure_future(writer.run()), asyncio.ensure_future(_tell_systemd(driver, writer))]
    if isinstance(backend, Steps):
        tasks.append(asyncio.ensure_future(_play(backend, plan, clock)))
    try:
        return await driver.run()
    finally:
        process.notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        # Nobody keeps the file any more, and dummy-ups would serve it for ever.
        try:
            plan.file.hide(final=True)
        except OSError as error:
            log.log.error("%s CANNOT BE TAKEN AWAY (%s): dummy-ups serves old data", plan.file.path, error.strerror)
            driver.stop(1)
        plan.file.close()


async def _once(driver: Driver, file: PortFile) -> int:
    """One whole reading into the file, which stays."""
    try:
        await driver.poll_once()
    finally:
        await driver.close()
    if driver.snapshot.stale:
        print("There are no data; the reason was logged.")
        if file.left_from_before():
            file.hide()
        return 1
    try:
        file.show(_texts(driver.snapshot))
    except OSError as error:
        raise ConfigError(f"the port file {file.path} cannot be written: {error.strerror}") from error
    return 0


def _texts(snapshot: Snapshot) -> dict[str, str]:
    return {name: variable.value for name, variable in snapshot.variables.items()}


async def _tell_systemd(driver: Driver, writer: Writer) -> None:
    # nut-driver@ waits for this: before it the file may be one from before.
    await writer.written.wait()
    process.notify("READY=1", f"STATUS={driver.summary()}")
    told = ""
    while True:
        await asyncio.sleep(SUMMARY_EVERY)
        text = driver.summary()
        if text != told:
            process.notify(f"STATUS={text}")
            told = text


def _for_test(settings: Settings) -> Settings:
    """Without the patience that a real device deserves."""
    return dataclasses.replace(settings, config=dataclasses.replace(settings.config, pollinterval=1, maxage=1))


async def _play(world: Steps, plan: Plan, clock: Clock) -> None:
    """The test mode: the steps one after the other, for ever."""
    for step in itertools.cycle(STEPS):
        log.log.info("Test mode: %s", step.name)
        world.step = step
        world.wake()
        if step.expires_token:
            _forget_token(plan.settings)
        await clock.sleep(plan.test_delay or TEST_DELAY)
