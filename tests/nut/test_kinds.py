# SPDX-License-Identifier: GPL-2.0-or-later
"""What variables are: names that end alike and are something else, texts that look like numbers, and all that the houses serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from nutdrv_py.backends.enphase import site as enphase
from nutdrv_py.backends.rct import site as rct
from nutdrv_py.backends.rct import storage as rct_storage
from nutdrv_py.core.telemetry import Source
from nutdrv_py.device.mapping import Field
from nutdrv_py.nut.kinds import KINDS, OTHER, Kind, What, kind_for, kind_of
from nutdrv_py.nut.snapshot import Snapshot, Variable, diff
from tests.exporters.test_prometheus import simulated_enphase, simulated_rct

NUMBERS = """
battery.charge % 0 0 100
battery.charge.low % 0 0 100
outlet.1.autoswitch.charge.low % 0 0 100
experimental.battery.encharge.charge % 1 0 100
experimental.battery.charge.reserve % 1 0 100
battery.energysave.delay min 1 0 1e7
battery.energysave.load % 1 0 1000
battery.energysave.realpower W 1 -1e9 1e9
battery.runtime s 0 0 1e9
battery.runtime.low s 0 0 1e9
battery.voltage.nominal V 1 -1e6 1e6
battery.voltage.cell.max V 3 -1e6 1e6
battery.temperature.cell.max C 1 -100 1000
battery.current A 2 -1e5 1e5
battery.capacity.nominal Ah 1 0 1e7
experimental.battery.current.charge.maximum A 1 -1e5 1e5
experimental.battery.energy.capacity Wh 1 -1e12 1e12
experimental.energy.load.total Wh 1 -1e12 1e12
battery.packs - 1 0 1e9
input.L1-N.voltage V 1 -1e6 1e6
input.voltage.low.warning V 1 -1e6 1e6
input.current.high.critical A 1 -1e5 1e5
input.transfer.low V 1 -1e6 1e6
input.transfer.boost.high V 1 -1e6 1e6
input.transfer.delay s 1 -1e9 1e9
input.frequency Hz 2 0 1000
input.frequency.nominal Hz 0 0 1000
input.frequency.high Hz 1 0 1000
input.L1.powerfactor - 2 -1 1
input.bypass.L1.current A 2 -1e5 1e5
output.power.percent % 1 0 1000
ups.load % 1 0 1000
ups.load.energysave % 1 0 1000
ups.load.high % 1 0 1000
ups.power VA 1 -1e9 1e9
ups.power.nominal VA 0 -1e9 1e9
ups.realpower.nominal W 0 -1e9 1e9
ups.temperature C 1 -100 1000
ups.delay.shutdown s 1 -1e9 1e9
ups.timer.start s 1 -1e9 1e9
ups.test.interval s 1 -1e9 1e9
outlet.2.delay.start s 1 -1e9 1e9
outlet.2.realpower W 1 -1e9 1e9
ambient.humidity.high.warning % 1 0 100
ambient.temperature.alarm.maximum C 1 -100 1000
driver.parameter.pollinterval s 1 -1e9 1e9
driver.parameter.override.battery.charge.low % 0 0 100
driver.flag.allow_killpower - 1 0 1
driver.debug - 1 0 1e9
""".splitlines()[1:-1]


@pytest.mark.parametrize("row", NUMBERS)
def test_numbers_have_nuts_unit_their_decimals_and_a_range(row: str) -> None:
    name, unit, decimals, lowest, highest = row.split()
    assert kind_of(name) == Kind(What.NUMBER, unit.replace("-", ""), int(decimals), float(lowest), float(highest))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ("ups.status ups.alarm battery.charger.status input.voltage.status input.L1.current.status outlet.1.status", What.TEXT),
        ("ups.serial experimental.battery.2.serial ups.firmware ups.firmware.aux experimental.battery.module.1.firmware", What.TEXT),
        ("battery.charge.approx battery.date battery.date.maintenance battery.mfr.date ups.time battery.type ups.id", What.TEXT),
        ("ups.test.result input.transfer.reason input.source.preferred experimental.battery.voltage.source", What.TEXT),
        ("battery.alarm.threshold ambient.temperature.alarm ups.vendorid device.macaddr device.part ups.contacts", What.TEXT),
        ("driver.version driver.version.internal driver.version.usb driver.parameter.serial driver.parameter.port", What.TEXT),
        ("input.voltage.extended ambient.humidity.alarm.enable outlet.1.switchable ups.start.auto battery.energysave", What.FLAG),
        ("driver.flag.ignorelb driver.flag.wakeup", What.FLAG),
        ("experimental.battery.module.1.cells.voltage experimental.unknown voltages", What.OTHER),
    ],
)
def test_what_ends_like_a_number_and_is_none(names: str, what: What) -> None:
    assert {name: kind_of(name) for name in names.split()} == dict.fromkeys(names.split(), Kind(what))


@pytest.mark.parametrize("text", ["", "n/a", "nan", "inf", "1e999", "1_000", "0x10", "80 ", "٣", "3.3 3.4", "1.2.3"])
def test_a_text_without_a_finite_number_is_no_number_whatever_its_name(text: str) -> None:
    assert kind_for("battery.charge", text) == kind_for("experimental.unknown", text, number=True) == OTHER


@pytest.mark.parametrize("text", ["80", "080", "-12.5", "+1", "1e3"])
def test_a_text_with_a_number_is_one_under_a_numbers_name_and_elsewhere_if_the_backend_gave_a_number(text: str) -> None:
    assert kind_for("battery.charge", text) == kind_of("battery.charge")
    assert kind_for("ups.firmware", text, number=True).what is What.TEXT
    assert kind_for("experimental.unknown", text) == OTHER
    assert kind_for("experimental.unknown", text, number=True).what is What.NUMBER


def test_each_row_has_a_name_that_no_row_before_it_takes() -> None:
    names = [[pattern.replace("*", "x", 1).replace("*", "y") for pattern in patterns.split()] for _, patterns in KINDS]
    for (kind, patterns), row in zip(KINDS, names, strict=True):
        assert [kind_of(name) for name in row] == [kind] * len(row), patterns


def test_upsd_is_not_told_of_a_kind() -> None:
    plain, kinded = (Snapshot({"battery.charge": Variable("80", kind=kind)}) for kind in (OTHER, kind_of("battery.charge")))
    assert plain == kinded
    assert list(diff(plain, kinded)) == []


# The houses

COUNTED = ("phases", "packs", "packs.bad", "cycles", "powerfactor", "island.flag", "allow_killpower", "debug")
"""Ends of the names of numbers without a unit."""


def _fields(module: ModuleType) -> Iterator[str]:
    tables = (value if isinstance(value, tuple) else (value,) for value in vars(module).values())
    yield from (row.name for table in tables for row in table if isinstance(row, Field))


@pytest.mark.parametrize("module", [rct, rct_storage, enphase], ids=["rct", "rct-storage", "enphase"])
def test_each_field_of_a_house_is_in_the_table_with_a_unit_if_it_is_a_quantity(module: ModuleType) -> None:
    names = set(_fields(module))
    assert len(names) > 10
    for name in names:
        kind = kind_of(name)
        assert kind.what is not What.OTHER, name
        assert (kind.what is What.NUMBER and not name.endswith(COUNTED)) == bool(kind.unit), name


@pytest.mark.parametrize("which", ["rct", "enphase"])
async def test_each_variable_of_a_simulated_house_has_a_kind_and_a_believable_value(which: str, tmp_path: Path) -> None:
    def look(source: Source) -> None:
        view = source.view()
        assert len(view.numbers) > 40
        for name, variable in view.variables.items():
            kind = variable.kind
            assert kind == kind_of(name), name
            assert (kind.what is What.OTHER) == (".cells." in name or name == "driver.parameter.synchronous"), name
            if kind.what is What.NUMBER:
                assert bool(kind.unit) != name.endswith(COUNTED), name
                assert kind.lowest <= view.numbers[name] <= kind.highest, name

    await (simulated_rct(look) if which == "rct" else simulated_enphase(tmp_path, look))
