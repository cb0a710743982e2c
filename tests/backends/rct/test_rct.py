# SPDX-License-Identifier: GPL-2.0-or-later
"""The backend against the simulated inverter: what upsd would be told, poll by poll."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest

import nutdrv_py.backends.rct as backend_module
from nutdrv_py.backends.rct import Rct
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import CommandError, DeviceError
from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME, OBJECTS
from nutdrv_py.protocols.rct.payload import Kind, encode
from tests.backends.rct.conftest import home


async def test_a_house_on_the_grid_shows_every_variable_of_the_table() -> None:
    async with home(changes={"soc": 60, "load": 900, "pv": 0}) as house:
        reading = await house.poll()
        shown = house.shown(reading)
        assert shown["ups.status"] == "OL DISCHRG"
        expected = {
            "device.mfr": "RCT Power", "device.model": "PS 6.0 BA3L", "device.serial": "0065A4631487", "device.type": "ups",
            "ups.mfr": "RCT Power", "ups.id": "PS 6.0 BA3L", "ups.realpower.nominal": "6000", "ups.load": "15.0",
            "ups.realpower": "900.0", "battery.charge": "60", "battery.charge.low": "15", "battery.charge.warning": "25",
            "battery.charge.restart": "7", "battery.type": "LiFePO4", "battery.packs": "2", "input.phases": "3",
            "battery.charger.status": "discharging", "input.voltage.nominal": "230.0", "output.frequency.nominal": "50",
            "output.phases": "3", "experimental.outage.detection": "possible", "experimental.island.flag": "2",
            "input.transfer.low": "184.0", "input.transfer.high": "264.5",
        }  # fmt: skip
        assert {name: shown.get(name) for name in expected} == expected
        for name in (
            "ups.firmware", "ups.power", "ups.temperature", "battery.runtime", "battery.voltage", "battery.current",
            "battery.temperature", "battery.capacity", "battery.voltage.cell.min", "battery.voltage.cell.max",
            "battery.temperature.cell.max", "battery.date.maintenance", "input.L1-N.voltage", "input.L2-N.voltage",
            "input.L3-N.voltage", "input.L1-L2.voltage", "input.L1.realpower", "input.realpower", "input.frequency",
            "output.L1-N.voltage", "output.L1.realpower", "output.L1.power", "output.L1.current", "output.frequency",
            "experimental.battery.module.1.cells.voltage", "experimental.battery.module.2.serial", "experimental.pv.1.realpower",
        ):  # fmt: skip
            assert name in shown, name
        assert len(shown["experimental.battery.module.1.cells.voltage"].split()) == 24
        assert all(len(value) <= 255 for value in shown.values())
        assert float(shown["battery.current"]) < 0, "minus is discharging, whatever the firmware says"
        assert reading.raw["battery.soc"] == pytest.approx(0.6, abs=0.001)


async def test_the_first_reading_already_has_the_variables_of_the_second() -> None:
    async with home() as house:
        first, second = await house.poll(), await house.poll()
        assert first.values.keys() == second.values.keys()


async def test_the_grid_and_the_charge_are_asked_first() -> None:
    async with home() as house:
        await house.poll()
        names = [request.name for request in house.sim.requests]
        assert names[0] == "prim_sm.island_flag"
        assert {"battery.soc", "g_sync.p_acc_lp", "rb485.u_l_grid[0]"} <= set(names[:14])


async def test_an_outage_is_told_at_the_second_poll_and_at_once() -> None:
    async with home() as house:
        await house.poll()
        house.early.clear()
        house.sim.set(grid="outage")
        assert str((await house.poll()).status) == "OL DISCHRG"
        assert not house.early
        asked = len(house.sim.requests)
        reading = await house.poll()
        assert Status.OB in reading.status
        assert len(house.early) == 1 and Status.OB in house.early[0].status
        names = [request.name for request in list(house.sim.requests)[asked:]]
        assert names.index("battery.soc") > 4, "published before the charge was asked"
        shown = house.shown(reading)
        assert "Separated from the grid" in shown["input.transfer.reason"]
        assert "ups.alarm" not in shown
        assert float(shown["input.L1-N.voltage"]) < 50 and float(shown["output.L1-N.voltage"]) > 200
        assert shown["input.realpower"] == "0.0" and "input.L1-L2.voltage" not in shown


async def test_the_return_waits_for_the_inverter_and_ten_seconds_more() -> None:
    async with home(changes={"reclose_seconds": 60}) as house:
        await house.poll()
        house.sim.set(grid="outage")
        await house.polls(2)
        house.sim.set(grid="reclosing")
        found = await house.statuses(50)
        back = next(index for index, status in enumerate(found) if status.startswith("OL"))
        assert 35 <= back + 1 <= 37, "60 s of reclosing and 10 s of agreement, 2 s each poll"
        assert all(status.startswith("OB") for status in found[:back])
        assert all(status.startswith("OL") for status in found[back:])


@pytest.mark.parametrize(
    "override",
    [
        {"prim_sm.island_flag": 3},
        {"rb485.u_l_grid[0]": 0.0, "rb485.u_l_grid[1]": 0.0, "rb485.u_l_grid[2]": 0.0},
    ],
)
async def test_either_source_alone_makes_an_outage(override: dict[str, Any]) -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(override=override)
        await house.poll()
        assert Status.OB in (await house.poll()).status


@pytest.mark.parametrize(
    "override",
    [
        {"prim_sm.island_flag": 2},
        {"prim_sm.state": 5},
        {"power_mng.is_grid": False},
        {"rb485.u_l_grid[0]": 0.0},
        {"rb485.u_l_grid[0]": 0.0, "rb485.u_l_grid[1]": 0.0, "rb485.u_l_grid[2]": 0.0, "rb485.available": False},
        {"rb485.u_l_grid[0]": -1e9, "rb485.u_l_grid[1]": -1e9, "rb485.u_l_grid[2]": -1e9},
        {"rb485.u_l_grid[0]": b"\0\0", "rb485.u_l_grid[1]": b"\0\0", "rb485.u_l_grid[2]": b"\0\0"},
        {"prim_sm.island_flag": b"\x03"},
        {"g_sync.p_ac_grid_sum_lp": 0.0, "g_sync.p_acc_lp": 3000.0},
        {"rb485.u_l_grid[0]": 0.0, "rb485.u_l_grid[1]": 0.0, "rb485.u_l_grid[2]": 0.0, "fault[0].flt": 1 << 29},
        {"g_sync.u_l_rms[0]": 0.0, "g_sync.u_l_rms[1]": 0.0, "g_sync.u_l_rms[2]": 0.0},
    ],
)
async def test_nothing_else_makes_an_outage(override: dict[str, Any]) -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(override=override)
        for status in await house.statuses(5):
            assert status.startswith("OL") and "OFF" not in status


@pytest.mark.parametrize("lost", ["rb485.available", "rb485.u_l_grid[1]"])
async def test_an_answer_about_the_switch_that_is_lost_in_the_outage_does_not_hide_it(lost: str) -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(override={"prim_sm.island_flag": 2})
        house.sim.set(grid="outage")
        await house.poll()
        house.sim.set(mute=(lost,))
        assert Status.OB in (await house.poll()).status


async def test_one_wrong_answer_does_not_transfer() -> None:
    async with home() as house:
        await house.poll()
        for _ in range(5):
            house.sim.set(override={"prim_sm.island_flag": 3})
            assert Status.OL in (await house.poll()).status
            house.sim.set(override={"prim_sm.island_flag": None})
            assert Status.OL in (await house.poll()).status


async def test_a_start_in_an_outage_is_told_with_the_first_reading() -> None:
    async with home(changes={"grid": "outage"}) as house:
        assert Status.OB in (await house.poll()).status
        assert Status.OB in house.early[0].status


@pytest.mark.parametrize(("seen", "token"), [(True, "OB"), (False, "OL")])
async def test_a_restart_in_an_outage_that_only_the_switch_shows_needs_what_was_seen_before(seen: bool, token: str) -> None:
    dead = {"prim_sm.island_flag": 2, **{f"rb485.u_l_grid[{index}]": 0.0 for index in range(3)}}
    async with home() as house:
        await house.polls(2)
        kept = house.backend.seen
        assert kept
        house.sim.set(override=dead)
        backend = Rct(house.backend.config, house.clock)
        backend.seen = kept if seen else kept.replace(":", "1:")
        async with backend:
            for _ in range(3):
                house.clock.now += 2
                reading = await backend.poll()
        assert str(reading.status).split()[0] == token
        assert backend.seen == (kept if seen else "")


async def test_silence_is_no_status() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(silent=True)
        for _ in range(3):
            with pytest.raises(DeviceError, match="does not answer"):
                await house.poll()
        assert house.backend.line.opened is None, "the line may have locked up"
        with pytest.raises(DeviceError, match="does not answer"):
            await house.poll(1)
        house.sim.set(silent=False)
        assert Status.OL in (await house.poll(5)).status
        assert house.backend.line.counts.connections == 2


async def test_a_closed_connection_is_made_again_after_a_pause() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await house.poll()
        for pause in (5, 10, 20, 30, 60, 60):
            with pytest.raises(DeviceError, match=r"cannot be reached|closed"):
                await house.poll(pause - 1)
            with pytest.raises(DeviceError, match="cannot be reached"):
                await house.poll(1)
        house.sim.set(offline=False)
        assert Status.OL in (await house.poll(60)).status


async def test_off_the_grid_the_connection_is_tried_every_five_seconds() -> None:
    async with home(changes={"grid": "outage"}) as house:
        await house.poll()
        house.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await house.poll()
        for _ in range(6):
            with pytest.raises(DeviceError):
                await house.poll(5)
        house.sim.set(offline=False)
        assert Status.OB in (await house.poll(5)).status


async def test_after_a_reconnection_the_inventory_is_asked_again_behind_the_grid() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await house.poll()
        house.sim.set(offline=False)
        before = len(house.sim.requests)
        await house.poll(10)
        names = [request.name for request in list(house.sim.requests)[before:]]
        assert names[0] == "prim_sm.island_flag" and "inverter_sn" in names
        assert names.index("battery.soc") < names.index("inverter_sn")


# LB


async def test_low_battery_comes_at_the_islands_limit_and_a_margin_off_the_grid_only() -> None:
    async with home(changes={"soc": 15.4, "soc_min_island": 10, "soc_min": 7, "load": 300}) as house:
        reading = await house.poll()
        assert Status.LB not in reading.status
        house.sim.set(soc=9)
        assert Status.LB not in (await house.poll()).status, "on the grid a low charge is a normal resting point"
        house.sim.set(soc=15.4, grid="outage")
        await house.polls(2)
        house.sim.set(soc=14.9)
        reading = await house.poll()
        assert Status.OB | Status.LB in reading.status
        assert house.shown(reading)["battery.charge.low"] == "15"


@pytest.mark.parametrize(
    ("options", "low"),
    [
        ({}, "15"), ({"lowbatt": 40.0}, "40"), ({"charge_low_margin": 20.0}, "30"),
        ({"overrides": {"battery.charge.low": "33"}}, "33"), ({"defaults": {"battery.charge.low": "22"}}, "22"),
    ],
)  # fmt: skip
async def test_the_low_mark_can_be_chosen(options: dict[str, Any], low: str) -> None:
    async with home(changes={"soc": int(low) + 3, "soc_min_island": 10, "grid": "outage", "load": 300}, **options) as house:
        reading = await house.polls(2)
        assert Status.LB not in reading.status
        house.sim.set(soc=int(low) - 0.5)
        reading = await house.poll()
        assert Status.LB in reading.status
        assert house.shown(reading)["battery.charge.low"] == low


@pytest.mark.parametrize(
    "options",
    [{"lowbatt": 5.0}, {"lowbatt": 10.0}, {"charge_low_margin": 0.0}, {"overrides": {"battery.charge.low": "3"}}, {"defaults": {"battery.charge.low": "1"}}],
    ids=str,
)  # fmt: skip
async def test_a_mark_that_would_never_be_reached_is_that_above_the_inverters_limit(options: dict[str, Any]) -> None:
    """At its limit the inverter ends the island: a server that waits for less is not shut down in time."""
    async with home(changes={"soc": 12, "soc_min_island": 10, "grid": "outage", "load": 300}, **options) as house:
        assert Status.LB not in (await house.polls(2)).status
        house.sim.set(soc=11)
        assert Status.LB in (await house.polls(2)).status


async def test_upsrw_sets_the_low_mark_unless_lowbatt_fixes_it() -> None:
    async with home(changes={"soc": 45, "grid": "outage"}) as house:
        await house.polls(2)
        assert "battery.charge.low" in house.seen.marks(await house.poll()).writable
        house.seen.written["battery.charge.low"] = 50.0
        assert Status.LB in (await house.poll()).status
        with pytest.raises(CommandError):
            await house.backend.set("ups.id", "x")
    async with home(lowbatt=30.0) as house:
        assert not house.seen.marks(await house.poll()).writable


@pytest.mark.parametrize(
    "override",
    [{"battery.status2": 1 << 9}, {"battery.status2": 512 | 1 << 14}, {"battery.maximum_discharge_current": 0.0}, {"fault[3].flt": 1 << 10}],
)
async def test_what_the_battery_itself_says_makes_it_low_when_said_twice(override: dict[str, Any]) -> None:
    async with home(changes={"soc": 40, "grid": "outage"}) as house:
        await house.polls(3)
        house.sim.set(override=override)
        found = await house.statuses(10)
        assert not found[0].startswith("OB LB")
        assert found[-1].startswith("ALARM OB LB") or found[-1].startswith("OB LB")


@pytest.mark.parametrize(
    "override",
    [{"battery.status2": 1 << 9}, {"battery.maximum_discharge_current": 0.0}, {"fault[3].flt": 1 << 10}],
)
@pytest.mark.parametrize("silent", [False, True])
async def test_a_sign_of_emptiness_beside_a_high_charge_must_stay_for_two_minutes(override: dict[str, Any], silent: bool) -> None:
    """A 0 that an inverter says which has just started would shut servers down for nothing."""
    async with home(changes={"soc": 60, "grid": "outage"}) as house:
        await house.polls(3)
        if silent:
            house.clock.now += 40
        house.sim.set(override=override)
        assert not any("LB" in status for status in await house.statuses(55))
        assert "LB" in (await house.statuses(20))[-1]


@pytest.mark.parametrize("word", [-1, 0x7FFFFFFF, 0xFFFF, 1 << 14, 1 << 8 | 1 << 9])
async def test_a_status_word_that_no_battery_can_mean_makes_no_low_battery(word: int) -> None:
    async with home(changes={"soc": 40, "grid": "outage"}) as house:
        await house.polls(3)
        house.sim.set(override={"battery.status2": word, "battery.status": word})
        assert not any("LB" in status or "ALARM" in status for status in await house.statuses(20))


async def test_one_tower_that_is_empty_beside_one_whose_word_is_damage_is_not_low() -> None:
    async with home("second-tower", changes={"soc": 40, "grid": "outage"}) as house:
        await house.polls(3)
        house.sim.set(override={"battery.status2": 512 | 1 << 14, "battery_placeholder[0].status2": -1})
        assert not any("LB" in status for status in await house.statuses(20))
        house.sim.set(override={"battery_placeholder[0].status2": 512})
        assert "LB" in (await house.statuses(20))[-1]


async def test_a_permitted_current_of_0_while_no_charge_is_told_is_no_empty_battery_yet() -> None:
    changes = {"grid": "outage", "mute": ("battery.soc",), "override": {"battery.maximum_discharge_current": 0.0}}
    async with home(changes=changes) as house:
        assert not any("LB" in status for status in await house.statuses(30))


async def test_two_signs_of_emptiness_need_not_wait() -> None:
    async with home(changes={"soc": 60, "grid": "outage"}) as house:
        await house.polls(3)
        house.sim.set(override={"battery.status2": 1 << 9, "battery.maximum_discharge_current": 0.0})
        assert "LB" in (await house.statuses(12))[-1]


POWERS = ("battery.soc", "g_sync.p_acc_lp", "g_sync.p_ac_load_sum_lp", "g_sync.p_ac_sum_lp", "g_sync.s_ac_lp[0]")


@pytest.mark.parametrize("before", ["on", "outage"])
async def test_while_only_the_flag_is_answered_the_battery_loses_what_the_house_last_took(before: str) -> None:
    async with home(changes={"soc": 60, "load": 3000, "pv": 0, "grid": before}) as house:
        await house.polls(4)
        house.sim.set(grid="outage")
        await house.polls(3)
        house.sim.set(mute=POWERS, override={"battery.maximum_discharge_current": 25.0})
        for _ in range(80):
            reading = await house.poll(30)
            if Status.LB in reading.status:
                break
        true = house.sim.value("battery.soc") * 100
        assert Status.LB in reading.status
        assert float(reading.values["battery.charge"]) == pytest.approx(true, abs=6)


async def test_a_charge_that_stands_still_while_kilowatts_are_drawn_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    async with home(changes={"soc": 26.5, "load": 3600, "pv": 0, "grid": "outage"}) as house:
        await house.polls(3)
        assert house.backend._house._battery._house._still._drawn < 1, "nothing was drawn before the start"
        house.sim.set(override={"battery.soc": 0.265})
        while Status.LB not in (await house.poll()).status:
            assert house.sim.value("battery.soc") > 0.135, "LB must come before the battery is empty"
        assert sum("does not fall" in record.getMessage() for record in caplog.records) == 1


async def test_the_size_of_the_battery_is_that_of_all_modules_within_seconds_of_the_start() -> None:
    async with home(changes={"soc": 60, "load": 900, "pv": 0}) as house:
        assert house.shown(await house.polls(5))["experimental.battery.energy.capacity"] == "3763"


@pytest.mark.parametrize("flag", [0xFFFF, 0x0005, 0x8003])
async def test_a_flag_with_unknown_bits_says_nothing_and_is_said_once(flag: int, caplog: pytest.LogCaptureFixture) -> None:
    async with home() as house:
        await house.polls(2)
        house.sim.set(override={"prim_sm.island_flag": flag})
        assert not any("OB" in status for status in await house.statuses(10))
        assert sum(f"{flag:#06x}" in record.getMessage() for record in caplog.records) == 1
        house.sim.set(override={"prim_sm.island_flag": None}, grid="outage")
        assert Status.OB in (await house.polls(3)).status


async def test_fault_registers_of_all_ones_are_no_faults() -> None:
    async with home(changes={"override": {f"fault[{index}].flt": 0xFFFFFFFF for index in range(4)}}) as house:
        reading = await house.polls(10)
        assert not reading.alarms and Status.RB not in reading.status


@pytest.mark.parametrize("limit", [1.0, 0.95, 0.6])
async def test_a_limit_of_the_island_that_jumps_makes_no_low_battery_at_once(limit: float) -> None:
    async with home(changes={"soc": 55, "grid": "outage"}) as house:
        await house.polls(40)
        house.sim.set(override={"power_mng.soc_min_island": limit})
        assert not any("LB" in status for status in await house.statuses(55))
        stays = (await house.polls(200)).status
        assert (Status.LB in stays) is (limit == 0.6), "0.6 stayed and may be meant; a limit above 0.9 cannot be"


async def test_a_fault_in_one_part_of_the_reading_keeps_no_outage_from_upsd(monkeypatch: pytest.MonkeyPatch) -> None:
    async with home(changes={"soc": 50}) as house:
        await house.polls(2)
        for name in ("site.phase_values", "site.household_load", "storage.charge", "site.model", "storage.full_energy"):
            monkeypatch.setattr(f"nutdrv_py.backends.rct.{name}", lambda *args, **kwargs: 1 / 0)
        house.sim.set(grid="outage")
        assert Status.OB in (await house.polls(2)).status
        assert house.early and Status.OB in house.early[-1].status


@pytest.mark.parametrize("override", [{"battery.status2": 1 << 9}, {"battery.maximum_discharge_current": 0.0}])
async def test_a_sign_of_emptiness_that_shows_on_the_grid_with_a_full_battery_is_not_believed(override: dict[str, Any]) -> None:
    """Firmware that always says so would shut servers down at the beginning of each outage."""
    async with home(changes={"soc": 80}) as house:
        house.sim.set(override=override)
        await house.polls(10)
        house.sim.set(grid="outage")
        assert not any("LB" in status for status in await house.statuses(20))


async def test_a_low_runtime_makes_it_low_only_when_it_stays() -> None:
    options = {"defaults": {"battery.runtime.low": "1800"}}
    async with home(changes={"soc": 60, "grid": "outage", "load": 5000}, **options) as house:  # type: ignore[arg-type]
        found = await house.statuses(20)
        assert "LB" not in found[5]
        assert "LB" in found[-1]


async def test_a_charge_that_falls_as_no_battery_can_is_held_back() -> None:
    async with home(changes={"soc": 80, "grid": "outage"}) as house:
        await house.polls(2)
        house.sim.set(override={"battery.soc": 0.0})
        reading = await house.poll()
        assert Status.LB not in reading.status
        assert float(reading.values["battery.charge"]) > 75
        house.sim.set(override={"battery.soc": None})
        assert Status.LB not in (await house.poll()).status


async def test_a_charge_that_nobody_tells_is_counted_down_off_the_grid() -> None:
    async with home(changes={"soc": 20, "grid": "outage", "load": 5000}) as house:
        await house.polls(2)
        house.sim.set(mute=("battery.soc",), override={"battery.maximum_discharge_current": 25.0})
        polls = 0
        while Status.LB not in (await house.poll(5)).status:
            polls += 1
            assert house.sim.value("battery.soc") > 0.1, "LB must come before the battery is empty"
        assert 10 < polls < 100


async def test_coasting_counts_down_to_low_battery() -> None:
    async with home(changes={"soc": 17, "grid": "outage", "load": 4000}) as house:
        reading = await house.polls(3)
        assert Status.LB not in reading.status
        assert Status.LB not in house.seen.coast(reading, 5).status
        later = house.seen.coast(reading, 300)
        assert Status.OB | Status.LB in later.status
        assert float(later.values["battery.runtime"]) < float(reading.values["battery.runtime"])


async def test_coasting_on_the_grid_changes_nothing() -> None:
    async with home(changes={"soc": 9}) as house:
        reading = await house.poll()
        assert house.seen.coast(reading, 50) == reading


SLEEPING: dict[str, Any] = {
    "battery.bms_sn": "", "battery.voltage": 0.0, "battery.soc": 0.0, "power_mng.u_acc_mix_lp": 0.0, "battery.ah_capacity": 0.0,
    "battery.module_sn[0]": "", "battery.module_sn[1]": "", "battery.maximum_discharge_current": 0.0, "battery.status2": 1,
}  # fmt: skip


async def test_a_battery_that_sleeps_at_the_start_is_low_in_time_when_it_is_awake() -> None:
    async with home(changes={"soc": 30, "override": SLEEPING}) as house:
        await house.polls(5)
        house.sim.set(override=dict.fromkeys(SLEEPING), grid="outage")
        assert Status.LB not in (await house.polls(10)).status
        house.sim.set(soc=12)
        assert Status.LB in (await house.polls(8)).status


async def test_one_answer_that_there_is_no_battery_is_not_believed_against_its_charge() -> None:
    async with home(changes={"soc": 30, "override": {"power_mng.battery_type": 5}}) as house:
        assert "battery.charge" in (await house.polls(5)).values
        house.sim.set(grid="outage", soc=12)
        assert Status.LB in (await house.polls(8)).status


async def test_two_batteries_of_which_one_is_not_there_are_one() -> None:
    nothing = {"battery_placeholder[0].bms_sn": "", "battery_placeholder[0].ah_capacity": 0.0, "battery_placeholder[0].soc": 0.0}
    async with home(changes={"soc": 28, "grid": "outage", "override": nothing}) as house:
        reading = await house.polls(3)
        assert Status.LB not in reading.status
        assert round(float(reading.values["battery.charge"])) == 28


async def test_a_second_tower_that_says_0_when_it_appears_is_not_half_of_the_charge_until_it_has_stayed() -> None:
    async with home("second-tower", changes={"soc": 25, "soc2": 0, "grid": "outage"}) as house:
        assert not any("LB" in status for status in await house.statuses(50))
        assert "LB" in (await house.statuses(25))[-1]


async def test_a_second_tower_that_falls_silent_in_an_outage_does_not_raise_the_charge() -> None:
    async with home("second-tower", changes={"soc": 60, "soc2": 20, "grid": "outage"}) as house:
        before = float(house.shown(await house.polls(3))["battery.charge"])
        house.sim.set(mute=("battery_placeholder[0].soc",))
        after = float(house.shown(await house.polls(20))["battery.charge"])
        assert before - 2 < after <= before


async def test_a_second_tower_that_does_not_tell_its_charge_does_not_hide_the_first() -> None:
    async with home("second-tower", changes={"soc": 12, "soc2": 12, "grid": "outage", "mute": ("battery_placeholder[0].soc",)}) as house:
        assert Status.LB in (await house.polls(3)).status


@pytest.mark.parametrize("override", [{"battery.maximum_discharge_current": 0.0}, {"battery.status2": 1 << 9}, {"battery.status2": -1}])
async def test_what_a_resting_battery_says_on_the_grid_does_not_make_it_low_at_the_transfer(override: dict[str, Any]) -> None:
    async with home(changes={"soc": 40, "override": override}) as house:
        await house.polls(20)
        house.sim.set(grid="outage", override=dict.fromkeys(override))
        assert not any("LB" in status for status in await house.statuses(10))
        assert not any(Status.LB in reading.status for reading in house.early)


async def test_a_charge_that_corrects_itself_in_the_island_is_believed_within_seconds() -> None:
    async with home(changes={"soc": 32, "grid": "outage"}) as house:
        await house.polls(5)
        house.sim.set(soc=12)
        found = await house.statuses(10)
        assert "LB" not in found[0]
        assert "LB" in found[7]


async def test_a_runtime_that_was_short_on_the_grid_counts_anew_in_the_outage() -> None:
    options = {"defaults": {"battery.runtime.low": "3600"}}
    async with home(changes={"soc": 50, "load": 4000}, **options) as house:  # type: ignore[arg-type]
        await house.polls(30)
        house.sim.set(grid="outage")
        found = await house.statuses(20)
        first = next(index for index, status in enumerate(found) if status.startswith("OB"))
        assert "LB" not in found[first + 5]
        assert "LB" in found[-1]


# Other tokens


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"pv": 4000, "load": 500, "soc": 50}, "OL CHRG"),
        ({"pv": 0, "load": 800, "soc": 50}, "OL DISCHRG"),
        ({"pv": 560, "load": 500, "soc": 50}, "OL"),
        ({"grid": "outage", "pv": 4000, "load": 500, "soc": 50}, "OB CHRG"),
        ({"grid": "outage", "pv": 0, "load": 800, "soc": 50}, "OB DISCHRG"),
    ],
)
async def test_charging_and_discharging(changes: dict[str, Any], status: str) -> None:
    async with home(changes=changes) as house:
        assert (await house.statuses(3))[-1] == status


async def test_a_calibration_shows_in_words_and_never_as_cal() -> None:
    """upsmon ignores OB LB of a UPS that calibrates, and 2.8.1 keeps CAL for ever: stale data days later would be a shutdown."""
    async with home(changes={"calibration": "low", "soc": 50}) as house:
        reading = await house.polls(8)
        assert "calibrating at low voltage" in str(reading.values["battery.status"])
        house.sim.set(grid="outage", override={"battery.status2": 1 << 10})
        found = [str(reading.status), *await house.statuses(4)]
        assert not any("CAL" in status for status in found)
        assert any(status.startswith("OB") for status in found)


async def test_too_much_load_shows_off_the_grid_only() -> None:
    async with home(changes={"load": 9000, "soc": 90}) as house:
        reading = await house.poll()
        assert Status.OVER not in reading.status
        assert house.shown(reading)["ups.load"] == "150.0"
        house.sim.set(grid="outage", load=5000)
        assert Status.OVER not in (await house.polls(3)).status
        house.sim.set(override={f"g_sync.s_ac_lp[{index}]": 2100.0 if index else 100.0 for index in range(3)})
        reading = await house.polls(6)
        assert Status.OVER in reading.status, "one phase carries more than a third of the nominal power"
        assert house.shown(reading)["ups.load"] == "105.0"


@pytest.mark.parametrize("override", [{"battery.soh": 0.5}, {"battery.status2": 1 << 12}, {"fault[2].flt": 1 << 21}, {"fault[3].flt": 1 << 18}])
async def test_a_worn_or_broken_battery_asks_for_its_replacement(override: dict[str, Any]) -> None:
    async with home() as house:
        house.sim.set(override=override)
        assert Status.RB in (await house.polls(8)).status


@pytest.mark.parametrize("soh", [0.0, 1.0, 0.9])
async def test_a_state_of_health_that_is_not_told_is_no_reason(soh: float) -> None:
    async with home() as house:
        house.sim.set(override={"battery.soh": soh})
        assert Status.RB not in (await house.polls(3)).status


async def test_faults_are_alarms_after_two_answers_and_go_with_them() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(override={"fault[0].flt": 1 << 25, "fault[2].flt": 1 << 26, "fault[3].flt": 1 << 19})
        readings = [await house.poll() for _ in range(12)]
        assert readings[0].alarms == ()
        assert readings[-1].alarms == ("Insulation",), "the grid's bits and notes are no alarms"
        assert house.shown(readings[-1])["ups.status"].startswith("ALARM OL")
        house.sim.set(override={"fault[0].flt": 0})
        assert (await house.polls(8)).alarms == ()


async def test_the_output_is_off_when_both_sides_of_the_switch_have_been_dead_for_a_minute() -> None:
    async with home(changes={"grid": "outage"}) as house:
        await house.polls(2)
        house.sim.set(override={f"g_sync.u_l_rms[{index}]": 0.0 for index in range(3)})
        found = await house.statuses(35)
        assert "OFF" not in found[20]
        assert "OFF" in found[-1] and found[-1].startswith("OB")


async def test_an_inverter_that_rests_at_night_is_not_off() -> None:
    async with home("night") as house:
        house.sim.set(override={f"g_sync.u_l_rms[{index}]": 0.0 for index in range(3)})
        for status in await house.statuses(40):
            assert status.startswith("OL") and "OFF" not in status and "LB" not in status


# What there is


async def test_without_a_power_switch_it_says_once_that_it_cannot_see_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    async with home(changes={"switch": False}) as house:
        with caplog.at_level(logging.INFO, "nutdrv_py"):
            reading = await house.polls(5)
        shown = house.shown(reading)
        assert shown["experimental.outage.detection"].startswith("impossible")
        assert sum("CANNOT REPORT AN OUTAGE" in record.message for record in caplog.records) == 1
        assert shown["ups.status"].startswith("OL")
        assert float(shown["input.L1-N.voltage"]) > 200, "the inverter's own measurement"
        house.sim.set(grid="outage")
        with pytest.raises(DeviceError):
            await house.poll()


async def test_an_inverter_without_a_battery_has_no_battery_variables() -> None:
    async with home("no-battery") as house:
        reading = await house.polls(2)
        assert not [name for name in reading.values if name.startswith("battery.")]
        assert str(reading.status) == "OL"
        assert house.asked("battery.soc") <= 2


async def test_two_towers_are_one_charge_by_what_they_hold() -> None:
    async with home("second-tower", changes={"soc": 80, "soc2": 40}) as house:
        reading = await house.poll()
        assert 55 < float(reading.values["battery.charge"]) < 65
        assert house.shown(reading)["experimental.battery.2.charge"] == "40.0"
        capacity = float(reading.values["experimental.battery.energy.capacity"])
    async with home() as alone:
        single = float((await alone.poll()).values["experimental.battery.energy.capacity"])
    assert capacity > 1.8 * single


async def test_another_inverter_behind_the_address_is_noticed() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await house.poll()
        house.sim.set(offline=False, override={"inverter_sn": "ANOTHER"})
        assert house.shown(await house.poll(10))["ups.serial"] == "ANOTHER"
        with pytest.raises(DeviceError, match="another inverter answers"):
            await house.poll()
        assert house.shown(await house.poll())["ups.serial"] == "ANOTHER"


async def test_values_that_are_not_answered_any_more_are_withdrawn() -> None:
    async with home() as house:
        assert "battery.temperature" in (await house.poll()).values
        house.sim.set(mute=("battery.temperature",))
        assert "battery.temperature" not in (await house.polls(120)).values


async def test_the_grid_not_being_answered_is_a_failure_although_the_rest_is() -> None:
    async with home() as house:
        await house.poll()
        mute = ("prim_sm.island_flag", *(f"rb485.u_l_grid[{index}]" for index in range(3)))
        house.sim.set(mute=mute)
        failures = 0
        for _ in range(12):
            try:
                await house.poll()
            except DeviceError as error:
                assert "island_flag" in str(error)
                failures += 1
        assert failures >= 4


# The line


QUIRKS: list[dict[str, Any]] = [
    {"echo": True}, {"foreign": True}, {"modem": True}, {"long_lies": True}, {"raw_crc": True}, {"garbage_after_nul": True},
    {"pieces": True}, {"lead_zero": False}, {"escape_crc_only": True},
    {"drop": 0.1}, {"corrupt": 0.1}, {"truncate": 0.1}, {"cut": 0.1}, {"collide": 0.1},
]  # fmt: skip


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: next(iter(quirk)))
async def test_the_line_may_do_what_it_likes(quirk: dict[str, Any]) -> None:
    async with home(changes={"soc": 60, "load": 900, "pv": 0, **quirk}) as house:
        for _ in range(8):
            reading = await house.poll()
            assert str(reading.status) == "OL DISCHRG"
            assert abs(float(reading.values["battery.charge"]) - 60) < 0.5
        assert house.shown(reading)["ups.serial"] == "0065A4631487"
        house.sim.set(grid="outage")
        assert Status.OB in (await house.polls(3)).status


async def test_an_inverter_that_sleeps_is_woken_after_a_while_or_at_once_by_option() -> None:
    async with home("asleep") as house:
        failures = 0
        for _ in range(6):
            try:
                await house.poll()
                break
            except DeviceError:
                failures += 1
        assert 2 <= failures <= 4
        house.sim.set(offline=True)
        with pytest.raises(DeviceError):
            await house.poll()
        house.sim.set(offline=False)
        assert Status.OL in (await house.poll(10)).status, "it is known now"
    async with home("asleep", wakeup=True) as house:
        await house.poll()


async def test_a_firmware_update_is_left_alone() -> None:
    async with home(changes={"bootloader": True}) as house:
        with pytest.raises(DeviceError):
            await house.poll()
        await asyncio.sleep(0.6)
        with pytest.raises(DeviceError, match="firmware"):
            await house.poll()
        asked = len(house.sim.requests)
        for _ in range(5):
            with pytest.raises(DeviceError, match="firmware"):
                await house.poll(50)
        await asyncio.sleep(0.05)
        assert len(house.sim.requests) == asked and house.sim.clients == 0


async def test_it_is_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with home("demo") as house:
        await house.polls(10)
        assert {request.command.name for request in house.sim.requests} == {"READ"}
        assert not house.backend.commands
        with pytest.raises(CommandError, match="shutdown not supported"):
            await house.backend.shutdown()


async def test_at_its_defaults_the_line_carries_less_than_ten_requests_a_second() -> None:
    async with home("second-tower") as house:
        await house.poll()
        before = len(house.sim.requests)
        polls = 150
        await house.polls(polls)
        rate = (len(house.sim.requests) - before) / (polls * 2)
        assert rate < 10, f"{rate:.1f} requests a second"


async def test_an_inverter_that_answers_only_others_is_connected_anew() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(mute=tuple(row.name for row in OBJECTS))
        answer = build(Command.RESPONSE, BY_NAME["battery.temperature"].oid, encode(Kind.FLOAT, 21.0))
        for _ in range(4):
            house.sim.broadcast(answer)
            with pytest.raises(DeviceError):
                await house.poll()
        house.sim.set(mute=())
        assert Status.OL in (await house.poll(10)).status
        assert house.backend.line.counts.connections == 2


async def test_answers_that_come_late_are_answers() -> None:
    async with home() as house:
        await house.poll()
        asked = len(house.sim.requests)
        house.sim.set(delay=0.06)
        for _ in range(5):
            assert Status.OL in (await house.poll()).status
        assert len(house.sim.requests) - asked < 200


async def test_what_is_answered_while_the_grid_is_not_told_is_there_for_exporters_and_makes_no_reading() -> None:
    async with home(changes={"switch": False, "mute": ("prim_sm.island_flag",), "soc": 60}) as house:
        for _ in range(40):
            with pytest.raises(DeviceError):
                await house.poll()
        answers = house.backend.answers
        assert answers is not None
        assert answers.raw["battery.soc"] == pytest.approx(0.6, abs=0.01)
        assert {"g_sync.p_ac_load_sum_lp", "inverter_sn", "db.core_temp", "energy.e_ac_total"} <= answers.raw.keys()
        assert answers.raw_times["battery.soc"] > house.clock.now - 5
        assert house.backend.line.counts.connections == 1, "it is no locked line"
        assert not house.early
        house.sim.set(silent=True)
        with pytest.raises(DeviceError):
            await house.poll()
        assert house.backend.answers is None, "nothing old is exported"
        house.sim.set(silent=False, mute=())
        assert Status.OL in (await house.poll()).status
        assert house.backend.answers is None


async def test_a_grid_that_is_told_no_more_is_asked_on_a_new_connection_at_last() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(mute=("prim_sm.island_flag", "rb485.available", *(f"rb485.u_l_grid[{n}]" for n in range(3))))
        for _ in range(45):
            with pytest.raises(DeviceError):
                await house.poll(6)
        assert house.backend.line.counts.connections > 2
        house.sim.set(mute=())
        await house.polls(1, 61)


@pytest.mark.parametrize("kept", [{}, {"prim_sm.island_flag": 2}], ids=["by the flag", "by the switch alone"])
async def test_on_a_slow_line_the_grid_and_the_charge_come_first(kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a poll for each answer, as 0.4 s in polls of 2 s: asked for everything, the outage came after 13 s."""
    monkeypatch.setattr(backend_module, "LEAST", 0.0)
    async with home(changes={"soc": 60, "load": 900, "pv": 0, "delay": 0.03}, pollinterval=0.15) as house:
        await house.polls(2)
        asked = len(house.sim.requests)
        assert str((await house.polls(4)).status) == "OL DISCHRG"
        assert house.asked("battery.soc") >= 5
        requests = [request.name for request in list(house.sim.requests)[asked:]]
        assert requests[:3] == ["prim_sm.island_flag", "rb485.u_l_grid[0]", "battery.soc"]
        assert len(requests) <= 4 * 5, "a poll ends before the next one is due"
        house.sim.set(grid="outage", override=kept)
        house.early.clear()
        asked = len(house.sim.requests)
        published: list[int] = []
        before = house.backend.publish
        house.backend.publish = lambda reading: (published.append(len(house.sim.requests)), before(reading))[1]
        assert Status.OL in (await house.poll()).status
        reading = await house.poll()
        assert Status.OB in house.early[0].status and Status.OB in reading.status
        assert published[0] - asked <= 14, "two polls, and nothing beside what decides"
        shown = house.shown(reading)
        assert all(float(shown[f"input.L{line}-N.voltage"]) < 50 for line in (1, 2, 3)), "none from before the outage"
        house.sim.set(soc=14, grid="outage")
        assert "LB" in (await house.statuses(12))[-1]
        house.sim.set(grid="on", override=dict.fromkeys(kept))
        assert Status.OL in (await house.polls(25)).status


