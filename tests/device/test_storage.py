# SPDX-License-Identifier: GPL-2.0-or-later
"""What every home battery shares: charger status, runtime, which charge to believe."""

from __future__ import annotations

import pytest

from nutdrv_py.device.reading import Status
from nutdrv_py.device.storage import (
    CONFIRMATION,
    LONGEST,
    ChargeFilter,
    Charger,
    Smoothed,
    battery_flow,
    charger_status,
    runtime,
)


def test_an_idle_battery_neither_charges_nor_discharges_and_the_status_does_not_chatter() -> None:
    charger = Charger()
    steps = [(24, ""), (-24, ""), (60, "DISCHRG"), (40, "DISCHRG"), (29, ""), (45, ""), (-51, "CHRG"), (-40, "CHRG"), (45, ""), (60, "DISCHRG")]
    for power, expected in steps:
        assert str(charger.update(power)) == expected, power
    assert charger.update(None) == Status(0)


def test_five_idle_packs_rest_although_together_they_draw_more_than_one_would() -> None:
    charger = Charger()
    assert [str(charger.update(watts, packs=5)) for watts in (90, 120, 160, 130, 120)] == ["", "", "DISCHRG", "DISCHRG", ""]


@pytest.mark.parametrize(
    ("direction", "charge", "text"),
    [
        (Status.CHRG, 50, "charging"),
        (Status.DISCHRG, 50, "discharging"),
        (Status(0), 50, "resting"),
        (Status(0), 99, "floating"),
        (Status(0), None, "resting"),
    ],
)
def test_charger_status_uses_nuts_words(direction: Status, charge: float | None, text: str) -> None:
    assert charger_status(direction, charge) == text


@pytest.mark.parametrize(
    ("energy", "load", "seconds"),
    [(1000, 500, 7200), (0, 500, 0), (-5, 500, 0), (1000, 29, None), (1e6, 31, LONGEST), (1000, 0, None)],
)
def test_runtime_is_energy_by_load_and_silent_when_the_load_is_noise(energy: float, load: float, seconds: int | None) -> None:
    assert runtime(energy, load) == seconds


def test_a_charge_that_falls_faster_than_a_battery_can_must_stay_before_it_is_believed() -> None:
    """A gateway that has just started answers 0 %: that must not shut a server down."""
    charge = ChargeFilter()
    assert charge.update(80, 0) == 80
    assert charge.update(0, 5) == 80
    assert charge.suspicious
    assert charge.update(79, 10) == 79
    for at in (20, 70, 120):
        assert charge.update(0, at) == 79
    assert charge.update(0, 20 + CONFIRMATION) == 0


def test_one_zero_before_a_restart_and_one_after_it_are_not_a_minute_of_zeros() -> None:
    charge = ChargeFilter()
    charge.update(80, 0)
    assert charge.update(0, 5) == 80
    for at in range(70, 180, 10):
        assert charge.update(0, at) == 80


def test_after_a_long_silence_a_much_lower_charge_is_believed_but_not_a_zero() -> None:
    charge = ChargeFilter()
    charge.update(60, 0)
    assert charge.update(12, 3600) == 12
    charge.update(60, 3700)
    assert charge.update(0, 9000) == 60


def test_a_charge_that_falls_as_batteries_do_is_believed_at_once() -> None:
    charge = ChargeFilter()
    assert [charge.update(value, at) for at, value in enumerate((30.0, 25.0, 21.0, 15.0))] == [30, 25, 21, 15]


def test_a_kettle_does_not_halve_the_runtime() -> None:
    load = Smoothed()
    load.update(500, 0)
    for second in range(5, 30, 5):
        load.update(500, second)
    assert load.update(2500, 30) < 700
    for second in range(35, 400, 5):
        average = load.update(2500, second)
    assert average > 2480


@pytest.mark.parametrize(
    ("watts", "status", "charger", "way"),
    [
        (36, "OL", "resting", 0),
        (-36, "OL", "floating", 0),
        (36, "OB DISCHRG", "discharging", 1),
        (0, "OL CHRG", None, -1),
        (3000, "OL", None, 1),
        (-3000, "OL", None, -1),
        (9, "OL", None, 0),
    ],
)
def test_the_battery_flows_as_the_status_says_and_by_its_power_only_where_nothing_says_it(watts: float, status: str, charger: str | None, way: int) -> None:
    assert battery_flow(watts, Status.parse(status)[0], charger) == way
