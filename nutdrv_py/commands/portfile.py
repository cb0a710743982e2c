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

from nutdrv_py import log
from nutdrv_py.backends.steps import STEPS, Steps
from nutdrv_py.clock import Clock
from nutdrv_py.commands.portfile_config import TEST_DELAY, Plan, find_file, read_plan
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import PortFile, Writer, take_away
from nutdrv_py.exporters.portfile.file import NOCOMMS
from nutdrv_py.machine.files import remove
from nutdrv_py.nut.snapshot import Snapshot
from nutdrv_py.process import background, systemd
from nutdrv_py.process.kept import Kept
from nutdrv_py.process.serving import contain, feed, on_signals, tell_systemd

__all__ = ["HELP", "configure", "run"]

HELP = "keep a port file for dummy-ups, as enphase-monitor does"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ups", nargs="?", metavar="UPS", help="name of the UPS; its configuration is looked for by this name")
    parser.add_argument("-c", dest="config", metavar="CONFIG", help="configuration file (KEY=VALUE lines)")
    parser.add_argument("-d", dest="debug", action="count", default=0, help="debug messages; more of them show more")
    parser.add_argument("-s", dest="single", action="store_true", help="write the file once and end")
    parser.add_argument("-v", dest="verbose", action="store_true", help="show each status as it comes")
    parser.add_argument("--away", action="store_true", help="rename the port file to -nocomms and end: its keeper is gone")
    parser.add_argument("-x", dest="expire", action="store_true", help="forget the token that is kept, and fetch a new one")


def run(args: argparse.Namespace) -> int:
    """Keep the file until a signal comes; with ``-s`` once. 0, or 1 when ``-s`` found no data."""
    log.to_stderr()
    log.set_debug_level(args.debug)
    file = find_file(args.ups, args.config, os.environ)
    # What root would leave beside the file stops the unit later, too.
    background.become_keeper(file if os.path.lexists(file) else file.with_name(file.name + NOCOMMS))
    if args.away:
        try:
            take_away(file)
        except OSError as error:
            raise ConfigError(f"{file} CANNOT BE TAKEN AWAY ({error.strerror}): dummy-ups serves old data") from error
        return 0
    try:
        plan = read_plan(args.ups, args.config, os.environ)
    except ConfigError:
        # Nobody will keep the file with this configuration. Another process that keeps it would write it again.
        with contextlib.suppress(OSError):
            take_away(file)
        raise
    for note in plan.settings.notes:
        log.log.warning("%s", note)
    if args.expire:
        _forget_token(plan.settings)
    return asyncio.Runner().run(_keep(plan, single=args.single, verbose=args.verbose))


def _forget_token(settings: Settings) -> None:
    """Remove the token that the Enphase backend keeps, so that the next request fetches a new one."""
    from nutdrv_py.backends.enphase.config import EnphaseConfig, token_path

    if isinstance(settings.config, EnphaseConfig):
        remove(token_path(settings.config))


async def _keep(plan: Plan, *, single: bool, verbose: bool) -> int:
    clock = Clock()
    settings = _for_test(plan.settings) if plan.test_delay else plan.settings
    backend = Steps(settings.config, clock) if plan.test_delay else settings.backend(settings.config, clock)
    kept = None if plan.test_delay else Kept(settings)
    driver = Driver(settings, backend, clock, memory=kept.read() if kept else None)
    if single:
        return await _once(driver, plan.file)
    if kept:
        driver.keep = kept.keep
    writer = Writer(plan.file, clock, every=plan.every, alert=plan.alert)

    def changed(old: Snapshot, new: Snapshot) -> None:
        writer.tell(None if new.stale else _texts(new))
        before, after = (snapshot.variables.get("ups.status") for snapshot in (old, new))
        if verbose and after is not None and not new.stale and before != after:
            log.log.info("%s", driver.summary())

    driver.subscribe(changed)
    on_signals(driver.stop, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    contain()
    feed([driver], healthy=lambda: not writer.stuck)
    # nut-driver@ waits for the first writing: before it the file may be one from before.
    told = tell_systemd(writer.written.wait(), driver.summary)
    tasks = [asyncio.ensure_future(writer.run()), asyncio.ensure_future(told)]
    if isinstance(backend, Steps):
        tasks.append(asyncio.ensure_future(_play(backend, plan, clock)))
    try:
        code = await driver.run()
    finally:
        systemd.notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        away = _abandon(plan.file)
    return code if away else 1


def _abandon(file: PortFile) -> bool:
    """Nobody keeps the file any more, and dummy-ups would serve it for ever. False when it cannot be taken away."""
    try:
        file.hide(final=True)
    except OSError as error:
        log.log.error("%s CANNOT BE TAKEN AWAY (%s): dummy-ups serves old data", file.path, error.strerror)
        return False
    finally:
        file.close()
    return True


async def _once(driver: Driver, file: PortFile) -> int:
    """One whole reading into the file, which stays."""
    try:
        await driver.poller.once()
    finally:
        await driver.poller.close()
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


def _for_test(settings: Settings) -> Settings:
    """Without the patience that a real device deserves."""
    return dataclasses.replace(settings, config=dataclasses.replace(settings.config, pollinterval=1, maxage=1, looks=1))


async def _play(world: Steps, plan: Plan, clock: Clock) -> None:
    """The test mode: the steps one after the other, for ever."""
    for step in itertools.cycle(STEPS):
        log.log.info("Test mode: %s", step.name)
        world.step = step
        world.wake()
        if step.expires_token:
            _forget_token(plan.settings)
        await clock.sleep(plan.test_delay or TEST_DELAY)
