# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated inverter: the house behind a serial line behind a TCP port."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nutdrv_py.protocols.rct.frame import Command, Frame, read_request
from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID
from nutdrv_py.simulators.news import News
from nutdrv_py.simulators.pace import Pace
from nutdrv_py.simulators.rct.bridge import Bridge, Client
from nutdrv_py.simulators.rct.physics import House
from nutdrv_py.simulators.rct.scenarios import Scenario, load_scenario, sort_changes
from nutdrv_py.simulators.rct.values import VALUES, View, payload
from nutdrv_py.simulators.rct.wire import BOOTLOADER, Line, Wire
from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import Timeline

__all__ = ["InverterSimulator", "Request"]

REQUEST_LOG_LENGTH = 10_000
"""Requests remembered: some hours of polling; older ones fall out."""

TICK_SECONDS = 0.05
"""How often timeline and periodic answers are looked at between requests, real time."""

BOOTLOADER_SECONDS = 0.5
"""Between two calls of the bootloader, real time (vendor document)."""

WAITING_MOST = 1024
"""Requests that wait for the line; what comes beyond is lost, as in any bridge with a buffer."""

PERIODIC_MOST = 64
"""Objects that can be asked for once and for all (vendor document)."""

PERIODIC_SECONDS = 30.0
"""Simulator time between two of their answers: the default of ``pas.period`` (vendor document)."""

DEFAULT_SERIAL = "0065A4631487"

GARBAGE = read_request(BY_NAME["battery.soc"].oid)
"""Bytes behind a text when ``garbage_after_nul`` is on: it looks like a frame."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. ``name`` is "" for an unknown object."""

    name: str
    command: Command


@dataclass(slots=True)
class _Waiting:
    """A request on its way to the inverter."""

    oid: int
    collided: bool = False


