# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway's answers mean: pure, from tables written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given

from nutdrv_py.backends.enphase import controller, lines, meters, powers, site
from nutdrv_py.backends.enphase.site import Grid
from nutdrv_py.errors import DeviceError
from tests.device.test_mapping import json_values


def _relay(oper: object, admin: object = "closed", mode: object = "multimode-offgrid") -> dict[str, object]:
    return {"mains_oper_state": oper, "mains_admin_state": admin, "Enchg_grid_mode": mode}


@pytest.mark.parametrize(
    ("relay", "state"),
    [
        (_relay("closed", mode="multimode-ongrid"), Grid.ON_GRID),
        (_relay("closed", mode="unknown"), Grid.ON_GRID),
        (_relay("Closed"), Grid.ON_GRID),
        (_relay("open"), Grid.OUTAGE),
        (_relay("open synchronizing", "open"), Grid.ISLAND),
        (_relay("open synchronized", "open"), Grid.ISLAND),
        (_relay("open synchronized"), Grid.RECONNECTING),
        (_relay("open", mode="multimode-generator"), Grid.GENERATOR),
        ({"mains_oper_state": "open"}, Grid.OUTAGE),
        ({**_relay("open", mode="unknown"), "Solar_grid_mode": "multimode-generator"}, Grid.GENERATOR),
        ({**_relay("open", mode="multimode-offgrid"), "Solar_grid_mode": "multimode-generator"}, Grid.OUTAGE),
        ({**_relay("open", mode="unknown"), "Solar_grid_mode": "unknown"}, Grid.OUTAGE),
    ],
)
def test_outage_island_generator_and_reclosing_are_told_apart(relay: object, state: Grid) -> None:
    assert site.grid(relay) is state
    assert state.on_grid is (state is Grid.ON_GRID)


@pytest.mark.parametrize(
    "relay",
    [None, [], {}, "closed", _relay(None), _relay(""), _relay("unknown"), _relay(1), _relay("opened?"), _relay(["closed"]), _relay("not closed")],
)
def test_a_relay_that_does_not_say_is_a_failed_poll_and_no_status(relay: object) -> None:
    with pytest.raises(DeviceError, match="does not tell the state of the grid relay"):
        site.grid(relay)


INFO = b"""<?xml version='1.0'?><envoy_info><time>1</time><device><sn>122333444455</sn><pn>800-1-r1</pn>
<software>D8.3.1598</software></device><package name='rootfs'><pn>500</pn></package></envoy_info>"""


def test_the_gateway_introduces_itself() -> None:
    found = site.identity(INFO)
    assert (found.serial, found.part, found.software, found.major) == ("122333444455", "800-1-r1", "D8.3.1598", 8)
    assert site.Identity("1", "", "R4.10.35").major == 4
    assert site.Identity("1", "", "7.0.88").major == 7
    assert site.Identity("1", "", "").major is None


@pytest.mark.parametrize("document", [b"", b"<html>login</html>", b"<device><sn></sn></device>", b"\xff\xfe" * 50, b"<device>" * 10000])
def test_something_else_at_the_address_is_named(document: bytes) -> None:
    with pytest.raises(DeviceError, match="does not look like an Enphase gateway"):
        site.identity(document)


def _live(**meters: object) -> dict[str, object]:
    return {"livedata": {"meters": meters}}


def _watts(**powers: float) -> dict[str, object]:
    return _live(**{name: {"agg_p_mw": power * 1000} for name, power in powers.items()})


NO_METERS: dict[str, object] = {"meters": []}
METERS: dict[str, object] = {"meters": [{"state": "enabled", "measurementType": "net-consumption", "phaseCount": 1}]}

RESTING: dict[str, object] = {"power": {"devices:": [{"real_power_mw": 18000}]}}
NO_BATTERY: dict[str, object] = {"inventory": [], "secctrl": {"Max_energy": 0}}


