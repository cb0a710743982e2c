# SPDX-License-Identifier: GPL-2.0-or-later
"""The battery of a house, as a backend of a stranger uses it."""

from __future__ import annotations

import pytest

from nutdrv_py.device.house import Believed, HouseBattery
from nutdrv_py.device.reading import Status


def battery(now: float = 1000.0) -> HouseBattery:
    made = HouseBattery(now, 60)
    made.size.value = 5000.0
    return made


def look(made: HouseBattery, now: float, charge: float | None = 80, power: float | None = 700, *, off_grid: bool = True, at: float | None = None) -> Believed:
    return made.update(now, off_grid=off_grid, charge=charge, charge_at=at, power=power, load=700)


def test_charge_runtime_and_direction_follow_from_three_numbers() -> None:
    seen = look(battery(), 1000)
    assert seen.values == {
        "battery.charge": 80, "battery.runtime": int(0.8 * 5000 * 3600 / 700), "battery.charger.status": "discharging",
        "experimental.battery.energy.capacity": 5000,
    }  # fmt: skip
    assert seen.status == Status.DISCHRG
    assert (seen.decline.low, seen.decline.load, seen.decline.capacity) == (20, 700, 5000)


@pytest.mark.parametrize("charge", [0, 0.0])
def test_a_zero_at_the_start_is_no_charge(charge: float) -> None:
    assert look(battery(), 1000, charge).charge is None


def test_a_charge_that_falls_at_once_is_held_back_until_it_has_stayed() -> None:
    made = battery()
    look(made, 1000)
    assert look(made, 1005, 3).charge == 80
    for now in range(1010, 1140, 5):
        seen = look(made, now, 3)
    assert seen.charge == 3


def test_without_a_charge_it_falls_by_the_power_off_the_grid_and_goes_on_the_grid() -> None:
    made = battery()
    look(made, 1000)
    seen = look(made, 1900, None)
    assert seen.charge == pytest.approx(80 - 700 * 900 / 36 / 5000)
    made = battery()
    look(made, 1000, off_grid=False)
    assert look(made, 1500, None, off_grid=False).charge == 80
    assert look(made, 1700, None, off_grid=False).charge is None


def test_a_charge_that_is_not_told_any_more_and_cannot_be_counted_down_is_not_shown_for_ever() -> None:
    made = HouseBattery(1000, 60)
    look(made, 1000)
    assert look(made, 1500, None).charge == 80
    seen = look(made, 1700, None)
    assert (seen.charge, seen.decline.charge) == (None, None)
    assert look(made, 1705, 60).charge == 60


def test_an_old_charge_is_not_a_fresh_one() -> None:
    made = battery()
    look(made, 1000)
    assert look(made, 1900, 80, at=1000).charge is not None
    assert look(made, 1900, 80, at=1000).charge < 79  # type: ignore[operator]


def test_a_charge_that_stands_still_while_energy_is_drawn_is_not_believed_for_ever() -> None:
    made = battery()
    for now in range(1000, 4000, 10):
        seen = look(made, now, 80, 2000)
    assert seen.charge is not None
    assert seen.charge < 75


def test_nothing_is_made_up() -> None:
    seen = HouseBattery(0, 60).update(0, off_grid=True, charge=None)
    assert (seen.values, seen.charge, seen.runtime, seen.status) == ({}, None, None, Status(0))
    assert not seen.decline.measured


def test_the_low_mark_lies_above_the_devices_own_limit() -> None:
    made = battery()
    made.cutoff.update(30, 1000)
    assert look(made, 1000).decline.low == 35
    made.low.update(42, 1000)
    assert look(made, 1000).decline.low == 42
