# SPDX-License-Identifier: GPL-2.0-or-later
"""What a description may say, and which sentence names the line of what it must not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.mapping import jsonpath
from nutdrv_py.backends.mapping.description import Description, describe, shipped
from nutdrv_py.backends.mapping.rules import Grid, canonical
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.errors import ConfigError
from tests.backends.mapping.conftest import GOOD, House

GRID = "grid: {path: grid, on: [up], off: [down]}\n"
FIELDS = "fields:\n  battery.charge: {path: soc}\n"


def _read(home: House, text: str) -> Description:
    home.describe(text)
    return describe(home.path, Options(folder=home.folder))


# what stands in the file, the line that the error names, and words of its sentence
REFUSED = [
    (GOOD.replace(GRID, ""), 1, "grid: is missing.*shuts servers down for nothing"),
    (GOOD.replace("maxage: 60\n", ""), 1, "maxage: is missing"),
    (GOOD.replace("source: {file: state.json}\n", ""), 1, "source: is missing"),
    (GOOD.replace(FIELDS, ""), 1, "battery.charge is missing.*no_charge"),
    (GOOD + "no_charge: it has no gauge\n", 7, "leave no_charge: out"),
    (GOOD.replace(", off: [down]", ""), 4, "off: is missing.*there is no grid"),
    (GOOD.replace("on: [up], ", ""), 4, "on: is missing.*the grid is there"),
    (GOOD.replace("off: [down]", "off: [down, UP]"), 4, "cannot mean both"),
    (GOOD.replace("off: [down]", "off: {below: 180}"), 4, "a voltage or a power is no statement about the grid"),
    (GOOD.replace("off: [down]", "off: []"), 4, "words or numbers are needed"),
    (GOOD.replace("path: grid,", "path: [a, b],"), 4, "a sum of several says nothing"),
    (GOOD.replace("path: grid,", "path: soc,"), 6, "grid: is read from the same place as battery.charge"),
    (GOOD.replace("maxage: 60", "maxage: 1e9"), 2, "a number from 15 to 600"),
    (GOOD.replace("maxage: 60", "maxage: nan"), 2, "a number from 15 to 600"),
    (GOOD.replace("device:", "devise:"), 1, "did you mean device"),
    (GOOD + "password: geheim\n", 7, "no secret belongs here"),
    (GOOD + "device: again\n", 7, "device is there twice"),
    (GOOD.replace("file: state.json", "file: state.json, http: x"), 3, "only one"),
    (GOOD.replace("file: state.json", "carrier: pigeon"), 3, "http:, mqtt:, modbus:, file:"),
    (GOOD.replace("path: soc", "path: soc, unit: kWh"), 6, "NUT has this in %.*fraction"),
    (GOOD.replace("path: soc", "path: 'a..b'"), 6, "that is no path"),
    (GOOD.replace("path: soc", "scale: 2"), 6, "path: is missing"),
    (GOOD.replace("{path: soc}", "55"), 6, "must be what the device says"),
    (GOOD + "  ups.status: {path: s}\n", 7, "it follows from grid: alone"),
    (GOOD + "  driver.name: x\n", 7, "driver.name is not described here"),
    (GOOD + "  battery.charge.low: {path: low}\n", 7, "low: into battery:"),
    (GOOD + "  batery.chrage: {path: x}\n", 7, "no variable of NUT"),
    (GOOD + "battery: {power: {path: p}, capacity: 1}\n", 7, "a number from 100 to"),
    (GOOD + "see: &a x\n", 7, "anchors"),
    (GOOD + "see: !!python/object/apply:os.system [id]\n", 7, "tags"),
    (GOOD + "see: [[[[[[[[[[x]]]]]]]]]]\n", 7, "levels"),
    (GOOD + "see: [\n", 8, "this is not YAML"),
    (GOOD + "battery: 5\n", 7, "names with values are needed"),
    ("", None, "is empty"),
    ("x" * 70000, None, "too large"),
]


@pytest.mark.parametrize(("text", "line", "sentence"), REFUSED)
def test_a_wrong_file_is_refused_with_its_line_and_the_reason(text: str, line: int | None, sentence: str, home: House) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(home, text)
    assert str(caught.value).startswith(f"{home.path}:{line}: " if line else str(home.path))
    assert re.search(sentence, str(caught.value))
    assert "geheim" not in str(caught.value)


def test_a_file_that_others_may_change_is_refused(home: House) -> None:
    home.path.chmod(0o666)
    with pytest.raises(ConfigError, match="written by another user"):
        describe(home.path, Options(folder=home.folder))


@pytest.mark.parametrize(("on", "off"), [("on", "off"), ("yes", "no"), ("true", "false"), ("True", "False"), ("0x10", "0")])
def test_unquoted_words_of_yaml_are_the_words_that_they_are(on: str, off: str, home: House) -> None:
    grid = _read(home, GOOD.replace("[up]", on).replace("[down]", off)).grid
    assert grid.judge(int(on, 16) if on.startswith("0x") else on) is True
    assert grid.judge(off) is False


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("up", True), ("UP", True), (" up\n", True), (1, True), (1.0, True), ("1", True), (True, None), ("down", False),
        (240, False), ("240", False), (240.4, None), ("", None), (None, None), ({"up": 1}, None), (["up"], None), ("unknown", None),
        (float("nan"), None), ("updown", None), (10**400, None),
    ],
)  # fmt: skip
def test_the_grid_is_what_the_lists_say_and_nothing_else(said: object, means: bool | None, home: House) -> None:
    grid = _read(home, GOOD.replace("[up]", "[up, 1]").replace("[down]", "[down, 240]")).grid
    assert grid.judge(said) is means


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists))
def test_no_answer_of_a_device_means_both_or_breaks_the_rule(said: object) -> None:
    grid = Grid("x", frozenset({"true", 1.0}), frozenset({"false", 0.0}))
    found = grid.judge(said)
    assert found in (True, False, None)
    if found is not None:
        assert canonical(said) in (grid.on if found else grid.off)


@pytest.mark.parametrize(
    ("path", "steps"),
    [("a", ("a",)), ("a.b[0].c", ("a", "b", 0, "c")), ('"a b".c', ("a b", "c")), ("[2].x", (2, "x")), ("a-b.c_d", ("a-b", "c_d"))],
)
def test_a_path_is_names_with_dots_and_items_in_brackets(path: str, steps: tuple[str | int, ...]) -> None:
    assert jsonpath.steps(path) == steps


@pytest.mark.parametrize("path", ["", ".", "a.", "a..b", "a[*]", "a[-1]", "a b", 'a"b"', ".".join("a" * 17)])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError):
        jsonpath.steps(path)


def test_the_answer_may_be_nested_as_deep_as_it_likes_and_is_no_value_where_it_is_no_word() -> None:
    with pytest.raises(ValueError):
        jsonpath.decode(b"[" * 100_000)
    document = jsonpath.decode(b'{"a": [{"b": 3}], "c": {"d": NaN}}')
    assert jsonpath.dig(document, ("a", 0, "b")) == 3
    for path in (("a",), ("c",), ("c", "d"), ("a", 1), ("a", "b"), ("c", 0), ("x", "y")):
        assert jsonpath.dig(document, path) is None


def test_units_scales_words_and_sums_become_nuts(home: House) -> None:
    plan = _read(home, GOOD.replace("path: soc", "path: soc, unit: fraction") + (
        "  ups.realpower: {path: [l1, l2], unit: kW}\n  ups.temperature: {path: t, scale: 0.1, offset: -40}\n"
        "  battery.charger.status: {path: mode, words: {1: charging, off: resting}}\n  ups.serial: {path: sn}\n  ups.mfr: Example\n"
    ))  # fmt: skip
    from nutdrv_py.backends.mapping.sources import Told

    answer = {"soc": 0.5, "l1": 1.5, "l2": "0.5", "t": 651, "mode": "OFF", "sn": "0012"}
    told = {place: Told(jsonpath.dig(answer, place.path), 5.0) for place in plan.places}  # type: ignore[attr-defined]
    values = {rule.name: rule.quantity.of(told) for rule in plan.rules if rule.quantity is not None}
    assert values == {
        "battery.charge": (50.0, 5.0), "ups.realpower": (2000.0, 5.0), "ups.temperature": (pytest.approx(25.1), 5.0),
        "battery.charger.status": ("resting", 5.0), "ups.serial": ("0012", 5.0),
    }  # fmt: skip
    answer = {"soc": 1.5, "l1": 1.5, "l2": None, "t": "warm", "mode": 7, "sn": ""}
    told = {place: Told(jsonpath.dig(answer, place.path), 5.0) for place in plan.places}  # type: ignore[attr-defined]
    assert {rule.quantity.of(told) for rule in plan.rules if rule.quantity is not None} == {None}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_each_shipped_device_is_right_and_says_what_it_was_tried_on_and_where_it_is_from(name: str) -> None:
    plan = describe(shipped()[name], Options(address="192.0.2.1", topic="house", unit=1))
    assert plan.tried
    assert plan.see
    assert plan.grid.on
    assert plan.grid.off
    assert plan.device != name
