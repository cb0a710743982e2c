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
import random
import signal
from typing import TYPE_CHECKING

from nutdrv_py import log
from nutdrv_py.backends.steps import STEPS, Played, Steps
from nutdrv_py.clock import Clock
from nutdrv_py.commands.portfile_config import Plan, Script, find, read_plan
from nutdrv_py.commands.portfile_help import MANUAL
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.settings import Settings
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import PortFile, Writer, take_away, young
from nutdrv_py.exporters.portfile.file import NOCOMMS, not_taken_away
from nutdrv_py.machine.files import remove
from nutdrv_py.nut.snapshot import Snapshot
from nutdrv_py.process import background, systemd
from nutdrv_py.process.kept import Kept
from nutdrv_py.process.serving import contain, feed, on_signals, tell_systemd

if TYPE_CHECKING:
    from nutdrv_py.backends.enphase.rehearsal import Rehearsal

__all__ = ["HELP", "configure", "run"]

HELP = "keep a port file for dummy-ups, as enphase-monitor does"

EXPIRES = 0.25
"""The chance that the test mode forgets the token with a step."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = MANUAL
    parser.add_argument("ups", nargs="?", metavar="UPS", help="name of the UPS; its configuration is looked for by this name")
    parser.add_argument("-c", dest="config", metavar="CONFIG", help="configuration file (KEY=VALUE lines)")
    parser.add_argument("-d", dest="debug", action="count", default=0, help="debug messages; more of them show more, no secrets")
    parser.add_argument("-s", dest="single", action="store_true", help="ask the device once, write or rename the file, and end")
    parser.add_argument("-v", dest="verbose", action="store_true", help="show each status as it comes")
    parser.add_argument("-x", dest="nocomms", action="store_true", help="rename the port file to -nocomms and end")
    parser.add_argument(
        "--away", action="store_true",
        help="for ExecStopPost: as -x, but a young file stays where systemd starts its keeper again",
    )  # fmt: skip
    parser.add_argument("--new-token", action="store_true", help="forget the token that is kept, and fetch a new one")


def run(args: argparse.Namespace) -> int:
    """Keep the file until a signal comes; with ``-s`` once. 2 when no UPS is named, 1 for another mistake."""
    log.to_stderr()
    log.set_debug_level(args.debug)
    if not (args.ups or args.config or os.environ.get("UPS") or os.environ.get("CONFIG_FILE")):
        print("no UPS is named; type: nutdrv_py portfile -c CONFIG, or nutdrv_py portfile UPS")
        return 2
    script = find(args.ups, args.config, os.environ)
    log.set_debug_level(args.debug or script.debug)
    file = script.file
    # What root would leave beside the file stops the unit later, too.
    background.become_keeper(file if os.path.lexists(file) else file.with_name(file.name + NOCOMMS))
    if args.nocomms or args.away:
        # dummy-ups, without its file, would end, and come back too late for upsmon.
        if args.nocomms or not (systemd.restarts() and young(file, script.maxage)):
            _take_away(script)
        return 0
    try:
        plan = read_plan(args.ups, args.config, os.environ)
    except ConfigError:
        # With this configuration nothing updates a file of ours; that of another program is not touched.
        with contextlib.suppress(OSError):
            take_away(file, ours=True)
        raise
    for note in (*plan.notes, *plan.settings.notes):
        log.log.warning("%s", note)
    if args.new_token:
        _forget_token(plan.settings)
    return asyncio.Runner().run(_keep(plan, single=args.single, verbose=args.verbose or script.verbose))


def _take_away(script: Script) -> None:
    try:
        if not take_away(script.file) and script.unread and not os.path.lexists(f"{script.file}{NOCOMMS}"):
            raise ConfigError(f"{script.unread}; and {script.file}, which dummy-ups serves, is not there")
    except BlockingIOError:
        raise ConfigError(f"another process keeps {script.file}; end that one, and it takes the file away") from None
    except OSError as error:
        raise ConfigError(not_taken_away(script.file, error.strerror)) from error


def _forget_token(settings: Settings) -> None:
    """Remove the token that the Enphase backend keeps, so that the next request fetches a new one."""
    from nutdrv_py.backends.enphase.config import EnphaseConfig, token_path

    if isinstance(settings.config, EnphaseConfig):
        remove(token_path(settings.config))


def _played(plan: Plan, settings: Settings, clock: Clock) -> Rehearsal | Steps | None:
    """Return what plays a test mode, None without one."""
    if plan.answers is not None:
        # Imported here: without a test the Enphase backend may not be needed.
        from nutdrv_py.backends.enphase.config import EnphaseConfig
        from nutdrv_py.backends.enphase.rehearsal import Rehearsal

        if isinstance(settings.config, EnphaseConfig):
            return Rehearsal(settings.config, clock, plan.answers)
    return Steps(settings.config, clock) if plan.step else None


async def _keep(plan: Plan, *, single: bool, verbose: bool) -> int:
    clock = Clock()

    def now() -> Settings:
        settings = plan.with_settings_of_file()
        return _for_test(settings) if plan.step else settings

    settings = now()
    played = _played(plan, settings, clock)
    backend = settings.backend(settings.config, clock) if played is None else played
    kept = None if plan.step else Kept(settings)
    driver = Driver(settings, backend, clock, memory=kept.read() if kept else None)
    if single:
        return await _once(driver, plan.file, verbose=verbose)
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
    reload = Reload(driver, now)
    tasks = [asyncio.ensure_future(work) for work in (writer.run(), told, _obey(plan.file, writer, reload))]
    if played is not None:
        tasks.append(asyncio.ensure_future(_play(played, plan, clock)))
    try:
        code = await driver.run()
    finally:
        systemd.notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        # A restart is shorter than dummy-ups takes to come back when its file is gone.
        away = await asyncio.to_thread(systemd.restarts) or _abandon(plan.file)
    return code if away else 1


async def _obey(file: PortFile, writer: Writer, reload: Reload) -> None:
    """Take over what the user sets in the file, with the write that finds it."""
    known = dict(file.settings)
    while True:
        await writer.wrote.wait()
        writer.wrote.clear()
        if known != file.settings:
            known = dict(file.settings)
            await reload()


def _abandon(file: PortFile) -> bool:
    """Take the file away, because nothing updates it any more and dummy-ups would serve it for ever. False when that fails."""
    try:
        file.hide(final=True)
    except OSError as error:
        log.log.error("%s", not_taken_away(file.path, error.strerror))
        return False
    finally:
        file.close()
    return True


async def _once(driver: Driver, file: PortFile, *, verbose: bool) -> int:
    """Write one whole reading into the file, which stays. Without data it is renamed; a unit that begins with this starts
    anyway."""
    try:
        await driver.poller.once()
    finally:
        await driver.poller.close()
    try:
        if driver.snapshot.stale:
            print("There are no data; the reason was logged.")
            # A young one of ours may stay for its next keeper: without its file dummy-ups ends.
            if not file.ours:
                file.hide()
            return 0
        file.show(_texts(driver.snapshot))
    except OSError as error:
        raise ConfigError(f"the port file {file.path} cannot be written: {error.strerror}") from error
    if verbose:
        print(driver.summary())
    return 0


def _texts(snapshot: Snapshot) -> dict[str, str]:
    return {name: variable.value for name, variable in snapshot.variables.items()}


def _for_test(settings: Settings) -> Settings:
    """Return the settings with the short times of the test mode."""
    return dataclasses.replace(settings, config=dataclasses.replace(settings.config, pollinterval=1, maxage=3, looks=1))


async def _play(world: Played, plan: Plan, clock: Clock) -> None:
    """Play the test mode: the steps one after the other, for ever; now and then the token is forgotten."""
    for step in itertools.cycle(STEPS):
        log.log.info("Test mode: %s", step.name)
        world.step = step
        world.wake()
        if random.random() < EXPIRES:
            log.log.info("Test mode: the token has ended")
            world.forget()
        await clock.sleep(plan.step or 1.0)
