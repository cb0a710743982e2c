# SPDX-License-Identifier: GPL-2.0-or-later
"""What the meters' reports and livedata measure, and which of them is the freshest. Pure.

Each kind of power is taken from one source, so that two variables for it are one number of one instant.
"""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backends.enphase.site import Grid, Raw, read
from nutdrv_py.device.mapping import find, to_number

__all__ = ["CONSUMPTION", "current", "measured", "meter_kinds", "meters", "phases"]

SAME = 15.0
"""Seconds between two sources within which they count as one instant: the gateway is asked one thing after the other."""

CONSUMPTION = frozenset({"net-consumption", "total-consumption"})
"""Types of the meters of which one is needed to know the load."""

PRODUCES = 5.0
"""W of production above which total and net consumption cannot be equal."""

_BLOCKS = ("pv", "storage", "grid", "load", "generator")


def current(raw: Raw, times: Mapping[str, float]) -> dict[str, object]:
    """Return ``raw`` without the powers that a fresher source has reported, each payload being of its time in ``times``."""
    sources = {name: times[name] for name in ("livedata", "power", "reports") if name in raw and name in times}
    newest = max(sources.values(), default=0.0)
    kept = dict(raw)
    for name, at in sources.items():
        if newest - at <= SAME or name != "livedata":
            continue
        live = raw[name]
        blocks = live.get("meters") if isinstance(live, Mapping) else None
        if isinstance(live, Mapping) and isinstance(blocks, Mapping):
            # Its charge is judged elsewhere.
            kept[name] = {**live, "meters": {key: value for key, value in blocks.items() if key not in _BLOCKS}}
    if "power" in sources and "reports" in sources and sources["reports"] - sources["power"] > SAME:
        del kept["power"]
    return kept


def measured(raw: Raw) -> dict[str, object]:
    """Return ``raw`` without the powers of livedata that nothing measures: no CT means no value, not zero.

    Without a consumption meter livedata's grid power is always 0, without a production meter its PV power may be.
    """
    kinds = meter_kinds(raw)
    live = raw.get("livedata")
    blocks = live.get("meters") if isinstance(live, Mapping) else None
    if kinds is None or not isinstance(live, Mapping) or not isinstance(blocks, Mapping):
        return dict(raw)
    kept = dict(blocks)
    if not kinds & CONSUMPTION:
        kept.pop("grid", None)
    if "production" not in kinds and not read(kept.get("pv"), "agg_p_mw"):
        kept.pop("pv", None)
    return {**raw, "livedata": {**live, "meters": kept}}


def meter_kinds(raw: Raw) -> set[str] | None:
    """Return the measurement types of the enabled meters; None when the meters are not known (not asked, or not answered)."""
    listed = raw.get("meters")
    if not isinstance(listed, list):
        return None
    return {str(m.get("measurementType")) for m in listed if isinstance(m, Mapping) and m.get("state") == "enabled"}


def meters(raw: Raw, state: Grid) -> dict[str, object]:
    """Return the reports by what they measure: net, total, production, storage; ``bus`` is the one that reports the house's
    voltage.

    A total that equals the net is wrong (firmware 8.3.1598 and 8.3.5433) and left out; where the CT measures the
    total, it is production and net together, because the gateway has reckoned that net from it. Without an enabled meter there is
    no report: no CT means no value, not zero. In an island the powers of total and production read 0 whatever flows, so of those
    only the voltage is kept.
    """
    kinds = meter_kinds(raw)
    names = {"net-consumption": "net", "total-consumption": "total", "production": "production", "storage": "storage"}
    told: dict[str, dict[str, object]] = {}
    reports = raw.get("reports")
    for report in reports if isinstance(reports, list) else []:
        kind = report.get("reportType") if isinstance(report, Mapping) else None
        if isinstance(kind, str) and kind in names:
            lines = report.get("lines")
            told[names[kind]] = {
                "cumulative": report.get("cumulative"),
                **{f"l{n}": line for n, line in enumerate(lines[:3] if isinstance(lines, list) else [], 1)},
            }
    net, total = told.get("net"), told.get("total")
    if net is not None and total is not None and _same(net, total, told.get("production")):
        if kinds is None or "net-consumption" in kinds:
            del told["total"]
        elif "production" in told:
            told["total"] = _sum(told["production"], net)
    result: dict[str, object] = {name: told[name] for kind, name in names.items() if name in told and _measured(kind, kinds)}
    for name in ("total", "net", "production"):
        if read(find(result, f"{name}.cumulative"), "rmsVoltage"):
            result["bus"] = result[name]
            break
    if not state.on_grid:
        result.pop("total", None)
        result.pop("production", None)
    return result


def _same(net: Mapping[str, object], total: Mapping[str, object], production: Mapping[str, object] | None) -> bool:
    """Return whether the total repeats the net: in every figure, or in W although something is produced."""
    rows = (net.get("cumulative"), total.get("cumulative"))
    if None in rows or read(rows[0], "currW") != read(rows[1], "currW"):
        return False
    made = read(production.get("cumulative"), "currW") if production is not None else None
    return abs(made or 0.0) > PRODUCES or all(read(rows[0], key) == read(rows[1], key) for key in ("apprntPwr", "rmsCurrent"))


def _sum(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    """Return a report of the powers of two; voltages and frequency are those of the first."""
    added: dict[str, object] = {}
    for name in one:
        rows = (one.get(name), other.get(name))
        watts = [read(row, "currW") for row in rows]
        row: dict[str, object] = {key: read(rows[0], key) for key in ("rmsVoltage", "freqHz")}
        if watts[0] is not None and watts[1] is not None:
            row["currW"] = watts[0] + watts[1]
        added[name] = row
    return added


def _measured(kind: str, kinds: set[str] | None) -> bool:
    # The total is computed by the gateway from production and net, so it has no meter of its own on most systems.
    if kinds is None:
        return True
    return kind in kinds or (kind == "total-consumption" and {"production", "net-consumption"} <= kinds)


def phases(raw: Raw) -> int | None:
    """Return 1, 2 (split phase) or 3, from the meters, else livedata; None when none reports it."""
    listed = raw.get("meters")
    counts = [
        int(count)
        for m in (listed if isinstance(listed, list) else [])
        if isinstance(m, Mapping) and m.get("state") == "enabled" and (count := to_number(m.get("phaseCount"))) in (1.0, 2.0, 3.0)
    ]
    if counts:
        return max(counts)
    live = find(raw, "livedata.meters")
    if read(live, "is_split_phase") == 1:
        return 2
    count = read(live, "phase_count")
    return int(count) if count in (1, 2, 3) else None
