# SPDX-License-Identifier: GPL-2.0-or-later
"""/metrics as Prometheus, promtool and a strict parser see it, of simulated houses and of scripted ones."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as classic

from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.poller import FAILURES
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.telemetry import BUCKETS, Health, Source, View
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.exporters.config import Machine, Prometheus, Wake
from nutdrv_py.exporters.points import device_points
from nutdrv_py.exporters.prometheus import DEVICE, FLAGS, OWN, PATH, PrometheusExporter, metric_name
from nutdrv_py.exporters.rctmon import ROWS
from nutdrv_py.exporters.wake import WakeExporter
from nutdrv_py.exporters.wake.rules import State, Wanted
from nutdrv_py.exporters.web import QUERY, Answer, Route, Web
from nutdrv_py.machine.paths import Paths
from tests.backends.enphase.conftest import house as enphase_home
from tests.backends.rct.conftest import home as rct_home
from tests.conftest import REPO, FakeClock, kinded
from tests.core.test_driver import World

OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Catcher(Web):
    """A web server that only remembers the route."""

    route: Route

    def add(self, address: str, port: int, path: str, route: Route) -> None:
        assert (address, port, path) == ("127.0.0.1", 9831, PATH)
        self.route = route


class Scripted(Source):
    """A source that tells what the test sets."""

    def __init__(self, ups: str = "home", backend: str = "rct", **view: object) -> None:
        view["variables"] = kinded(view.get("variables", {"ups.status": "OL"}))  # type: ignore[arg-type]
        told = View(ups, backend, False, 2000.0, 1998.0, {}, Status.OL, (), {})
        self.seen = replace(told, **view)  # type: ignore[arg-type]
        self.state = Health(ups, backend, True, 3, dict.fromkeys(FAILURES, 0), 1.5, (0, 1, 2, *[3] * 7), 1, {}, {})

    @property
    def ups(self) -> str:
        return self.seen.ups

    def view(self) -> View:
        return self.seen

    def health(self) -> Health:
        return self.state

    def go_stale(self) -> None:
        kept = {name: value for name, value in self.seen.variables.items() if name.startswith("driver.")}
        self.seen = replace(self.seen, stale=True, variables=kept, raw={}, status=Status(0))
        self.state = replace(self.state, up=False)


def answer(*sources: Source, exposition: bool = True, accept: str = "", **more: object) -> Answer:
    """One scrape."""
    web = Catcher()
    PrometheusExporter(sources, Prometheus(exposition=exposition), web, **more)  # type: ignore[arg-type]
    return web.route({"accept": accept} if accept else {})


def parsed(body: bytes) -> dict[str, Metric]:
    """The families of an OpenMetrics text, by name; the parser refuses what breaks the format."""
    found = list(strict(body.decode()))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


class Scrape:
    """What one scrape brought: values by name and labels. Both formats are parsed, and must say the same."""

    def __init__(self, *sources: Source, **options: object) -> None:
        web = Catcher()
        options = {"exposition": True, **options}
        exposition = bool(options.pop("exposition"))
        PrometheusExporter(sources, Prometheus(exposition=exposition), web, **options)  # type: ignore[arg-type]
        self.again(web)
        self._web = web

    def again(self, web: Catcher | None = None) -> Scrape:
        """The same once more, from the same exporter."""
        route = (web or self._web).route
        self.text = route({}).body.decode()
        self.families = parsed(route({"accept": OPENMETRICS}).body)
        self.values = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in self.families.values() for sample in family.samples}
        plain = {(sample.name, tuple(sorted(sample.labels.items()))) for family in classic(self.text) for sample in family.samples}
        assert plain == self.values.keys()
        return self

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values}

    def value(self, name: str, **labels: str) -> float | None:
        return self.values.get((name, tuple(sorted(labels.items()))))

    def labels(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self.values if found == name]

    def device(self) -> set[str]:
        """The metrics that tell of the device itself."""
        own = {name for name in self.names if name in RCTMON_OWN or name.replace("_created", "_total") in RCTMON_OWN}
        return {name for name in self.names - own if name.startswith(("rctmon_", "network_ups_tools_"))}


@contextlib.asynccontextmanager
async def source_of(backend: Backend[Any], name: str, clock: Clock, polls: int = 2) -> AsyncIterator[Source]:
    """A real driver's source after some polls of a simulated device."""
    paths = Paths(*[None] * 4)  # type: ignore[arg-type]
    driver = Driver(Settings("home", "nutdrv_py", name, type(backend), backend.config, paths), backend, clock)
    source = Source(driver)
    for _ in range(polls):
        if isinstance(clock, FakeClock):
            clock.now += 5
        await driver.poller.once()
    assert not driver.snapshot.stale
    yield source