async def test_answers_that_are_lost_do_not_make_the_line_slow() -> None:
    async with home(changes={"drop": 0.1}) as house:
        await house.polls(6)
        assert house.backend.line.pace < 0.06


async def test_a_request_whose_checksum_must_not_be_escaped_is_found_out() -> None:
    async with home(changes={"escape_crc_only": True}) as house:
        await house.poll()
        house.clock.now += 700
        await house.polls(3)
        assert "power_mng.battery_type" in house.backend.line.values
        assert "g_sync.i_dr_eff[0]" in house.backend.line.values


async def test_one_stray_call_of_the_bootloader_is_nothing() -> None:
    async with home() as house:
        await house.poll()
        house.sim.broadcast(bytes.fromhex("50f705ab"))
        await house.polls(3)
        house.sim.set(silent=True)
        with pytest.raises(DeviceError, match="does not answer"):
            await house.poll()
        house.sim.set(silent=False)
        assert Status.OL in (await house.poll()).status


async def test_a_serial_number_that_was_cut_short_once_is_nothing() -> None:
    async with home() as house:
        await house.poll()
        house.sim.broadcast(build(Command.RESPONSE, BY_NAME["inverter_sn"].oid, b"0065"))
        for _ in range(5):
            assert Status.OL in (await house.poll()).status
        assert house.shown(await house.poll())["ups.serial"] == "0065A4631487"


