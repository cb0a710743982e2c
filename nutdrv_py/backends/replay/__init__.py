# SPDX-License-Identifier: GPL-2.0-or-later
"""A recorded conversation instead of a device: the device's own backend, with the recording in place of the network.

Each poll that was recorded is played once, at its time (``speed`` times as fast), however often the driver asks in between. So
the same values come out in the same order. See :mod:`~nutdrv_py.backends.replay.stage` for the time,
:mod:`~nutdrv_py.backends.replay.gateway` and :mod:`~nutdrv_py.backends.replay.line` for the two devices.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar

from nutdrv_py.backends.replay import gateway, line
from nutdrv_py.backends.replay.config import ReplayConfig, file_of
from nutdrv_py.backends.replay.stage import Stage
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Writable
from nutdrv_py.device.backend import Config as BaseConfig
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import CommandError, ConfigError, DeviceError, Result, StaleError
from nutdrv_py.log import log
from nutdrv_py.recording.file import Recording, read

__all__ = ["PLAYERS", "Replay"]

MOST_LOAD = 1e6
"""W that a battery loses at most, however fast it is played: the driver takes more for nonsense."""

LATE = 0.001
"""Seconds that a poll may come before its time: timers are not exact."""


def _enphase(recording: Recording, own: BaseConfig, stage: Stage) -> Backend[Any]:
    return gateway.PlayedEnphase(gateway.config_of(recording.options, own), stage)


def _rct(recording: Recording, own: BaseConfig, stage: Stage) -> Backend[Any]:
    return line.PlayedRct(line.config_of(recording.options, own), stage)


OPTIONS: Mapping[str, Callable[[Mapping[str, int | float | bool], BaseConfig], BaseConfig]] = {
    "enphase": gateway.config_of,
    "rct": line.config_of,
}
"""How the options of a played backend come about, from those that were recorded and those of the section that plays it."""

PLAYERS: Mapping[str, Callable[[Recording, BaseConfig, Stage], Backend[Any]]] = {"enphase": _enphase, "rct": _rct}
"""The backends whose recordings can be played."""


class Replay(Backend[ReplayConfig]):
    """What ``nutdrv_py record`` has written, played."""

    Config: ClassVar[type[ReplayConfig]] = ReplayConfig
    description: ClassVar[str] = "recording of a device"
    version: ClassVar[str] = "0.1"

    def __init__(self, config: ReplayConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self._recording = _recording(self.config)
        self._alarm: asyncio.Task[None] | None = None
        self._last: Reading | None = None
        self._failure: DeviceError | None = None
        self._good_at = 0.0
        self._ended = False
        self._begin()

    @classmethod
    def check(cls, config: ReplayConfig) -> None:
        """Refuse a file that cannot be played."""
        _recording(config)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End playing."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        await self._played.__aexit__(kind, error, trace)

    def _begin(self) -> None:
        """Begin from the start, with a new backend."""
        self._stage = Stage(self._recording)
        self._played = PLAYERS[self._recording.backend](self._recording, self.config, self._stage)
        self._played.publish = lambda reading: self.publish(reading)
        self._started: float | None = None

    # The poll

    async def poll(self) -> Reading:
        """Play the polls whose time has come, each one; else what the last one has brought."""
        if self._ended:
            raise self._end()
        if self._due is None:
            await self._played.__aexit__(None, None, None)
            if not self.config.loop:
                self._ended = True
                raise self._end()
            log.info("The recording %s is at its end and begins anew", self.config.port)
            self._begin()
        self._started = self._started if self._started is not None else self.clock.monotonic()
        while self._due is not None and self._due <= LATE and self._stage.following is not None:
            # Also those that are played in a row are seen by clients.
            if self._last is not None and self._failure is None:
                self.publish(self._last)
            await self._play()
            if self.config.speed == 0:
                break
        self._wake_in(self._due)
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._last is None:
            raise DeviceError("the recording has no reading yet")
        return self._last

    @property
    def _due(self) -> float | None:
        """Return the seconds until something is to be done: the next poll, or the end after the last one. None when that is
        past."""
        following, speed = self._stage.following, self.config.speed
        if self._started is None or (speed == 0 and following is not None):
            return 0.0
        if speed == 0:
            return None
        at = following.begun if following is not None else self._recording.polls[-1].ended + self._interval
        wait = (at - self._recording.polls[0].begun) / speed - (self.clock.monotonic() - self._started)
        return None if following is None and wait <= LATE else wait

    @property
    def _interval(self) -> float:
        return float(self._played.config.pollinterval)

    async def _play(self) -> None:
        """Have the device's backend poll once more."""
        self._stage.next()
        try:
            self._last = self._as_recorded(await self._played.poll())
            self._failure, self._good_at = None, self._stage.now
        except DeviceError as error:
            age = self._stage.now - self._good_at
            # What was stale then is stale now, however fast it is played.
            stale = age > self._played.config.maxage
            self._failure = StaleError(f"{error} (when it was recorded)") if stale else error

    def _as_recorded(self, reading: Reading) -> Reading:
        """Return the reading with the low mark of the recording, and with the pace at which it is played."""
        if reading.decline is None:
            return reading
        recorded = self._recording.options.get("lowbatt")
        low = reading.decline.low if recorded is None else float(recorded)
        decline = dataclasses.replace(reading.decline, low=low, load=min(MOST_LOAD, reading.decline.load * self.config.speed))
        return dataclasses.replace(reading, decline=decline)

    def _end(self) -> StaleError:
        return StaleError(
            f"the recording {self.config.port} has been played to its end ({self._recording.polls[-1].ended / 60:.1f} min); "
            "restart the driver, or write loop into the section, to see it again"
        )

    def _wake_in(self, seconds: float | None) -> None:
        """Have the next poll when it is due, not when the driver would ask."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.create_task(self._sleep(seconds)) if seconds is not None and self.config.speed > 0 else None

    async def _sleep(self, seconds: float) -> None:
        await self.clock.sleep(max(0.0, seconds))
        self.wake()

    # What the device's backend does

    @property
    def writable(self) -> Mapping[str, Writable]:
        """See the device's backend."""
        return self._played.writable

    async def set(self, name: str, value: str) -> None:
        """See the device's backend."""
        if name not in self.writable:
            raise CommandError(f"{name} cannot be set", Result.UNKNOWN)
        await self._played.set(name, value)

    @property
    def counters(self) -> Mapping[str, int]:
        """See the device's backend."""
        return self._played.counters

    @property
    def ages(self) -> Mapping[str, float]:
        """Return the ages of the device's backend, in seconds of the recording."""
        return self._played.ages

    async def reload(self, config: ReplayConfig) -> None:
        """Take over the options about the UPS."""
        self.config = config
        await self._played.reload(OPTIONS[self._recording.backend](self._recording.options, config))


def _recording(config: ReplayConfig) -> Recording:
    path = file_of(config)
    found = read(path)
    if found.backend not in PLAYERS:
        raise ConfigError(f"{path} is of backend = {found.backend}, which cannot be played; known are {', '.join(PLAYERS)}")
    for option in ("pollinterval", "maxage"):
        if not found.options.get(option, 1) > 0:
            raise ConfigError(f"{path} has {option} = {found.options[option]}, which is not valid; record again")
    return found