async def simulated_rct(look: Callable[[Source], object], **changes: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nutdrv_py.backends.rct.client.GAP", 0.0)
        async with rct_home(changes=dict(changes) or None) as home, source_of(home.backend, "rct", home.clock) as source:
            look(source)


async def simulated_enphase(folder: Path, look: Callable[[Source], object]) -> None:
    async with enphase_home(folder) as home, source_of(home.backend, "enphase", home.clock) as source:
        look(source)


# RctMon 0.0.2: name, type in the classic format, labels beside inverter ("-": without inverter too)
RCTMON = """
rctmon_info gauge - version version_major version_minor version_patch
rctmon_device_up gauge
rctmon_bytes_received_total counter
rctmon_bytes_received_created gauge
rctmon_bytes_sent_total counter
rctmon_bytes_sent_created gauge
rctmon_frames_received_total counter
rctmon_frames_received_created gauge
rctmon_frames_sent_total counter
rctmon_frames_sent_created gauge
rctmon_frames_lost_total counter kind
rctmon_frames_lost_created gauge kind
rctmon_decode_error_total counter kind
rctmon_decode_error_created gauge kind
rctmon_influx_points_written_total counter -
rctmon_inventory gauge component
rctmon_inverter_info gauge control_software_version parameter_file serial_number
rctmon_inverter_status gauge
rctmon_inverter_grid_separated gauge
rctmon_inverter_insulation gauge unit
rctmon_inverter_faults gauge register
rctmon_temperature gauge sensor
rctmon_generator_voltage_volt gauge generator
rctmon_generator_power_watt gauge generator
rctmon_generator_mpp_target_voltage_volt gauge generator
rctmon_generator_mpp_search_step_volt gauge generator
rctmon_household_load gauge
rctmon_household_load_phase gauge phase
rctmon_grid_power_watt gauge phase
rctmon_grid_voltage_volt gauge phase
rctmon_grid_voltage_phase_to_phase_volt gauge measurement
rctmon_grid_frequency_hertz gauge
rctmon_energy_ac_sum gauge
rctmon_energy_household_sum gauge
rctmon_energy_grid_load_sum gauge
rctmon_energy_grid_feed_sum gauge
rctmon_energy_solar_generator_sum gauge component
rctmon_powerswitch_info gauge bootloader_version software_version
rctmon_powerswitch_voltage_volt gauge phase
rctmon_powerswitch_frequency_hertz gauge phase
rctmon_powerstorage_frequency_hertz gauge phase
rctmon_bms_info_info gauge serial_number
rctmon_battery_state_of_charge_min_percent gauge
rctmon_battery_state_of_charge_percent gauge
rctmon_battery_state_of_charge_target_percent gauge
rctmon_battery_state_of_health_percent gauge
rctmon_battery_voltage gauge
rctmon_battery_power gauge
rctmon_battery_state gauge
rctmon_battery_temperature gauge
rctmon_battery_bat_status gauge
rctmon_battery_impedance_fine gauge
rctmon_battery_discharge_amp_hours_total counter
rctmon_battery_stored_energy_total counter
rctmon_battery_used_energy_total counter
rctmon_battery_module_info gauge module serial_number
rctmon_battery_module_cycles_total counter module
rctmon_battery_module_cell_temperature_celsius gauge module cell
rctmon_battery_module_cell_voltage_volt gauge module cell
rctmon_battery_module_cell_resistance_ohm gauge module cell
rctmon_battery_module_voltage_min_volt gauge module
rctmon_battery_module_voltage_max_volt gauge module
rctmon_battery_module_temperature_min_celsius gauge module
rctmon_battery_module_temperature_max_celsius gauge module
"""
RCTMON_OWN = {line.split()[0] for line in RCTMON.split("rctmon_inventory")[0].strip().splitlines()}
"""Those that tell of the program and the line, and are always there."""

VALUES = {
    "component": {"generator_a", "generator_b", "power_switch"}, "unit": {"total", "positive", "negative"},
    "register": {"0", "1", "2", "3"}, "sensor": {"heatsink", "heatsink_battery_actuator", "core"}, "generator": {"a", "b"},
    "phase": {"l1", "l2", "l3"}, "measurement": {"1", "2", "3"}, "kind": {"normal", "inventory", "crc", "command", "length", "payload"},
    "module": {"0", "1"}, "cell": {str(number) for number in range(24)},
}  # fmt: skip
"""The values of RctMon's labels (two battery modules)."""


async def test_a_full_house_shows_rctmons_complete_list_with_its_names_types_and_labels() -> None:
    def look(source: Source) -> None:
        scrape = Scrape(source, points_written=lambda: 7)
        types = dict(re.findall(r"^# TYPE (rctmon_\w+) (\w+)$", scrape.text, re.MULTILINE))
        found = {}
        for name in (name for name in scrape.names if name.startswith("rctmon_")):
            labels = {key for labels in scrape.labels(name) for key in labels}
            found[name] = (types[name], labels)
        expected = {}
        for line in RCTMON.strip().splitlines():
            name, kind, *labels = line.split()  # type: ignore[assignment]
            expected[name] = (kind, set(labels) - {"-"} if "-" in labels else {"inverter", *labels})
        ours = {row.name for row in ROWS if getattr(row, "ours", False)}
        assert {name: about for name, about in found.items() if name not in ours} == expected
        assert ours == {
            "rctmon_battery_bms_voltage", "rctmon_battery_current", "rctmon_battery_cycles_total", "rctmon_battery_efficiency",
            "rctmon_battery_status", "rctmon_battery_status2", "rctmon_grid_power_sum_watt",
        }  # fmt: skip
        assert ours <= found.keys()
        shown = {label: {labels[label] for name in expected for labels in scrape.labels(name) if label in labels} for label in VALUES}
        assert shown == VALUES
        name = "PS 6.0 BA3L"
        assert {labels["inverter"] for found in expected for labels in scrape.labels(found) if "inverter" in labels} == {name}
        for metric, labels, value in (  # type: ignore[assignment]
            ("rctmon_battery_state_of_charge_percent", {}, 0.599),
            ("rctmon_inverter_grid_separated", {}, 2.0),
            ("rctmon_battery_power", {}, 1000.0),
            ("rctmon_inventory", {"component": "power_switch"}, 1.0),
            ("rctmon_energy_grid_feed_sum", {}, -3100000.0),
            ("rctmon_inverter_info", {"control_software_version": "2.3.5687", "parameter_file": "DE-VDE-AR-N4105", "serial_number": "0065A4631487"}, 1.0),
            ("rctmon_battery_module_info", {"module": "1", "serial_number": "0089M63148701"}, 1.0),
        ):  # fmt: skip
            seen = scrape.value(metric, inverter=name, **labels)  # type: ignore[arg-type]
            assert seen == pytest.approx(value, rel=0.01), metric
        assert scrape.value("rctmon_influx_points_written_total") == 7

    await simulated_rct(look)


def test_the_counters_of_the_line_are_right() -> None:
    source = Scripted(raw={"android_description": "Keller"})
    counters = {"bytes_received": 10, "bytes_sent": 11, "frames_received": 12, "frames_sent": 13, "lost": 14, "payload": 15,
                "damage_crc": 16, "damage_command": 17, "damage_length": 18, "unknown": 19}  # fmt: skip
    source.state = replace(source.state, counters=counters)
    scrape = Scrape(source, exposition=False)
    found = {
        (name.removeprefix("rctmon_"), dict(labels).get("kind", "")): value
        for (name, labels), value in scrape.values.items()
        if dict(labels).get("inverter") == "Keller" and not name.endswith("_created")
    }
    assert found == {
        ("device_up", ""): 1, ("bytes_received_total", ""): 10, ("bytes_sent_total", ""): 11, ("frames_received_total", ""): 12,
        ("frames_sent_total", ""): 13, ("frames_lost_total", "normal"): 14, ("frames_lost_total", "inventory"): 0,
        ("decode_error_total", "crc"): 16, ("decode_error_total", "command"): 17, ("decode_error_total", "length"): 18,
        ("decode_error_total", "payload"): 15,
    }  # fmt: skip
    assert {labels["counter"] for labels in scrape.labels("nutdrv_py_backend_total")} == counters.keys()
    assert scrape.value("nutdrv_py_backend_total", ups="home", counter="unknown") == 19
    assert "rctmon_influx_points_written_total" not in scrape.names


RAW = {"android_description": "Keller", "battery.soc": 0.5, "battery.module_sn[0]": "M", "battery.stack_cycles[0]": 3}
SHOWN = {"ups.status": "OL CHRG", "battery.charge": "50", "driver.version.internal": "0.1.0", "driver.parameter.pollinterval": "5"}


def test_while_the_data_are_stale_no_value_of_the_device_is_shown_and_the_inverter_keeps_its_name() -> None:
    source = Scripted(raw=RAW, variables=SHOWN)
    scrape = Scrape(source)
    assert {"rctmon_battery_state_of_charge_percent", "network_ups_tools_battery_charge"} <= scrape.device()
    source.go_stale()
    scrape.again()
    assert scrape.device() == set()
    assert scrape.value("rctmon_device_up", inverter="Keller") == 0
    source.seen = replace(source.seen, raw=RAW, variables=kinded(SHOWN))
    source.state = replace(source.state, up=True)
    assert scrape.again().value("rctmon_device_up", inverter="Keller") == 0
    assert scrape.device() == set(), "whatever the view still holds"
    assert scrape.value("nutdrv_py_stale", ups="home") == 1
    assert scrape.value("nutdrv_py_data_age_seconds", ups="home") == 2


@pytest.mark.parametrize("backend", ["rct", "enphase"])
def test_without_exposition_only_the_driver_and_the_process_are_shown(backend: str) -> None:
    scrape = Scrape(Scripted(backend=backend, raw=RAW, variables=SHOWN), exposition=False)
    assert scrape.device() == set()
    assert {"nutdrv_py_up", "python_info", "process_start_time_seconds", "process_resident_memory_bytes"} <= scrape.names
    assert ("rctmon_device_up" in scrape.names) == (backend == "rct")


def test_several_inverters_share_one_help_and_type_per_metric() -> None:
    scrape = Scrape(Scripted("one", raw=RAW, variables=SHOWN), Scripted("two", raw={**RAW, "android_description": "Dach"}, variables=SHOWN))
    for kind in ("HELP", "TYPE"):
        named = re.findall(rf"^# {kind} (\S+)", scrape.text, re.MULTILINE)
        assert len(named) == len(set(named))
    assert [labels["inverter"] for labels in scrape.labels("rctmon_battery_module_cycles_total")] == ["Keller", "Dach"]
    assert [labels["ups"] for labels in scrape.labels("network_ups_tools_battery_charge")] == ["one", "two"]


def test_two_inverters_of_the_same_name_are_told_apart_by_their_sections() -> None:
    scrape = Scrape(Scripted("one", raw=RAW), Scripted("two", raw=RAW))
    assert [labels["inverter"] for labels in scrape.labels("rctmon_device_up")] == ["Keller (one)", "Keller (two)"]
    unnamed = Scrape(Scripted("one"), Scripted("two"))
    assert [labels["inverter"] for labels in unnamed.labels("rctmon_device_up")] == ["one", "two"]


def test_every_flag_is_shown_as_0_or_1_so_that_an_alert_on_it_can_end() -> None:
    scrape = Scrape(Scripted(backend="enphase", variables={"ups.status": "ALARM OB LB DISCHRG"}))
    found = {labels["flag"]: scrape.value("network_ups_tools_ups_status", **labels) for labels in scrape.labels("network_ups_tools_ups_status")}
    assert found == {flag: float(flag in ("ALARM", "OB", "LB", "DISCHRG")) for flag in FLAGS}
    assert len(FLAGS) == 15 + 1


@pytest.mark.parametrize("which", ["rct", "enphase"])
async def test_every_numeric_variable_of_a_house_is_shown_under_nut_exporters_name(which: str, tmp_path: Path) -> None:
    def look(source: Source) -> None:
        scrape = Scrape(source)
        shown, numbers = source.view().texts, source.view().numbers
        for name in shown:
            metric = "network_ups_tools_" + name.replace(".", "_").replace("-", "_")
            assert scrape.value(metric, ups="home") == numbers.get(name)
        assert scrape.labels("network_ups_tools_device_info") == [{"ups": "home", **{key: shown.get(f"device.{key}", "") for key in DEVICE}}]
        for metric in ("battery_charge", "battery_runtime", "input_realpower", "output_realpower", "ups_load", "experimental_pv_realpower"):
            assert f"network_ups_tools_{metric}" in scrape.names

    await (simulated_rct(look) if which == "rct" else simulated_enphase(tmp_path, look))


@pytest.mark.parametrize(
    ("variable", "value", "number"),
    [
        ("battery.charge", "80", True),
        ("input.realpower", "-120.5", True),
        ("experimental.energy.load.total", "13420000.0", True),
        ("ups.firmware", "5120", False),
        ("ups.firmware.aux", "5120", False),
        ("experimental.battery.module.1.firmware", "5615", False),
        ("device.serial", "122233344455", False),
        ("driver.parameter.serial", "122233344455", False),
        ("device.part", "800", False),
        ("battery.charge", "nan", False),
        ("battery.charge", "inf", False),
        ("battery.charge", "1_000", False),
        ("battery.charge", "٣", False),
        ("battery.charge", "", False),
        ("battery.charge", "80 ", False),
        ("ups.test.result", "1.2.3", False),
    ],
)
def test_a_text_that_looks_like_a_number_stays_a_text(variable: str, value: str, number: bool) -> None:
    scrape = Scrape(Scripted(backend="dummy", variables={variable: value}))
    assert (metric_name(variable) in scrape.names) == number


names = st.one_of(st.text(max_size=20), st.sampled_from(["device", "device.info", "ups.status", "ups-status", "a.b", "a-b", "a.b.total", "a.b.count"]))


@given(st.dictionaries(names, st.one_of(st.text(max_size=10), st.integers().map(str)), max_size=6))
def test_whatever_variables_are_called_the_metrics_are_valid(variables: Mapping[str, str]) -> None:
    scrape = Scrape(Scripted(backend="dummy", variables=variables))
    assert all(re.fullmatch("[a-zA-Z_:][a-zA-Z0-9_:]*", name) for name in scrape.names)
    assert all(re.fullmatch("network_ups_tools_[a-zA-Z0-9_]*", metric_name(variable)) for variable in variables)


def test_two_variables_of_one_metric_name_do_not_cost_the_scrape() -> None:
    scrape = Scrape(Scripted(backend="dummy", variables={"a.voltage": "1", "a-voltage": "1"}))
    assert scrape.text.count("network_ups_tools_a_voltage{") == 1


@given(st.text(), st.text(), st.text())
def test_whatever_a_device_is_called_the_metrics_are_valid(ups: str, name: str, serial: str) -> None:
    raw = {"android_description": name, "inverter_sn": serial, "battery.module_sn[3]": serial}
    scrape = Scrape(Scripted(ups, raw=raw, variables={"ups.status": "OL", "device.serial": serial}))
    assert [labels["ups"] for labels in scrape.labels("nutdrv_py_up")] == [ups]


def test_a_name_that_no_encoding_can_write_is_no_lost_scrape() -> None:
    assert Scrape(Scripted(raw={"android_description": "Keller \udce4"})).labels("rctmon_device_up") == [{"inverter": "Keller ?"}]


async def test_the_health_of_the_driver_is_told_in_seconds_and_by_kind(clock: FakeClock) -> None:
    world = World(clock)
    source = Source(world.driver, clients=lambda: 2)
    async with world:
        world.device.answer = DeviceError("away")
        await clock.advance(10)
        scrape = Scrape(source, dropped={"influxdb": lambda: 9})
        assert scrape.value("nutdrv_py_up", ups="u") == 0
        assert scrape.value("nutdrv_py_stale", ups="u") == 0
        assert scrape.value("nutdrv_py_polls_total", ups="u") == 3
        failures = {kind: scrape.value("nutdrv_py_poll_failures_total", ups="u", kind=kind) for kind in FAILURES}
        assert failures == {**dict.fromkeys(FAILURES, 0), "device": 2}
        assert scrape.value("nutdrv_py_data_age_seconds", ups="u") == 10
        assert scrape.value("nutdrv_py_upsd_clients", ups="u") == 2
        assert scrape.value("nutdrv_py_exporter_dropped_total", exporter="influxdb") == 9
        assert scrape.value("nutdrv_py_info", ups="u", backend="device", version="0.1.0") == 1


def test_the_poll_durations_are_a_histogram_and_each_quantity_has_its_age() -> None:
    source = Scripted()
    source.state = replace(source.state, polls=4, ages={"charge": 1.5, "grid": 0.5})
    scrape = Scrape(source)
    counts = [scrape.value("nutdrv_py_poll_duration_seconds_bucket", ups="home", le=str(bound)) for bound in BUCKETS]
    assert counts == [0, 1, 2, *[3] * 7]
    assert scrape.value("nutdrv_py_poll_duration_seconds_bucket", ups="home", le="+Inf") == 4
    assert scrape.value("nutdrv_py_poll_duration_seconds_count", ups="home") == 4
    assert scrape.value("nutdrv_py_poll_duration_seconds_sum", ups="home") == 1.5
    assert scrape.value("nutdrv_py_quantity_age_seconds", ups="home", quantity="charge") == 1.5


def test_a_device_that_never_answered_has_no_age() -> None:
    source = Scripted(at=None)
    source.go_stale()
    scrape = Scrape(source)
    assert "nutdrv_py_data_age_seconds" not in scrape.names
    assert scrape.labels("rctmon_device_up") == [{"inverter": "home"}]


async def test_the_server_speaks_openmetrics_to_those_who_ask_and_the_classic_format_to_all_others() -> None:
    def ask(port: int, accept: str | None) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/metrics", headers={} if accept is None else {"Accept": accept})
            answered = connection.getresponse()
            return answered.status, answered.headers["Content-Type"], answered.read()
        finally:
            connection.close()

    web = Web()
    exporter = PrometheusExporter([Scripted()], Prometheus(bind_port=0), web)
    await exporter.start()
    await web.start()
    try:
        port = web.port("127.0.0.1", 0)
        for accept in (None, "*/*", "text/plain", "text/html"):
            status, kind, body = await asyncio.to_thread(ask, port, accept)
            assert (status, kind.split(";")[0]) == (200, "text/plain")
            assert b"# EOF" not in body
        status, kind, body = await asyncio.to_thread(ask, port, OPENMETRICS)
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
    finally:
        await exporter.stop()
        await web.stop()


PROMTOOL = shutil.which("promtool")

# What promtool says about names that others have chosen
ACCEPTED = (
    r"rctmon_energy_\w+ non-histogram and non-summary metrics should not have \"_sum\" suffix",
    r"rctmon_battery_discharge_amp_hours_total use base unit \"seconds\" instead of \"hours\"",
    r"network_ups_tools_experimental_energy_\w+_total non-counter metrics should not have \"_total\" suffix",
)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
async def test_promtool_finds_fault_only_with_names_that_others_have_chosen() -> None:
    texts: list[bytes] = []
    await simulated_rct(lambda source: texts.append(answer(source, points_written=lambda: 1, dropped={"mqtt": lambda: 0}).body))
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=texts[0], capture_output=True, check=False, timeout=60)
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in ACCEPTED)] == []


