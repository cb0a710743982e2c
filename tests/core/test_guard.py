# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reading must be before anyone sees it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.guard import MOST_VARIABLES, guarded
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import DeviceError
from nutdrv_py.nut.connection import encode
from nutdrv_py.nut.messages import SetInfo

OL, OB, LB = Status.OL, Status.OB, Status.LB


@pytest.mark.parametrize(
    "name",
    ['x 1\nSETINFO ups.status "OB LB"\nx', "", " ", "ups status", ".x", "-x", "x\t", "x" * 129, "ups.st\u00e4tus", 'a"b', "a#b", "a=b", "a\\b",
     "ups.status", "UPS.Status", "ups.alarm", "driver.state", "Driver.Name", 7, None],
)  # fmt: skip
def test_a_name_that_is_none_or_is_not_the_backends_loses_its_value_alone(name: Any) -> None:
    kept, dropped = guarded(Reading({name: 1, "ups.load": 5}, OL))
    assert kept.values == {"ups.load": 5}
    assert len(dropped) == 1
    assert dropped[0].name.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("battery.charge", 250), ("battery.charge", -1), ("battery.charge", "nan"), ("battery.charge", "abc"), ("battery.charge", True),
        ("battery.charge", float("nan")), ("battery.charge", float("inf")), ("battery.charge", None), ("battery.charge.low", 101),
        ("battery.runtime", -5), ("ups.load", "much"), ("input.voltage", "1e400"), ("input.frequency", -1), ("ups.id", b"x"),
        ("ups.id", ["x"]), ("ups.id", "x" * 2000), ("ups.realpower", 10**400),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_dropped_alone(name: str, value: Any) -> None:
    kept, dropped = guarded(Reading({name: value, "ups.model": "x"}, OB))
    assert kept.values == {"ups.model": "x"}
    assert (kept.status, len(dropped)) == (OB, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("battery.charge", "87"), ("battery.charge", 0), ("battery.current", -12.5), ("ups.temperature", -20), ("ups.id", ""),
     ("battery.charge.approx", "<85"), ("outlet.1.status", "on"), ("input.L1-N.voltage", "230.1"), ("experimental.x_y", 1)],
)  # fmt: skip
def test_what_nut_knows_stays_as_it_is(name: str, value: Any) -> None:
    reading = Reading({name: value}, OL)
    assert guarded(reading) == (reading, ())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (OL | LB, OL), (OL | Status.FSD, OL), (OB | LB | Status.CAL, OB | LB), (OB | LB | Status.FSD, OB | LB), (OL | Status.CAL, OL | Status.CAL),
        (Status.OFF, Status.OFF), (Status.OFF | LB, Status.OFF),
    ],
)  # fmt: skip
def test_tokens_that_would_mislead_upsmon_are_dropped(given: Status, kept: Status) -> None:
    assert guarded(Reading({}, given))[0].status == kept


@pytest.mark.parametrize("status", [Status(0), OL | OB, LB, Status.CHRG, "OL", None, 1])
def test_a_status_that_does_not_say_where_the_power_comes_from_is_no_reading(status: Any) -> None:
    with pytest.raises(DeviceError):
        guarded(Reading({}, status))


def test_a_flood_of_variables_ends_at_the_limit_and_the_first_ones_stay() -> None:
    kept, dropped = guarded(Reading({f"experimental.x{number}": number for number in range(5000)}, OL))
    assert len(kept.values) == MOST_VARIABLES
    assert "experimental.x0" in kept.values
    assert len(dropped) == 5000 - MOST_VARIABLES


def test_one_name_in_two_spellings_is_one_variable() -> None:
    assert guarded(Reading({"ups.id": "a", "UPS.ID": "b"}, OL))[0].values == {"ups.id": "a"}


def test_a_secret_leaves_neither_in_a_value_nor_in_an_alarm() -> None:
    reading = Reading({"ups.id": "user:hunter2@host", "ups.model": "x"}, OL, ("hunter2 was refused", "hot"))
    kept, _ = guarded(reading, ("hunter2",))
    assert (kept.values, kept.alarms) == ({"ups.model": "x"}, ("hot",))


def test_what_has_passed_passes_again_but_not_twice_nor_in_another_place() -> None:
    serial, volts = "123456", 230.5
    passed, _ = guarded(Reading({"ups.serial": serial, "input.voltage": volts}, Status.OL))
    again = Reading({"ups.serial": serial, "UPS.SERIAL": "other", "input.voltage": 1e9, "battery.charge": volts}, Status.OL)
    kept, dropped = guarded(again, passed=passed.values)
    assert kept.values == {"ups.serial": serial}
    assert {item.name for item in dropped} == {"UPS.SERIAL", "input.voltage", "battery.charge"}
    first = {"UPS.serial": "other", "ups.serial": serial}
    kept, dropped = guarded(Reading(first, Status.OL), passed=passed.values)
    assert kept.values == {"UPS.serial": "other"} and [item.name for item in dropped] == ["ups.serial"]
    many = {f"experimental.v{number}": number for number in range(MOST_VARIABLES)}
    kept, dropped = guarded(Reading({**many, "ups.serial": serial}, Status.OL), passed=passed.values)
    assert "ups.serial" not in kept.values and len(dropped) == 1


def test_a_time_that_is_no_number_is_no_reading() -> None:
    with pytest.raises(DeviceError):
        guarded(Reading({}, OL, at=float("nan")))


@given(st.dictionaries(st.text(max_size=30), st.one_of(st.text(), st.integers(), st.floats(), st.none())), st.integers(0, 2**14 - 1))
def test_whatever_comes_it_is_whole_or_refused(values: Any, tokens: int) -> None:
    try:
        kept, _ = guarded(Reading(values, Status(tokens)))
    except DeviceError:
        return
    assert kept.status.says_supply
    assert kept.status & (OL | LB) != OL | LB


def test_the_encoder_refuses_a_name_that_would_break_its_line_and_sends_the_others() -> None:
    messages = [SetInfo('x 1\nSETINFO ups.status "OB LB"\n', "v"), SetInfo("ups.load", "5")]
    assert encode(iter(messages)) == b'SETINFO ups.load "5"\n'
