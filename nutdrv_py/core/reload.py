# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over new settings while the driver runs; the data have no gap."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from nutdrv_py import log
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.errors import CommandError, ConfigError, Result

__all__ = ["EXIT_RELOAD", "Reload"]

EXIT_RELOAD = 138
"""Exit code of reload-or-exit when something needs a restart: 128 + SIGUSR1, as in main.c."""


REST = 0.5
"""Minimum seconds from one reading of the configuration to the next."""


class Reload:
    """Reads the configuration anew with ``load`` (None: there is none to read), which raises :class:`ConfigError`."""

    def __init__(self, driver: Driver, load: Callable[[], Settings] | None = None) -> None:
        self._driver = driver
        self._load = load
        self._next: asyncio.Future[list[str] | None] | None = None
        self._read_at = float("-inf")
        self.told: Callable[[bool], None] = lambda begins: None
        """Called with True when a reload begins, with False when it has ended."""

    async def __call__(self, *, or_exit: bool = False, or_error: bool = False) -> None:
        """Read the configuration anew and take over what can be changed while running.

        What needs a restart: logged, or with ``or_exit`` the driver ends with :data:`EXIT_RELOAD`, or with ``or_error``
        a :class:`CommandError` is raised. A broken configuration changes nothing and never ends the driver.
        """
        if self._load is None:
            raise CommandError("there is no configuration file to reload", Result.FAILED)
        if self._next is None:
            self._next = asyncio.ensure_future(self._read(self._load))
        stuck = await asyncio.shield(self._next)
        if stuck is None:
            if or_error:
                raise CommandError("the new configuration has an error", Result.INVALID)
            return
        sentence = f"changed, but only a restart takes it over: {', '.join(stuck)}"
        if stuck and or_exit:
            log.log.warning("Configuration reloaded; %s; exiting for it", sentence)
            self._driver.stop(EXIT_RELOAD)
        elif stuck and or_error:
            raise CommandError(sentence, Result.INVALID)

    async def _read(self, load: Callable[[], Settings]) -> list[str] | None:
        """Read and take over, once for all callers until it begins; return what needs a restart, None for a faulty file.

        Clients that ask without end get two readings in a second: each holds the event loop for some milliseconds.
        """
        driver, loop = self._driver, asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._read_at + REST - loop.time()))
        self._next, self._read_at = None, loop.time()
        self.told(True)
        driver.set_state("reloading")
        try:
            new = load()
        except ConfigError as error:
            log.log.error("The configuration was not reloaded, the old one stays in force: %s", error)
            return None
        finally:
            driver.set_state("quiet")
            self.told(False)
        stuck = driver.settings.unchangeable(new)
        await self._take_over(new, stuck)
        if stuck:
            text = "Configuration reloaded; changed, but only a restart takes it over: %s. Restart while the grid is there"
            log.log.warning(text, ", ".join(stuck))
        else:
            log.log.info("Configuration reloaded")
        return stuck

    async def _take_over(self, new: Settings, fixed: list[str]) -> None:
        driver, old = self._driver, self._driver.settings
        config = old.config
        if type(new.config) is type(config):
            kept = {name: getattr(config, name) for name in fixed if hasattr(config, name)}
            config = dataclasses.replace(new.config, **kept)
        for note in new.notes:
            if note not in old.notes:
                log.log.warning("%s", note)
        parameters = {name: text for name, text in old.parameters.items() if name.rpartition(".")[2] in fixed}
        if log.debug_level() == max(driver.cli_debug, old.debug_min):
            log.set_debug_level(max(driver.cli_debug, new.debug_min))
        if new.allow_killpower != old.allow_killpower:
            driver.killpower = new.allow_killpower
        await driver.backend.reload(config)
        driver.settle(
            dataclasses.replace(
                old,
                config=config,
                debug_min=new.debug_min,
                ignorelb=new.ignorelb,
                allow_killpower=new.allow_killpower,
                sdcommands=new.sdcommands,
                defaults=new.defaults,
                overrides=new.overrides,
                notes=new.notes,
                parameters={**new.parameters, **parameters},
            )
        )
        driver.poller.anew()
