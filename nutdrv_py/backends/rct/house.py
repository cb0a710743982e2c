# SPDX-License-Identifier: GPL-2.0-or-later
"""The house as upsd is told of it: what is made of the inverter's answers, and remembered from one reading to the next."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backends.battery import limit
from nutdrv_py.backends.rct import faults, site
from nutdrv_py.backends.rct.client import Datum
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.grid import Evidence, GridWatch
from nutdrv_py.backends.rct.inventory import Inventory
from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import log
from nutdrv_py.mapping import translate
from nutdrv_py.reading import Reading, Status, Value
from nutdrv_py.storage import ChargeFilter, Charger, Short, Smoothed, charger_status, coast, is_low, runtime

__all__ = ["House"]

CHARGE_AGE = 15.0
"""Seconds for which a charge counts as told; off the grid an older one is counted down."""

CORRECTION = 10.0
"""Seconds for which a charge above 0 that has jumped down must stay: batteries of this kind correct themselves by tens of
percent when they come near their end, and the low mark leaves only some points."""

LEAST_ENERGY = 1900.0
"""Wh: one module, to count the charge down by when nothing tells what the battery holds."""

CHARGE_GONE = 600.0
"""Seconds without a charge after which, on the grid, none is shown."""

LOW_UNKNOWN = 20.0
"""Percent: the low mark while the inverter has not told its own limit."""

WARNING = 10.0
"""Percentage points above the low mark for ``battery.charge.warning``."""

LEAST_DRAIN = 100.0
"""W: the runtime is never reckoned with less, because a house never takes less for long."""

HEALTH_LOW = 0.7
"""State of health below which a battery should be replaced (RB)."""

EMPTY_CHARGE = 50.0
"""Percent from which a battery on the grid cannot be empty: what says so all the same is not believed in an outage."""

EMPTY_CURRENT = 0.1
"""A of permitted discharge that mean none."""

DEAD = 60.0
"""Seconds without voltage on both sides of the Power Switch after which the output is off."""


class _Twice:
    """A fact that counts when two answers one after the other have said it."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._count = 0

    def update(self, active: bool, at: float | None) -> bool:
        """Take in what the answer made at ``at`` said; without a new answer nothing changes."""
        if at is not None and at != self._at:
            self._at = at
            self._count = self._count + 1 if active else 0
        return self._count >= 2



class _Emptiness(_Twice):
    """A sign that the battery is empty. One that shows on the grid with a full battery means something else here."""

    def __init__(self) -> None:
        super().__init__()
        self._trusted = True

    def judge(self, active: bool, at: float | None, *, off_grid: bool, charge: float | None) -> bool:
        """Whether the sign makes LB."""
        if not active:
            self._trusted = True
        elif not off_grid and charge is not None and charge >= EMPTY_CHARGE:
            self._trusted = False
        if not off_grid:
            # A battery that rests on the grid permits no discharge either; what counts is what it says in the outage.
            self.update(False, at)
            return False
        return self.update(active, at) and self._trusted


