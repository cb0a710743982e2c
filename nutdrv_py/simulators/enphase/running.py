# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated gateway in a thread of its own, for synchronous tests and demonstrations."""

from __future__ import annotations

from typing import Any

from nutdrv_py.simulators.enphase.faults import Fault
from nutdrv_py.simulators.enphase.gateway import GatewaySimulator
from nutdrv_py.simulators.enphase.scenarios import Scenario, load_scenario
from nutdrv_py.simulators.running import RunningDevice


class RunningSimulator(RunningDevice[GatewaySimulator]):
    """Context manager that runs a :class:`GatewaySimulator` in its own thread with its own event loop.

    Takes a simulator, a scenario, or a scenario's name; ``settings`` are those of :class:`GatewaySimulator`.
    """

    def __init__(
        self,
        simulator: GatewaySimulator | Scenario | str = "online",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> None:
        """Prepare the thread; it starts with the ``with`` block."""
        if isinstance(simulator, str):
            simulator = load_scenario(simulator)
        if isinstance(simulator, Scenario):
            simulator = GatewaySimulator(simulator, **settings)
        elif settings:
            raise TypeError("Settings belong to the simulator, which is made already.")
        super().__init__(simulator, "enphase-simulator", host=host, port=port)

    def fault(self, path: str, fault: Fault | None) -> None:
        """Set the fault of a path, or take it away with None."""
        self.set(fault={path: fault})
