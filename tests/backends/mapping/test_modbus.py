# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers of a Modbus TCP device; pymodbus reads them, and what answers was written from the protocol's document."""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("pymodbus.client")

from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.process import serving
from nutdrv_py.protocols.modbus import decoded
from tests.backends.mapping.conftest import House
from tests.backends.mapping.speakers import ModbusServer

DEVICE = """\
maxage: 60
source: {modbus: "{address}", unit_id: 7, timeout: 0.5}
grid: {register: 10, on: [1, 2], off: [240]}
fields:
  battery.charge: {register: 11, scale: 0.1}
  ups.realpower: {register: [20, 21, 22], type: int16, none: -32768}
  battery.voltage: {register: 30, type: float32, order: little}
  ups.serial: {register: 40, type: text, length: 4}
battery: {power: {register: 50, type: int32, table: input}}
"""
VALUES = {
    10: 1, 11: 765, 20: 100, 21: 200, 22: -50, 30: struct.unpack(">2H", struct.pack(">f", 51.5))[1],
    31: struct.unpack(">2H", struct.pack(">f", 51.5))[0], 40: 0x4142, 41: 0x3031, 42: 0x3200, 43: 0,
}  # fmt: skip


@pytest.fixture
def device() -> Iterator[ModbusServer]:
    with ModbusServer() as server:
        server.say(7, VALUES)
        server.say(7, {50: -1, 51: -1500}, "input")
        yield server


def _backend(home: House, device: ModbusServer, **options: object) -> Mapping:
    home.describe(DEVICE)
    return home.backend(address=device.address, **options)


async def test_registers_become_values_and_neighbours_are_read_together(home: House, device: ModbusServer) -> None:
    async with _backend(home, device) as backend:
        reading = await backend.poll()
        assert reading.status == Status.OL | Status.CHRG
        assert {name: reading.values[name] for name in ("battery.charge", "ups.realpower", "battery.voltage", "ups.serial")} == {
            "battery.charge": 76.5, "ups.realpower": 250, "battery.voltage": 51.5, "ups.serial": "AB012",
        }  # fmt: skip
        assert device.seen == [(7, 3, 10, 1), (7, 3, 11, 1), (7, 3, 20, 3), (7, 3, 30, 2), (7, 3, 40, 4), (7, 4, 50, 2)]
        assert {function for _, function, *_ in device.seen} <= {3, 4}, "nothing is ever written"


async def test_an_outage_and_a_number_that_says_nothing(home: House, device: ModbusServer) -> None:
    async with _backend(home, device) as backend:
        await backend.poll()
        device.say(7, {10: 240})
        assert Status.OB in (await backend.poll()).status
        device.say(7, {10: 0})
        with pytest.raises(DeviceError, match="neither on nor off"):
            await backend.poll()
        device.say(7, {10: 2, 21: -32768})
        reading = await backend.poll()
        assert Status.OL in reading.status
        assert "ups.realpower" not in reading.values


async def test_a_register_that_the_device_does_not_have_loses_that_value(home: House, device: ModbusServer) -> None:
    del device.registers[7, "holding", 11]
    async with _backend(home, device) as backend:
        reading = await backend.poll()
        assert "battery.charge" not in reading.values
        assert "ups.realpower" in reading.values
        del device.registers[7, "holding", 10]
        with pytest.raises(DeviceError, match="has no register 10"):
            await backend.poll()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: b"",
        lambda answer: answer[:-1],
        lambda answer: answer[:5] + b"\xff" + answer[6:],
        lambda answer: answer[:8] + b"\x04" + answer[9:],
        lambda answer: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda answer: b"\x00" * 400,
        lambda answer: answer[:2] + b"\x00\x00\x00\x02\x07\x83",
    ],
)
async def test_what_is_no_answer_is_no_statement_and_the_next_connection_counts(spoil: Callable[[bytes], bytes], home: House, device: ModbusServer) -> None:
    # pymodbus raises in a callback of the loop; a driver logs that.
    serving.contain()
    async with _backend(home, device) as backend:
        await backend.poll()
        good, device.spoil = device.spoil, spoil
        with pytest.raises(DeviceError):
            await backend.poll()
        device.spoil = good
        assert Status.OL in (await backend.poll()).status


async def test_an_answer_that_comes_too_late_is_not_taken_for_that_to_the_next_question(home: House, device: ModbusServer) -> None:
    async with _backend(home, device) as backend:
        await backend.poll()
        device.say(7, {10: 240})
        good, device.spoil = device.spoil, lambda answer: (time.sleep(0.8), answer)[1]
        with pytest.raises(DeviceError, match="no answer"):
            await backend.poll()
        device.spoil = good
        device.say(7, {10: 1})
        await asyncio.sleep(0.5)
        assert Status.OL in (await backend.poll()).status


async def test_a_device_that_is_away_is_found_when_it_comes_back(home: House) -> None:
    with ModbusServer() as gone:
        backend = _backend(home, gone)
    with pytest.raises(DeviceError, match="is Modbus TCP switched on"):
        await backend.poll()


async def test_the_unit_of_ups_conf_comes_before_that_of_the_file(home: House, device: ModbusServer) -> None:
    device.registers = {(9, table, at): value for (_, table, at), value in device.registers.items()}
    async with _backend(home, device, unit=9) as backend:
        assert Status.OL in (await backend.poll()).status


def test_a_missing_library_is_a_sentence_that_says_what_to_type(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus.client", None)
    home.describe(DEVICE)
    with pytest.raises(ConfigError, match=r"needs the Python package pymodbus; type: "):
        home.backend(address="127.0.0.1")


@pytest.mark.parametrize(
    ("registers", "type", "little", "value"),
    [
        ((0x8000,), "uint16", False, 32768), ((0x8000,), "int16", False, -32768), ((1, 2), "uint32", False, 65538),
        ((2, 1), "uint32", True, 65538), ((0xFFFF, 0xFFFE), "int32", False, -2), ((0, 0, 0, 5), "uint64", False, 5),
        ((5, 0, 0, 0), "int64", True, 5), ((0x4148, 0), "float32", False, 12.5), ((0x4869, 0x2100, 0xFFFF), "text", False, "Hi!"),
    ],
)  # fmt: skip
def test_each_type_is_read_in_both_orders(registers: tuple[int, ...], type: str, little: bool, value: object) -> None:
    assert decoded(registers, type, little=little) == value


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("register: 10,", "register: 70000,", "a number from 0 to"),
        ("register: 10,", "register: 10.5,", "a whole number"),
        ("register: 10,", "type: int16,", "register: is missing"),
        ("register: 10,", "register: 10, type: int17,", "did you mean int16"),
        ("register: 10,", "register: 10, bit: 16,", "a number from 0 to 15"),
        ("register: 10,", "register: 10, type: int16, bit: 1,", "only uint16"),
        (", length: 4", "", "go together"),
        ("unit_id: 7", "unit_id: 300", "a number from 0 to 255"),
        ("register: 10,", "register: 11,", "the same place as battery.charge"),
    ],
)
def test_a_wrong_place_is_refused(old: str, new: str, sentence: str, home: House) -> None:
    home.describe(DEVICE.replace(old, new))
    with pytest.raises(ConfigError, match=sentence):
        home.config(address="127.0.0.1")