class InverterSimulator:
    """An inverter with its house.

    ``speed`` makes simulator time run faster than ``clock`` (seconds, any start); dates follow ``wall`` (epoch seconds). Delays
    on the line are real time. All methods belong to the event loop's thread; see
    :class:`~nutdrv_py.simulators.rct.running.RunningInverter` for use from other threads.
    """

    def __init__(
        self,
        scenario: Scenario | str = "online",
        *,
        serial: str = DEFAULT_SERIAL,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Make the inverter as the scenario wants it; nothing listens before :meth:`start`."""
        if not (serial.isalnum() and serial.isascii() and len(serial) < 16):
            raise ValueError(f'A serial number has up to 15 letters and digits, not "{serial}".')
        self.scenario = load_scenario(scenario) if isinstance(scenario, str) else scenario
        self.serial = serial
        self.house = House(self.scenario.house)
        self.requests: deque[Request] = deque(maxlen=REQUEST_LOG_LENGTH)
        self._wall = wall
        self._pace = Pace(clock, speed)
        self._wire = Wire(self.scenario.line, self._payload, self.scenario.house.seed)
        self._bridge = Bridge(self._wire, self._received)
        self.broadcast = self._bridge.broadcast
        self._timeline = Timeline(self.scenario.timeline)
        self._overrides: dict[str, Any] = {}
        self._periodic: dict[int, float] = {}
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._news = News()
        self.listeners = self._news.listeners
        self._news.note(self._visible_state())

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on this loopback address; port 0 takes a free one. Simulator time starts now."""
        self._bridge.bind(host, port)
        self._pace.restart()
        self._reconcile()
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._serve())]

    async def stop(self) -> None:
        """Close port and connections. Stopping twice is fine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._hang_up()
        await self._bridge.release()

    async def _tick(self) -> None:
        next_call = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.catch_up()
            if self.line.bootloader and loop.time() >= next_call:
                next_call = loop.time() + BOOTLOADER_SECONDS
                self.broadcast(BOOTLOADER)
            self._ask_periodic()

    def _reconcile(self) -> None:
        """Open or close the port as the state of house and line wants it, and publish what has changed."""
        if self.reachable:
            self._bridge.listen()
        else:
            self._hang_up()
        self._news.compare(self._visible_state())

    def _hang_up(self) -> None:
        self._bridge.hang_up()
        self._waiting.clear()
        self._periodic.clear()

    # -- what others need to know ------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Return the port number; valid after :meth:`start`, also while the inverter is offline."""
        return self._bridge.address[1]

    @property
    def host_port(self) -> str:
        """Return ``host:port`` as the driver's configuration wants it."""
        host = self._bridge.address[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def line(self) -> Line:
        """Return how the line behaves now."""
        return self._wire.line

    @property
    def clients(self) -> int:
        """Return the number of connected clients."""
        return len(self._bridge.clients)

    @property
    def seconds(self) -> float:
        """Return the simulator time since the start, s."""
        return self._pace.seconds

    @property
    def reachable(self) -> bool:
        """Return whether connections are accepted."""
        return self.house.network and not self.line.offline

    def value(self, name: str) -> Any:
        """Return what an object has now, overrides included; raw payloads are bytes."""
        if name not in BY_NAME:
            raise ValueError(f'The inverter has no object "{name}"{nearest(name, BY_NAME)}.')
        self.catch_up()
        return self._value(name)

    def _value(self, name: str) -> Any:
        if name in self._overrides:
            return self._overrides[name]
        return VALUES[name](View(self.house, self.serial, self._wall()))

    def _payload(self, name: str) -> bytes:
        filler = GARBAGE if self.line.garbage_after_nul else b""
        return payload(BY_NAME[name], self._value(name), filler=filler)

    # -- time and changes --------------------------------------------------------------------------------------------

    def skip(self, seconds: float) -> None:
        """Let simulator time jump ahead. Wall time stays."""
        self._pace.skip(seconds)
        self.catch_up()

    def catch_up(self) -> None:
        """Bring house and timeline up to the present."""
        self._timeline.play(self.seconds, lambda moment: self.house.advance(moment - self.house.seconds), self._apply)
        self._reconcile()

    def set(self, **changes: Any) -> None:
        """Change house, line or objects by name, as of now; see CHANGES of the scenarios for the names.

        ``override`` is a table of objects with the values they show from now on: None takes an override away, bytes are
        sent as they are. An error changes nothing.
        """
        self.catch_up()
        self._apply(changes)
        self._reconcile()

    def _apply(self, changes: Mapping[str, Any]) -> None:
        sorted_changes = sort_changes(changes)
        self.house.change(sorted_changes.house)
        self._wire.line = self.line.changed(sorted_changes.line)
        self._overrides.update(sorted_changes.override)
        for name in [name for name, value in self._overrides.items() if value is None]:
            del self._overrides[name]

    def _visible_state(self) -> dict[str, str]:
        """Return what the command line reports when it changes."""
        house = self.house
        # In steps of 10 %, rounded to the nearest, so that a charge resting on a step does not flicker.
        charge = int(house.charges[0] / 10 + 0.5) * 10
        return {
            "grid": f"grid {house.setup.grid}",
            "mode": f"inverter {house.mode.value}",
            "charge": f"charge about {charge} %" if house.has_battery else "no battery",
            "power": "the house has power" if house.powered else "the house is dark",
            "network": "inverter answers" if self.reachable else "inverter offline",
        }

    # -- requests ----------------------------------------------------------------------------------------------------

    def _received(self, client: Client, frames: list[Frame]) -> None:
        for frame in frames:
            row = BY_OID.get(frame.oid)
            name = row.name if row is not None and frame.address is None else ""
            self.requests.append(Request(name, frame.command))
            if not name or not client.understood(frame, self.line):
                continue
            # Inverters answer no other command, and no value that they have written (rct-manager).
            if frame.command is Command.READ:
                self._read(frame.oid)
            elif frame.command is Command.READ_PERIODICALLY:
                self._read_periodically(frame.oid)

    def _read(self, oid: int) -> None:
        if BY_OID[oid].name in self.line.mute or self._wire.strikes(self.line.drop) or len(self._waiting) >= WAITING_MOST:
            return
        if self._waiting and self._wire.strikes(self.line.collide):
            self._waiting[0].collided = True
        self._waiting.append(_Waiting(oid))
        self._work.set()

    def _read_periodically(self, oid: int) -> None:
        if oid not in self._periodic and len(self._periodic) < PERIODIC_MOST:
            self._periodic[oid] = self.seconds + PERIODIC_SECONDS
            self._read(oid)

    def _ask_periodic(self) -> None:
        now = self.seconds
        for oid, due in self._periodic.items():
            if due <= now:
                self._periodic[oid] = now + PERIODIC_SECONDS
                self._read(oid)

    async def _serve(self) -> None:
        """Answer what waits, one after the other: it is one serial line for all clients."""
        while True:
            await self._work.wait()
            while self._waiting:
                if self.line.delay:
                    await asyncio.sleep(self.line.delay)
                if self._waiting:
                    await self._answer(self._waiting.popleft())
            self._work.clear()

    async def _answer(self, request: _Waiting) -> None:
        self.catch_up()
        if not self.reachable or self.line.silent or self.line.bootloader:
            return
        content = self._payload(BY_OID[request.oid].name)
        for piece in self._wire.pieces(self._wire.answer(request.oid, content, collided=request.collided)):
            self.broadcast(piece)
            if self.line.pieces:
                await asyncio.sleep(0)