async def test_a_switch_one_phase_of_which_is_never_told_leaves_the_flag() -> None:
    async with home(changes={"mute": ("rb485.u_l_grid[1]",)}) as house:
        reading = await house.poll()
        assert reading.values["experimental.outage.detection"] == "possible: by the island flag alone"
        house.sim.set(grid="outage")
        assert Status.OB in (await house.polls(2)).status


async def test_a_reload_takes_over_what_can_change() -> None:
    async with home(changes={"soc": 45, "grid": "outage"}) as house:
        await house.polls(2)
        await house.backend.reload(dataclasses.replace(house.backend.config, lowbatt=60.0))
        assert Status.LB in (await house.poll()).status


async def test_silence_to_everything_puts_no_object_off() -> None:
    async with home() as house:
        await house.polls(3)
        house.sim.set(silent=True)
        for _ in range(2):
            with pytest.raises(DeviceError):
                await house.poll()
        house.sim.set(silent=False)
        assert not house.backend._schedule._failed
        await house.poll()
        assert house.asked("rb485.available") > 0


async def test_what_was_not_asked_is_not_said_to_be_unanswered() -> None:
    async with home() as house:
        await house.poll()
        house.sim.set(silent=True)
        answered = await house.backend.line.ask(OBJECTS[:100], tries=1)
        assert answered
        assert not any(answered.values())
        assert len(answered) < 50
