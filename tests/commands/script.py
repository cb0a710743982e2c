# SPDX-License-Identifier: GPL-2.0-or-later
"""What the enphase-monitor script makes of a gateway's answers on the grid: its arithmetic, to compare ours with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

CELL = (250, 290, 310, 320, 325, 330, 335, 340, 345, 350, 360, 365)
LOADKWH = 768
LONGEST = 172800
SUFFIXES = (("currW", "realpower", 1), ("apprntPwr", "power", 1), ("rmsVoltage", "voltage", 1), ("pwrFactor", "powerfactor", 2), ("freqHz", "frequency", 1))
PREFIXES = {"net-consumption": "input", "total-consumption": "output"}


def printed(value: object, decimals: int) -> str:
    return str(Decimal(str(value or 0)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN))


def hundredths(text: object) -> int:
    return int(printed(text, 2).replace(".", ""))


def divided(a: int, b: int, decimals: int) -> str:
    """a / b cut off after so many decimals; the sign stays even for zero."""
    if b == 0:
        return printed(0, decimals)
    scaled = abs(a) * 10**decimals // abs(b)
    sign = "-" if (a < 0) != (b < 0) and a else ""
    digits = f"{scaled:0{decimals + 1}d}"
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def script(raw: Mapping[str, Any], serial: str) -> dict[str, str]:
    """The entries that the script writes for these answers."""
    live, secctrl = raw.get("livedata", {}).get("meters", {}), raw.get("secctrl", {})
    charge, capacity = (str(live["soc"]), int(live["enc_agg_energy"])) if live else (None, None)
    three = live.get("phase_count") == 3
    restart = str(secctrl.get("soc_recovery_exit") or 10)
    state = "OB" if raw.get("relay", {}).get("mains_oper_state") == "open" else "OL"
    out: dict[str, str] = {
        "ups.status": state + (" LB" if charge is not None and hundredths(charge) < 2000 else ""), "battery.charge.low": "20",
        "battery.charge.restart": restart, "battery.type": "LFP", "battery.voltage.high": "86.4", "battery.voltage.nominal": "76.8",
        "battery.voltage.low": "68.5", "device.mfr": "Enphase Energy", "ups.mfr": "Enphase Energy", "device.model": "IQ Gateway",
        "ups.model": "IQ Gateway", "device.type": "ups", "ups.serial": serial, "device.serial": serial,
        "ups.firmware": raw["info"]["software"],
    }  # fmt: skip
    for prefix in PREFIXES.values():
        for _, suffix, decimals in SUFFIXES:
            out[f"{prefix}.{suffix}"] = printed(0, decimals)
    if three:
        out["input.phases"] = out["output.phases"] = "3"
    storage = "0.00"
    for report in raw.get("reports", []):
        kind, whole = report["reportType"], report["cumulative"]
        if kind == "storage":
            storage = divided(hundredths(whole["currW"]), hundredths(whole["rmsVoltage"]), 2)
        if kind not in PREFIXES:
            continue
        rows = [("", whole), *((f"L{n}", line) for n, line in enumerate(report["lines"], 1) if three)]
        for line, row in rows:
            for key, suffix, decimals in SUFFIXES:
                where = f"{line}-N." if line and suffix == "voltage" else f"{line}." if line else ""
                out[f"{PREFIXES[kind]}.{where}{suffix}"] = printed(row.get(key), decimals)
    for prefix in PREFIXES.values():
        out[f"{prefix}.current"] = divided(hundredths(out[f"{prefix}.realpower"]), hundredths(out[f"{prefix}.voltage"]), 2)
    out["battery.current"] = storage
    if charge is None or capacity is None:
        return out
    out["battery.charge"], out["battery.capacity"] = charge, str(capacity)
    clamped = min(11000, max(0, hundredths(charge)))
    index = 10 if clamped > 10000 else clamped // 1000
    cell = CELL[index] + (CELL[index + 1] - CELL[index]) * (clamped - 1000 * index) // 1000
    out["battery.voltage"] = divided(cell * hundredths("86.4") // 360, 100, 1)
    load = hundredths(out["output.realpower"])
    left = (hundredths(charge) - hundredths(restart)) * capacity * 36
    out["battery.runtime"] = str(LONGEST if load <= 0 else 0 if left < 0 else min(LONGEST, left // load))
    out["ups.load"] = divided(load * 100, LOADKWH * (capacity // 10), 1)
    return out
