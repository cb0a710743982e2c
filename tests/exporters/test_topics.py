# SPDX-License-Identifier: GPL-2.0-or-later
"""RctMon's topics, NUT's, and what Home Assistant is told: the tables and the texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.exporters.mqtt_discovery import BINARY_SENSORS, SENSORS, configs
from nutdrv_py.exporters.topics import RCTMON, RCTMON_GROUPS, Place, nut_values, rctmon_values, unfit, value_text, word
from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.protocols.rct.payload import Kind

PLACE = Place("rctmon", "home", "rctmon")

# RctMon 0.0.2, by group
RCTMON_TOPICS = {
    "basic": (
        "serial_number parameter_file control_software_version have_generator_a have_generator_b power_switch_available "
        "inverter_status inverter_grid_separated inverter_insulation_total inverter_insulation_negative "
        "inverter_insulation_positive fault0 fault1 fault2 fault3 temperature_heatsink temperature_heatsink_batt temperature_core"
    ),
    "battery": (
        "bms_sn soc_min battery_voltage battery_power battery_state soc soh soc_target temperature bat_status status status2 "
        "impedance_fine discharged_amp_hours stored_energy used_energy efficiency voltage current cycles"
    ),
    "household": "load_total load_l1 load_l2 load_l3",
    "grid": (
        "power_total power_l1 power_l2 power_l3 voltage_l1 voltage_l2 voltage_l3 phase_to_phase_voltage_1 "
        "phase_to_phase_voltage_2 phase_to_phase_voltage_3 frequency"
    ),
    "energy": "ac_sum household_sum grid_load_sum grid_feed_sum solar_generator_a_sum solar_generator_b_sum",
    "powerswitch": (
        "software_version bootloader_version grid_voltage_l1 grid_voltage_l2 grid_voltage_l3 grid_frequency_l1 "
        "grid_frequency_l2 grid_frequency_l3 power_storage_frequency_l1 power_storage_frequency_l2 power_storage_frequency_l3"
    ),
    "solargenerator/a": "voltage power mpp_target_voltage mpp_search_step",
    "solargenerator/b": "voltage power mpp_target_voltage mpp_search_step",
}


def test_rctmons_topics_are_all_there_and_no_other() -> None:
    expected = {f"{group}/{name}" for group, names in RCTMON_TOPICS.items() for name in names.split()}
    assert {topic for topic, _ in RCTMON} == expected
    assert len(RCTMON) == len(expected)
    assert set(RCTMON_GROUPS) == set(RCTMON_TOPICS)


@pytest.mark.parametrize(("topic", "name"), RCTMON)
def test_each_of_rctmons_topics_has_an_object_of_a_fitting_type(topic: str, name: str) -> None:
    kind = BY_NAME[name].kind
    assert kind not in (Kind.CELLS, Kind.CELLS_STAT, Kind.CELLS_RESIST)
    if "voltage" in topic or "power_l" in topic or "frequency" in topic:
        assert kind is Kind.FLOAT
    if "have_" in topic or "available" in topic:
        assert kind is Kind.BOOL


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"), (False, "False"), (2, "2"), (4294967295, "4294967295"), ("0065A4631487", "0065A4631487"), ("", ""),
        (0.8478931188583374, "0.847893"), (230.0, "230.0"), (49.990459442138672, "49.990459"), (-309.0682373046875, "-309.068237"),
        (12345678.0, "12345678.0"), (1e12, "1000000000000.0"), (1.5e-7, "0.0"), (0.0, "0.0"), (5.60519e-45, "0.0"), (-1e-9, "0.0"),
        (math.nan, None), (math.inf, None), (None, None), ([1], None), (b"x", None),
    ],
)  # fmt: skip
def test_texts_are_rctmons(value: object, text: str | None) -> None:
    assert value_text(value) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_comes_back_to_six_decimals_and_always_looks_like_one(value: float) -> None:
    text = value_text(value)
    assert text is not None
    assert re.fullmatch(r"-?\d+\.\d+", text)
    assert float(text) == pytest.approx(value, abs=5.1e-7)
    assert float(text) == float(f"{value:f}"), "what RctMon would have published"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_too_large_for_the_inverter_is_written_too(value: float) -> None:
    assert re.fullmatch(r"-?\d+\.\d+", value_text(value) or "")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("battery.charge", "battery.charge"), ("input.L1-N.voltage", "input.L1-N.voltage"), ("a+b#c", "a_b_c"), ("a/b", "a_b"),
        ("a\0b", "a_b"), (" a b ", "_a b_"), ("  ", "__"), ("", "_"), ("Küche", "Küche"), ("\ud800", "_"), ("a\nb", "a_b"),
    ],
)  # fmt: skip
def test_what_a_topic_may_not_hold_is_replaced(text: str, level: str) -> None:
    assert word(text) == level


@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_is_one_level_of_a_topic(text: str) -> None:
    level = word(text)
    assert level
    assert level == level.strip()
    assert "/" not in level
    assert not any(map(unfit, level))
    level.encode()


@given(st.dictionaries(st.sampled_from([name for _, name in RCTMON]), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_no_answer_of_an_inverter_makes_an_empty_or_broken_value(raw: Mapping[str, object]) -> None:
    for topic, text in rctmon_values(PLACE, raw).items():
        assert text
        assert topic.startswith("rctmon/")


def test_a_source_that_is_no_inverter_has_no_topics_of_rctmon() -> None:
    assert rctmon_values(Place("p", "home"), {"battery.soc": 0.5}) == {}
    assert rctmon_values(Place("p", "home", "p/home"), {"battery.soc": 0.5}) == {"p/home/battery/soc": "0.5"}


def test_the_drivers_own_variables_are_not_published() -> None:
    variables = {"ups.status": "OL", "driver.parameter.port": "10.0.0.1", "driver.state": "quiet", "ups.id": ""}
    assert nut_values(PLACE, variables) == {"rctmon/ups/home/ups.status": "OL"}


# Home Assistant's documentation: MQTT discovery, MQTT sensor, MQTT binary sensor; what classes go with which units
SHARED_KEYS = {
    "name", "unique_id", "default_entity_id", "state_topic", "value_template", "availability", "availability_mode", "device",
    "origin", "device_class", "entity_category",
}  # fmt: skip
KEYS = {"sensor": SHARED_KEYS | {"unit_of_measurement", "state_class"}, "binary_sensor": SHARED_KEYS}
DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version", "serial_number"}
UNITS = {
    "battery": {"%"}, "duration": {"d", "h", "min", "s", "ms"}, "voltage": {"V", "mV"}, "current": {"A", "mA"},
    "temperature": {"°C", "°F", "K"}, "power": {"W", "kW"}, "energy": {"Wh", "kWh"}, "energy_storage": {"Wh", "kWh"},
    "apparent_power": {"VA"}, "reactive_power": {"var", "kvar"}, "frequency": {"Hz"},
}  # fmt: skip
STATE_CLASSES = {"energy": {"total", "total_increasing"}}
BINARY_CLASSES = {"power", "battery", "problem", "battery_charging", "connectivity"}


@pytest.mark.parametrize("row", SENSORS, ids=lambda row: row.variable)
def test_each_sensor_has_a_unit_and_a_state_class_that_go_with_its_class(row: object) -> None:
    from nutdrv_py.exporters.mqtt_discovery import Sensor

    assert isinstance(row, Sensor)
    if row.device_class:
        assert row.unit in UNITS[row.device_class]
        assert row.state_class in STATE_CLASSES.get(row.device_class, {"measurement"})
    elif row.state_class:
        assert row.unit or row.state_class == "total_increasing"


def _whole() -> dict[str, str]:
    return {
        **{row.variable: "1" for row in SENSORS}, "ups.status": "OL", "device.mfr": "RCT Power", "device.model": "PS 6.0",
        "ups.firmware": "2.3.5685", "device.serial": "0065A4631487", "driver.version.internal": "1.0",
    }  # fmt: skip


def test_every_message_holds_only_documented_keys_and_what_each_must_have() -> None:
    found = configs(PLACE, _whole())
    assert len(found) == len(SENSORS) + len(BINARY_SENSORS)
    for topic, text in found.items():
        prefix, component, node, key, end = topic.split("/")
        assert (prefix, end) == ("homeassistant", "config")
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", node)
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
        config = json.loads(text)
        assert set(config) <= KEYS[component]
        assert {"name", "unique_id", "state_topic", "availability", "device", "origin"} <= set(config)
        assert all(config.values()), "an empty key would be refused"
        assert set(config["device"]) == DEVICE_KEYS
        assert config["device"]["identifiers"] == ["rctmon_home", "0065A4631487"]
        assert config["origin"]["name"] == "nutdrv_py"
        assert config["availability_mode"] == "all"
        assert [item["topic"] for item in config["availability"]] == ["rctmon/availability", "rctmon/ups/home/availability"]
        assert re.fullmatch(rf"{component}\.[a-z0-9_]+", config["default_entity_id"])
        if component == "binary_sensor":
            assert config["device_class"] in BINARY_CLASSES
    assert len({json.loads(text)["unique_id"] for text in found.values()}) == len(found)
    assert len({json.loads(text)["name"] for text in found.values()}) == len(found)


def test_a_variable_that_does_not_exist_is_not_announced_and_nothing_without_a_status() -> None:
    found = configs(PLACE, {"ups.status": "OL", "battery.charge": "80", "battery.runtime": ""})
    sensors = [topic for topic in found if "/sensor/" in topic]
    assert sensors == [f"homeassistant/sensor/rctmon_home/{key}/config" for key in ("ups_status", "battery_charge")]
    assert configs(PLACE, {"battery.charge": "80"}) == {}
    config = json.loads(found[sensors[0]])
    assert config["device"] == {"identifiers": ["rctmon_home"], "name": "home"}


def _shown(key: str, payload: str) -> str:
    """What Home Assistant makes of a payload: the templates are of a kind that Python reads too."""
    variables = _whole()
    found = next(json.loads(text) for topic, text in configs(PLACE, variables).items() if topic.endswith(f"/{key}/config"))
    expression = re.fullmatch(r"\{\{ (.*) \}\}", found["value_template"])
    assert expression
    return str(eval(expression.group(1), {"__builtins__": {}}, {"value": payload}))


@pytest.mark.parametrize(
    ("key", "payload", "shown"),
    [
        ("battery_charge", "80", "80"), ("battery_charge", "", "None"),
        ("grid", "OL CHRG", "ON"), ("grid", "OB DISCHRG LB", "OFF"), ("grid", "OFF", "None"), ("grid", "", "None"),
        ("low_battery", "OB LB", "ON"), ("low_battery", "OB", "OFF"), ("low_battery", "", "None"),
        ("charging", "OL DISCHRG", "OFF"), ("charging", "OL CHRG", "ON"),
        ("replace_battery", "ALARM OL RB", "ON"), ("alarm", "ALARM OL", "ON"), ("alarm", "OL", "OFF"), ("overload", "OB OVER", "ON"),
    ],
)  # fmt: skip
def test_home_assistant_shows_what_the_status_says_and_unknown_for_a_value_that_is_taken_back(key: str, payload: str, shown: str) -> None:
    assert _shown(key, payload) == shown


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.dictionaries(st.sampled_from([row.variable for row in SENSORS]), st.text()),
)
def test_any_name_and_any_text_make_messages_that_can_be_read(ups: str, variables: Mapping[str, str]) -> None:
    for topic, text in configs(Place("rctmon", ups), {**variables, "ups.status": "OL"}).items():
        assert re.fullmatch(r"homeassistant/(binary_)?sensor/[A-Za-z0-9_]+/[A-Za-z0-9_]+/config", topic)
        assert json.loads(text)["device"]["name"] == ups
