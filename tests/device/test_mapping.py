# SPDX-License-Identifier: GPL-2.0-or-later
"""From a device's names to NUT's: nonsense becomes nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.device.mapping import Field, between, find, integer, lookup, number, scaled, text, to_number, translate

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("raw", "value"),
    [(87, 87.0), ("87", 87.0), ("-0", 0.0), ("12.5", 12.5), (None, None), ("unknown", None), ("", None), (True, None),
     (float("nan"), None), ("inf", None), ([], None), ({}, None), ("1e999", None), (10**400, None)],
)  # fmt: skip
def test_only_finite_numbers_are_numbers(raw: object, value: float | None) -> None:
    assert to_number(raw) == value


def test_converters_leave_out_what_they_cannot_use() -> None:
    assert integer("86.6") == 87
    assert scaled(0.001)(1500) == 1.5
    assert between(0, 100)(101) is None
    assert between(0, 100)(100) == 100
    assert lookup({1: "on", 0: "off"})(1) == "on"
    assert lookup({1: "on"})(7) is None
    assert text("  D8.3  ") == "D8.3"
    assert text("   ") is None
    assert text(5) is None


def test_the_first_field_of_a_name_that_has_a_value_wins() -> None:
    fields = (Field("battery.charge", "live.soc"), Field("battery.charge", "control.soc"))
    assert translate(fields, {"control": {"soc": 50}}) == {"battery.charge": 50.0}
    assert translate(fields, {"live": {"soc": 60}, "control": {"soc": 50}}) == {"battery.charge": 60.0}


def test_a_path_through_nothing_is_nothing() -> None:
    assert find({"a": [1]}, "a.b.c") is None
    assert find(None, "a") is None


@given(json_values)
def test_whatever_a_device_answers_is_translated_without_an_exception(raw: object) -> None:
    fields = [Field("x", "a", convert) for convert in (number, integer, scaled(3), between(0, 9), lookup({1: 2}), text)]
    for field in fields:
        value = translate([field], {"a": raw}).get("x")
        assert value is None or not isinstance(value, float) or math.isfinite(value)
