# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver: one task owns the backend, every change becomes a Snapshot.

The poll loop asks the device; a second, quick loop watches the age of what is known, so that data go stale on time even
while a poll hangs. Neither touches a socket: whoever wants to know of changes subscribes (the server, the exporters).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from nutdrv_py import __version__, log
from nutdrv_py.clock import Clock
from nutdrv_py.core.confined import SelfCancelledError, confined
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.variables import shape, status_text, truncated
from nutdrv_py.device.backend import Backend
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import AuthError, CommandError, ConfigError, DeviceError, NutdrvError, Result, StaleError
from nutdrv_py.log import Trouble
from nutdrv_py.nut.snapshot import Flag, Snapshot, Variable

__all__ = ["EXIT_RELOAD", "NUT_VERSION", "Driver"]

NUT_VERSION = "2.8.5"
"""The release of NUT whose driver core this one does (``driver.version``)."""

EXIT_RELOAD = 138
"""Exit code of reload-or-exit when something needs a restart: 128 + SIGUSR1, as in main.c."""

FIRST_WAIT = 5.0
"""Seconds the start waits for any answer of the device before it serves stale data; upsdrvctl would wait 45."""

FIRST_HOLD = 20.0
"""Seconds an incomplete first reading on the grid is held back, and the start with it, so that clients see all variables at
once."""

TICK = 1.0
"""Seconds between two looks at the age of the data."""

FRESH = 5.0
"""Seconds beyond the poll interval for which a reading counts as current; older ones coast."""

LONGEST_POLL = 60.0
"""Seconds after which a poll is given up although the backend should have: a hanging backend must not stay unnoticed."""

ALARM_SHARE = 0.5
"""Part of ``maxage`` after which alarms are withdrawn on the grid: upsmon 2.8.3+ takes a UPS that had an alarm and then
went stale for dead and shuts down, although the grid is there."""

NOTICED = 7.0
"""Seconds between withdrawing alarms and going stale, at least: upsmon looks every 5 s."""

POLL_SLACK = 1.5
"""Seconds that a poll may take: within them alarms are not withdrawn, however short ``maxage`` is."""

DEADLY_WHEN_STALE = Status.CAL | Status.BYPASS | Status.OVER
"""Tokens that upsmon, like an alarm, holds against a UPS that then goes stale; withdrawn together with the alarms."""

COMMAND_LIMIT = 30.0
"""Seconds after which a setting or an instant command is given up, so that it cannot keep the polls away for ever."""

FAILURES = ("timeout", "auth", "device", "stale", "internal")
"""The kinds of failed polls: the backend did not end, a refused login, no usable answer, stale data, a fault of ours."""

LEAVE = 2.0
"""Seconds the backend gets to close its connection at exit."""

AGE_STEP = 5
"""Seconds by which ``experimental.data.age`` moves while the device is away: the value need not change each second."""

Listener = Callable[[Snapshot, Snapshot], None]


