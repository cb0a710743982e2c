# SPDX-License-Identifier: GPL-2.0-or-later
"""The fake device that a backend is played with: how to make it report the grid, fall silent, or answer nonsense."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Config

__all__ = ["Device", "given"]


class Device(abc.ABC):
    """What you describe of your fake device. Obligatory are :meth:`config`, :meth:`grid` and :meth:`outage`.

    Override what your fake can do; what you leave out is not tested, and named as such. Each call changes the device at once,
    without looking at what the backend does. A new device is on the grid at 80 % of charge and answers. ``clock`` is the clock of
    the story, which a device that reports times must use; ``folder`` is empty and its own.
    """

    notices: ClassVar[float] = 30.0
    """Seconds of the story within which an outage must be served."""
    returns: ClassVar[float] = 120.0
    """Seconds of the story within which the return of the grid must be served, and of a device that answers again."""
    settles: ClassVar[float] = 300.0
    """Seconds of the story within which another charge must be served."""
    patience: ClassVar[float] = 5.0
    """Real seconds that one poll may take while the device is silent. Give the backend short time limits."""
    delay: ClassVar[float] = 0.0
    """Real seconds that a change takes to reach the backend, where a message is pushed."""
    capacity: ClassVar[float | None] = None
    """Wh of the fake's full battery, if the device reports it or the configuration holds it."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.clock = clock
        self.folder = folder

    async def __aenter__(self) -> Self:
        """Start a server, or write a file."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """End what was started."""

    @abc.abstractmethod
    def config(self) -> Config:
        """Return the options with which the backend finds this device. Called after the start."""

    @property
    def secrets(self) -> Iterable[str]:
        """Return more secrets than the values of sensitive options: a session, a serial number that must not be seen."""
        return ()

    @abc.abstractmethod
    async def grid(self) -> None:
        """Report that the grid is there."""

    @abc.abstractmethod
    async def outage(self) -> None:
        """Report that the grid is gone."""

    async def charge(self, percent: float) -> None:
        """Set the charge of the battery."""

    async def battery(self, watts: float) -> None:
        """Set the power of the battery, + = discharging. The grid stays as it is."""

    async def voltage(self, share: float) -> None:
        """Set the battery's voltage to this share of its range: 0 is empty, 1 is full."""

    async def load(self, watts: float) -> None:
        """Set the load of the house."""

    async def runtime(self, seconds: float) -> None:
        """Set the remaining time that the device reports."""

    async def hide_charge(self) -> None:
        """Report the charge no more; all else as before."""

    async def hide_grid(self) -> None:
        """Report the grid no more, but go on answering."""

    async def silence(self) -> None:
        """Answer no more at all."""

    async def garbage(self) -> None:
        """Answer nonsense."""

    async def repeat(self) -> None:
        """Repeat the last answers, marked as old: a retained message, a cloud's cache."""

    async def slow(self, seconds: float) -> None:
        """Take so many real seconds for each answer."""

    async def refuse(self) -> None:
        """Refuse the password."""

    async def restart(self) -> None:
        """Restart: connections and sessions end. Then answer again."""

    async def recover(self) -> None:
        """Answer as before again: after silence, garbage, what was hidden, repeated or slow, and a refused password."""


def given(device: type[Device], name: str) -> bool:
    """Return whether the author has described this of the device."""
    found: Any = getattr(device, name)
    return found is not getattr(Device, name)
