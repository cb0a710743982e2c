# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of objects against the public registry."""

from __future__ import annotations

import pytest
from rctclient.registry import REGISTRY

from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID, OBJECTS, Group, Object
from nutdrv_py.protocols.rct.payload import decode
from nutdrv_py.protocols.rct.reader import FrameReader

PASSWORD = 0x14C0E627


@pytest.mark.parametrize("row", OBJECTS, ids=lambda row: row.name)
def test_a_row_agrees_with_the_registry(row: Object) -> None:
    known = REGISTRY.get_by_id(row.oid)
    assert (known.name, known.response_data_type.name) == (row.name, row.kind.value)
    known_unit = (known.unit or "").replace("°", "")
    # The registry calls ratios "%", and knows fewer units than we do.
    assert known_unit in ("", "%", row.unit)


def test_no_object_is_listed_twice() -> None:
    assert len(BY_OID) == len(BY_NAME) == len(OBJECTS)


def test_the_password_of_the_wireless_network_is_never_asked() -> None:
    assert PASSWORD not in BY_OID


def test_the_grid_and_the_charge_are_quick_to_ask() -> None:
    """Ten frames a second is what the bus carries; each poll of two seconds takes its share for the grid first."""
    quick = [row for row in OBJECTS if row.group in (Group.GRID, Group.FAST)]
    assert len(quick) <= 14
    assert {row.name for row in OBJECTS if row.group is Group.GRID} == {
        "prim_sm.island_flag", "rb485.available", "rb485.u_l_grid[0]", "rb485.u_l_grid[1]", "rb485.u_l_grid[2]",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("battery.soc", 0.5, True), ("battery.soc", 0.0, True), ("battery.soc", 1.0, True), ("battery.soc", 87.0, False),
        ("battery.soc", -0.1, False), ("rb485.u_l_grid[0]", 0.0, True), ("rb485.u_l_grid[0]", 232.7, True),
        ("rb485.u_l_grid[0]", 1e9, False), ("rb485.u_l_grid[0]", -0.01, True), ("rb485.u_l_grid[0]", -50.0, False), ("g_sync.p_acc_lp", -309.1, True),
        ("g_sync.p_acc_lp", 1e30, False), ("prim_sm.island_flag", 2, True), ("inverter_sn", "0065A4631487", True),
        ("energy.e_ac_month", -202.2, True), ("energy.e_ac_year", -1.5, True), ("energy.e_ac_total", -0.5, True),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_known_as_such(name: str, value: object, good: bool) -> None:
    assert BY_NAME[name].plausible(value) is good


def test_every_number_that_could_move_the_status_has_a_range() -> None:
    for row in OBJECTS:
        if row.group in (Group.GRID, Group.FAST) and row.kind.value in ("FLOAT", "UINT16"):
            assert row.low is not None and row.high is not None, row.name


def test_an_energy_below_zero_is_a_value() -> None:
    """Captured: what the inverter has taken for itself before it gave anything."""
    (frame,) = FrameReader().feed(bytes.fromhex("002b0508bd55905fc34a33c6d188"))
    row = BY_OID[frame.oid]
    value = decode(row.kind, frame.payload)
    assert (row.name, value) == ("energy.e_ac_day", pytest.approx(-202.2, abs=0.01))
    assert row.plausible(value)
