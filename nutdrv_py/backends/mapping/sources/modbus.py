# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers of a Modbus TCP device, read only. Neighbours are read together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nutdrv_py.backends.mapping.nodes import Node
from nutdrv_py.backends.mapping.sources import Login, Options, Place, Source, Told, host_and_port
from nutdrv_py.clock import Clock
from nutdrv_py.errors import DeviceError
from nutdrv_py.protocols.modbus import TYPES, Client, Refused, decoded

__all__ = ["MAIN", "PLACE", "places", "source", "spec"]

PLACE = frozenset({"register", "type", "length", "order", "table", "bit", "none"})
MAIN = "register"

PORT = 502
"""TCP port of Modbus (IANA)."""

MOST_REGISTERS = 120
"""Registers of one question; the protocol has 125."""

ORDERS = ("big", "little")
TABLES = ("holding", "input")


@dataclass(frozen=True, slots=True)
class ModbusSpec:
    """The device: where it is, its unit, seconds for an answer, and seconds it needs after a connection is made."""

    address: tuple[str, int]
    unit: int
    timeout: float
    wait: float


@dataclass(frozen=True, slots=True)
class In:
    """A value in one or more registers. ``bit`` is that of a whole number; ``none`` are the numbers that mean "not known"."""

    register: int
    count: int
    type: str
    little: bool
    table: str
    bit: int | None = None
    none: frozenset[float] = frozenset()

    def __str__(self) -> str:
        return f"register {self.register}" + ("" if self.bit is None else f" bit {self.bit}")

    def value(self, registers: Sequence[int]) -> object:
        """Return the value; None when it is one of those that mean nothing."""
        found = decoded(registers, self.type, little=self.little)
        if isinstance(found, str):
            return found or None
        if found in self.none:
            return None
        return found if self.bit is None else int(found) >> self.bit & 1


def spec(node: Node, options: Options) -> ModbusSpec:
    """Read ``source: {modbus: "{address}", unit_id: 1, timeout: 3, wait: 0}``."""
    entries = node.entries({"modbus", "unit_id", "timeout", "wait"})
    own = entries["unit_id"].integer(0, 255) if "unit_id" in entries else 1
    unit = own if options.unit is None else options.unit
    if unit > 255:
        raise entries["modbus"].fail("unit = in ups.conf is more than 255")
    return ModbusSpec(
        host_and_port(entries["modbus"], options, PORT), unit,
        entries["timeout"].number(0.5, 30) if "timeout" in entries else 3.0,
        entries["wait"].number(0, 10) if "wait" in entries else 0.0,
    )  # fmt: skip


def places(node: Node, entries: Mapping[str, Node], options: Options) -> tuple[Place, ...]:
    """Read ``register: 843``, and ``type``, ``order``, ``table``, ``bit``, ``none``."""
    if "register" not in entries:
        raise node.fail("register: is missing; write register: 843, as it is sent: documents that begin at 1 have one more")
    kind = entries["type"].choice([*TYPES, "text"]) if "type" in entries else "uint16"
    if ("length" in entries) != (kind == "text"):
        raise node.fail("type: text and length:, its number of registers, go together")
    count = entries["length"].integer(1, 32) if kind == "text" else TYPES[kind][0]
    bit = entries["bit"].integer(0, 16 * count - 1) if "bit" in entries else None
    if bit is not None and not kind.startswith("uint"):
        raise entries["bit"].fail("only uint16, uint32 and uint64 have bits")
    little = "order" in entries and entries["order"].choice(ORDERS) == "little"
    table = entries["table"].choice(TABLES) if "table" in entries else "holding"
    none = frozenset(item.number(-(2.0**63), 2.0**64) for item in entries["none"].items()) if "none" in entries else frozenset()
    return tuple(
        In(item.integer(0, 0x10000 - count), count, kind, little, table, bit, none) for item in entries["register"].items()
    )


def source(spec: ModbusSpec, clock: Clock, login: Callable[[], Login], places: Collection[Place], *, maxage: float) -> Source:
    """Return the reader."""
    return Registers(spec, clock, login)


class Registers(Source):
    """Asks the device at each poll."""

    def __init__(self, spec: ModbusSpec, clock: Clock, login: Callable[[], Login]) -> None:
        super().__init__(clock, login)
        self._spec = spec
        self._client = Client("modbus: in the file of port =", *spec.address, spec.timeout)

    async def close(self) -> None:
        """End the connection."""
        self._client.close()

    async def ask(self, places: Collection[Place]) -> Mapping[Place, Told]:
        """Read each block once. One that the device does not have loses its own values; silence ends the poll."""
        if not self._client.connected:
            await self._client.connect()
            if self._spec.wait:
                await self.clock.sleep(self._spec.wait)
        told: dict[Place, Told] = {}
        refusal: Refused | None = None
        for block in _blocks([place for place in places if isinstance(place, In)]):
            first, end = block[0].register, max(place.register + place.count for place in block)
            try:
                found = await self._client.read(block[0].table, first, end - first, self._spec.unit)
            except Refused as error:
                refusal = error
                continue
            at = self.clock.monotonic()
            for place in block:
                value = place.value(found[place.register - first : place.register - first + place.count])
                if value is not None:
                    told[place] = Told(value, at)
        if refusal is not None and not told:
            raise DeviceError(str(refusal))
        return told


def _blocks(places: Sequence[In]) -> Iterator[list[In]]:
    """Yield places whose registers follow one another without a gap."""
    block: list[In] = []
    end = 0
    for place in sorted(places, key=lambda place: (place.table, place.register)):
        after = place.register + place.count
        if block and (place.table != block[0].table or place.register > end or after - block[0].register > MOST_REGISTERS):
            yield block
            block, end = [], 0
        block.append(place)
        end = max(end, after)
    if block:
        yield block
