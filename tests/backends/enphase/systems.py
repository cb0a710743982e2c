# SPDX-License-Identifier: GPL-2.0-or-later
"""Systems as they were seen in the field: answers of our own making with the same shape, and what must be served of each.

The rows are those of docs/systems.md. The numbers are ours; which keys are there, which are zero, wrong or missing is the systems'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Files = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class System:
    """One row of docs/systems.md, the answers that the test plays, and the variables that must come of them (None: none)."""

    firmware: str
    configuration: str
    special: str
    served: str
    files: Files
    expected: Mapping[str, str | None]
    live: bool = False
    """Whether livedata move; else other sources serve."""
    fails: str = ""
    """What the failed poll says, where nothing can be served."""


def info(firmware: str) -> str:
    return f"<envoy_info><device><sn>122333444455</sn><pn>800-1</pn><software>{firmware}</software></device></envoy_info>"


def relay(oper: str = "closed", enchg: str = "multimode-ongrid", solar: str | None = None, admin: str = "closed") -> dict[str, str]:
    return {
        "mains_admin_state": admin, "mains_oper_state": oper, "Enchg_grid_mode": enchg, "Solar_grid_mode": enchg if solar is None else solar,
    }  # fmt: skip


def batteries(count: int, charge: int = 80, **more: Any) -> dict[str, Any]:
    pack = {"communicating": True, "dc_switch_off": False, "maxCellTemp": 25, "percentFull": charge, "encharge_capacity": 5000, **more}
    return {"type": "ENCHARGE", "devices": [dict(pack, serial_num=str(n)) for n in range(count)]}


def enpower(oper: str = "closed", state: str = "ENPWR_STATE_OPER_CLOSED", mode: str = "multimode-ongrid") -> dict[str, Any]:
    device = {"communicating": True, "mains_oper_state": oper, "admin_state_str": state, "Enpwr_grid_mode": mode, "temperature": 80}
    return {"type": "ENPOWER", "devices": [device]}


def collar(mid: str = "close", grid: str = "on_grid", state: str = "ENCMN_MDE_ON_GRID") -> dict[str, Any]:
    return {"type": "COLLAR", "devices": [{"communicating": True, "mid_state": mid, "grid_state": grid, "admin_state_str": state}]}


def control(capacity: int, charge: int, **more: Any) -> dict[str, Any]:
    found = {
        "shutdown": False, "agg_soc": charge, "Max_energy": capacity, "ENC_agg_soc": charge, "ENC_agg_avail_energy": capacity * charge // 100,
        "Enc_max_available_capacity": capacity, "ACB_agg_soc": 0, "ACB_agg_energy": 0, "configured_backup_soc": 30,
    }  # fmt: skip
    return {**found, **more}


def power(*watts: float) -> dict[str, Any]:
    return {"devices:": [{"serial_num": str(n), "real_power_mw": round(each * 1000)} for n, each in enumerate(watts)]}


def rated(count: int, watts: int) -> dict[str, Any]:
    return {"inventory": {"serial_nums": {str(n): {"device_type": 13, "encharge_rated_power": watts} for n in range(count)}}}


def meter(count: int, *kinds: str) -> list[dict[str, Any]]:
    eids = {"production": 1, "net-consumption": 2, "total-consumption": 2, "storage": 3}
    mode = {1: "single", 2: "split", 3: "three"}[count]
    return [{"eid": eids[kind], "state": "enabled", "measurementType": kind, "phaseMode": mode, "phaseCount": count} for kind in kinds]


def report(kind: str, volts: tuple[float, ...], *watts: float) -> dict[str, Any]:
    def row(power: float, voltage: float) -> dict[str, float]:
        return {
            "currW": power, "apprntPwr": abs(power), "rmsVoltage": voltage, "rmsCurrent": round(abs(power) / voltage, 3) if voltage else 0.0,
            "pwrFactor": 1.0, "freqHz": 50.0,
        }  # fmt: skip

    lines = [row(each, voltage) for each, voltage in zip(watts, volts, strict=True)]
    return {"reportType": kind, "cumulative": row(sum(watts), sum(volts)), "lines": lines}


SPLIT, THREE = (120.0, 121.0), (230.0, 231.0, 232.0)
UNABLE = "impossible: no IQ System Controller or Meter Collar"


def _files(firmware: str, **answers: Any) -> dict[str, str]:
    names = {"relay": "ivp_ensemble_relay", "secctrl": "ivp_ensemble_secctrl", "inventory": "ivp_ensemble_inventory",
             "power": "ivp_ensemble_power", "status": "ivp_ensemble_status", "meters": "ivp_meters", "reports": "ivp_meters_reports",
             "readings": "ivp_meters_readings"}  # fmt: skip
    return {"info": info(firmware), **{names[name]: json.dumps(answer) for name, answer in answers.items()}}


SYSTEMS: tuple[System, ...] = (
    System(
        "7.3.517", "3 IQ Batteries (3,360 Wh), System Controller, split phase, CTs for production and net",
        "no very low limit, no recovery charge, no generator or tariff; the batteries charge",
        "load = production + grid + batteries; LB at 20 %",
        _files(
            "D7.3.517", relay=relay(), secctrl=control(10080, 96), inventory=[batteries(3, 96), enpower()], power=power(-700, -700, -600),
            status=rated(3, 1280), meters=meter(2, "production", "net-consumption"),
            reports=[
                report("production", SPLIT, 1300, 1300), report("net-consumption", SPLIT, 20, 30), report("total-consumption", SPLIT, 1320, 1330),
            ],
        ),
        {
            "ups.status": "OL CHRG", "ups.realpower": "650.0", "output.realpower": "650.0", "output.L1.realpower": None, "battery.charge": "96",
            "battery.charge.low": "20", "battery.charge.restart": None, "input.L1-L2.voltage": "241.0", "ups.realpower.nominal": "3840",
        },
    ),
    System(
        "7.6", "2 IQ Batteries, no System Controller",
        "the relay is closed for ever and the mode grid-tied, also in an outage",
        "`experimental.outage.detection` is `impossible`, and the log has an error",
        _files("D7.6.175", relay=relay(enchg="grid-tied"), secctrl=control(6720, 60), inventory=[batteries(2, 60)], power=power(20, 20)),
        {"ups.status": "OL", "battery.charge": "60", "experimental.outage.detection": UNABLE, "experimental.controller.type": "none"},
    ),
    System(
        "8.1.41", "2 IQ Batteries, System Controller, no CTs",
        "very low limit 10 %, no recovery exit; idle batteries show 20 W each",
        "charge and status; no load, so no runtime on the grid",
        _files(
            "D8.1.41", relay=relay(), secctrl=control(9920, 92, VLS_Limit=10, Recovery_threshold_soc=13), inventory=[batteries(2, 92), enpower()],
            power=power(20, 20), status=rated(2, 3840), meters=[],
        ),
        {
            "ups.status": "OL", "battery.charge": "92", "battery.charger.status": "resting", "experimental.battery.charge.verylow": "10",
            "ups.load": None, "battery.runtime": None, "input.realpower": None, "output.voltage": None,
        },
    ),
    System(
        "8.2.127", "2 IQ Batteries, System Controller, generator, CTs for production, net and storage",
        "a generator carries the house: relay open, mode multimode-generator; the controller's own mode is on-grid; the CTs of grid and house read 0",
        "`OB CHRG` without `LB` and `OVER` while the batteries charge; state `generator`",
        _files(
            "D8.2.127", relay=relay("open", "multimode-generator"), secctrl=control(10000, 18, VLS_Limit=10, soc_recovery_exit=10),
            inventory=[batteries(2, 18, reported_enc_grid_state="grid-tied"), enpower("open", "ENPWR_STATE_OPER_GEN_CLOSE")],
            power=power(-1250, -1250), status=rated(2, 1280), meters=meter(2, "production", "net-consumption", "storage"),
            reports=[report("production", SPLIT, 0, 0), report("net-consumption", SPLIT, 0, 0), report("storage", SPLIT, -1250, -1250)],
        ),
        {
            "ups.status": "OB CHRG", "battery.charge": "18", "experimental.grid.state": "generator", "input.realpower": "0.0",
            "input.transfer.reason": "grid outage, generator running", "experimental.outage.detection": "possible",
        },
    ),
    System(
        "8.2.4286", "5 IQ Batteries, System Controller, split phase, CTs for production, net and storage",
        "the total counts 6.6 kW of charging as consumption, and so do its phases",
        "load 2.3 kW, its phases from the three CTs",
        _files(
            "D8.2.4286", relay=relay(), secctrl=control(25000, 46, VLS_Limit=10, soc_recovery_exit=10, configured_backup_soc=100),
            inventory=[batteries(5, 46), enpower()], power=power(*[-1320] * 5), status=rated(5, 3840),
            meters=meter(2, "production", "net-consumption", "storage"),
            reports=[
                report("production", SPLIT, 3600, 3550), report("net-consumption", SPLIT, 800, 950),
                report("total-consumption", SPLIT, 4400, 4500), report("storage", SPLIT, -3300, -3300),
            ],
        ),
        {
            "ups.status": "OL CHRG", "ups.realpower": "2300.0", "output.L1.realpower": "1100.0", "output.L2.realpower": "1200.0",
            "output.L1.current": None, "battery.runtime": str(int((11500 - 2500) * 3600 / 2300)), "battery.charge.restart": "10",
        },
    ),
    System(
        "8.2.4345", "System Controller, no batteries listed, one phase, CTs for production and net",
        "the group of the batteries is there and empty; each of their numbers is 0",
        "no battery variables, no `LB`; grid and load are served",
        _files(
            "D8.2.4345", relay=relay(), secctrl=control(0, 0, VLS_Limit=10), inventory=[batteries(0), enpower()], power=power(),
            meters=meter(1, "production", "net-consumption"),
            reports=[report("production", (244.0,), 900), report("net-consumption", (244.0,), -500), report("total-consumption", (244.0,), 400)],
        ),
        {
            "ups.status": "OL", "battery.charge": None, "battery.packs": "0", "battery.runtime": None, "input.realpower": "-500.0",
            "input.voltage": "244.0", "ups.realpower": "400.0", "experimental.controller.type": "ENPOWER",
        },
    ),
    System(
        "8.2.4382", "1 IQ Battery, 4 AC Batteries, System Controller",
        "`agg_soc` mixes both (39 %), but without the grid only the IQ Battery (10 %) works",
        "`battery.charge` 39, `LB` by the IQ Battery's 10 %; the AC Batteries' part in `experimental.battery.acb.*`",
        _files(
            "D8.2.4382", relay=relay("open", "multimode-offgrid"),
            secctrl=control(5000, 39, ENC_agg_soc=10, ENC_agg_avail_energy=500, Max_energy=9800, ACB_agg_soc=70, ACB_agg_energy=3360, VLS_Limit=5),
            inventory=[batteries(1, 10), enpower("open", "ENPWR_STATE_OPER_NO_GRID", "multimode-offgrid")], power=power(800), status=rated(1, 3840),
        ),
        {
            "ups.status": "OB LB DISCHRG", "battery.charge": "39", "experimental.battery.encharge.charge": "10",
            "experimental.battery.acb.charge": "70", "experimental.battery.acb.capacity": "4800", "experimental.battery.acb.energy": "3360",
            "experimental.battery.energy.capacity": "5000",
        },
    ),
    System(
        "8.3", "2 IQ Batteries, System Controller, an outage",
        "the CTs of production, net and total read 0 W at full voltage; livedata and the storage CT are true",
        "load and runtime from livedata; the grid side 0 W and no voltage",
        _files(
            "D8.3.5167", relay=relay("open", "multimode-offgrid"), secctrl=control(10000, 70, VLS_Limit=10),
            inventory=[batteries(2, 70), enpower("open", "ENPWR_STATE_OPER_NO_GRID", "multimode-offgrid")], power=power(350, 361),
            status=rated(2, 3840), meters=meter(1, "production", "net-consumption", "storage"),
            readings=[], reports=[report(kind, (240.0,), 0) for kind in ("production", "net-consumption", "total-consumption")]
            + [report("storage", (240.0,), 711)],
        ),
        {
            "ups.status": "OB DISCHRG", "ups.realpower": "711.0", "input.realpower": "0.0", "input.voltage": None, "output.voltage": "240.0",
            "experimental.grid.state": "outage",
        },
        live=True,
    ),
    System(
        "8.3", "2 IQ Batteries, System Controller",
        "`Enchg_grid_mode` is unknown, only `Solar_grid_mode` is multimode-ongrid",
        "the controller is listed, so an outage can be seen",
        _files(
            "D8.3.5286", relay=relay(enchg="unknown", solar="multimode-ongrid"), secctrl=control(10000, 80, VLS_Limit=10),
            inventory=[batteries(2), enpower()], power=power(20, 20),
        ),
        {"ups.status": "OL", "experimental.controller.type": "ENPOWER", "experimental.outage.detection": "possible"},
    ),
    System(
        "8.3.5433", "no batteries, split phase, CTs for production and total",
        "the total repeats the net, which the gateway has reckoned from it; the inventory is empty",
        "load = production + that net; whether an outage can be seen is `unknown` for ten minutes, then `impossible`",
        _files(
            "D8.3.5433", relay=relay(enchg="unknown"), secctrl=control(0, 0), inventory=[], power=power(),
            meters=meter(2, "production", "total-consumption"),
            reports=[report("production", SPLIT, 180, 177.5)] + [report(f"{kind}-consumption", SPLIT, 230, 198.4) for kind in ("net", "total")],
        ),
        {
            "ups.status": "OL", "ups.realpower": "785.9", "output.L1.realpower": "410.0", "output.L2.realpower": "375.9", "input.realpower": None,
            "experimental.outage.detection": "unknown",
        },
    ),
    System(
        "8.3.6086", "2 IQ Batteries, System Controller, taken off the grid by the app",
        "the relay is \"open synchronizing\", then \"open synchronized\", never plain \"open\"; `mains_admin_state` is open",
        "`OB`; state `island`, reason \"islanded on command\"",
        _files(
            "D8.3.6086", relay=relay("open synchronizing", "multimode-offgrid", admin="open"), secctrl=control(10000, 80, VLS_Limit=10),
            inventory=[batteries(2), enpower("open", "ENPWR_STATE_OPER_OPEN", "multimode-offgrid")], power=power(400, 400),
        ),
        {"ups.status": "OB DISCHRG", "experimental.grid.state": "island", "input.transfer.reason": "islanded on command"},
    ),
    System(
        "8.3.6086", "2 IQ Batteries (10C), Meter Collar, Combiner 6C",
        "no System Controller; the collar has words of its own (`mid_state` close, `grid_state` on_grid)",
        "an outage can be seen; the relay decides",
        _files(
            "D8.3.6086", relay=relay(), secctrl=control(10000, 80, VLS_Limit=10),
            inventory=[batteries(2), collar(), {"type": "C6 COMBINER CONTROLLER", "devices": [{"communicating": True}]}], power=power(20, 20),
        ),
        {"ups.status": "OL", "experimental.controller.type": "COLLAR", "experimental.outage.detection": "possible"},
    ),
    System(
        "8.3.6086", "2 IQ Batteries, Meter Collar",
        "the relay is closed while collar and batteries are off-grid",
        "`OL`, because the relay alone makes `OB`; after a minute `experimental.outage.detection` is `doubtful`, and the log names the sources",
        _files(
            "D8.3.6086", relay=relay(enchg="multimode-offgrid"), secctrl=control(10000, 80, VLS_Limit=10),
            inventory=[batteries(2), collar("open", "off_grid", "ENCMN_MDE_OFF_GRID")], power=power(400, 400),
        ),
        {
            "ups.status": "OL DISCHRG",
            "experimental.outage.detection": "doubtful: the relay is closed, but Enchg_grid_mode is multimode-offgrid and 4 more",
        },
    ),
    System(
        "8", "2 IQ Batteries, System Controller, three phases of which one is used",
        "the lines L2 and L3 show 3 to 5 V; so the sum over three is 78 V a line",
        "`input.voltage` is that of the live line",
        _files(
            "D8.2.4264", relay=relay(), secctrl=control(10000, 80, VLS_Limit=10), inventory=[batteries(2), enpower()], power=power(20, 20),
            meters=meter(3, "production", "net-consumption"),
            reports=[
                report("production", (226.9, 3.4, 4.9), 0, 0, 0), report("net-consumption", (226.9, 3.4, 4.9), 600, 0, 0),
            ],
        ),
        {"ups.status": "OL", "input.voltage": "226.9", "output.voltage": "226.9", "input.L2-N.voltage": "3.4", "input.phases": "3"},
    ),
    System(
        "8", "2 IQ Batteries, System Controller, split phase, CTs for production, net and storage",
        "the line L1 of the storage report is all zero",
        "`battery.current` by the voltage of the live line",
        _files(
            "D8.2.4286", relay=relay(), secctrl=control(10000, 80, VLS_Limit=10), inventory=[batteries(2), enpower()], power=power(-1200, -1200),
            meters=meter(2, "production", "net-consumption", "storage"),
            reports=[
                report("production", (120.0, 120.0), 1500, 1500), report("net-consumption", (120.0, 120.0), 0, 0),
                report("storage", (0.0, 120.0), 0, -2400),
            ],
        ),
        {"ups.status": "OL CHRG", "battery.current": "-10.00", "ups.realpower": "600.0"},
    ),
    System(
        "8", "solar panels alone",
        "`/ivp/ensemble/relay` and `/ivp/ensemble/status` answer 404",
        "nothing; the log: there is no battery system to read",
        {"info": info("D8.2.4264")}, {}, fails="no battery system to read",
    ),
    System(
        "7.3.130", "any, with a token of a role that may read nothing",
        "each answer is the page \"401 Authorization Required\"",
        "nothing; the log: the gateway refuses the token",
        {"info": info("D7.3.130"), "ivp_ensemble_relay": "<html>401 Authorization Required</html>"}, {}, fails="refused the token",
    ),
    System(
        "4.10.35", "an Envoy before firmware 7",
        "plain HTTP on port 80 alone, digest login, no relay",
        "nothing; the log: batteries need firmware 7 or later",
        {"info": info("R4.10.35")}, {}, fails="batteries need firmware 7 or later",
    ),
)  # fmt: skip


def table() -> str:
    """The rows of docs/systems.md."""
    rows = [f"| {s.firmware} | {s.configuration} | {s.special} | {s.served} |" for s in SYSTEMS]
    return "\n".join(["| firmware | configuration | what is special | what is served |", "|---|---|---|---|", *rows])
