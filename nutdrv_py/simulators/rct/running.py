# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated inverter in a thread of its own, for synchronous tests and demonstrations."""

from __future__ import annotations

from typing import Any

from nutdrv_py.simulators.rct.inverter import InverterSimulator
from nutdrv_py.simulators.rct.scenarios import Scenario
from nutdrv_py.simulators.running import RunningDevice


class RunningInverter(RunningDevice[InverterSimulator]):
    """Context manager that runs an :class:`InverterSimulator` in its own thread with its own event loop.

    Takes a simulator, a scenario, or a scenario's name; ``settings`` are those of :class:`InverterSimulator`.
    """

    def __init__(
        self,
        simulator: InverterSimulator | Scenario | str = "online",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> None:
        """Prepare the thread; it starts with the ``with`` block."""
        if not isinstance(simulator, InverterSimulator):
            simulator = InverterSimulator(simulator, **settings)
        elif settings:
            raise TypeError("Settings belong to the simulator, which is made already.")
        super().__init__(simulator, "inverter-simulator", host=host, port=port)

    def value(self, name: str) -> Any:
        """Return what an object has now; see :meth:`InverterSimulator.value`."""
        return self.call(lambda: self.sim.value(name))
