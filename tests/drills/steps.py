# SPDX-License-Identifier: GPL-2.0-or-later
"""What can happen in a drill: small values that a row lists."""

from __future__ import annotations

import dataclasses
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.drills.devices import USUAL, Answer
from tests.drills.seen import GONE, SILENT, STALE
from tests.drills.stage import Scene, Stopped

__all__ = [
    "Change", "Exit", "Fail", "Hold", "Kill", "Look", "Reload", "Say", "Seen", "Silence", "Start", "Step", "Stop", "Terminate", "Value",
    "Wait", "Watch",
]  # fmt: skip

SEEN = 12.0
"""Seconds in which upsd must serve what a step waits for."""


class Step(Protocol):
    """Something that happens."""

    def play(self, scene: Scene) -> None:
        """Do it; raises :class:`Stopped` when the rest makes no sense then."""


@dataclass(frozen=True, slots=True)
class Say:
    """The device answers so from now on. ``age`` in seconds: a value that was said once, so long ago, and is never renewed."""

    status: str
    values: Mapping[str, object] = field(default_factory=lambda: USUAL)
    alarms: tuple[str, ...] = ()
    age: float | None = None
    how: str = ""

    def play(self, scene: Scene) -> None:
        """Write the device's file."""
        scene.happens()
        scene.device.say(Answer(self.status, self.values, self.alarms, self.age, self.how))


@dataclass(frozen=True, slots=True)
class Fail:
    """From now on polls do one of :data:`tests.drills.scripted.ACTS`; on other devices the device is away."""

    how: str = "device"
    seconds: float = 0.0

    def play(self, scene: Scene) -> None:
        """Write the device's file, with the last status in it."""
        scene.happens()
        scene.device.say(dataclasses.replace(scene.device.answer, how=self.how, seconds=self.seconds))


@dataclass(frozen=True, slots=True)
class Change:
    """Change a simulated device by name."""

    changes: Mapping[str, object]

    def play(self, scene: Scene) -> None:
        """Tell the simulator."""
        scene.happens()
        scene.device.change(**self.changes)


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float

    def play(self, scene: Scene) -> None:
        """Record meanwhile."""
        scene.watch(self.seconds)


@dataclass(frozen=True, slots=True)
class Seen:
    """Wait until upsd serves these tokens, and no others if ``only``."""

    tokens: str
    only: bool = False
    within: float = SEEN

    def play(self, scene: Scene) -> None:
        """Wait, and stop the story when it does not come."""
        wanted = set(self.tokens.split())

        def there() -> bool:
            served = set(scene.record.status.split())
            return served == wanted if self.only else served >= wanted

        if not scene.watch(self.within, there) and not scene.shut_down:
            raise Stopped(f"upsd did not serve {self.tokens} within {self.within:.0f} s but {scene.record.status}")


@dataclass(frozen=True, slots=True)
class Value:
    """Wait until upsd has served a value that fits the pattern."""

    name: str
    pattern: str
    within: float = 2 * SEEN

    def play(self, scene: Scene) -> None:
        """Wait, and stop the story when it does not come."""

        def there() -> bool:
            return any(re.fullmatch(self.pattern, value) for value in scene.record.values.get(self.name, ()))

        if not scene.watch(self.within, there) and not scene.shut_down:
            raise Stopped(f"upsd did not serve {self.name} = {self.pattern} within {self.within:.0f} s")


@dataclass(frozen=True, slots=True)
class Silence:
    """Wait until upsd serves no data."""

    within: float = SEEN

    def play(self, scene: Scene) -> None:
        """Wait, and stop the story when it does not come."""
        if not scene.watch(self.within, lambda: scene.record.status in (STALE, GONE)) and not scene.shut_down:
            raise Stopped(f"upsd still served {scene.record.status} after {self.within:.0f} s")


@dataclass(frozen=True, slots=True)
class Hold:
    """For so many seconds all that upsd serves has these tokens, and not those."""

    tokens: str
    seconds: float
    without: str = ""

    def play(self, scene: Scene) -> None:
        """Record meanwhile, and stop the story when it is not so."""
        wanted, unwanted = set(self.tokens.split()), set(self.without.split())
        began = time.monotonic()
        # The poll that was under way may still come in.
        scene.watch(1.5)
        first = len(scene.record.samples)
        scene.watch(self.seconds - 1.5)
        for sample in scene.record.samples[first:]:
            if sample.status in SILENT or not sample.tokens >= wanted or sample.tokens & unwanted:
                raise Stopped(f"upsd served {sample.status} in place of {self.tokens} after {sample.at - began:.0f} s")


@dataclass(frozen=True, slots=True)
class Start:
    """Start the driver, and upsd unless it runs."""

    def play(self, scene: Scene) -> None:
        """Start, and wait until it serves."""
        scene.happens()
        scene.start_driver()
        scene.happens()


@dataclass(frozen=True, slots=True)
class Watch:
    """Start upsmon; the story goes on at the row's phase after one of its looks."""

    def play(self, scene: Scene) -> None:
        """Start, and wait for the phase."""
        scene.start_upsmon()
        scene.happens()


@dataclass(frozen=True, slots=True)
class Look:
    """Wait until upsmon has looked once more; the story goes on at the row's phase after it."""

    def play(self, scene: Scene) -> None:
        """Record meanwhile."""
        scene.next_look()


@dataclass(frozen=True, slots=True)
class Stop:
    """``upsdrvctl stop``."""

    def play(self, scene: Scene) -> None:
        """Run it to its end."""
        scene.happens()
        scene.upsdrvctl_stop()


@dataclass(frozen=True, slots=True)
class Exit:
    """``driver.exit`` over the socket, as ``nutdrv_py`` and the package's units do."""

    def play(self, scene: Scene) -> None:
        """Send it, and wait for the end."""
        scene.happens()
        scene.driver_exit()


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM and nothing after it."""

    def play(self, scene: Scene) -> None:
        """Send it, and wait for the end."""
        scene.happens()
        scene.signal(signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Kill:
    """``kill -9``."""

    def play(self, scene: Scene) -> None:
        """Send it."""
        scene.happens()
        scene.signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Reload:
    """SIGHUP."""

    def play(self, scene: Scene) -> None:
        """Send it."""
        scene.happens()
        scene.signal(signal.SIGHUP)
