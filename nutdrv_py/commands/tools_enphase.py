# SPDX-License-Identifier: GPL-2.0-or-later
"""An IQ Gateway for the commands: simulated, in the demo, recorded, found on the network."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nutdrv_py.commands.record_enphase import OverheardEnphase
from nutdrv_py.commands.scan_gateways import Gateway, find_gateways
from nutdrv_py.device.tools import Demo, Found, Search, Simulation, Tools
from nutdrv_py.machine.paths import layout
from nutdrv_py.simulators import enphase

__all__ = ["TOOLS"]


def _make_gateway(scenario: str, settings: Mapping[str, Any]) -> enphase.GatewaySimulator:
    if scenario not in enphase.SCENARIOS and Path(scenario).is_dir():
        return enphase.GatewaySimulator.from_captures(scenario, **settings)
    return enphase.GatewaySimulator(enphase.load_scenario(scenario), **settings)


def _driver_account() -> pwd.struct_passwd | None:
    """Return the user that a driver started by root becomes; None when it stays this one, or when NUT is not installed."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(layout().user)
    return None


def _gateway_section(simulator: enphase.GatewaySimulator, directory: Path) -> dict[str, str]:
    state = directory / "state"
    state.mkdir(mode=0o700)
    number = os.open(directory / "credentials", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(number, "w", encoding="utf-8") as file:
        file.write(f"USERNAME={simulator.username}\nPASSWORD={simulator.password}\n")
        account = _driver_account()
        if account is not None:
            # As the credentials of a real gateway: root's, readable by NUT's group. The folder of the token is NUT's own.
            os.fchown(file.fileno(), 0, account.pw_gid)
            os.fchmod(file.fileno(), 0o640)
            os.chown(directory, 0, account.pw_gid)
            directory.chmod(0o750)
            os.chown(state, account.pw_uid, account.pw_gid)
    return {
        "driver": "nutdrv_py",
        "port": simulator.host_port,
        "desc": f'"Simulated Enphase system ({simulator.scenario.name})"',
        "backend": "enphase",
        "serial": simulator.serial,
        "credentials": str(directory / "credentials"),
        "tokenfile": str(state / "token"),
        "login_url": simulator.login_url,
        "token_url": simulator.token_url,
    }


async def find(search: Search) -> list[Found]:
    """Listen for gateways. One that announces itself under two names is one; its address is better than its name."""
    gateways = await find_gateways(search.seconds)
    once: dict[str, Gateway] = {}
    for gateway in sorted(gateways, key=lambda found: (found.where == found.name, found.where)):
        once.setdefault(gateway.serial or gateway.where, gateway)
    return [_section(gateway) for gateway in once.values()]


def _section(found: Gateway) -> Found:
    who = f"Enphase IQ Gateway{f' {found.serial}' if found.serial else ''}{f', {found.name}' if found.name else ''}"
    port = f"[{found.where}]" if ":" in found.where else found.where
    lines = [("port", port), ("backend", "enphase")]
    if found.serial:
        lines.append(("serial", found.serial))
    lines.append(("credentials", "enphase.conf    # USERNAME=... and PASSWORD=..., in this folder, mode 0640 root:nut"))
    return Found(f"{who}, found by mDNS; give it a fixed address in your router", "enphase", tuple(lines))


_ENPHASE_EPILOGUE = """
For your own gateway, as root, in the folder of this README:

    python3 -m venv /opt/nutdrv_py && /opt/nutdrv_py/bin/pip install .
    /opt/nutdrv_py/bin/nutdrv_py install             # puts the driver where upsdrvctl looks
    cat >> /etc/nut/ups.conf <<END
    [home]
        driver      = nutdrv_py
        port        = envoy.local                    # better: the gateway's fixed address
        backend     = enphase
        credentials = enphase-home.conf              # in /etc/nut, mode 0640, owner root:nut
        desc        = "House battery"
    END
    install -m 0640 -o root -g nut /dev/null /etc/nut/enphase-home.conf
    editor /etc/nut/enphase-home.conf                # USERNAME=... and PASSWORD=... of the Enphase app
    editor /etc/nut/nut.conf                         # MODE=standalone, or upsd does not start
    upsdrvctl start home && systemctl restart nut-server && upsc home"""

TOOLS = Tools(
    simulation=Simulation(
        scenarios={name: scenario.title for name, scenario in enphase.SCENARIOS.items()},
        make=_make_gateway,
        section=_gateway_section,
        title=lambda simulator: f"{simulator.scenario.name}: {simulator.scenario.title}",
        demo=Demo(
            title="a simulated house with two Enphase batteries",
            cut="the gateway's relay opened",
            make=lambda speed: enphase.GatewaySimulator(
                dataclasses.replace(enphase.load_scenario("demo"), timeline=()), speed=speed
            ),
            begin={"soc": 34, "grid": "on"},
            back={"grid": "on", "pv": 4800},
            options={"pollinterval": "2", "pollfreq": "5", "desc": "Simulated house battery"},
            epilogue=_ENPHASE_EPILOGUE,
        ),
    ),
    record=OverheardEnphase,
    find=find,
)
