# SPDX-License-Identifier: GPL-2.0-or-later
"""What is there, and what is asked when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from nutdrv_py.backends.rct.inventory import Inventory, Schedule, discover
from nutdrv_py.protocols.rct.objects import BY_NAME, OBJECTS, Group, Part

SETTLE: dict[str, Any] = {"pollfreq": 60.0, "off_grid": False}
EVERYTHING = frozenset(Part)


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({}, None),
        ({"power_mng.battery_type": 5}, False),
        ({"power_mng.battery_type": 5, "battery.soc": 0.0}, False),
        ({"power_mng.battery_type": 5, "battery.soc": 0.4}, True),
        ({"power_mng.battery_type": 3}, True),
        ({"power_mng.battery_type": 0, "battery.bms_sn": "", "battery.voltage": 0.0, "battery.soc": 0.0}, True),
        ({"battery.bms_sn": "", "battery.voltage": 0.0, "battery.soc": 0.0}, None),
        ({"battery.soc": 0.4}, True),
    ],
)
def test_type_5_without_a_charge_is_no_battery_and_one_that_sleeps_is(values: dict[str, object], there: bool | None) -> None:
    assert discover(values).battery is there


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({}, None),
        ({"battery_placeholder[0].bms_sn": "456"}, True),
        ({"battery_placeholder[0].bms_sn": ""}, False),
        ({"battery_placeholder[0].bms_sn": "", "battery_placeholder[0].ah_capacity": 0.0}, False),
        ({"battery_placeholder[0].ah_capacity": 25.0}, True),
        ({"power_mng.n_batteries": 2, "battery_placeholder[0].bms_sn": ""}, False),
    ],
)
def test_a_second_tower_has_a_serial_number_or_a_capacity(values: dict[str, object], there: bool | None) -> None:
    assert discover(values).tower is there


def test_what_is_not_known_is_asked_where_it_may_matter_and_not_where_it_only_costs() -> None:
    unknown = Inventory().parts
    assert {Part.INVERTER, Part.SWITCH, Part.BATTERY} == unknown


def test_everything_that_was_found_is_asked() -> None:
    found = discover(
        {
            "rb485.available": True,
            "power_mng.battery_type": 3,
            "battery.bms_sn": "1",
            "battery_placeholder[0].ah_capacity": 25.0,
            "dc_conv.dc_conv_struct[0].enabled": True,
            "dc_conv.dc_conv_struct[1].enabled": False,
            "battery.module_sn[0]": "a",
            "battery.module_sn[1]": " ",
            "battery.module_sn[2]": "c",
        }
    )
    assert found.parts == {
        Part.INVERTER, Part.SWITCH, Part.BATTERY, Part.TOWER, Part.GENERATOR_A, Part.MODULE_0, Part.MODULE_2,
    }  # fmt: skip


def test_a_new_schedule_asks_who_it_is_before_the_slow_values() -> None:
    due = Schedule().due(EVERYTHING, 0.0)
    assert len(due) == sum(1 for row in OBJECTS if row.group not in (Group.GRID, Group.FAST))
    kinds = [row.group is Group.INVENTORY for row in due]
    assert kinds == sorted(kinds, reverse=True)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("fault[0].flt", 10), ("battery.temperature", 60), ("energy.e_ac_total", 300), ("inverter_sn", 3600)],
)
def test_each_group_is_asked_again_in_its_time(name: str, seconds: float) -> None:
    schedule = Schedule()
    row = BY_NAME[name]
    schedule.settle([row], {name: True}, 100.0, **SETTLE)
    assert row not in schedule.due(EVERYTHING, 100.0 + seconds - 0.1)
    assert row in schedule.due(EVERYTHING, 100.0 + seconds)


def test_off_the_grid_the_battery_management_is_asked_more_often() -> None:
    schedule = Schedule()
    row = BY_NAME["battery.status2"]
    schedule.settle([row], {row.name: True}, 100.0, pollfreq=60.0, off_grid=True)
    assert row in schedule.due(EVERYTHING, 104.0)


def test_an_object_that_firmware_does_not_know_is_asked_ever_more_seldom() -> None:
    schedule = Schedule()
    row = BY_NAME["battery.temperature"]
    now = 0.0
    for wait in (30, 60, 600, 3600, 3600):
        schedule.settle([row], {row.name: False}, now, **SETTLE)
        assert row not in schedule.due(EVERYTHING, now + wait - 1)
        now += wait
        assert row in schedule.due(EVERYTHING, now)


def test_an_object_that_was_answered_before_is_only_lost() -> None:
    schedule = Schedule()
    row = BY_NAME["battery.temperature"]
    schedule.settle([row], {row.name: True}, 0.0, **SETTLE)
    for now in (60.0, 120.0, 180.0, 240.0):
        schedule.settle([row], {row.name: False}, now, **SETTLE)
        assert row in schedule.due(EVERYTHING, now + 30)


def test_the_grid_is_asked_in_every_poll_once_it_was_answered() -> None:
    schedule = Schedule()
    rows = schedule.quick(Group.GRID, EVERYTHING, 0.0)
    assert rows[0].name == "prim_sm.island_flag"
    schedule.settle(rows, {row.name: True for row in rows}, 0.0, **SETTLE)
    for now in range(1, 30):
        schedule.settle(rows, {row.name: False for row in rows}, float(now), **SETTLE)
        assert schedule.quick(Group.GRID, EVERYTHING, float(now)) == rows


def test_a_source_of_the_grid_that_never_answers_is_put_off_but_never_the_flag() -> None:
    schedule = Schedule()
    rows = schedule.quick(Group.GRID, EVERYTHING, 0.0)
    for now in range(4):
        assert schedule.quick(Group.GRID, EVERYTHING, float(now)) == rows
        schedule.settle(rows, {row.name: False for row in rows}, float(now), **SETTLE)
    assert [row.name for row in schedule.quick(Group.GRID, EVERYTHING, 4.0)] == ["prim_sm.island_flag"]
    assert schedule.quick(Group.GRID, EVERYTHING, 70.0) == rows


def test_a_new_connection_asks_everything_again() -> None:
    schedule = Schedule()
    rows = list(OBJECTS)
    schedule.settle(rows, {row.name: True for row in rows}, 0.0, **SETTLE)
    assert schedule.complete(EVERYTHING)
    assert not schedule.due(EVERYTHING, 1.0)
    schedule.restart()
    assert not schedule.complete(EVERYTHING)
    assert len(schedule.due(EVERYTHING, 1.0)) > 100


def test_what_was_not_begun_stays_due() -> None:
    schedule = Schedule()
    rows = schedule.due(EVERYTHING, 0.0)
    schedule.settle(rows, {rows[0].name: True}, 0.0, **SETTLE)
    assert schedule.due(EVERYTHING, 0.0) == rows[1:]


def test_on_a_line_with_one_answer_in_two_seconds_everything_has_its_turn_and_the_power_soon() -> None:
    schedule = Schedule()
    every = {Group.GRID: 2.0, Group.FAST: 2.0, Group.MEDIUM: 10.0, Group.SLOW: 60.0, Group.RARE: 300.0}
    asked: dict[str, list[float]] = {}
    for now in range(0, 3600, 2):
        row = schedule.urgent(EVERYTHING, float(now), every)[0]
        schedule.settle([row], {row.name: True}, float(now), **SETTLE)
        asked.setdefault(row.name, []).append(float(now))
    assert asked.keys() == {row.name for row in OBJECTS}
    gaps = [second - first for first, second in itertools.pairwise(asked["g_sync.p_acc_lp"])]
    assert max(gaps) <= 90


def test_in_the_daemon_what_rctmon_asks_every_ten_seconds_is_asked_so() -> None:
    schedule = Schedule()
    rows = [BY_NAME[name] for name in ("iso_struct.Riso", "g_sync.u_ptp_rms[1]", "rb485.f_wr[2]", "db.core_temp")]
    schedule.settle(rows, {row.name: True for row in rows}, 100.0, **SETTLE, brisk=True)
    assert {row.name for row in schedule.due(EVERYTHING, 110.0) if row in rows} == {row.name for row in rows[:3]}
    schedule.settle(rows, {row.name: True for row in rows}, 200.0, **SETTLE)
    assert not [row for row in schedule.due(EVERYTHING, 210.0) if row in rows]