def test_without_the_package_the_error_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"prometheus.*pip install 'nutdrv_py\[prometheus\]'"):
        PrometheusExporter([], Prometheus(), Catcher())


class Bare(Backend[Config]):
    """A backend that counts nothing."""

    Config = Config

    async def poll(self) -> Reading:
        return Reading({}, Status.OL)


async def test_any_backend_will_do() -> None:
    async with source_of(Bare(Config(ups="home", port="x"), FakeClock()), "bare", FakeClock()) as source:
        scrape = Scrape(source)
        assert scrape.value("network_ups_tools_ups_status", ups="home", flag="OL") == 1
        assert not {name for name in scrape.names if name.startswith("rctmon")}


def test_one_exporter_does_not_see_the_metrics_of_another() -> None:
    first, second = (Scrape(Scripted(name)) for name in ("one", "two"))
    assert [labels["ups"] for scrape in (first, second) for labels in scrape.labels("nutdrv_py_up")] == ["one", "two"]


def test_machines_to_wake_are_counted_and_shown() -> None:
    made = WakeExporter([Scripted()], Wake(machines=(Machine(name="nas"), Machine(name="rack"))), FakeClock(), Path())
    made.sent["nas"] = 2
    made._state = State({"rack": Wanted()})
    scrape = Scrape(Scripted(), wake=made)
    assert [scrape.value("nutdrv_py_wake_packets_total", machine=name) for name in ("nas", "rack")] == [2, 0]
    assert [scrape.value("nutdrv_py_wake_waiting", machine=name) for name in ("nas", "rack")] == [0, 1]


