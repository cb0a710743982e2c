# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds readings of the house from the inverter's answers; keeps state between polls."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from nutdrv_py.backends.rct import faults, site
from nutdrv_py.backends.rct.battery import Battery, Moment
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.grid import KNOWN, Evidence, GridWatch
from nutdrv_py.backends.rct.heard import Datum
from nutdrv_py.backends.rct.inventory import Inventory
from nutdrv_py.clock import Clock
from nutdrv_py.device.mapping import translate
from nutdrv_py.device.parts import Parts
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import Trouble, log

__all__ = ["House"]

DEAD = 60.0
"""Seconds without voltage on both sides of the Power Switch after which the output is off."""


class House:
    """Turns answers into a :class:`Reading`; keeps the grid, the battery, and since when each state holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watch = GridWatch()
        self.told_at = float("-inf")
        """Monotonic time at which any source has last reported the grid."""
        self._battery = Battery(clock.monotonic())
        self._reason = "none since the start"
        self._registers = tuple(faults.Confirmed() for _ in faults.REGISTERS)
        self._dead_since: float | None = None
        self._able = False
        self._warned = False
        self._measured = False
        self._parts = Parts()
        self._trouble = Trouble()

    # The grid

    @property
    def off_grid(self) -> bool | None:
        """Return whether the house is off the grid; None until two polls, or one that shows the grid, have answered."""
        return self._watch.off_grid

    @property
    def suspicious(self) -> bool:
        """Return whether an outage has been seen that is not confirmed yet."""
        return self._watch.suspicious

    @property
    def switch_alive(self) -> bool:
        """Return whether the grid's side of the Power Switch was ever seen with voltage, before a restart too."""
        return self._watch.alive

    @switch_alive.setter
    def switch_alive(self, alive: bool) -> None:
        self._watch.alive = alive

    def reconnected(self) -> None:
        """Note a new connection: an outage seen once before it needs two looks again."""
        self._watch.forget_suspicion()

    @staticmethod
    def votes(fresh: Mapping[str, object], options: RctConfig) -> dict[str, bool]:
        """Return source by source whether it shows an outage; before one is believed, the fault registers should be asked."""
        return _evidence(fresh, frozenset()).votes(options.nominal_voltage)

    def judge(self, fresh: Mapping[str, object], options: RctConfig, numbers: frozenset[int]) -> bool:
        """Take in the grid's objects as this poll has answered them; true when the house was cut off or is back.

        ``numbers`` are the active faults: they hold the reason, and whether the inverter hears its Power Switch.
        """
        evidence = _evidence(fresh, numbers)
        self._look_at_flag(evidence.flag)
        available = fresh.get("rb485.available")
        switch = available if isinstance(available, bool) else None
        before = self._watch.off_grid
        changed = self._watch.update(
            evidence, options.nominal_voltage, self._clock.monotonic(), switch=switch, interval=options.pollinterval
        )
        self._measured = self._measured or "switch" in self._watch.votes
        if self._watch.votes:
            self.told_at = self._clock.monotonic()
        if not changed:
            return False
        self._battery.transferred()
        if self._watch.off_grid:
            self._because(numbers, evidence)
            log.warning(
                "The house is off the grid: %s (island_flag %s, grid side of the Power Switch %s)",
                self._reason, evidence.flag, _volts(evidence.voltages),
            )  # fmt: skip
        elif before is not None:
            log.warning("The house is on the grid again")
        return before is not None or bool(self._watch.off_grid)

    def _look_at_flag(self, flag: int | None) -> None:
        if flag is not None and flag & ~KNOWN:
            text = f"prim_sm.island_flag {flag:#06x} has unknown bits, so it is not used; please report what the grid did"
            self._trouble.report("flag", text)
        elif flag is not None:
            self._trouble.clear("flag")

    def _because(self, numbers: frozenset[int], evidence: Evidence) -> None:
        found = faults.reasons(numbers)
        if found:
            self._reason = ", ".join(found)
        elif evidence.flag is not None and evidence.flag & 1:
            self._reason = "The inverter reports an island"
        else:
            self._reason = "No voltage on the grid side of the Power Switch"

    # The reading

    def reading(self, data: Mapping[str, Datum], options: RctConfig, inventory: Inventory, *, early: bool = False) -> Reading:
        """Return the reading of the answers that are not too old. ``early``: the grid has just changed and the powers are from
        before."""
        off_grid = self._watch.off_grid
        if off_grid is None:
            raise DeviceError("the state of the grid is not known yet: a sign of an outage is being confirmed")
        values: Mapping[str, object] = {name: datum.value for name, datum in data.items()}
        times = {name: datum.at for name, datum in data.items()}
        moment = Moment(
            self._clock.monotonic(), values, times, self._confirmed(values, times), inventory, options, off_grid, early
        )
        if off_grid:
            grid_faults = faults.reasons(moment.faults)
            if grid_faults:
                self._reason = ", ".join(grid_faults)
        shown: dict[str, Value] = {"ups.mfr": "RCT Power", "device.type": "ups"}
        do, nothing = self._parts.do, Status(0)
        do("identity", lambda: shown.update(_identity(values)), None)
        volts, hertz = float(options.nominal_voltage), float(options.nominal_frequency)
        phases = functools.partial(site.phase_values, off_grid=off_grid, nominal_voltage=volts, nominal_frequency=hertz)
        do("phases", lambda: shown.update(phases(values)), None)
        status = Status.OB if off_grid else Status.OL
        load = do("load", lambda: site.household_load(values, off_grid=off_grid), None)
        status |= do("power", lambda: self._loading(moment, shown, load), nothing)
        if inventory.battery is not False:
            status |= do("battery", lambda: self._battery.look(moment, shown), nothing)
        status |= do("output", lambda: self._off(moment), nothing)
        do("observations", lambda: self._observe(moment, shown), None)
        found = do("alarms", lambda: faults.alarms(moment.faults), tuple[str, ...]())
        if self._battery.broken:
            found += ("Battery error",)
        decline = self._battery.decline if inventory.battery is not False else None
        return Reading(shown, status, found, values, times, decline=decline)

    def _confirmed(self, values: Mapping[str, object], times: Mapping[str, float]) -> frozenset[int]:
        for name, bits in zip(faults.REGISTERS, self._registers, strict=True):
            bits.update(values.get(name), times.get(name))
        return faults.active(bits.confirmed for bits in self._registers)

    @staticmethod
    def _loading(moment: Moment, shown: dict[str, Value], load: float | None) -> Status:
        """Load and power: on the grid the house against what the inverter can give, off the grid its fullest phase."""
        values = moment.values
        nominal = site.nominal_power(values, moment.options.nominal_power)
        pv = [site.number(values, f"dc_conv.dc_conv_struct[{index}].p_dc_lp") for index in range(2)]
        known = [power for power in pv if power is not None]
        if known:
            shown["experimental.pv.realpower"] = sum(known)
        if load is not None:
            shown["ups.realpower"] = shown["output.realpower"] = load
        if nominal is None:
            return Status(0)
        shown["ups.realpower.nominal"] = shown["ups.power.nominal"] = nominal
        shares = [] if load is None else [load / nominal]
        by_phase = site.phases(values, "g_sync.s_ac_lp")
        if moment.off_grid and by_phase is not None:
            shares.append(max(by_phase) / (nominal / 3))
        if not shares:
            return Status(0)
        shown["ups.load"] = max(shares) * 100
        return Status.OVER if moment.off_grid and not moment.early and max(shares) > 1 else Status(0)

    def _off(self, moment: Moment) -> Status:
        """Return OFF only when both sides of the Power Switch have been dead for a while.

        upsmon shuts down for OFF. An inverter that rests at night may show no voltage although the house is on the grid.
        """
        grid = site.grid_side(moment.values)
        dead = moment.off_grid and grid is not None and max(grid) < site.ALIVE and site.house_alive(moment.values) is False
        if not dead:
            self._dead_since = None
            return Status(0)
        self._dead_since = self._dead_since if self._dead_since is not None else moment.now
        return Status.OFF if moment.now - self._dead_since >= DEAD else Status(0)

    def _observe(self, moment: Moment, shown: dict[str, Value]) -> None:
        shown["input.transfer.reason"] = self._reason
        self._able = self._able or bool(moment.inventory.switch) or moment.off_grid
        if self._able or moment.inventory.switch is None:
            shown["experimental.outage.detection"] = (
                "unknown" if not self._able else "possible" if self._measured else "possible: by the island flag alone"
            )
            return
        shown["experimental.outage.detection"] = "impossible: no Power Switch"
        if not self._warned:
            self._warned = True
            log.error(
                "THIS SYSTEM CANNOT REPORT AN OUTAGE: the inverter has no Power Switch that could separate the house from the "
                "grid. In an outage it falls silent and the data go stale; do not rely on it for a shutdown."
            )


def _identity(values: Mapping[str, object]) -> dict[str, Value]:
    auxiliary = site.auxiliary_firmware(values)
    found: dict[str, Value] = {"ups.model": site.model(values), **translate(site.FIELDS, values)}
    return {**found, "ups.firmware.aux": auxiliary} if auxiliary else found


def _evidence(fresh: Mapping[str, object], numbers: frozenset[int]) -> Evidence:
    flag = fresh.get("prim_sm.island_flag")
    return Evidence(flag if isinstance(flag, int) else None, site.grid_side(fresh), faults.SWITCH_DEAF in numbers)


def _volts(voltages: tuple[float, float, float] | None) -> str:
    return "not reported" if voltages is None else " ".join(f"{volts:.0f}" for volts in voltages) + " V"
