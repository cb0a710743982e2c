# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that plays steps: the test mode of the port file, to see what NUT does without waiting for an outage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.device.reading import Reading, Status, Value
from nutdrv_py.errors import StaleError

__all__ = ["STEPS", "Played", "Step", "Steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """What the device shows for a while; ``status`` None: it does not answer."""

    name: str
    status: Status | None
    charge: int = 0


STEPS = (
    Step("online", Status.OL, 90),
    Step("nocomms", None),
    Step("online", Status.OL, 90),
    Step("onbatt", Status.OB | Status.DISCHRG, 60),
    Step("lowbatt", Status.OB | Status.LB | Status.DISCHRG, 15),
)
"""The order in which enphase-monitor's test mode goes round."""


class Played(Protocol):
    """A backend that shows a step."""

    step: Step

    def wake(self) -> None:
        """Have the driver poll now."""

    def forget(self) -> None:
        """Forget the token, as if it had ended."""


LOAD = 1200.0
"""W that the house of the test uses."""


class Steps(Backend[Config]):
    """Shows the present :attr:`step`; the caller that sets another one calls :attr:`wake`."""

    description = "Test steps"
    version = "0.1"

    def __init__(self, config: Config, clock: Clock) -> None:
        super().__init__(config, clock)
        self.step = STEPS[0]

    def forget(self) -> None:
        """Do nothing: there is no token."""

    async def poll(self) -> Reading:
        """Return what the step shows."""
        if self.step.status is None:
            raise StaleError("test mode: nobody answers")
        values: dict[str, Value] = {
            "battery.charge": self.step.charge,
            "battery.charge.low": 20,
            "battery.runtime": self.step.charge * 100,
            "battery.type": "LFP",
            "ups.mfr": "nutdrv_py",
            "ups.model": "Test mode",
            "ups.realpower": LOAD,
        }
        return Reading(values, self.step.status)
