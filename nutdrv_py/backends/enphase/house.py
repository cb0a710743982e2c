# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds readings of the house from the gateway's answers; keeps state between polls."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from nutdrv_py.backends.enphase import lines, meters, powers, site
from nutdrv_py.backends.enphase.charge import Charge, State
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.controller import Detection
from nutdrv_py.backends.enphase.site import Grid
from nutdrv_py.clock import Clock
from nutdrv_py.device.mapping import find, to_number, translate
from nutdrv_py.device.parts import Parts
from nutdrv_py.device.reading import Decline, Reading, Status, Value
from nutdrv_py.device.storage import Charger, Smoothed, charger_status, runtime
from nutdrv_py.errors import DeviceError
from nutdrv_py.log import log

__all__ = ["House"]

LOADKWH = 768
"""W per kWh of capacity that the batteries give where they do not report it: an IQ Battery 5P gives 3.84 kVA and holds 5 kWh."""

PACK_MISSING = 3600.0
"""Seconds a battery must be missing before RB asks for its replacement."""


CHARGING_AGE = 60.0
"""Maximum age in seconds of a battery's power that shows that a generator charges it."""


class House:
    """Turns payloads into a :class:`Reading`; keeps the grid's state, the batteries' and since when each holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.grid: Grid | None = None
        """The grid's state; None until the relay has reported it."""
        self._measured_in: Grid | None = None
        self._charger = Charger()
        self._charge = Charge()
        self._load = Smoothed()
        self._reason = "none since the start"
        self._started_on_generator = False
        self._bad_since: float | None = None
        self._moved_at = float("-inf")
        self._detection = Detection()
        self._parts = Parts()

    def transfer(self, state: Grid) -> None:
        """Note that the relay has moved: powers known so far were measured in the former state, until :meth:`settle`."""
        before, self.grid = self.grid, state
        self._moved_at = self._clock.monotonic() if before is not None else self._moved_at
        self._started_on_generator = before is None and state is Grid.GENERATOR
        if not state.on_grid:
            self._reason = site.TRANSFER_REASON[state]
            log.warning("The house is off the grid: %s", self._reason)
        elif before is not None:
            log.warning("The house is on the grid again")

    def settle(self) -> None:
        """Begin the average of the load anew: powers are measured in the present state from now on."""
        self._load.reset()
        self._measured_in = self.grid

    def reading(
        self,
        raw: Mapping[str, object],
        times: Mapping[str, float],
        options: EnphaseConfig,
        *,
        token_days: int | None,
        live_age: float | None,
        early: bool = False,
    ) -> Reading:
        """Return the reading of the payloads in ``raw``, each received at its time in ``times``.

        ``early`` when the relay has just moved and the powers are those from before: then they make neither LB nor OVER.
        """
        now = self._clock.monotonic()
        state = self.grid
        if state is None:
            raise DeviceError("the state of the grid is not known yet")
        do, nothing = self._parts.do, Status(0)
        status = Status.OL if state.on_grid else Status.OB
        measured_in = self._measured_in if self._measured_in is not None else state
        raw = do("meters", functools.partial(_metered, raw, times, measured_in), dict(raw))
        values = dict(_FIXED)
        do("fields", lambda: values.update(translate(site.FIELDS, raw)), None)
        power, source = do("storage", lambda: powers.storage(raw), _NO_POWER)
        load = do("load", lambda: powers.load(raw, measured_in), None)
        watts = load.watts if load is not None else None
        rated = do("rating", lambda: site.rated_power(raw), None)
        packs = do("packs", lambda: site.packs(raw), None)
        direction = do("charger", lambda: self._charger.update(power, packs.count if packs is not None else 1), nothing)
        most = self._charge.most
        seen = do(
            "charge",
            lambda: self._charge.update(
                _timed(find(raw, "livedata.meters"), times.get("livedata")),
                _timed(raw.get("secctrl"), times.get("secctrl")),
                on_grid=state.on_grid,
                # On the grid it is the load that the battery would have to carry, whatever it does now.
                drain=power if power is not None and not measured_in.on_grid else None if watts is None else min(watts, most),
                load=watts,
                now=now,
            ),
            State(decisive=self._charge.counted),
        )
        given = rated or (seen.capacity or 0.0) / 1000 * LOADKWH
        # A generator carries what the batteries cannot; then only what they give themselves counts.
        carried = power if state is Grid.GENERATOR else watts
        if not state.on_grid and not early and carried is not None and given and carried > given:
            status |= Status.OVER
        status |= direction | do("replacement", lambda: self._replace(packs, now), nothing)
        do("battery", lambda: values.update(self._battery(seen, direction, options, watts, now)), None)
        do("flow", lambda: values.update(_flow(raw, power, seen.capacity)), None)
        do("equipment", lambda: values.update(_equipment(packs, rated, site.acb_capacity(raw))), None)
        percent = do("percent", lambda: powers.load_percent(watts, given, seen.capacity, options.loadkwh), None)
        do("output", lambda: values.update(_output(raw, state, load, percent)), None)
        values["experimental.grid.state"] = state.value
        values["input.transfer.reason"] = self._reason
        observed = functools.partial(
            self._detection.update, raw, state, inventory_at=times.get("inventory"), moved_at=self._moved_at, now=now
        )
        values.update(do("observations", observed, dict[str, Value]()))
        if token_days is not None:
            values["experimental.token.days"] = token_days
        if live_age is not None and "livedata" in raw:
            values["experimental.livedata.age"] = max(0, round(live_age))
        decline = Decline(
            # While polls fail, the battery loses what the house uses; the sun may go at any time.
            load=max(self._charge.drain, min(watts or 0.0, self._charge.most)),
            measured=self._charge.measured,
            capacity=self._charge.size,
            charge=seen.decisive,
            falling=("battery.charge", _BACKUP_CHARGE),
            low=self._charge.low if seen.capacity or seen.decisive is not None else None,
            cutoff=self._charge.verylow,
            recharged=state is Grid.GENERATOR and self._recharged(direction, now - times.get(source, float("-inf")), early=early),
            by_runtime=not early,
        )
        return Reading(values, status, do("alarms", lambda: self._alarms(raw, packs), tuple[str, ...]()), raw, decline=decline)

    def _recharged(self, direction: Status, age: float, *, early: bool) -> bool:
        """Return whether the battery charges by a power of so many seconds.

        A driver that starts while a generator runs has only the relay's word at first, which must not make LB of a remembered
        charge: the first reading is believed, and the next one, some seconds later, decides.
        """
        if early:
            return self._started_on_generator
        return direction is Status.CHRG and age <= CHARGING_AGE

    def _battery(
        self, seen: State, direction: Status, options: EnphaseConfig, watts: float | None, now: float
    ) -> dict[str, Value]:
        """Return charge, runtime and what follows from them."""
        values: dict[str, Value] = {}
        if watts is not None:
            smooth = self._load.update(watts, now)
            if seen.energy is not None and seen.capacity:
                left = runtime(seen.energy - self._charge.verylow / 100 * seen.capacity, smooth)
                if left is not None:
                    values["battery.runtime"] = left
        if seen.charge is not None:
            values["battery.charge"] = round(seen.charge)
            highest = to_number(options.overrides.get("battery.voltage.high")) or site.HIGHEST_VOLTAGE
            values["battery.voltage"] = site.battery_voltage(seen.charge, highest)
            values["battery.charger.status"] = charger_status(direction, seen.charge)
        if seen.backup is not None:
            values[_BACKUP_CHARGE] = round(seen.backup)
        if seen.capacity:
            values["battery.capacity"] = seen.capacity / site.NOMINAL_VOLTAGE
            values["experimental.battery.energy.capacity"] = round(seen.capacity)
            values.update(_BATTERY_FIXED)
            if seen.energy is not None:
                values["experimental.battery.energy"] = round(seen.energy)
        return values

    def _replace(self, packs: site.Packs | None, now: float) -> Status:
        if packs is None or not packs.bad:
            self._bad_since = None
            return Status(0)
        self._bad_since = self._bad_since if self._bad_since is not None else now
        return Status.RB if now - self._bad_since > PACK_MISSING else Status(0)

    def _alarms(self, raw: Mapping[str, object], packs: site.Packs | None) -> tuple[str, ...]:
        """Return only the alarms that endanger the backup now: upsmon takes a UPS with an alarm that then goes silent for
        dead."""
        alarms: list[str] = []
        if find(raw, "secctrl.shutdown") is True:
            alarms.append("Battery system is shut down")
        if site.controller_lost(raw):
            alarms.append("System Controller does not communicate")
        if packs is not None and packs.count and packs.bad == packs.count:
            alarms.append("No battery is usable")
        return tuple(alarms)


