# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers over Modbus TCP by pymodbus, whose interface moved between 3.6 and 3.16: nothing else here knows it.

Only reading: no function that writes is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from nutdrv_py.errors import DeviceError
from nutdrv_py.machine.extras import load

__all__ = ["TYPES", "Client", "Refused", "decoded"]

TYPES: Mapping[str, tuple[int, str]] = {
    "uint16": (1, ">H"), "int16": (1, ">h"), "uint32": (2, ">I"), "int32": (2, ">i"), "uint64": (4, ">Q"), "int64": (4, ">q"),
    "float32": (2, ">f"), "float64": (4, ">d"),
}  # fmt: skip
"""Types of a value: its registers, and how they are read when the most significant one comes first."""


class Refused(DeviceError):
    """The device answered that it does not have these registers."""


class Client:
    """One connection; made anew after each failure."""

    def __init__(self, who: str, host: str, port: int, timeout: float) -> None:
        module = load("modbus", who)
        self._errors: type[Exception] = load("modbus", who, "pymodbus.exceptions").ModbusException
        # It would log each failure besides, with its own words.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        self._make = module.AsyncModbusTcpClient
        # slave= up to 3.9, device_id= from 3.10 on.
        parameters = inspect.signature(self._make.read_holding_registers).parameters
        self._unit = "device_id" if "device_id" in parameters else "slave"
        self._where, self._host, self._port, self._timeout = f"{host} port {port}", host, port, timeout
        self._client: Any = None

    @property
    def connected(self) -> bool:
        """Return whether there is a connection."""
        return self._client is not None and bool(self._client.connected)

    async def connect(self) -> None:
        """Connect. Raises :class:`DeviceError`."""
        self.close()
        client = self._make(self._host, port=self._port, timeout=self._timeout, retries=0, reconnect_delay=0)
        self._client = client
        try:
            async with asyncio.timeout(self._timeout):
                made = await client.connect()
        except (TimeoutError, OSError, self._errors):
            made = False
        if not made:
            self.close()
            raise DeviceError(f"the device does not take a Modbus connection at {self._where}; is Modbus TCP switched on in it?")

    def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    async def read(self, table: str, register: int, count: int, unit: int) -> tuple[int, ...]:
        """Return ``count`` registers of the table ``holding`` or ``input``, from the address ``register`` of the protocol on.

        Raises :class:`Refused` when the device does not have them, :class:`DeviceError` when it does not answer.
        """
        if not self.connected:
            await self.connect()
        read = self._client.read_input_registers if table == "input" else self._client.read_holding_registers
        try:
            async with asyncio.timeout(self._timeout):
                answer = await read(register, count=count, **{self._unit: unit})
        except (TimeoutError, OSError, self._errors):
            self.close()
            raise DeviceError(f"no answer of {self._where} to a question for register {register} of unit {unit}") from None
        if answer is None or answer.isError():
            code = getattr(answer, "exception_code", None)
            if code is None:
                self.close()
                raise DeviceError(f"no answer of {self._where} to a question for register {register} of unit {unit}")
            raise Refused(f"{self._where} has no register {register} to {register + count - 1} in unit {unit} (exception {code})")
        found = getattr(answer, "registers", None)
        if not isinstance(found, list) or len(found) != count or not all(isinstance(v, int) and 0 <= v < 0x10000 for v in found):
            self.close()
            raise DeviceError(f"{self._where} answered something else than {count} registers")
        return tuple(found)


def decoded(registers: Sequence[int], type: str, *, little: bool) -> float | int | str:
    """Return the value in ``registers``; with ``little`` the least significant one comes first. ``text``: ASCII until a NUL."""
    data = struct.pack(f">{len(registers)}H", *(reversed(registers) if little and type != "text" else registers))
    if type == "text":
        return data.partition(b"\0")[0].decode("ascii", "replace").strip()
    value: float | int = struct.unpack(TYPES[type][1], data)[0]
    return value
