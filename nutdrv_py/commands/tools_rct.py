# SPDX-License-Identifier: GPL-2.0-or-later
"""An RCT Power inverter for the commands: simulated, in the demo, recorded, found on the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nutdrv_py.backends.rct.config import PORT
from nutdrv_py.commands.record_rct import OverheardRct
from nutdrv_py.commands.scan_inverters import Inverter, find_inverters
from nutdrv_py.device.tools import Demo, Found, Search, Simulation, Tools
from nutdrv_py.simulators import rct

__all__ = ["TOOLS"]


def _make_inverter(scenario: str, settings: Mapping[str, Any]) -> rct.InverterSimulator:
    return rct.InverterSimulator(rct.load_scenario(scenario), **settings)


def _inverter_section(simulator: rct.InverterSimulator, directory: Path) -> dict[str, str]:
    return {
        "driver": "nutdrv_py",
        "port": simulator.host_port,
        "desc": f'"Simulated RCT Power inverter ({simulator.scenario.name})"',
        "backend": "rct",
    }


async def find(search: Search) -> list[Found]:
    """Try the addresses that were named, and no others."""
    if not search.hosts:
        search.say("RCT inverters were not looked for: they do not announce themselves; add --network 192.168.1.0/24 (yours)")
        return []
    port = search.port or PORT
    inverters = await find_inverters(search.hosts, port, search.progress)
    for inverter in inverters:
        if not inverter.sure:
            search.say(f"{inverter.where} listens on port {port} but does not answer as an RCT inverter: busy, or another device")
    return [_section(inverter, port) for inverter in inverters if inverter.sure]


def _section(found: Inverter, port: int) -> Found:
    where = f"[{found.where}]" if ":" in found.where else found.where
    who = f"RCT Power inverter{f' {found.serial}' if found.serial else ''}"
    lines = (("port", where if port == PORT else f"{where}:{port}"), ("backend", "rct"))
    return Found(f"{who}, found on TCP port {port}; give it a fixed address in your router", "rct", lines)


_RCT_EPILOGUE = """
For your own inverter, as root, in the folder of this README:

    python3 -m venv /opt/nutdrv_py && /opt/nutdrv_py/bin/pip install .
    /opt/nutdrv_py/bin/nutdrv_py install             # puts the driver where upsdrvctl looks
    cat >> /etc/nut/ups.conf <<END
    [home]
        driver      = nutdrv_py
        port        = 192.168.1.50                   # the inverter's fixed address
        backend     = rct
        desc        = "House battery"
    END
    editor /etc/nut/nut.conf                         # MODE=standalone, or upsd does not start
    upsdrvctl start home && systemctl restart nut-server && upsc home"""

TOOLS = Tools(
    simulation=Simulation(
        scenarios={name: scenario.title for name, scenario in rct.SCENARIOS.items()},
        make=_make_inverter,
        section=_inverter_section,
        title=lambda simulator: f"{simulator.scenario.name}: {simulator.scenario.title}",
        demo=Demo(
            title="a simulated house with an RCT Power inverter, its battery and a Power Switch",
            cut="the grid was lost",
            make=lambda speed: rct.InverterSimulator(dataclasses.replace(rct.load_scenario("demo"), timeline=()), speed=speed),
            begin={"soc": 23, "grid": "on", "reclose_seconds": 60},
            back={"grid": "on", "pv": 4800},
            options={"pollinterval": "2", "desc": "Simulated house battery"},
            epilogue=_RCT_EPILOGUE,
        ),
    ),
    record=OverheardRct,
    find=find,
)