class Driver:
    """Polls a backend and keeps the :class:`Snapshot` that upsd may know.

    ``load`` reads the configuration anew for a reload; it raises :class:`ConfigError`.
    """

    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        clock: Clock,
        *,
        load: Callable[[], Settings] | None = None,
        debug: int = 0,
    ) -> None:
        self.settings = settings
        self.backend = backend
        self.clock = clock
        self.snapshot = Snapshot()
        self.ready = asyncio.Event()
        """Set when the first state, even a stale one, can be served."""
        self.trouble = Trouble()
        self.alive: Callable[[], None] = lambda: None
        """Called by every turn of the loops: the watchdog's food."""
        self.polled: Callable[[float, str | None], None] = lambda seconds, failure: None
        """Called after each poll with how long it took, and the kind of failure or None."""
        self.reloading: Callable[[bool], None] = lambda begins: None
        """Called with True when a reload begins, with False when it has ended."""
        self._load = load
        self._cli_debug = debug
        self._listeners: list[Listener] = []
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._device = asyncio.Lock()
        self._tasks: set[asyncio.Future[object]] = set()
        self._opened = False
        self._exit_code = 0
        self._state = "quiet"
        self._killpower = settings.allow_killpower
        self._reading: Reading | None = None
        self._said_stale = False
        self._withdrawn_at: float | None = None
        self._good_at: float | None = None
        self._held: tuple[Reading, float] | None = None
        self._started = clock.monotonic()
        self._poll_began = self._started
        self.backend.publish = self._early
        self.backend.wake = self._wake.set
        self._build(None, stale=True)

    # What others see and do

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener(old, new)`` for every change of the snapshot."""
        self._listeners.append(listener)

    @property
    def reading(self) -> Reading | None:
        """The reading that is served, None while the data are stale: what exporters may show."""
        return None if self.snapshot.stale else self._reading

    @property
    def good_at(self) -> float | None:
        """Monotonic time of the last good reading; None before the first."""
        return self._good_at

    def summary(self) -> str:
        """One line for a person: ``OL 87 %, 640 W, data 2 s old``."""
        if self._reading is None or self._good_at is None:
            return "no data yet: " + ("waiting for the device" if not self.trouble.active() else "the device does not answer")
        age = self.clock.monotonic() - self._good_at
        if self.snapshot.stale:
            return f"data stale for {age:.0f} s"
        charge = self.snapshot.variables.get("battery.charge")
        power = self.snapshot.variables.get("ups.realpower")
        watts = f", {power.value.partition('.')[0]} W" if power else ""
        return f"{self._status()}{f' {charge.value} %' if charge else ''}{watts}, data {age:.0f} s old"

    def stop(self, code: int = 0) -> None:
        """Ask the driver to end with that exit code."""
        if not self._stop.is_set():
            self._exit_code = code
            self._stop.set()

    async def run(self) -> int:
        """Poll until :meth:`stop`; returns the exit code."""
        tasks: list[asyncio.Future[None]] = [
            asyncio.ensure_future(loop()) for loop in (self._poll_loop, self._age_loop)
        ]
        stopped = asyncio.ensure_future(self._stopped())
        try:
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            return self._exit_code
        finally:
            self.set_state("cleanup.upsdrv")
            for task in [*tasks, stopped]:
                task.cancel()
            await asyncio.wait([*tasks, stopped], timeout=LEAVE)
            await self.close()
            self.set_state("cleanup.exit")

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def poll_once(self) -> None:
        """Ask the device once and take over what it says: the body of the loop, and all that ``-d`` needs."""
        async with self._device:
            await self._poll()

    async def close(self) -> None:
        """Let the backend close its connection, within :data:`LEAVE` seconds."""
        if self._opened:
            with contextlib.suppress(Exception):
                # What takes no notice of being cancelled is left to the end of the process.
                async with asyncio.timeout(LEAVE):
                    await confined(self.backend.__aexit__(None, None, None))
            self._opened = False

    def set_state(self, state: str) -> None:
        """Publish ``driver.state`` (NUT drivers/main.c names the states)."""
        self._state = state
        self._refresh()

    # Polling

    async def _poll_loop(self) -> None:
        while True:
            began = self._poll_began = self.clock.monotonic()
            # Before the poll, not after it: who wakes during a poll has news that this poll may have missed.
            self._wake.clear()
            try:
                self.set_state("updateinfo")
                await self.poll_once()
                self.set_state("quiet")
            except Exception as error:
                self._internal("poll loop", error)
            self._feed()
            rest = max(0.0, began + self.settings.config.pollinterval - self.clock.monotonic())
            await self._pause(rest)

    async def _pause(self, seconds: float) -> None:
        waits: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self.clock.sleep(seconds)),
            asyncio.ensure_future(self._wake.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _poll(self) -> None:
        began = self.clock.monotonic()
        failure = await self._try()
        self.polled(self.clock.monotonic() - began, failure)

    async def _try(self) -> str | None:
        """One poll; None, or the kind of failure: one of :data:`FAILURES`."""
        limit = max(LONGEST_POLL, float(self.settings.config.maxage))
        try:
            reading = await confined(self._ask(), limit)
            _refuse_nonsense(reading)
            self._good(reading)
            return None
        except TimeoutError:
            self._failed(f"the device did not finish a poll within {limit:.0f} s")
            return "timeout"
        except SelfCancelledError as error:
            self._failed(f"internal error in the backend {self.settings.backend_name}: it cancelled its own poll", error)
        except StaleError as error:
            self._failed(str(error))
            self._told_stale()
            return "stale"
        except NutdrvError as error:
            self._failed(str(error))
            return "auth" if isinstance(error, AuthError) else "device"
        except Exception as error:
            self._failed(f"internal error in the backend {self.settings.backend_name}: {type(error).__name__}", error)
        return "internal"

    async def _ask(self) -> Reading:
        await self._open()
        return await self.backend.poll()

    async def _open(self) -> None:
        if not self._opened:
            await self.backend.__aenter__()
            self._opened = True

    def _early(self, reading: Reading) -> None:
        """The backend knows something that cannot wait; before the first whole reading only an outage is worth it."""
        try:
            _refuse_nonsense(reading)
        except DeviceError as error:
            self._failed(str(error))
            return
        if self._reading is None and Status.OB not in reading.status:
            self._held = reading, self.clock.monotonic()
            return
        self._good(reading, whole=False)

    def _good(self, reading: Reading, *, whole: bool = True, at: float | None = None) -> None:
        if self._reading is not None and reading.status != self._reading.status:
            log.log.log(log.debug(1), "status: %s -> %s", self._reading.status, reading.status)
        self._reading = reading
        self._said_stale = False
        self._withdrawn_at = None
        self._held = None
        self._good_at = self.clock.monotonic() if at is None else at
        if whole:
            self.trouble.clear("poll", "Communications with the device are established again: the data are current")
        self._build(reading, stale=False)
        if whole and self.settings.ignorelb and not self._can_ignore_lb():
            return
        self.ready.set()

    def _can_ignore_lb(self) -> bool:
        """Whether LB can be derived as ``ignorelb`` wants it; at the start a driver that cannot is not started (main.c)."""
        names = self.snapshot.variables
        if any(name in names and f"{name}.low" in names for name in ("battery.charge", "battery.runtime")):
            return True
        self.trouble.report(
            "ignorelb",
            "The 'ignorelb' flag is set, but there is no way to determine the battery state of charge: neither battery.charge "
            "and battery.charge.low nor battery.runtime and battery.runtime.low are there. Add override.battery.charge.low = 20",
            logging.ERROR,
        )
        if self.ready.is_set():
            return True
        self.stop(1)
        return False

    def _internal(self, where: str, error: Exception) -> None:
        """A bug of ours or of a backend must not end the driver: no driver is worse than one that missed a turn."""
        if self.trouble.report(where, f"internal error in the {where}: {type(error).__name__}: {error}", logging.ERROR):
            log.log.error("please report this:", exc_info=error)

    def _feed(self) -> None:
        """Feed the watchdog, but only while polls come to an end."""
        if self.clock.monotonic() - self._poll_began < max(LONGEST_POLL, float(self.settings.config.maxage)) + COMMAND_LIMIT:
            self.alive()

    def _failed(self, message: str, error: BaseException | None = None) -> None:
        if self.trouble.report("poll", message, logging.ERROR if error else logging.WARNING) and error is not None:
            log.log.error("please report this:", exc_info=error)
        self._age()
        self.ready.set()

    def _told_stale(self) -> None:
        """Go stale now, unless that would be a shutdown for nothing: alarms on the grid are withdrawn first, by their age."""
        reading = self._reading
        if reading is None or self._good_at is None or self.snapshot.stale:
            return
        self._said_stale = True
        if self._noticed():
            self._build(reading, stale=True, age=self.clock.monotonic() - self._good_at)

    # Age

    async def _age_loop(self) -> None:
        while True:
            await self.clock.sleep(TICK)
            self._feed()
            if not self.ready.is_set() and self._held is None and self.clock.monotonic() - self._started >= FIRST_WAIT:
                self.ready.set()
            try:
                if self._held is not None and self.clock.monotonic() - self._started >= FIRST_HOLD:
                    self._good(self._held[0], whole=False, at=self._held[1])
                self._age()
            except Exception as error:
                self._internal("age loop", error)

    def _age(self) -> None:
        """Serve the last reading as old as it is, or declare the data stale."""
        if self._reading is None or self._good_at is None:
            return
        age = self.clock.monotonic() - self._good_at
        config = self.settings.config
        if self._said_stale and self.snapshot.stale:
            return
        if age > config.maxage and self._noticed():
            if not self.snapshot.stale:
                log.log.warning("Data stale: no usable answer from the device for %.0f s (maxage = %d)", age, config.maxage)
                self._build(self._reading, stale=True, age=age)
        elif self._old(age) or self._alarming(age):
            self._build(self._coasted(self._reading, age), stale=False, age=age)

    def _old(self, age: float) -> bool:
        return age > self.settings.config.pollinterval + FRESH or (age > TICK and "poll" in self.trouble.active())

    def _alarming(self, age: float) -> bool:
        """Whether the reading is so old that alarms on the grid are withdrawn; never while polls come at their rate."""
        config = self.settings.config
        return age > min(max(config.maxage * ALARM_SHARE, config.pollinterval + POLL_SLACK), config.maxage)

    def _noticed(self) -> bool:
        """Whether upsmon has had the time to see that alarms on the grid were withdrawn, however short maxage is."""
        reading = self._reading
        if reading is None or Status.OB in reading.status or not (reading.alarms or reading.status & DEADLY_WHEN_STALE):
            return True
        return self._withdrawn_at is not None and self.clock.monotonic() - self._withdrawn_at >= NOTICED

    def _rebuild(self) -> None:
        """The last reading again, with other settings; as old as it is."""
        if self._reading is None or self._good_at is None:
            return
        age = self.clock.monotonic() - self._good_at
        self._build(self._coasted(self._reading, age), stale=self.snapshot.stale, age=age)

    def _coasted(self, reading: Reading, age: float) -> Reading:
        """The reading as it is served at that age: unchanged while it is current."""
        if self._old(age):
            try:
                reading = self.backend.coast(reading, age)
            except Exception as error:
                self.trouble.report(
                    "coast", f"internal error in the backend while coasting: {type(error).__name__}", logging.ERROR
                )
        if Status.OB not in reading.status and self._alarming(age):
            reading = dataclasses.replace(reading, alarms=(), status=reading.status & ~DEADLY_WHEN_STALE)
            if self._withdrawn_at is None:
                self._withdrawn_at = self.clock.monotonic()
        return reading

    # Snapshots

    def _build(self, reading: Reading | None, *, stale: bool, age: float = 0.0) -> None:
        variables: dict[str, Variable] = {}
        if reading is not None:
            if stale and self.snapshot.variables:
                variables = {k: v for k, v in self.snapshot.variables.items() if not k.startswith("driver.")}
            else:
                variables = shape(
                    reading,
                    writable=self.backend.writable,
                    defaults=self.settings.defaults,
                    overrides=self.settings.overrides,
                    ignorelb=self.settings.ignorelb,
                )
            if "experimental.data.age" not in self.settings.overrides:
                variables["experimental.data.age"] = Variable(str(int(age // AGE_STEP * AGE_STEP)))
        else:
            variables = {"device.type": Variable("ups")}
        variables.update(self._driver_variables())
        self._replace(Snapshot(MappingProxyType(variables), self._commands(), stale))

    def _driver_variables(self) -> dict[str, Variable]:
        number = Flag.RW | Flag.NUMBER
        result = {name: Variable(text) for name, text in self.settings.parameters.items()}
        result["driver.name"] = Variable(self.settings.progname)
        result["driver.version"] = Variable(NUT_VERSION)
        result["driver.version.internal"] = Variable(__version__)
        result["driver.version.data"] = Variable(f"{self.backend.description} {self.backend.version}")
        result["driver.state"] = Variable(self._state)
        result["driver.debug"] = Variable(str(log.debug_level()), number)
        result["driver.flag.allow_killpower"] = Variable(str(int(self._killpower)), number)
        return result

    def _commands(self) -> frozenset[str]:
        return self.backend.commands | {name for name, (listed, _) in self._shared().items() if listed}

    def _refresh(self) -> None:
        """Renew what the core itself says, leaving the device's data as they are."""
        device = {k: v for k, v in self.snapshot.variables.items() if not k.startswith("driver.")}
        self._replace(
            Snapshot(MappingProxyType({**device, **self._driver_variables()}), self._commands(), self.snapshot.stale)
        )

    def _replace(self, new: Snapshot) -> None:
        old, self.snapshot = self.snapshot, new
        if old != new:
            for listener in self._listeners:
                listener(old, new)

    def _status(self) -> str:
        found = self.snapshot.variables.get("ups.status")
        return found.value if found else status_text(Status(0), ())

    # SET

    async def set(self, name: str, value: str) -> Result:
        """Carry out SET; the result goes into TRACKING. Read-only and unknown variables are refused here again."""
        shared = {"driver.debug": self._set_debug, "driver.flag.allow_killpower": self._set_killpower}.get(name)
        return await _outcome(f"SET {name}", shared(value) if shared is not None else self._set_on_device(name, value))

    async def _set_debug(self, value: str) -> None:
        try:
            level = int(value.strip())
        except ValueError:
            raise CommandError(f"{value!r} is not a whole number", Result.INVALID) from None
        log.set_debug_level(level if level >= 0 else max(self._cli_debug, self.settings.debug_min))
        self._refresh()

    async def _set_killpower(self, value: str) -> None:
        word = value.strip().lower()
        number = truncated(word)
        self._killpower = word.startswith("enable") or word in ("true", "yes", "on") or (number is not None and number > 0)
        self._refresh()

    async def _set_on_device(self, name: str, value: str) -> None:
        found = self.snapshot.find(name)
        if found is None:
            raise CommandError("there is no such variable", Result.UNKNOWN)
        rule = self.backend.writable.get(found[0])
        if rule is None or found[1].immutable:
            raise CommandError("the variable is read-only", Result.INVALID)
        rule.check(value)
        await self._between_polls(lambda: self.backend.set(found[0], value))
        log.log.info("SET %s to %s", found[0], value)
        if self._reading is not None:
            values = {**self._reading.values, found[0]: value}
            self._reading = dataclasses.replace(self._reading, values=values)
            self._rebuild()
        self._wake.set()

    # INSTCMD

    def _shared(self) -> Mapping[str, tuple[bool, Callable[[], Awaitable[None]]]]:
        """The core's instant commands: whether ADDCMD lists them, and what they do. Names are case-sensitive, as in main.c."""
        return {
            "driver.exit": (False, self._exit),
            "driver.killpower": (True, self._killpower_command),
            "driver.reload": (True, self._reload_later),
            "driver.reload-or-error": (True, self._reload_or_error),
            "driver.reload-or-exit": (True, self._reload_or_exit_later),
            "shutdown.default": (True, self.shutdown),
        }

    async def instcmd(self, name: str, param: str | None) -> Result:
        """Carry out INSTCMD; the result goes into TRACKING."""
        shared = self._shared().get(name)
        return await _outcome(f"INSTCMD {name}", shared[1]() if shared is not None else self._command_on_device(name, param))

    async def _command_on_device(self, name: str, param: str | None) -> None:
        known = next((command for command in self.backend.commands if command.lower() == name.lower()), None)
        if known is None:
            raise CommandError("there is no such instant command", Result.UNKNOWN)
        log.log.info("Instant command: %s%s", known, f" {param}" if param else "")
        await self._between_polls(lambda: self.backend.command(known, param))
        self._wake.set()

    async def _exit(self) -> None:
        log.log.info("Asked over the socket to exit")
        asyncio.get_running_loop().call_soon(self.stop, 0)

    async def shutdown(self) -> None:
        """Run ``sdcommands`` until one works, else the backend's shutdown; :class:`CommandError` when nothing did."""
        for name in self.settings.sdcommands:
            if name == "shutdown.default":
                break
            if await self.instcmd(name, None) is Result.HANDLED:
                return
        await self._between_polls(self._shutdown_device)

    async def _shutdown_device(self) -> None:
        await self._open()
        await self.backend.shutdown()

    async def _between_polls(self, work: Callable[[], Awaitable[None]]) -> None:
        async def alone() -> None:
            async with self._device:
                await work()

        await confined(alone(), COMMAND_LIMIT)

    async def _killpower_command(self) -> None:
        if not self._killpower:
            raise CommandError("refused: driver.flag.allow_killpower is 0", Result.INVALID)
        self.set_state("fsd.killpower")
        try:
            await self.shutdown()
        finally:
            self.set_state("quiet")
        asyncio.get_running_loop().call_soon(self.stop, 0)

    # Reload

    async def _reload_later(self) -> None:
        self._background(self.reload())

    async def _reload_or_exit_later(self) -> None:
        self._background(self.reload(or_exit=True))

    def _background(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_or_error(self) -> None:
        await self.reload(or_error=True)

    async def reload(self, *, or_exit: bool = False, or_error: bool = False) -> None:
        """Read the configuration anew and take over what can be changed while running; the data have no gap.

        What needs a restart: logged, or with ``or_exit`` the driver ends with :data:`EXIT_RELOAD`, or with ``or_error``
        a :class:`CommandError` is raised. A broken configuration changes nothing and never ends the driver.
        """
        if self._load is None:
            raise CommandError("there is no configuration file to reload", Result.FAILED)
        self.reloading(True)
        self.set_state("reloading")
        try:
            new = self._load()
        except ConfigError as error:
            log.log.error("The configuration was not reloaded, the old one stays in force: %s", error)
            if or_error:
                raise CommandError("the new configuration has an error", Result.INVALID) from error
            return
        finally:
            self.set_state("quiet")
            self.reloading(False)
        stuck = self.settings.unchangeable(new)
        await self._take_over(new)
        if not stuck:
            log.log.info("Configuration reloaded")
            return
        sentence = f"changed, but only a restart takes it over: {', '.join(stuck)}"
        if or_exit:
            log.log.warning("Configuration reloaded; %s; exiting for it", sentence)
            self.stop(EXIT_RELOAD)
            return
        log.log.warning("Configuration reloaded; %s", sentence)
        if or_error:
            raise CommandError(sentence, Result.INVALID)

    async def _take_over(self, new: Settings) -> None:
        fixed = self.settings.unchangeable(new)
        kept = {name: getattr(self.settings.config, name) for name in fixed if hasattr(self.settings.config, name)}
        config = self.settings.config
        if type(new.config) is type(config):
            config = dataclasses.replace(new.config, **kept)
        for note in new.notes:
            if note not in self.settings.notes:
                log.log.warning("%s", note)
        allowed = self.settings.allow_killpower
        level_was = max(self._cli_debug, self.settings.debug_min)
        self.settings = dataclasses.replace(
            self.settings,
            config=config,
            debug_min=new.debug_min,
            ignorelb=new.ignorelb,
            allow_killpower=new.allow_killpower,
            sdcommands=new.sdcommands,
            defaults=new.defaults,
            overrides=new.overrides,
            notes=new.notes,
            parameters={
                **new.parameters,
                **{name: text for name, text in self.settings.parameters.items() if name.rpartition(".")[2] in fixed},
            },
        )
        if log.debug_level() == level_was:
            log.set_debug_level(max(self._cli_debug, new.debug_min))
        if new.allow_killpower != allowed:
            self._killpower = new.allow_killpower
        await self.backend.reload(config)
        self._rebuild()
        self._refresh()
        self._wake.set()


async def _outcome(what: str, work: Awaitable[None]) -> Result:
    """Do the work of a SET or INSTCMD and give the code for the client; what went wrong goes to the log."""
    try:
        await work
    except CommandError as error:
        log.log.warning("%s: %s", what, error)
        return error.code
    except (DeviceError, TimeoutError) as error:
        log.log.error("%s failed: %s", what, error or "no answer in time")
        return Result.FAILED
    except Exception:
        log.log.exception("%s failed by an internal error", what)
        return Result.FAILED
    return Result.HANDLED


def _refuse_nonsense(reading: Reading) -> None:
    if not reading.status.says_supply:
        raise DeviceError(f"the backend gave the impossible status {str(reading.status)!r}: exactly one of OL and OB is needed")