class _Bits:
    """A register whose bits count when two answers one after the other have shown them."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._last = 0
        self.confirmed = 0

    def update(self, register: int, at: float) -> None:
        """Take in the answer made at ``at``."""
        if at != self._at:
            self.confirmed = register & self._last if self._at is not None else 0
            self._at, self._last = at, register


class House:
    """Turns answers into a :class:`Reading`; knows the grid, the battery, and how long things have lasted.

    ``written`` holds the limits that upsrw has set, by variable.
    """

    def __init__(self, clock: Clock, written: Mapping[str, float]) -> None:
        self._clock = clock
        self._written = written
        self._watch = GridWatch()
        self.told_at = float("-inf")
        """Monotonic time at which any source has last told about the grid."""
        self._charger = Charger()
        self._filter = ChargeFilter(CORRECTION)
        self._towers = False
        self._battery_word = _Bits()
        self._charge: float | None = None
        self._charge_at = 0.0
        self._counted_at = 0.0
        self._drain = 0.0
        self._power = Smoothed()
        self._reason = "none since the start"
        self._reserve: float | None = None
        self._energy: float | None = None
        self._short = Short()
        self._registers = tuple(_Bits() for _ in faults.REGISTERS)
        self._empty = {"status": _Emptiness(), "current": _Emptiness(), "fault": _Emptiness()}
        self._dead_since: float | None = None
        self._able = False
        self._warned = False
        self._measured = False
        self._coasting: tuple[float, float | None, float | None] = (0.0, None, None)

    # The grid

    @property
    def off_grid(self) -> bool | None:
        """Whether the house is off the grid; None until two polls, or one that shows the grid, have told it."""
        return self._watch.off_grid

    @property
    def suspicious(self) -> bool:
        """Whether an outage has been seen that is not confirmed yet."""
        return self._watch.suspicious

    def reconnected(self) -> None:
        """A new connection: an outage seen once before it needs two looks again."""
        self._watch.forget_suspicion()

    @staticmethod
    def looks_cut_off(fresh: Mapping[str, object], options: RctConfig) -> bool:
        """Whether any source shows an outage; before it is believed, the fault registers should be asked."""
        return any(_evidence(fresh, frozenset()).votes(options.nominal_voltage).values())

    def judge(self, fresh: Mapping[str, object], options: RctConfig, numbers: frozenset[int]) -> bool:
        """Take in the grid's objects as this poll has answered them; true when the house was cut off or is back.

        ``numbers`` are the active faults: they tell the reason, and whether the inverter hears its Power Switch.
        """
        evidence = _evidence(fresh, numbers)
        votes = evidence.votes(options.nominal_voltage)
        self._measured = self._measured or "switch" in votes
        if votes:
            self.told_at = self._clock.monotonic()
        available = fresh.get("rb485.available")
        switch = available if isinstance(available, bool) else None
        before = self._watch.off_grid
        changed = self._watch.update(
            evidence, options.nominal_voltage, self._clock.monotonic(), switch=switch, interval=options.pollinterval
        )
        if not changed:
            return False
        self._short = Short()
        if self._watch.off_grid:
            self._because(numbers, evidence)
            log.warning(
                "The house is off the grid: %s (island_flag %s, grid side of the Power Switch %s)",
                self._reason, evidence.flag, _volts(evidence.voltages),
            )  # fmt: skip
            self._power.reset()
        elif before is not None:
            log.warning("The house is on the grid again")
            self._power.reset()
        return before is not None or bool(self._watch.off_grid)

    def _because(self, numbers: frozenset[int], evidence: Evidence) -> None:
        found = faults.reasons(numbers)
        if found:
            self._reason = ", ".join(found)
        elif evidence.flag is not None and evidence.flag & 1:
            self._reason = "The inverter reports an island"
        else:
            self._reason = "No voltage on the grid side of the Power Switch"

    # The reading

    def reading(
        self, data: Mapping[str, Datum], options: RctConfig, inventory: Inventory, *, early: bool = False
    ) -> Reading:
        """What the answers say that are not too old. ``early``: the grid has just changed and the powers are from before."""
        now = self._clock.monotonic()
        off_grid = self._watch.off_grid
        if off_grid is None:
            raise DeviceError("the state of the grid is not known yet: it waits for its confirmation")
        values: Mapping[str, object] = {name: datum.value for name, datum in data.items()}
        times = {name: datum.at for name, datum in data.items()}
        numbers = self._confirmed(values, times)
        if off_grid:
            grid_faults = faults.reasons(numbers)
            if grid_faults:
                self._reason = ", ".join(grid_faults)
        shown: dict[str, Value] = {"ups.mfr": "RCT Power", "ups.model": site.model(values), "device.type": "ups"}
        shown.update(translate(site.FIELDS, values))
        auxiliary = site.auxiliary_firmware(values)
        if auxiliary:
            shown["ups.firmware.aux"] = auxiliary
        shown.update(
            site.phase_values(
                values,
                off_grid=off_grid,
                nominal_voltage=float(options.nominal_voltage),
                nominal_frequency=float(options.nominal_frequency),
            )
        )
        status = Status.OB if off_grid else Status.OL
        load = site.household_load(values, off_grid=off_grid)
        status |= self._loading(shown, values, options, load, off_grid=off_grid, early=early)
        if inventory.battery is not False:
            status |= self._battery(shown, values, times, options, inventory, load, now, numbers, off_grid=off_grid, early=early)
        status |= self._off(values, now, off_grid=off_grid)
        self._observe(shown, inventory, off_grid=off_grid)
        found = faults.alarms(numbers)
        if self._battery_word.confirmed & faults.BATTERY_ERROR:
            found += ("Battery error",)
        return Reading(shown, status, found, values)

    def _confirmed(self, values: Mapping[str, object], times: Mapping[str, float]) -> frozenset[int]:
        for name, bits in zip(faults.REGISTERS, self._registers, strict=True):
            register = values.get(name)
            if isinstance(register, int):
                bits.update(register, times[name])
            else:
                bits.confirmed = 0
        return faults.active(bits.confirmed for bits in self._registers)

    def _loading(
        self, shown: dict[str, Value], values: Mapping[str, object], options: RctConfig, load: float | None, *,
        off_grid: bool, early: bool,
    ) -> Status:  # fmt: skip
        """Load and power: on the grid the house against what the inverter can give, off the grid its fullest phase."""
        nominal = site.nominal_power(values, options.nominal_power)
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
        if off_grid and by_phase is not None:
            shares.append(max(by_phase) / (nominal / 3))
        if not shares:
            return Status(0)
        shown["ups.load"] = max(shares) * 100
        return Status.OVER if off_grid and not early and max(shares) > 1 else Status(0)

    def _battery(
        self, shown: dict[str, Value], values: Mapping[str, object], times: Mapping[str, float], options: RctConfig,
        inventory: Inventory, load: float | None, now: float, numbers: frozenset[int], *, off_grid: bool, early: bool,
    ) -> Status:  # fmt: skip
        """The battery's variables, and LB, CHRG, DISCHRG, CAL and RB."""
        power = site.battery_power(values)
        count = sum(1 for there in inventory.modules if there)
        towers = bool(inventory.tower) and site.number(values, "battery_placeholder[0].soc") is not None
        if towers is not self._towers:
            # The charge of both is another one than that of the first; it has not fallen.
            self._towers, self._filter = towers, ChargeFilter(CORRECTION)
        self._energy = site.full_energy(values, count, tower=bool(inventory.tower)) or self._energy
        predicted = (site.household_load(values, off_grid=False) or load or 0.0) + site.OWN_USE
        drain = max(power if off_grid and power is not None and not early else predicted, LEAST_DRAIN)
        charge = self._believed(site.charge(values, towers=towers), times.get("battery.soc"), now, off_grid=off_grid)
        self._drain = max(drain, load or 0.0)
        smooth = drain if early else self._power.update(drain, now)
        reserve = site.number(values, "power_mng.soc_min_island")
        self._reserve = reserve * 100 if reserve is not None else self._reserve
        low = self._low(options)
        runtime_low = limit(options, self._written, "battery.runtime.low")
        left = None
        if charge is not None and self._energy:
            usable = max(0.0, charge - (self._reserve or 0.0)) / 100 * self._energy * site.efficiency(values)
            left = runtime(usable, smooth)
        short = self._short.update(left, runtime_low, now) and not early
        empty = self._emptiness(values, times, numbers, charge, towers=towers, off_grid=off_grid)
        direction = self._charger.update(power, max(1, count))
        word = values.get("battery.status2")
        if isinstance(word, int):
            self._battery_word.update(word, times["battery.status2"])
        else:
            self._battery_word.confirmed = 0
        text = faults.battery_status(word)[0] if isinstance(word, int) else ""
        tokens = faults.battery_status(self._battery_word.confirmed)[1]
        # upsmon takes no notice of OB LB while a UPS calibrates, so an outage ends a calibration here.
        status = direction | (tokens & (Status.RB if off_grid else Status.RB | Status.CAL)) | self._worn(values, numbers)
        if off_grid and (is_low(charge, low) or short or empty):
            status |= Status.LB

        shown.update(translate(site.BATTERY_FIELDS, values))
        shown.update(site.modules(values))
        shown["battery.charge.low"] = low
        shown["battery.charge.warning"] = min(100.0, low + WARNING)
        if charge is not None:
            shown["battery.charge"] = charge
            shown["battery.charger.status"] = charger_status(direction, charge)
        if left is not None:
            shown["battery.runtime"] = left
        if runtime_low is not None:
            shown["battery.runtime.low"] = runtime_low
        current = site.number(values, "battery.current")
        if current is not None:
            # Firmware differs in the sign of the current, not in that of the power.
            shown["battery.current"] = -abs(current) if power is not None and power > 0 else abs(current)
        packs = site.packs(values)
        if packs:
            shown["battery.packs"] = packs
        if text:
            shown["battery.status"] = text
        if self._energy:
            shown["experimental.battery.energy.capacity"] = round(self._energy)
            if charge is not None:
                shown["experimental.battery.energy"] = round(self._energy * charge / 100)
        self._coasting = (self._drain, low, None if early else runtime_low)
        return status

    def _believed(self, told: float | None, at: float | None, now: float, *, off_grid: bool) -> float | None:
        """The charge to go by: as told; off the grid counted down while nobody tells it."""
        if told is not None and at is not None and now - at <= CHARGE_AGE:
            if at > self._charge_at or self._charge is None:
                self._charge = self._filter.update(told, at)
                self._charge_at = at
            self._counted_at = now
        elif off_grid and self._charge is not None:
            lost = self._drain * max(0.0, now - self._counted_at) / 36 / (self._energy or LEAST_ENERGY)
            self._charge = max(0.0, self._charge - lost)
            self._counted_at = now
        elif not off_grid:
            self._counted_at = now
            if now - self._charge_at > CHARGE_GONE:
                self._charge = None
        return self._charge

    def _low(self, options: RctConfig) -> float:
        device = LOW_UNKNOWN if self._reserve is None else min(99.0, self._reserve + options.charge_low_margin)
        found = limit(options, self._written, "battery.charge.low", option=options.lowbatt, device=device)
        return device if found is None else found

    def _emptiness(
        self, values: Mapping[str, object], times: Mapping[str, float], numbers: frozenset[int], charge: float | None, *,
        towers: bool, off_grid: bool,
    ) -> bool:  # fmt: skip
        """Whether the battery's own electronics say that it is empty, whatever the charge; both towers must."""
        prefixes = ("battery", "battery_placeholder[0]") if towers else ("battery",)
        words = [values.get(f"{prefix}.status2") for prefix in prefixes]
        currents = [site.number(values, f"{prefix}.maximum_discharge_current") for prefix in prefixes]
        known_words = [word for word in words if isinstance(word, int)]
        known_currents = [current for current in currents if current is not None]
        signs = {
            "status": (
                bool(known_words) and all(word & faults.BATTERY_EMPTY for word in known_words),
                times.get("battery.status2"),
            ),
            "current": (
                bool(known_currents) and all(abs(current) < EMPTY_CURRENT for current in known_currents),
                times.get("battery.maximum_discharge_current"),
            ),
            "fault": (faults.EMPTY in numbers, times.get(faults.REGISTERS[3])),
        }
        found = [
            self._empty[name].judge(active, at, off_grid=off_grid, charge=charge) for name, (active, at) in signs.items()
        ]
        return any(found)

    @staticmethod
    def _worn(values: Mapping[str, object], numbers: frozenset[int]) -> Status:
        health = site.number(values, "battery.soh")
        worn = health is not None and 0 < health < HEALTH_LOW
        return Status.RB if worn or numbers & faults.REPLACE else Status(0)

    def _off(self, values: Mapping[str, object], now: float, *, off_grid: bool) -> Status:
        """OFF only when both sides of the Power Switch have been dead for a while.

        upsmon shuts down for OFF. An inverter that rests at night may show no voltage although the house is on the grid.
        """
        grid = site.grid_side(values)
        dead = off_grid and grid is not None and max(grid) < site.ALIVE and site.house_alive(values) is False
        if not dead:
            self._dead_since = None
            return Status(0)
        self._dead_since = self._dead_since if self._dead_since is not None else now
        return Status.OFF if now - self._dead_since >= DEAD else Status(0)

    def _observe(self, shown: dict[str, Value], inventory: Inventory, *, off_grid: bool) -> None:
        shown["input.transfer.reason"] = self._reason
        self._able = self._able or bool(inventory.switch) or off_grid
        if self._able or inventory.switch is None:
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

    def coast(self, reading: Reading, seconds: float) -> Reading:
        """On battery charge and runtime count down while the inverter is away, so that LB comes in time."""
        drain, low, runtime_low = self._coasting
        if not self._short.after(seconds):
            runtime_low = None
        energy = self._energy or LEAST_ENERGY
        return coast(reading, seconds, load=drain, capacity=energy, charge_low=low, runtime_low=runtime_low)


def _evidence(fresh: Mapping[str, object], numbers: frozenset[int]) -> Evidence:
    flag = fresh.get("prim_sm.island_flag")
    return Evidence(flag if isinstance(flag, int) else None, site.grid_side(fresh), faults.SWITCH_DEAF in numbers)


def _volts(voltages: tuple[float, float, float] | None) -> str:
    return "not told" if voltages is None else " ".join(f"{volts:.0f}" for volts in voltages) + " V"