def _metered(raw: Mapping[str, object], times: Mapping[str, float], state: Grid) -> dict[str, object]:
    found = meters.measured(meters.current(raw, times))
    return {**found, **meters.meters(found, state)}


def _flow(raw: Mapping[str, object], power: float | None, capacity: float | None) -> dict[str, Value]:
    """Return the battery's power and current."""
    if power is None or not (capacity or power):
        return {}
    values: dict[str, Value] = {"experimental.storage.realpower": power}
    amperes = lines.battery_current(raw, power, meters.phases(raw) or 1)
    if amperes is not None:
        values["battery.current"] = amperes
    return values


def _equipment(packs: site.Packs | None, rated: float | None, acb: float | None) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if acb is not None:
        values["experimental.battery.acb.capacity"] = round(acb)
    if packs is not None:
        values.update({"battery.packs": packs.count, "battery.packs.bad": packs.bad})
        if packs.temperature is not None:
            values["battery.temperature"] = packs.temperature
    if rated is not None:
        values["ups.realpower.nominal"] = rated
    return values


def _output(raw: Mapping[str, object], state: Grid, load: powers.Flow | None, percent: float | None) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if load is not None:
        values["ups.realpower"] = load.watts
        if percent is not None:
            values["ups.load"] = percent
    values.update(lines.phase_values(raw, state, meters.phases(raw) or 1, load))
    if "output.power" in values:
        values["ups.power"] = values["output.power"]
    return values


def _timed(payload: object, at: float | None) -> tuple[object, float] | None:
    return (payload, at) if payload is not None and at is not None else None


_NO_POWER: tuple[float | None, str] = (None, "")
_BACKUP_CHARGE = "experimental.battery.encharge.charge"

_FIXED: dict[str, Value] = {
    "ups.mfr": "Enphase Energy",
    "ups.model": "IQ Gateway",
    "device.type": "ups",
}
_BATTERY_FIXED: dict[str, Value] = {
    "battery.type": "LFP",
    "battery.voltage.nominal": site.NOMINAL_VOLTAGE,
    "battery.voltage.high": site.HIGHEST_VOLTAGE,
    "battery.voltage.low": site.LOWEST_VOLTAGE,
    "experimental.battery.voltage.source": "estimated from the charge",
}
