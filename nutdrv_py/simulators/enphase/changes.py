# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be changed by name while the simulator runs: one setter for each name, which refuses what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nutdrv_py.simulators.enphase.house import POLICIES
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.relay import GRID_STATES
from nutdrv_py.simulators.spelling import nearest

# -- the house ---------------------------------------------------------------------------------------------------------


def _one_of(name: str, value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f'{name} cannot be "{value}"{nearest(str(value), known)}.')
    return str(value)


def _percent(name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{name} is a percentage from 0 to 100, not {value}.")
    return number


def _watts(name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} cannot be {value}; it is a power in W, 0 or more.")
    return number


def _change_generator(site: Site, value: Any) -> None:
    running = bool(value)
    if running and site.grid in ("outage", "island"):
        site.transfer("generator")
    elif not running and site.grid == "generator":
        site.transfer("outage")
    site.generator_running = running
    site.generator_present = site.generator_present or running


def _change_load(site: Site, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        site.load = _watts("load", value)
        return
    parts = tuple(float(part) for part in value)
    if len(parts) != site.setup.phases:
        raise ValueError(f"load as a list needs {site.setup.phases} numbers, one for each phase.")
    if min(parts) < 0:
        raise ValueError("load cannot be negative.")
    site.load = sum(parts)
    site.load_split = parts if sum(parts) > 0 else site.load_split


def _change_soc(site: Site, value: Any) -> None:
    site.encharge.soc = _percent("soc", value)


def _change_acb_soc(site: Site, value: Any) -> None:
    site.acb.soc = _percent("acb_soc", value)


def _assign(attribute: str, convert: Callable[[Any], object]) -> Callable[[Site, Any], None]:
    """Build a plain setter for one attribute of the site."""
    return lambda site, value: setattr(site, attribute, convert(value))


def _pack_count(attribute: str) -> Callable[[Site, Any], None]:
    def apply(site: Site, value: Any) -> None:
        count = int(value)
        if not 0 <= count <= site.setup.packs:
            raise ValueError(f"{attribute} must be from 0 to {site.setup.packs}, the number of packs, not {value}.")
        setattr(site, attribute, count)
        site.encharge.number = max(0, site.setup.packs - site.packs_bad - site.packs_dc_off)

    return apply


SITE_CHANGES: Mapping[str, Callable[[Site, Any], None]] = {
    "grid": lambda site, value: site.transfer(_one_of("grid", value, GRID_STATES)),
    "generator": _change_generator,
    "load": _change_load,
    "pv": _assign("pv", lambda value: _watts("pv", value)),
    "soc": _change_soc,
    "acb_soc": _change_acb_soc,
    "reserve": _assign("reserve", lambda value: _percent("reserve", value)),
    "policy": _assign("policy", lambda value: _one_of("policy", value, POLICIES)),
    "packs_bad": _pack_count("packs_bad"),
    "packs_dc_off": _pack_count("packs_dc_off"),
    "shutdown": _assign("shutdown", bool),
    "mid_communicating": _assign("mid_communicating", bool),
    "temperature": _assign("temperature", lambda value: value if value == "unknown" else float(value)),
    "gateway_backed_up": _assign("gateway_backed_up", bool),
}
"""Everything about the house; :func:`change_site` makes such changes."""


def change_site(site: Site, changes: Mapping[str, Any]) -> None:
    """Change the house by name, as of now."""
    for name, value in changes.items():
        SITE_CHANGES[name](site, value)
    site.balance()
