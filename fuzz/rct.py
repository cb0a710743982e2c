# SPDX-License-Identifier: GPL-2.0-or-later
"""The RCT inverter: its frames, its payloads, and whole conversations of the real backend over a scripted line."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

from fuzz.invariants import Told, Upsd, bounded, kept, only
from fuzz.loop import LoopClock, connecting, run
from fuzz.taking import Bytes
from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.grid import GONE
from nutdrv_py.core.events import Limits
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import DeviceError, ProtocolError
from nutdrv_py.protocols.rct import payload
from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID, OBJECTS
from nutdrv_py.protocols.rct.reader import LIMIT, FrameReader
from nutdrv_py.simulators.rct import House, HouseSetup
from nutdrv_py.simulators.rct.values import VALUES, View
from nutdrv_py.simulators.rct.values import payload as simulated

__all__ = ["NAMES", "conversation", "frames", "payloads"]


def frames(data: bytes) -> None:
    """Cut bytes into frames, whole and in pieces: the same frames, and little kept."""
    cuts, stream = data[:8], data[8:] * (1 + data[0] % 8 if data else 1)
    whole, pieces = FrameReader(), FrameReader()
    expected = [*whole.feed(stream), *whole.flush()]
    found, at = [], 0
    for cut in [*cuts, *[64] * (len(stream) // 64 + 1)]:
        size = max(1, cut)
        found += pieces.feed(stream[at : at + size])
        at += size
        bounded("bytes that the reader keeps", kept(pieces), 2 * LIMIT + 256)
    found += pieces.flush()
    assert found == expected, f"the frames depend on how the bytes are split: {expected} and {found}"
    bounded("frames", len(expected), len(stream) // 5 + 1)
    for frame in expected:
        assert frame.address is None or frame.command & 0x40
        if frame.command not in (Command.LONG_RESPONSE, Command.LONG_WRITE):
            again = FrameReader()
            if frame.command & 0xF not in (3, 6) and len(frame.payload) <= 247:
                assert again.feed(build(frame.command, frame.oid, frame.payload, frame.address)) == [frame]


def payloads(data: bytes) -> None:
    """Decode a payload as each type; what it becomes must be comparable, bounded and finite."""
    for kind in payload.Kind:
        with only(ProtocolError):
            value = payload.decode(kind, data)
            bounded("what a payload becomes", len(repr(value)), 64 * len(data) + 512)
            assert not isinstance(value, float) or abs(value) < 4e38, value
            for row in OBJECTS[:40]:
                row.plausible(value)


NAMES: tuple[str, ...] = tuple(row.name for row in OBJECTS)


def _house(**setup: Any) -> dict[str, bytes]:
    """Return the payloads of the simulated inverter, by object."""
    view = View(House(HouseSetup(**setup)), "0065A4631487", 1_800_000_000.0)
    return {row.name: simulated(row, VALUES[row.name](view)) for row in OBJECTS if row.name in VALUES}


HOUSES = (_house(), _house(grid="outage", soc=60, load=2000), _house(soc=97, pv=4000))
LOW, WELL = _house(grid="outage", soc=8, load=800), _house(soc=90)
DRAINED = _house(grid="outage", soc=85, load=3000)
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 11.0, 16.0, 31.0, 61.0, 301.0, 700.0, 3700.0)

DEAD = 0.8 * 230
_PHASES = frozenset(f"rb485.u_l_grid[{index}]" for index in range(3))


class _Inverter(asyncio.Transport):
    """The other end of the line: answers requests from ``payloads``, and keeps account of what it has said."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.payloads = dict(HOUSES[0])
        self.silent: set[str] = set()
        self.deaf = False
        self.noise = b""
        self.refusing = False
        self.requests = 0
        self._told = told
        self._dead = frozenset[str]()
        self._reader = FrameReader()
        self._protocol: asyncio.Protocol | None = None

    def connect(self, factory: Callable[[], asyncio.BaseProtocol]) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Take a connection up, or raise OSError."""
        if self.refusing:
            raise ConnectionRefusedError(111, "Connection refused")
        self._protocol = cast(asyncio.Protocol, factory())
        self._protocol.connection_made(self)
        return self, self._protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Answer the requests in ``data`` a moment later."""
        for frame in self._reader.feed(bytes(data)):
            self.requests += 1
            row = BY_OID.get(frame.oid)
            if row is not None and not self.deaf and row.name not in self.silent and row.name in self.payloads:
                answer = build(Command.RESPONSE, row.oid, self.payloads[row.name][:251])
                self._account(row.name, self.payloads[row.name])
                self._soon(self.noise + answer)

    def _soon(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol is not None:
            asyncio.get_running_loop().call_soon(protocol.data_received, data)

    def heard(self, data: bytes) -> None:
        """Send bytes that nobody has asked for; whatever they say may be believed."""
        reader = FrameReader()
        for frame in [*reader.feed(data), *reader.flush()]:
            row = BY_OID.get(frame.oid)
            if row is not None:
                self._account(row.name, frame.payload)
        self._soon(data)

    def abort(self) -> None:
        """End the connection."""
        self._protocol = None

    def close(self) -> None:
        """End the connection."""
        self._protocol = None

    def pause_reading(self) -> None:
        """Go on all the same: what arrives during a pause must be taken in, too."""

    def resume_reading(self) -> None:
        """Go on."""

    def breaks(self) -> None:
        """Close the connection from the inverter's side."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(None)

    def _account(self, name: str, data: bytes) -> None:
        """Read the answer once more, by itself."""
        told, now, row = self._told, asyncio.get_running_loop().time(), BY_NAME[name]
        try:
            value = payload.decode(row.kind, data)
        except ProtocolError:
            return
        if not row.plausible(value) or not isinstance(value, int | float):
            return
        if name == "prim_sm.island_flag":
            told.ever_off = told.ever_off or value in (1, 3)
        elif name in _PHASES:
            self._dead = self._dead | {name} if value < DEAD else self._dead - {name}
            told.ever_off = told.ever_off or self._dead == _PHASES
        elif name in ("battery.soc", "battery_placeholder[0].soc"):
            told.says_charge(name, value * 100, now, wait=8.0)
        elif name == "power_mng.soc_min_island":
            told.says_limit(name, value * 100, min(99.0, value * 100 + 5), now)
        elif name.endswith((".status2", "fault[3].flt")) and isinstance(value, int):
            if value >> (9 if name.endswith("status2") else 10) & 1:
                told.says_empty(name[-7:], now)
        elif name.endswith("maximum_discharge_current") and abs(value) < 0.1:
            told.says_empty(name[-7:], now)


class _Conversation:
    """An inverter, the backend that asks it, and upsd behind it."""

    def __init__(self) -> None:
        self.clock, self.told = LoopClock(), Told(mark=25.0)
        self.config = config = RctConfig(port="inverter.invalid", ups="home", window=16)
        self.inverter = _Inverter(self.told)
        connecting(self.inverter.connect)
        limits = Limits(float(config.pollinterval), float(config.maxage), float(config.looks))
        self.upsd = Upsd(self.clock.monotonic(), limits, self.told)
        self.polls = 0
        self.starts()

    def starts(self) -> None:
        """Begin with a backend that knows nothing yet."""
        self.backend = Rct(self.config, self.clock)
        self.backend.line.gap = 0.0
        self.backend.publish = lambda reading: self.upsd.polled(reading, self.clock.monotonic(), early=True)

    async def poll(self) -> None:
        """Let the backend ask once."""
        self.polls += 1
        self.inverter.requests = 0
        with only(DeviceError) as failed:
            reading = await self.backend.poll()
        now = self.clock.monotonic()
        if failed:
            self.upsd.failed(now)
        else:
            self.upsd.polled(reading, now)
        bounded("requests in one poll", self.inverter.requests, 4 * len(OBJECTS))

    async def waits(self, seconds: float) -> None:
        """Let time pass, in the loop too: what arrives meanwhile is taken in."""
        await asyncio.sleep(seconds)
        self.upsd.waits(self.clock.monotonic())

    async def heals(self, house: dict[str, bytes], polls: int, pause: float) -> None:
        """From now on the inverter is well, and in that house."""
        inverter = self.inverter
        inverter.silent, inverter.deaf, inverter.noise, inverter.refusing = set(), False, b"", False
        inverter.payloads = dict(house)
        for _ in range(polls):
            await self.poll()
            await self.waits(pause)
        await self.poll()

    async def drains(self) -> None:
        """In an outage only the island flag and the Power Switch answer any more, for as long as the battery lasts."""
        await self.heals(DRAINED, 3, 20.0)
        self.inverter.silent = set(NAMES) - {"prim_sm.island_flag", "rb485.available", *_PHASES}
        for _ in range(8):
            await self.waits(1400.0)
            await self.poll()

    async def step(self, data: Bytes) -> None:
        """Take one step of the input."""
        inverter = self.inverter
        match data.byte() % 13:
            case 0 | 1:
                await self.poll()
                await self.waits(2.0)
            case 2:
                inverter.payloads["prim_sm.island_flag"] = data.choice((0, 1, 2, 3, 6, 7, 0xFFFF, 0x8000)).to_bytes(2, "big")
            case 3 | 4:
                name = NAMES[int.from_bytes(data.take(2), "big") % len(NAMES)]
                inverter.payloads[name] = _packed(name, data.value())
            case 5:
                await self.waits(data.choice(PAUSES))
            case 6:
                name = NAMES[int.from_bytes(data.take(2), "big") % len(NAMES)]
                inverter.silent ^= {name}
            case 7:
                inverter.payloads |= data.choice((*HOUSES, LOW, WELL))
            case 8:
                inverter.deaf = bool(data.byte() % 2)
            case 9:
                inverter.heard(data.piece())
            case 10:
                inverter.noise = data.take(data.byte() % 16)
                inverter.refusing = bool(data.byte() & 1)
            case 11:
                inverter.breaks()
            case 12:
                self.backend.line.close()
                self.starts()
                self.upsd.restarts(self.clock.monotonic())


def _packed(name: str, value: object) -> bytes:
    """Return a payload that holds ``value``, as far as the object's type can; else what the value looks like in text."""
    kind = BY_NAME[name].kind
    if kind is payload.Kind.FLOAT and isinstance(value, int | float):
        try:
            return struct.pack(">f", float(value))
        except OverflowError:
            return struct.pack(">f", float("inf"))
    width = {1: "BOOL ENUM UINT8 INT8", 2: "UINT16 INT16", 4: "UINT32 INT32"}
    for size, kinds in width.items():
        if kind.value in kinds.split() and isinstance(value, int | float) and abs(value) < 1e18:
            return (int(value) & (1 << 8 * size) - 1).to_bytes(size, "big")
    return str(value).encode("utf-8", "replace")[:200]


def conversation(data: bytes) -> None:
    """Play what an inverter answers, poll for poll, then let it recover: low in an outage, drained unseen, back on the grid."""

    async def story() -> None:
        talk, steps = _Conversation(), Bytes(data)
        talk.inverter.payloads = dict(steps.choice(HOUSES))
        while steps.left and talk.polls < 25:
            await talk.step(steps)
        bounded("bytes that the backend keeps", kept(talk.backend), 1 << 20)
        await talk.heals(LOW, 8, 20.0)
        assert talk.upsd.status & (Status.OB | Status.LB) == Status.OB | Status.LB, f"8 % in an outage is {talk.upsd.status}"
        await talk.drains()
        assert Status.LB in talk.upsd.status, f"a battery that must be empty is {talk.upsd.status}"
        await talk.heals(WELL, 3, 20.0)
        # A Power Switch that nobody has heard of for so long need not agree.
        await talk.waits(GONE)
        await talk.heals(WELL, 3, 20.0)
        assert talk.upsd.status & (Status.OL | Status.LB) == Status.OL, f"90 % on the grid is {talk.upsd.status}"
        talk.backend.line.close()

    run(story())
