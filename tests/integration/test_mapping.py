# SPDX-License-Identifier: GPL-2.0-or-later
"""Shipped descriptions through the real upsd: each plays an outage, spoken by a stand-in in the device's own protocol."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backends.mapping.speakers import ModbusServer, WebServer
from tests.integration.conftest import Watched, wait
from tests.integration.test_mqtt import MOSQUITTO, Mosquitto

Served = Callable[..., Watched]


@pytest.fixture
def served() -> Iterator[Served]:
    """A NUT whose driver serves a described device. ``files`` are laid into NUT's configuration folder, for its owner alone."""
    made: list[Watched] = []

    def serve(port: str, files: Mapping[str, str] | None = None, **options: object) -> Watched:
        section = {"driver": "nutdrv_py", "backend": "mapping", "port": port, "pollinterval": "1", "looks": "1"}
        stage = Watched({**section, **{name: str(value) for name, value in options.items()}}, ups="home")
        made.append(stage)
        for name, text in (files or {}).items():
            path = stage.folder / "etc" / name
            path.touch(mode=0o600)
            path.write_text(text)
        stage.start()
        stage.upsd()
        return stage

    yield serve
    for stage in reversed(made):
        stage.close()


def _becomes(stage: Watched, *tokens: str) -> None:
    wait(lambda: set(tokens) <= set(stage.status().split()), timeout=20, what=f"{tokens} in {stage.status()!r}")


def test_tesla_powerwall_plays_an_outage(served: Served, tmp_path: Path) -> None:
    with WebServer(tmp_path, password="t0p-secret") as web:

        def say(grid: str, soe: float, battery: float) -> None:
            web.answers = {
                "/api/system_status/grid_status": {"grid_status": grid, "grid_services_active": False},
                "/api/system_status/soe": {"percentage": soe},
                "/api/system_status": {"nominal_full_pack_energy": 13500, "system_island_state": grid},
                "/api/meters/aggregates": {
                    "site": {"instant_power": -20.5, "frequency": 49.98},
                    "battery": {"instant_power": battery},
                    "load": {"instant_power": 1500.0},
                    "solar": {"instant_power": 0},
                },
            }

        say("SystemGridConnected", 76.4, 1500)
        stage = served(
            "tesla-powerwall", {"powerwall": "USERNAME=me@example.org\nPASSWORD=t0p-secret\n"},
            address=web.address, credentials="powerwall", certificate=web.fingerprint,
        )  # fmt: skip
        _becomes(stage, "OL", "DISCHRG")
        shown = stage.variables()
        assert {name: shown.get(name) for name in ("battery.charge", "ups.realpower", "ups.mfr", "input.frequency")} == {
            "battery.charge": "76", "ups.realpower": "1500.0", "ups.mfr": "Tesla", "input.frequency": "49.98",
        }  # fmt: skip
        assert 20000 < int(shown["battery.runtime"]) < 26000
        say("SystemIslandedActive", 75, 1500)
        _becomes(stage, "OB", "DISCHRG")
        web.forget()  # a session that ends in the outage
        say("SystemTransitionToGrid", 74, 1500)
        wait(lambda: stage.variables().get("battery.charge") == "74")
        assert "OB" in stage.status().split()
        say("SystemGridConnected", 74, -3000)
        _becomes(stage, "OL", "CHRG")
        assert "t0p-secret" not in str(shown) + stage.log() + stage.log("upsd")


@pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="there is no mosquitto here")
def test_generic_mqtt_plays_an_outage(served: Served, tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:

        def say(**values: object) -> None:
            for name, value in values.items():
                broker.publish(f"house/{name}", str(value), "-r")

        # What stands there from an outage of long ago makes no OB.
        say(grid="off", charge=3)
        stage = served("generic-mqtt", address=f"127.0.0.1:{broker.port}", topic="house")
        wait(stage.stale, timeout=20)
        say(status="online", grid="on", charge=80, load=900, power=0, capacity=10000)
        _becomes(stage, "OL")
        wait(lambda: (stage.variables().get("battery.charge"), stage.variables().get("ups.realpower")) == ("80", "900.0"), timeout=20)
        say(grid="off", power=900)
        _becomes(stage, "OB", "DISCHRG")
        say(charge=21)
        time.sleep(2)
        assert stage.variables()["battery.charge"] == "80", "such a fall is doubted first"
        say(status="offline")
        assert set(stage.status().split()) == {"OB", "DISCHRG"}
        say(status="online", charge=75, grid="on")
        _becomes(stage, "OL")


def _float(address: int, value: float) -> dict[int, int]:
    high, low = struct.unpack(">2H", struct.pack(">f", value))
    return {address: low, address + 1: high}


@dataclass(frozen=True, slots=True)
class Registers:
    """A shipped Modbus device: unit, table, registers on the grid and what changes in an outage, and some of what is shown then."""

    name: str
    unit: int
    online: Mapping[int, int]
    outage: Mapping[int, int]
    back: Mapping[int, int]
    shown: Mapping[str, str]
    table: str = "holding"


REGISTERS = (
    Registers(
        "victron-gx", 100,
        {**dict(zip(range(800, 806), struct.unpack(">6H", b"HQ2211ABCDE\0"), strict=True)), 817: 300, 818: 200, 819: 100, 820: -50, 821: 20, 822: 30,
         826: 1, 840: 521, 841: -30, 842: -600, 843: 88, 850: 0},
        {826: 240, 842: -900}, {826: 1, 842: 1200},
        {"battery.charge": "88", "ups.realpower": "600.0", "input.realpower": "0.0", "battery.voltage": "52.1", "ups.serial": "HQ2211ABCDE"},
    ),
    Registers(
        "deye", 1, {79: 5001, 150: 2312, 178: 640, 182: 1215, 183: 5312, 184: 77, 190: 700, 194: 1}, {194: 0}, {194: 1, 190: -800},
        {"battery.charge": "77", "ups.realpower": "640.0", "battery.temperature": "21.5", "input.voltage": "231.2"},
    ),
    Registers(
        "deye-three-phase", 1, {552: 0b101, 586: 1190, 587: 5290, 588: 64, 590: 500, 609: 4999, 653: 450}, {552: 0b001}, {552: 0b101, 590: -900},
        {"battery.charge": "64", "ups.realpower": "450.0", "input.frequency": "49.99"},
    ),
    Registers(
        "sungrow-sh", 1,
        {**dict.fromkeys(range(4989, 4999), 0x4141), 12999: 0x0040, 13007: 900, 13008: 0, 13019: 2304, 13022: 714, 13023: 990, 13024: 225},
        {12999: 0x1000}, {12999: 0x0800}, {"battery.charge": "71", "ups.realpower": "900.0", "battery.voltage": "230.4"}, "input",
    ),
    Registers(
        "solaredge", 1,
        {40113: 0, 40114: 0, **_float(57732, 66.5), **_float(57730, 98), **_float(57712, 400), **_float(57708, 25), **_float(57716, -700), **_float(57666, 9700)},
        {40114: 1}, {40114: 0, **_float(57716, 900)}, {"battery.charge": "66", "experimental.battery.energy.capacity": "9700"},
    ),
    Registers(
        "huawei", 1, {32003: 0, 32004: 2, 32085: 5000, 37758: 0, 37759: 10000, 37760: 805, 37765: 0xFFFF, 37766: -650},
        {32004: 3}, {32004: 2, 37765: 0, 37766: 900}, {"battery.charge": "80", "input.frequency": "50.00"},
    ),
)  # fmt: skip


@pytest.mark.parametrize("device", REGISTERS, ids=lambda device: device.name)
def test_a_shipped_modbus_device_plays_an_outage(device: Registers, served: Served) -> None:
    pytest.importorskip("pymodbus.client")
    with ModbusServer() as speaker:
        speaker.say(device.unit, device.online, device.table)
        stage = served(device.name, address=speaker.address)
        _becomes(stage, "OL")
        assert {name: stage.variables().get(name) for name in device.shown} == device.shown
        speaker.say(device.unit, device.outage, device.table)
        _becomes(stage, "OB")
        speaker.say(device.unit, device.back, device.table)
        _becomes(stage, "OL")
        assert {function for _, function, *_ in speaker.seen} <= {3, 4}


def test_a_low_charge_makes_lb_in_an_outage_alone_and_a_word_of_no_meaning_ends_in_stale_data(served: Served, tmp_path: Path) -> None:
    state = tmp_path / "state.json"

    def say(grid: str, soc: int) -> None:
        new = state.with_suffix(".new")
        new.write_text(json.dumps({"grid": grid, "soc": soc}))
        new.replace(state)

    say("up", 15)
    description = f"maxage: 15\nsource: {{file: {state}}}\ngrid: {{path: grid, on: up, off: down}}\nfields: {{battery.charge: {{path: soc}}}}\n"
    stage = served("mine.yaml", {"mine.yaml": description})
    _becomes(stage, "OL")
    assert stage.status() == "OL"
    say("down", 15)
    wait(lambda: set(stage.status().split()) == {"OB", "LB"}, timeout=20)
    say("up", 15)
    wait(lambda: stage.status() == "OL", timeout=20)
    say("down", 60)
    wait(lambda: stage.status() == "OB", timeout=20)
    say("restarting", 60)
    began = time.monotonic()
    wait(stage.stale, timeout=40)
    assert time.monotonic() - began > 10, "the last statement holds for maxage"
    say("up", 60)
    wait(lambda: stage.status() == "OL", timeout=20)
