# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated Enphase IQ Gateway with its house, its local API over TLS, and the cloud login beside it.

What it answers is known from public sources: pyenphase and its fixtures, Home Assistant's enphase_envoy, Matthew1471's
Enphase-API documents, johnhartman's enphase_local (a real outage), homebridge-enphase-envoy. No answer of a real gateway is
part of it.
"""

from __future__ import annotations

from nutdrv_py.simulators.enphase.faults import Fault
from nutdrv_py.simulators.enphase.gateway import GatewaySimulator
from nutdrv_py.simulators.enphase.house import SiteSetup
from nutdrv_py.simulators.enphase.messages import Request
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.running import RunningSimulator
from nutdrv_py.simulators.enphase.scenarios import SCENARIOS, GatewayOptions, Scenario, load_scenario

__all__ = [
    "SCENARIOS",
    "Fault",
    "GatewayOptions",
    "GatewaySimulator",
    "Request",
    "RunningSimulator",
    "Scenario",
    "Site",
    "SiteSetup",
    "load_scenario",
]
