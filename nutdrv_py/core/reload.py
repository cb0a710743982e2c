# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over new settings while the driver runs; the data have no gap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nutdrv_py import log
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.errors import CommandError, ConfigError, Result

__all__ = ["EXIT_RELOAD", "Reload"]

EXIT_RELOAD = 138
"""Exit code of reload-or-exit when something needs a restart: 128 + SIGUSR1, as in main.c."""


class Reload:
    """Reads the configuration anew with ``load`` (None: there is none to read), which raises :class:`ConfigError`."""

    def __init__(self, driver: Driver, load: Callable[[], Settings] | None = None) -> None:
        self._driver = driver
        self._load = load
        self.told: Callable[[bool], None] = lambda begins: None
        """Called with True when a reload begins, with False when it has ended."""

    async def __call__(self, *, or_exit: bool = False, or_error: bool = False) -> None:
        """Read the configuration anew and take over what can be changed while running.

        What needs a restart: logged, or with ``or_exit`` the driver ends with :data:`EXIT_RELOAD`, or with ``or_error``
        a :class:`CommandError` is raised. A broken configuration changes nothing and never ends the driver.
        """
        if self._load is None:
            raise CommandError("there is no configuration file to reload", Result.FAILED)
        driver = self._driver
        self.told(True)
        driver.set_state("reloading")
        try:
            new = self._load()
        except ConfigError as error:
            log.log.error("The configuration was not reloaded, the old one stays in force: %s", error)
            if or_error:
                raise CommandError("the new configuration has an error", Result.INVALID) from error
            return
        finally:
            driver.set_state("quiet")
            self.told(False)
        stuck = driver.settings.unchangeable(new)
        await self._take_over(new, stuck)
        if not stuck:
            log.log.info("Configuration reloaded")
            return
        sentence = f"changed, but only a restart takes it over: {', '.join(stuck)}"
        if or_exit:
            log.log.warning("Configuration reloaded; %s; exiting for it", sentence)
            driver.stop(EXIT_RELOAD)
            return
        log.log.warning("Configuration reloaded; %s", sentence)
        if or_error:
            raise CommandError(sentence, Result.INVALID)

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
