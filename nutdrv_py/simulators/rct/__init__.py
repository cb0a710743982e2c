# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated RCT Power inverter: a house with battery and Power Switch, behind a serial line as bad as wanted.

Written from descriptions of the protocol and of what inverters were seen to do; no inverter was asked. The vendor document is
"Serial Communication Protocol" 1.14, as other projects quote it.
"""

from __future__ import annotations

from nutdrv_py.simulators.rct.house_setup import HouseSetup
from nutdrv_py.simulators.rct.inverter import InverterSimulator
from nutdrv_py.simulators.rct.physics import House, Mode
from nutdrv_py.simulators.rct.running import RunningInverter
from nutdrv_py.simulators.rct.scenarios import SCENARIOS, Scenario, load_scenario

__all__ = ["SCENARIOS", "House", "HouseSetup", "InverterSimulator", "Mode", "RunningInverter", "Scenario", "load_scenario"]
