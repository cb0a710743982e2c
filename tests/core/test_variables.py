# SPDX-License-Identifier: GPL-2.0-or-later
"""What upsd is served: formats, clean text, status, alarms, default.*, override.*, device.*."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.variables import Marks, Shaper, format_value, sanitize, shape
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.nut.parseconf import Line, Reader, escape, quote
from nutdrv_py.nut.snapshot import Flag, Variable


def _shape(values: dict[str, Value], status: Status = Status.OL, **more: object) -> dict[str, Variable]:
    alarms = more.pop("alarms", ())
    arguments = {"marks": Marks(), "writable": {}, "defaults": {}, "overrides": {}, **more}
    return shape(Reading(values, status, alarms), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("battery.charge", 87, "87"),
        ("battery.charge", 87.4, "87"),
        ("input.voltage", 230.04, "230.0"),
        ("input.L1-N.voltage", 1e-9, "0.0"),
        ("input.realpower", -0.04, "0.0"),
        ("battery.current", -12.345, "-12.35"),
        ("input.frequency", 49.98, "49.98"),
        ("ups.load", 0.1 + 0.2, "0.3"),
        ("battery.runtime", 3600.7, "3601"),
        ("ups.realpower.nominal", 3840.0, "3840"),
        ("experimental.pv.realpower", 1e22, "10000000000000000000000.0"),
        ("ups.model", "IQ Gateway", "IQ Gateway"),
    ],
)
def test_numbers_have_a_fixed_number_of_decimals_and_never_an_exponent(name: str, value: Value, text: str) -> None:
    assert format_value(name, value) == text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Gerät", "Geraet"), ("25°", "25 deg "), ("a\tb\nc", "a b c"), ("x\x00y", "x y"), ("naïve", "naive"), ("日本", ""),
        ('a "b" \\c #d=é\n', 'a "b" \\c #d=e '),
    ],
)  # fmt: skip
def test_text_becomes_printable_ascii(raw: str, clean: str) -> None:
    assert sanitize(raw) == clean


@given(st.text(max_size=600))
def test_any_text_fits_upsds_store_and_comes_back_as_it_was_sent(raw: str) -> None:
    clean = sanitize(raw)
    assert len(escape(clean, 10_000)) <= 255
    (line,) = Reader().feed(f"SETINFO x {quote(clean)}\n".encode("ascii"))
    assert isinstance(line, Line)
    assert line.words[2] == clean


def test_the_status_is_in_nuts_order_and_an_alarm_stands_in_front() -> None:
    status = Status.DISCHRG | Status.LB | Status.OB
    assert _shape({}, status)["ups.status"].value == "OB LB DISCHRG"
    found = _shape({}, status, alarms=("Battery system is shut down", "second"))
    assert found["ups.status"].value == "ALARM OB LB DISCHRG"
    assert found["ups.alarm"].value == "[Battery system is shut down] [second]"


def test_defaults_give_way_to_the_device_and_overrides_do_not() -> None:
    found = _shape(
        {"battery.charge.low": 20, "ups.model": "IQ"},
        defaults={"battery.charge.low": "11", "ups.id": "mine"},
        overrides={"ups.model": "House", "battery.packs": "3"},
    )
    assert found["battery.charge.low"].value == "20"
    assert found["ups.id"].value == "mine"
    assert found["ups.model"] == Variable("House", immutable=True)
    assert found["battery.packs"].value == "3"
    assert found["device.model"].value == "House"


def test_device_names_mirror_ups_names_raw() -> None:
    found = _shape({"ups.mfr": 'Ma "q"', "ups.serial": "1"})
    assert found["device.mfr"].value == 'Ma "q"'
    assert found["device.serial"].value == "1"
    assert found["device.type"].value == "ups"


def test_writable_variables_carry_what_upsd_needs_to_let_upsrw_through() -> None:
    writable = {
        "a": Writable(ranges=((1, 9),)),
        "b": Writable(enum=("on", "longer")),
        "c": Writable(maxlen=8),
        "gone": Writable(maxlen=8),
        "o": Writable(maxlen=8),
    }
    found = _shape({"a": 5, "b": "on", "c": "x", "o": "y"}, writable=writable, overrides={"o": "fixed"})
    assert found["a"] == Variable("5", Flag.RW | Flag.NUMBER, ranges=((1, 9),))
    assert found["b"] == Variable("on", Flag.RW | Flag.STRING, maxlen=6, enum=("on", "longer"))
    assert found["c"] == Variable("x", Flag.RW | Flag.STRING, maxlen=8)
    assert "gone" not in found
    assert found["o"].flags == Flag(0)


def _parts(overrides: dict[str, str] | None = None, writable: dict[str, Writable] | None = None) -> tuple[object, ...]:
    return Marks(), writable or {}, {}, overrides or {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (({"input.voltage": 230.0}, _parts()), ({"input.voltage": 231.0}, _parts())),
        (({"battery.packs": 1}, _parts()), ({"battery.packs": 1.0}, _parts())),
        (({"battery.packs": 1}, _parts()), ({"battery.packs": "1"}, _parts())),
        (({"ups.id": "x"}, _parts()), ({}, _parts())),
        (({"ups.id": "x"}, _parts()), ({"ups.id": "x"}, _parts(overrides={"ups.id": "x"}))),
        (({"ups.id": "x"}, _parts()), ({"ups.id": "x"}, _parts(writable={"ups.id": Writable(maxlen=8)}))),
    ],
)
def test_what_has_changed_is_shaped_as_if_there_had_been_nothing_before(
    before: tuple[dict[str, Value], tuple[object, ...]], after: tuple[dict[str, Value], tuple[object, ...]]
) -> None:
    shaper = Shaper()
    shaper.shape(Reading(before[0], Status.OL), *before[1])  # type: ignore[arg-type]
    found = shaper.shape(Reading(after[0], Status.OL), *after[1])  # type: ignore[arg-type]
    alone = shape(Reading(after[0], Status.OL), *after[1])  # type: ignore[arg-type]
    assert found == alone
    assert {name: one.kind for name, one in found.items()} == {name: one.kind for name, one in alone.items()}


def test_what_has_not_changed_is_not_made_again() -> None:
    shaper = Shaper()
    first = shaper.shape(Reading({"ups.id": "x", "input.voltage": 230.0}, Status.OL), *_parts())  # type: ignore[arg-type]
    second = shaper.shape(Reading({"ups.id": "x", "input.voltage": 231.0}, Status.OL), *_parts())  # type: ignore[arg-type]
    assert {name for name in first if second[name] is first[name]} == {"device.type", "ups.id", "ups.status"}
