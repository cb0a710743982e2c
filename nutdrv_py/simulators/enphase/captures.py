# SPDX-License-Identifier: GPL-2.0-or-later
"""Serve a folder of answers captured from a gateway; what was not captured is derived from what was.

A file is named after its path with "/" written as "_" (``ivp_ensemble_secctrl``). A file that holds the gateway's 401
page is served with that status. Derived numbers keep signs and units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nutdrv_py.simulators.enphase import documents
from nutdrv_py.simulators.enphase.documents import Document, Reading
from nutdrv_py.simulators.enphase.messages import Answer
from nutdrv_py.simulators.enphase.relay import RelayWords

CAPTURE_LIMIT = 4 * 1024 * 1024
"""Longest captured file, bytes; the largest real answer is some 30 kB."""

_UNAUTHORIZED = b"401 Authorization Required"
_SERIAL = re.compile(r"<sn>\s*([0-9A-Za-z]+)\s*</sn>")
_SOFTWARE = re.compile(r"<software>\s*([A-Z]?[0-9.]+)\s*</software>")


def file_name(path: str) -> str:
    """Return the file name for a path: "/ivp/ensemble/relay" -> "ivp_ensemble_relay"."""
    return path.strip("/").replace("/", "_")


@dataclass(frozen=True, slots=True)
class Captures:
    """The captured answers by file name."""

    files: Mapping[str, bytes]

    @classmethod
    def load(cls, directory: str | Path) -> Captures:
        """Read a folder; it must have at least the file ``info``."""
        folder = Path(directory)
        if not folder.is_dir():
            raise ValueError(f"There is no folder of captured answers at {folder}.")
        files = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.stat().st_size <= CAPTURE_LIMIT:
                files[path.name] = path.read_bytes()
        if "info" not in files and "info.xml" in files:
            files["info"] = files["info.xml"]
        if "info" not in files:
            raise ValueError(f'{folder} has no file "info", so it is no folder of captured answers.')
        return cls(files)

    @property
    def serial(self) -> str:
        """Return the serial number that ``info`` names, or an empty text."""
        found = _SERIAL.search(self.files["info"].decode("utf-8", "replace"))
        return found[1] if found else ""

    @property
    def firmware(self) -> str:
        """Return the firmware that ``info`` names, or an empty text."""
        found = _SOFTWARE.search(self.files["info"].decode("utf-8", "replace"))
        return found[1] if found else ""

    def answer(self, path: str) -> Answer | None:
        """Return the captured answer for a path, or None."""
        body = self.files.get(file_name(path))
        if body is None:
            return None
        if _UNAUTHORIZED in body:
            return Answer(401, body, "text/html")
        first = body.lstrip()[:1]
        return Answer(200, body, "text/xml" if first == b"<" else "application/json")

    def parsed(self, path: str) -> Any:
        """Return the captured JSON of a path; None if there is none, or if it is the 401 page."""
        answer = self.answer(path)
        if answer is None or answer.status != 200:
            return None
        try:
            return json.loads(answer.body)
        except ValueError:
            return None

    # -- what was not captured ---------------------------------------------------------------------------------------

    def relay(self) -> Document | None:
        """Return the relay object: its own file, else the copy in ``/ivp/ensemble/status``."""
        own = self.parsed("/ivp/ensemble/relay")
        if isinstance(own, dict):
            return own
        whole = self.parsed("/ivp/ensemble/status")
        copy = whole.get("relay") if isinstance(whole, dict) else None
        return copy if isinstance(copy, dict) else None

    def relay_refused(self) -> bool:
        """Return whether the gateway answered 401 where the relay state would have been."""
        return any(
            answer is not None and answer.status == 401
            for answer in (self.answer("/ivp/ensemble/relay"), self.answer("/ivp/ensemble/status"))
        )

    def _enabled_meters(self) -> dict[str, tuple[Document, int]]:
        """Return reading and phase count of every enabled meter, by kind."""
        known = {item["eid"]: item for item in self.parsed("/ivp/meters/readings") or () if isinstance(item, dict)}
        found = {}
        for meter in self.parsed("/ivp/meters") or ():
            if meter.get("state") == "enabled" and meter["eid"] in known:
                found[str(meter["measurementType"])] = (known[meter["eid"]], int(meter.get("phaseCount", 1)))
        return found

    def reports(self) -> list[Document]:
        """Return ``/ivp/meters/reports`` as the gateway would make it from its meters and readings."""
        present = self._enabled_meters()
        lines = {kind: _lines(*item) for kind, item in present.items()}
        if "net-consumption" not in lines and "total-consumption" in lines:
            # Its net is the CT's total less production, and firmware 8.3 reports that net as the total, too. Source: pyenphase's
            # fixture 8.3.5433_tot_is_net_cons, where the CT's own reading is 786 W and both consumptions are reported as 428 W.
            pairs = zip(lines["total-consumption"], lines.get("production", ()), strict=False)
            lines["net-consumption"] = [_added(one, other, -1) for one, other in pairs] or lines["total-consumption"]
            if self.firmware.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ").startswith("8.3."):
                lines["total-consumption"] = lines["net-consumption"]
        elif "total-consumption" not in lines and {"production", "net-consumption"} <= lines.keys():
            pairs = zip(lines["production"], lines["net-consumption"], strict=False)
            lines["total-consumption"] = [_added(one, other) for one, other in pairs]
        result = []
        for kind in documents.REPORT_KINDS:
            if kind in lines:
                total, *parts = lines[kind]
                source = present.get(kind) or next(iter(present.values()))
                result.append(documents.report(kind, total, parts, int(source[0].get("timestamp", 0))))
        return result

    def _flow(self, kind: str) -> tuple[float, tuple[float, ...]]:
        """Return the power of a meter, W, in total and by phase; zeros when there is none."""
        for item in self.reports():
            if item["reportType"] == kind:
                total = float(item["cumulative"]["currW"])
                parts = tuple(float(line["currW"]) for line in item["lines"])
                return total, parts
        return 0.0, (0.0,)

    def live_meters(self, now: int, words: RelayWords | None) -> Document:
        """Return ``meters`` of live data, consistent with the captured charge, battery powers and meters.

        ``words`` replaces the captured state of the grid (None keeps it): off the grid the batteries take its part.
        """
        control = self.parsed("/ivp/ensemble/secctrl") or {}
        packs = (self.parsed("/ivp/ensemble/power") or {}).get("devices:", [])
        phases = next((item[1] for item in self._enabled_meters().values()), 1)
        pv, pv_parts = self._flow("production")
        grid, grid_parts = self._flow("net-consumption")
        storage, storage_parts = self._flow("storage")
        if packs:
            watts = sum(float(item["real_power_mw"]) for item in packs) / 1000
            storage, storage_parts = watts, _spread(watts, phases)
        relay = self.relay() or {}
        closed = str(relay.get("mains_oper_state", "closed")).split(" ")[0] == "closed"
        main_relay = words.main_relay if words is not None else int(closed)
        if words is not None and not words.main_relay:
            # The same house, cut off: the batteries now also carry what came from the grid.
            storage, storage_parts = storage + grid, _spread(storage + grid, phases)
            grid, grid_parts = 0.0, (0.0,) * phases
        count = max(len(pv_parts), len(grid_parts), len(storage_parts))
        aligned = [(*parts, *(0.0,) * count)[:count] for parts in (pv_parts, grid_parts, storage_parts)]
        load_parts = tuple(sum(parts) for parts in zip(*aligned, strict=True))
        flows = {
            "pv": (pv, pv_parts),
            "storage": (storage, storage_parts),
            "grid": (grid, grid_parts),
            "load": (pv + grid + storage, load_parts),
            "generator": (0.0, (0.0,)),
        }
        return {
            "last_update": now,
            "soc": int(control.get("agg_soc", 0)),
            "main_relay_state": main_relay,
            "gen_relay_state": documents.NO_GENERATOR,
            "backup_bat_mode": 1,
            "backup_soc": int(control.get("configured_backup_soc", 0)),
            "is_split_phase": int(phases == 2),
            "phase_count": phases,
            "enc_agg_soc": int(control.get("ENC_agg_soc", 0)),
            "enc_agg_energy": int(control.get("ENC_agg_avail_energy", 0)),
            "acb_agg_soc": int(control.get("ACB_agg_soc", 0)),
            "acb_agg_energy": int(control.get("ACB_agg_energy", 0)),
            **{kind: documents.live_flow(kind, *flows[kind]) for kind in documents.LIVE_FLOWS},
        }


def _spread(watts: float, phases: int) -> tuple[float, ...]:
    """Spread a total evenly over the phases."""
    return (watts / phases,) * phases


def _reading(item: Mapping[str, Any]) -> Reading:
    return Reading(
        watts=float(item["activePower"]),
        voltamps=float(item["apparentPower"]),
        vars=float(item["reactivePower"]),
        factor=float(item["pwrFactor"]),
        volts=float(item["voltage"]),
        amps=float(item["current"]),
        hertz=float(item["freq"]),
        delivered=float(item["actEnergyDlvd"]),
        received=float(item["actEnergyRcvd"]),
    )


def _lines(item: Document, phases: int) -> list[Reading]:
    """Return totals and then one reading for each phase that is used."""
    return [_reading(item), *(_reading(channel) for channel in item["channels"][:phases])]


def _added(one: Reading, other: Reading, sign: int = 1) -> Reading:
    """Return two flows through the same place: powers add up (-1: subtract), voltage and frequency are those of the first."""
    watts, voltamps = one.watts + sign * other.watts, one.voltamps + sign * other.voltamps
    return Reading(
        watts=round(watts, 3),
        voltamps=round(voltamps, 3),
        vars=round(one.vars + sign * other.vars, 3),
        factor=round(watts / voltamps, 3) if voltamps else 0.0,
        volts=one.volts,
        amps=round(abs(watts) / one.volts, 3) if one.volts else 0.0,
        hertz=one.hertz,
        delivered=round(one.delivered + other.delivered, 3),
        received=round(one.received + other.received, 3),
    )