OTHERS = {
    "nutdrv_py_info", "nutdrv_py_poll_duration_seconds", "nutdrv_py_exporter_dropped_total", "nutdrv_py_wake_packets_total",
    "nutdrv_py_wake_waiting",
}  # fmt: skip


def test_the_document_names_every_key_metric_and_label() -> None:
    text = (REPO / "docs" / "prometheus.md").read_text()
    for found in fields(Prometheus):
        assert f"| `{found.name}` | `{str(found.default).lower()}` |" in text
    for row in ROWS:
        kind = "" if row.kind == "gauge" else row.kind
        cells = (f"`{row.name}`", kind, " ".join(f"`{label}`" for label in row.labels))
        assert "| " + " | ".join(cells).replace("  ", " ").rstrip() + " |" in text.replace("  ", " "), row.name
    for name in (*RCTMON_OWN, *(row.name for row in OWN), *OTHERS):
        assert f"`{name}`" in text
    assert " ".join(FLAGS[:-1]) in text
    assert " ".join(f"`{label}`" for label in ("ups", *DEVICE)) in text


def test_the_document_names_nothing_that_is_not_there() -> None:
    text = (REPO / "docs" / "prometheus.md").read_text()
    known = {row.name for row in (*ROWS, *OWN)} | RCTMON_OWN
    known |= OTHERS
    assert set(re.findall(r"`((?:rctmon|nutdrv_py)_\w+)`", text)) <= known