@pytest.mark.parametrize(
    ("raw", "state", "watts"),
    [
        ({**_watts(load=734), **METERS}, Grid.ON_GRID, 734),
        ({**_watts(load=0), **METERS}, Grid.ON_GRID, 0),
        ({**_watts(load=734), **NO_METERS}, Grid.ON_GRID, None),
        (_watts(load=734), Grid.ON_GRID, 734),
        (_watts(load=0), Grid.ON_GRID, None),
        ({**_watts(load=734), **NO_METERS}, Grid.OUTAGE, 734),
        ({**_watts(load=0, storage=711, pv=20), **METERS}, Grid.OUTAGE, 731),
        ({**_watts(load=0, storage=-300, pv=900), **METERS}, Grid.ISLAND, 600),
        ({"power": {"devices:": [{"real_power_mw": 400000}, {"real_power_mw": 311000}]}}, Grid.OUTAGE, 711),
        ({"power": {"devices:": [{"real_power_mw": -400000}]}}, Grid.OUTAGE, None),
        ({}, Grid.OUTAGE, None),
        ({**METERS, **RESTING, "total": {"cumulative": {"currW": 500}}}, Grid.ON_GRID, 500),
        # Nothing tells whether a battery charges, and the total would count it.
        ({**METERS, "total": {"cumulative": {"currW": 500}}}, Grid.ON_GRID, None),
        ({**METERS, **NO_BATTERY, "total": {"cumulative": {"currW": 500}}}, Grid.ON_GRID, 500),
    ],
)
def test_the_load_comes_from_what_is_true_in_that_state(raw: dict[str, object], state: Grid, watts: float | None) -> None:
    flow = powers.load(raw, state)
    assert (flow.watts if flow is not None else None) == watts


@pytest.mark.parametrize(
    ("raw", "watts"),
    [
        (_watts(storage=-676), -676),
        ({"power": {"devices:": [{"real_power_mw": -1324000}, {"real_power_mw": -1316000}]}}, -2640),
        ({"power": {"devices:": []}, "storage": {"cumulative": {"currW": 711}}}, 711),
        ({"power": []}, None),
        ({}, None),
    ],
)
def test_storage_power_is_positive_when_the_battery_discharges(raw: dict[str, object], watts: float | None) -> None:
    assert powers.storage_power(raw) == watts


PACK = {"communicating": True, "dc_switch_off": False, "maxCellTemp": 30}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([PACK, {**PACK, "maxCellTemp": 33}], site.Packs(2, 0, 33)),
        ([PACK, {**PACK, "communicating": False}], site.Packs(2, 1, 30)),
        ([{**PACK, "dc_switch_off": True}], site.Packs(1, 1, 30)),
        ([{**PACK, "maxCellTemp": "unknown"}], site.Packs(1, 0, None)),
        ([], site.Packs(0, 0, None)),
    ],
)
def test_packs_are_counted(devices: list[object], expected: site.Packs) -> None:
    assert site.packs({"inventory": [{"type": "ENCHARGE", "devices": devices}]}) == expected
    assert site.packs({}) is None


@pytest.mark.parametrize(("charge", "volts"), [(100, 86.4), (96, 85.4), (92, 84.4), (89, 83.7), (46, 78.7), (39, 77.7), (20, 74.4), (15, 72.0), (0, 60.0)])
def test_the_voltage_estimate_is_enphase_monitors_curve(charge: float, volts: float) -> None:
    assert site.battery_voltage(charge) == volts


@pytest.mark.parametrize(
    ("watts", "rated", "capacity", "per_kwh", "percent"),
    [
        (1920, 3840, 5000, None, 50),
        (1920, 3840, 5000, 768, 50),
        (1920, 3840, 5000, 1536, 25),
        (1920, 3840, None, 768, None),
        (1920, None, 5000, None, None),
        (None, 3840, 5000, 768, None),
        (1, 3840, 5000, 0, None),
        (1, 0.0, 5000, None, None),
    ],
)
def test_load_percent_is_of_what_the_batteries_give_unless_a_power_per_kwh_is_set(
    watts: float | None, rated: float | None, capacity: float | None, per_kwh: float, percent: float | None
) -> None:
    assert powers.load_percent(watts, rated, capacity, per_kwh) == percent


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        # phaseMode lies ("three" on a house with one phase), phaseCount does not.
        ({"meters": [{"state": "enabled", "measurementType": "production", "phaseMode": "three", "phaseCount": 1}]}, 1),
        ({"meters": [{"state": "enabled", "phaseCount": 2}, {"state": "disabled", "phaseCount": 3}]}, 2),
        ({"meters": [], **_live(phase_count=3)}, 3),
        (_live(phase_count=0, is_split_phase=1), 2),
        (_live(phase_count=0), None),
        ({}, None),
    ],
)
def test_phases_are_counted_by_phase_count(raw: dict[str, object], count: int | None) -> None:
    assert meters.phases(raw) == count


