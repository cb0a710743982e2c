# SPDX-License-Identifier: GPL-2.0-or-later
"""Payloads whose numbers no house can have: each loses its value, none makes LB, and none hides the relay's word."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from nutdrv_py.backends.enphase import lines, meters, powers, site
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.house import House
from nutdrv_py.core import lowbattery
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Low, Wishes
from nutdrv_py.device.reading import Reading, Status
from tests.conftest import FakeClock

SECCTRL: dict[str, Any] = {
    "agg_soc": 60, "Max_energy": 10000, "ENC_agg_soc": 60, "ENC_agg_avail_energy": 6000, "Enc_max_available_capacity": 10000,
    "ACB_agg_soc": 0, "ACB_agg_energy": 0, "VLS_Limit": 10, "soc_recovery_exit": 15,
}  # fmt: skip
POWER: dict[str, Any] = {"devices:": [{"real_power_mw": 400_000}, {"real_power_mw": 400_000}]}
HUGE: tuple[object, ...] = (2147483647, -2147483648, 1e306, -1e306, 1e400, float("nan"), "1e306", 10**400, True, None, [], {}, "x")


class Outage:
    """A house in an outage at 60 %, polled every 5 s; ``secctrl`` and the powers are answered each minute, livedata never."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.house = House(self.clock)
        self.raw: dict[str, Any] = {"secctrl": dict(SECCTRL), "power": POWER}
        self.times: dict[str, float] = {}
        self.low = Low()
        self.house.transfer(site.Grid.OUTAGE)
        self.house.settle()

    def poll(self, seconds: float = 5) -> Reading:
        """Return the reading as it is served."""
        self.clock.now += seconds
        now = self.clock.monotonic()
        self.times = dict.fromkeys(self.raw, now - now % 60)
        config = EnphaseConfig(ups="home", port="gateway")
        reading, _ = guarded(self.house.reading(self.raw, self.times, config, token_days=30, live_age=None))
        self.low = lowbattery.after(self.low, reading, Wishes(), now, fresh=True)
        return reading


def story(change: dict[str, Any], polls: int = 24) -> tuple[bool, Reading]:
    """Return whether LB came within so many polls after the change, and the last reading; two minutes were well before."""
    outage = Outage()
    for _ in range(24):
        outage.poll()
    assert not outage.low.reasons
    outage.raw = {**outage.raw, **change}
    for _ in range(polls):
        reading = outage.poll()
    return bool(outage.low.reasons), reading


@pytest.mark.parametrize("value", HUGE)
def test_a_power_that_no_battery_has_makes_no_low_battery(value: object) -> None:
    low, reading = story({"power": {"devices:": [{"real_power_mw": value}, {"real_power_mw": 400_000}]}})
    assert not low
    assert Status.OB in reading.status


@pytest.mark.parametrize("key", ["Enc_max_available_capacity", "ENC_agg_avail_energy", "Max_energy", "VLS_Limit", "soc_recovery_exit"])
@pytest.mark.parametrize("value", [*HUGE, 0, 1, 95, 100, -5])
def test_a_size_or_a_limit_that_cannot_be_makes_no_low_battery(key: str, value: object) -> None:
    low, reading = story({"secctrl": {**SECCTRL, key: value}})
    assert not low
    assert Status.OB in reading.status
    assert 50 < float(reading.values["battery.charge"]) <= 60


@pytest.mark.parametrize("value", [*HUGE, 200_000, -200_000])
@pytest.mark.parametrize("report", ["production", "net-consumption", "total-consumption", "storage"])
def test_a_report_that_cannot_be_makes_no_low_battery(report: str, value: object) -> None:
    row = dict.fromkeys(("currW", "apprntPwr", "rmsCurrent", "rmsVoltage", "pwrFactor", "freqHz"), value)
    low, reading = story({"reports": [{"reportType": report, "cumulative": row, "lines": [row, row, row]}]})
    assert not low
    assert Status.OB in reading.status


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("block", ["storage", "load", "pv", "grid", "generator"])
def test_livedata_that_cannot_be_make_no_low_battery(block: str, value: object) -> None:
    live = {"connection": {"sc_stream": "enabled"}, "meters": {"soc": 60, "enc_agg_soc": 60, "enc_agg_energy": 6000, block: {"agg_p_mw": value}}}
    low, reading = story({"livedata": live})
    assert not low
    assert Status.OB in reading.status


@pytest.mark.parametrize("energy", HUGE)
def test_an_energy_that_cannot_be_costs_itself_alone(energy: object) -> None:
    live = {"meters": {"soc": 60, "enc_agg_soc": 60, "enc_agg_energy": energy, "load": {"agg_p_mw": 800_000}}}
    low, reading = story({"livedata": live})
    assert not low
    assert float(reading.values["battery.charge"]) == 60
    assert float(reading.values["ups.realpower"]) == 800


PARTS: dict[str, ModuleType] = {
    "measured": meters, "storage": powers, "load": powers, "rated_power": site, "packs": site, "phase_values": lines,
    "controller_lost": site, "load_percent": powers,
}  # fmt: skip


@pytest.mark.parametrize("broken", [*PARTS, None])
def test_a_fault_in_one_part_of_the_reading_keeps_no_outage_from_upsd(
    broken: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    for name in PARTS if broken is None else (broken,):
        monkeypatch.setattr(PARTS[name], name, lambda *args, **kwargs: 1 / 0)
    said = []
    for _ in range(3):
        reading = outage.poll()
        assert Status.OB in reading.status
        assert reading.values["battery.charge"] == 60
        said.append(sum("goes on without it" in record.getMessage() for record in caplog.records))
    assert said[0] > 0
    assert said[0] == said[2], "each fault is said once"


def test_a_charge_that_cannot_be_worked_out_falls_on(monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage()
    outage.poll()
    monkeypatch.setattr(outage.house._charge, "update", lambda *args, **kwargs: 1 / 0)
    reading = outage.poll()
    assert Status.OB in reading.status
    assert reading.decline is not None
    assert reading.decline.charge == pytest.approx(60, abs=1)
