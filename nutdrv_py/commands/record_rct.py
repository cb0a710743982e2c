# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py record`` of an RCT inverter: the RCT backend on a connection of its own, overheard on its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.client import Line
from nutdrv_py.backends.rct.config import RctConfig, address
from nutdrv_py.backends.rct.connection import _Protocol
from nutdrv_py.clock import Clock
from nutdrv_py.device.tools import Tape
from nutdrv_py.errors import DeviceError
from nutdrv_py.recording.inverter import Ear

__all__ = ["OverheardRct"]

Take = Callable[[Iterable[dict[str, object]]], None]


class OverheardRct(Rct):
    """The backend whose frames become lines of a recording."""

    def __init__(self, config: RctConfig, clock: Clock, tape: Tape) -> None:
        super().__init__(config, clock)
        self.line: _Line = _Line(config, clock, Ear(tape.stand_ins), tape.now, tape.take)

    def settle(self) -> Mapping[str, object]:
        """Note what has come until now."""
        self.line.settle()
        return {}


class _Line(Line):
    def __init__(self, config: RctConfig, clock: Clock, ear: Ear, now: Callable[[], float], take: Take) -> None:
        super().__init__(*address(config.port), clock, window=config.window)
        self._ear = ear
        self._now = now
        self._tell = take

    async def open(self) -> None:
        """Connect, and note whether that worked. Raises :class:`DeviceError`."""
        try:
            await super().open()
        except DeviceError:
            self._tell([{"t": round(self._now(), 3), "line": "failed"}])
            raise
        self._tell([self._ear.opened(self._now())])

    def received(self, protocol: _Protocol, data: bytes) -> None:
        """Note bytes from the line, and take them in."""
        if protocol is self._protocol:
            self._tell(self._ear.heard(self._now(), data))
        super().received(protocol, data)

    def dropped(self, protocol: _Protocol, error: Exception | None) -> None:
        """Note the end of the connection, when it is not ours."""
        if protocol is self._protocol:
            self._tell([{"t": round(self._now(), 3), "line": "lost"}])
        super().dropped(protocol, error)

    def settle(self) -> None:
        """Record that nothing follows for the moment."""
        self._tell(self._ear.heard(self._now(), None))

    def _send(self, data: bytes, frames: int = 1) -> None:
        super()._send(data, frames)
        self._tell(self._ear.sent(self._now(), data))