def _report(kind: str, watts: float, volts: float = 240) -> dict[str, object]:
    return {"reportType": kind, "cumulative": {"currW": watts, "apprntPwr": watts, "rmsCurrent": 1, "rmsVoltage": volts}, "lines": []}


def _kinds(*kinds: str) -> list[object]:
    return [{"state": "enabled", "measurementType": kind} for kind in kinds]


def test_no_meter_means_no_value() -> None:
    raw = {"reports": [_report("net-consumption", 0), _report("total-consumption", 0)], "meters": _kinds("production")}
    assert meters.meters(raw, Grid.ON_GRID) == {}


def test_a_total_that_equals_the_net_is_wrong_and_left_out() -> None:
    raw = {
        "reports": [_report("net-consumption", 500), _report("total-consumption", 500)],
        "meters": _kinds("production", "net-consumption"),
    }
    found = meters.meters(raw, Grid.ON_GRID)
    assert "total" not in found
    assert found["bus"] is found["net"]


def test_in_an_island_the_zeros_of_the_meters_are_not_taken_for_powers_but_their_voltage_is_the_houses() -> None:
    raw = {
        "reports": [_report("net-consumption", 0), _report("total-consumption", 0, 241), _report("storage", 711)],
        "meters": _kinds("production", "net-consumption", "storage"),
    }
    raw["reports"][1]["cumulative"]["rmsCurrent"] = 0  # type: ignore[index]
    found = meters.meters(raw, Grid.OUTAGE)
    assert set(found) == {"net", "storage", "bus"}
    values = lines.phase_values({**raw, **found}, Grid.OUTAGE, 1, powers.Flow(711))
    assert values["input.realpower"] == 0
    assert "input.voltage" not in values
    assert values["output.voltage"] == 241
    assert values["output.realpower"] == 711


def test_three_phase_and_split_phase_totals_are_named_truthfully() -> None:
    net = {"cumulative": {"currW": 1, "rmsVoltage": 690.0, "rmsCurrent": 3}, "l1": {"rmsVoltage": 231, "currW": 1}, "l3": {"rmsVoltage": 229}}
    three = lines.phase_values({"net": net, "bus": net}, Grid.ON_GRID, 3, None)
    assert three["input.voltage"] == 230
    assert three["input.L1-N.voltage"] == 231
    assert three["input.L3-N.voltage"] == 229
    assert "input.current" not in three
    split = lines.phase_values({"net": net}, Grid.ON_GRID, 2, None)
    assert split["input.voltage"] == split["input.L1-L2.voltage"] == 690
    assert "input.L3-N.voltage" not in split
    single = lines.phase_values({"net": net}, Grid.ON_GRID, 1, None)
    assert single["input.current"] == 3
    assert "input.L1-N.voltage" not in single


@given(json_values, json_values)
def test_any_payload_anywhere_is_read_without_an_exception(first: object, second: object) -> None:
    for name in ("livedata", "secctrl", "power", "reports", "meters", "inventory", "status", "info", "net", "total", "storage", "relay"):
        for payload in (first, {"meters": first, "cumulative": second}, [first], [{"type": "ENCHARGE", "devices": [first]}], {"devices:": [first]}):
            raw = {name: payload}
            for state in Grid:
                raw.update(meters.meters(raw, state))
                site.packs(raw)
                site.rated_power(raw)
                powers.storage_power(raw)
                powers.load(raw, state)
                controller.can_see_outage(raw)
                site.controller_lost(raw)
                lines.phase_values(raw, state, meters.phases(raw) or 1, powers.Flow(5.0))


@pytest.mark.parametrize("watts", [-2900.0, 2900.0])
def test_a_current_has_the_sign_of_its_power(watts: float) -> None:
    row = {"currW": watts, "apprntPwr": 2912.0, "rmsVoltage": 240.0, "rmsCurrent": 12.13, "pwrFactor": 0.99, "freqHz": 50.0}
    report = {"reportType": "net-consumption", "cumulative": row, "lines": [row]}
    raw = {"reports": [report], **meters.measured({"reports": [report]})}
    shown = lines.phase_values({**raw, **meters.meters(raw, site.Grid.ON_GRID)}, site.Grid.ON_GRID, 1, None)
    assert shown["input.current"] == pytest.approx(12.13 if watts > 0 else -12.13)
    assert shown["input.realpower"] == watts
