# SPDX-License-Identifier: GPL-2.0-or-later
"""SET, INSTCMD and shutdown: what clients ask of the driver, checked again although upsd has checked it.

Results are NUT's codes (NUT drivers/upshandler.h). The core's own names are case-sensitive, as in main.c.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nutdrv_py import log
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.events import Accepted
from nutdrv_py.core.reload import Reload
from nutdrv_py.device.mapping import to_number
from nutdrv_py.errors import CommandError, DeviceError, Result

__all__ = ["Requests"]

COMPOSED = ("ups.status", "ups.alarm")
"""Variables that are no values of a reading: the next poll shows what was set."""

Work = Callable[[], Awaitable[None]]


class Requests:
    """Carries out what clients ask of ``driver``."""

    def __init__(self, driver: Driver, reload: Reload) -> None:
        self._driver = driver
        self._reload = reload
        self._tasks: set[asyncio.Future[Result]] = set()
        self._commands: Mapping[str, tuple[bool, Work]] = {   # whether ADDCMD lists it, and what it does
            "driver.exit": (False, self._exit),
            "driver.killpower": (True, self._killpower),
            "driver.reload": (True, self._later("driver.reload", reload)),
            "driver.reload-or-error": (True, lambda: reload(or_error=True)),
            "driver.reload-or-exit": (True, self._later("driver.reload-or-exit", lambda: reload(or_exit=True))),
            "shutdown.default": (True, self.shutdown),
        }  # fmt: skip
        self._settings: Mapping[str, Callable[[str], None]] = {
            "driver.debug": self._set_debug,
            "driver.flag.allow_killpower": self._set_killpower,
        }
        driver.commands = frozenset(name for name, (listed, _) in self._commands.items() if listed)
        driver.refresh()

    # SET

    async def set(self, name: str, value: str) -> Result:
        """Carry out SET and return its result. Read-only and unknown variables are refused."""
        return await _outcome(f"SET {name}", self._set(name, value))

    async def _set(self, name: str, value: str) -> None:
        if name in self._settings:
            self._settings[name](value)
            self._driver.refresh()
            return
        driver = self._driver
        found = driver.snapshot.find(name)
        if found is None:
            raise CommandError("there is no such variable", Result.UNKNOWN)
        name, variable = found
        rule, mark = driver.writable.get(name), driver.marks.writable.get(name)
        if variable.immutable or (rule is None and mark is None):
            raise CommandError("the variable is read-only", Result.INVALID)
        if rule is not None:
            rule.check(value)
            await driver.poller.between_polls(lambda: driver.backend.set(name, value))
            if name.lower() not in COMPOSED:
                driver.apply(Accepted(driver.clock.monotonic(), name, value))
        elif mark is not None and (number := to_number(value)) is not None:
            mark.check(value)
            driver.written[name] = number
            driver.renew_wishes()
        log.log.info("SET %s to %s", name, value)
        driver.poller.soon()

    def _set_debug(self, value: str) -> None:
        try:
            level = int(value.strip())
        except ValueError:
            raise CommandError(f"{value!r} is not a whole number", Result.INVALID) from None
        driver = self._driver
        log.set_debug_level(level if level >= 0 else max(driver.cli_debug, driver.settings.debug_min))

    def _set_killpower(self, value: str) -> None:
        word, number = value.strip().lower(), to_number(value)
        on = word.startswith("enable") or word in ("true", "yes", "on")
        self._driver.killpower = on or (number is not None and number >= 1)

    # INSTCMD

    async def instcmd(self, name: str, param: str | None) -> Result:
        """Carry out INSTCMD and return its result."""
        _, own = self._commands.get(name, (False, None))
        return await _outcome(f"INSTCMD {name}", own() if own is not None else self._command(name, param))

    async def _command(self, name: str, param: str | None) -> None:
        driver = self._driver
        known = next((command for command in driver.device_commands if command.lower() == name.lower()), None)
        if known is None:
            raise CommandError("there is no such instant command", Result.UNKNOWN)
        log.log.info("Instant command: %s%s", known, f" {param}" if param else "")
        await driver.poller.between_polls(lambda: driver.backend.command(known, param))
        driver.poller.soon()

    async def _exit(self) -> None:
        log.log.info("Asked over the socket to exit")
        asyncio.get_running_loop().call_soon(self._driver.stop, 0)

    def _later(self, name: str, work: Work) -> Work:
        """Return what answers at once and does ``work`` of the command afterwards."""

        async def begin() -> None:
            task = asyncio.ensure_future(_outcome(f"INSTCMD {name}", work()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return begin

    # Shutdown

    async def shutdown(self) -> None:
        """Run ``sdcommands`` until one works, else the backend's shutdown. Raises :class:`CommandError` when nothing did."""
        for name in self._driver.settings.sdcommands:
            if name == "shutdown.default":
                break
            if await self.instcmd(name, None) is Result.HANDLED:
                return
        await self._driver.poller.between_polls(self._shutdown_device)

    async def _shutdown_device(self) -> None:
        await self._driver.poller.open()
        await self._driver.backend.shutdown()

    async def _killpower(self) -> None:
        driver = self._driver
        if not driver.killpower:
            raise CommandError("refused: driver.flag.allow_killpower is 0", Result.INVALID)
        driver.set_state("fsd.killpower")
        try:
            await self.shutdown()
        finally:
            driver.set_state("quiet")
        # The load's power is cut: there is nothing to wait for.
        asyncio.get_running_loop().call_soon(lambda: driver.stop(0, at_once=True))


async def _outcome(what: str, work: Awaitable[None]) -> Result:
    """Do the work of a SET or INSTCMD and return the code for the client; what went wrong goes to the log."""
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