def test_what_an_inverter_answers_that_does_not_tell_of_the_grid_is_shown_and_no_status() -> None:
    source = Scripted(stale=True, answering=True, at=None, variables={}, raw={"battery.soc": 0.5, "android_description": "Cellar"}, status=Status(0))
    source.state = replace(source.state, up=False)
    scrape = Scrape(source)
    assert scrape.value("rctmon_battery_state_of_charge_percent", inverter="Cellar") == 0.5
    assert scrape.value("rctmon_device_up", inverter="Cellar") == 1
    assert scrape.value("nutdrv_py_stale", ups="home") == 1
    assert not any(name.startswith("network_ups_tools") for name in scrape.names)
    points = list(device_points(source.seen, {"battery.soc": 1}))
    assert {point.measurement for point in points} == {"battery_overview", "raw_data"}
    assert {point.at for point in points} == {round(source.seen.now * 1000)}


def test_rctmons_counters_say_since_when_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    scrape = Scrape(Scripted(raw={"android_description": "Cellar"}))
    assert (scrape.value("rctmon_bytes_received_created", inverter="Cellar") or 0) > 1.7e9
    assert scrape.value("rctmon_decode_error_created", inverter="Cellar", kind="crc") is not None
    monkeypatch.setenv("PROMETHEUS_DISABLE_CREATED_SERIES", "true")
    assert not any(name.endswith("_created") for name in Scrape(Scripted()).names)


def test_a_scrape_may_ask_for_some_names_and_for_gzip() -> None:
    web = Catcher()
    PrometheusExporter([Scripted(raw={"battery.soc": 0.5, "db.temp1": 30.0})], Prometheus(exposition=True), web)
    found = web.route({QUERY: "name[]=rctmon_battery_state_of_charge_percent&name[]=nothing&x=y"})
    assert set(parsed(web.route({QUERY: "name[]=nutdrv_py_up", "accept": OPENMETRICS}).body)) == {"nutdrv_py_up"}
    samples = [line for line in found.body.decode().splitlines() if not line.startswith("#")]
    assert samples == ['rctmon_battery_state_of_charge_percent{inverter="home"} 0.5']
    assert found.compress
    assert b"rctmon_temperature" in web.route({QUERY: "other=1"}).body
