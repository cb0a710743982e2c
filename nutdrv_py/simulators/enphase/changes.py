# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be changed by name while the simulator runs: one setter for each name, which refuses what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from nutdrv_py.simulators.enphase.cloud import LOGIN_MODES
from nutdrv_py.simulators.enphase.faults import parse_fault
from nutdrv_py.simulators.enphase.house import POLICIES
from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.relay import GRID_STATES
from nutdrv_py.simulators.spelling import nearest

if TYPE_CHECKING:
    from nutdrv_py.simulators.enphase.gateway import GatewaySimulator


def _one_of(name: str, value: Any, known: Collection[str]) -> str:
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


def _assign(place: str, convert: Callable[[Any], object]) -> Callable[[Any, Any], None]:
    """Build a plain setter for one attribute of house or gateway, or of a part: "encharge.soc"."""
    *parts, attribute = place.split(".")

    def apply(owner: Any, value: Any) -> None:
        for part in parts:
            owner = getattr(owner, part)
        setattr(owner, attribute, convert(value))

    return apply


# -- the house ---------------------------------------------------------------------------------------------------------


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
    "soc": _assign("encharge.soc", lambda value: _percent("soc", value)),
    "acb_soc": _assign("acb.soc", lambda value: _percent("acb_soc", value)),
    "reserve": _assign("reserve", lambda value: _percent("reserve", value)),
    "policy": _assign("policy", lambda value: _one_of("policy", value, POLICIES)),
    "packs_bad": _pack_count("packs_bad"),
    "packs_dc_off": _pack_count("packs_dc_off"),
    "shutdown": _assign("shutdown", bool),
    "mid_communicating": _assign("mid_communicating", bool),
    "temperature": _assign("temperature", lambda value: value if value == "unknown" else float(value)),
    "gateway_backed_up": _assign("gateway_backed_up", bool),
}
"""Everything about the house."""


def change_site(site: Site, changes: Mapping[str, Any]) -> None:
    """Change the house by name, as of now."""
    for name, value in changes.items():
        SITE_CHANGES[name](site, value)
    site.balance()


# -- the gateway and its cloud -----------------------------------------------------------------------------------------


def _change_fault(gateway: GatewaySimulator, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ValueError("fault needs paths with their faults, like {'/ivp/meters': {'kind': 'hang'}}.")
    for path, content in value.items():
        if content is None:
            gateway.faults.pop(path, None)
        else:
            gateway.faults[path] = parse_fault(content)


def _once(action: Callable[[GatewaySimulator], None]) -> Callable[[GatewaySimulator, Any], None]:
    """Build a setter that does something each time it is set to true."""
    return lambda gateway, value: action(gateway) if value else None


GATEWAY_CHANGES: Mapping[str, Callable[[GatewaySimulator, Any], None]] = {
    "offline": _assign("offline", bool),
    "fault": _change_fault,
    "clear_faults": _once(lambda gateway: gateway.faults.clear()),
    "needs_cookie": _assign("access.needs_cookie", bool),
    "login": _assign("cloud.login_mode", lambda value: _one_of("login", value, LOGIN_MODES)),
    "token_lifetime": _assign("cloud.lifetime", lambda value: None if value is None else float(value)),
    "gateway_clock_offset": _assign("gateway_clock_offset", float),
    "stream": lambda gateway, value: gateway.live.switch(bool(value)),
    "frozen": lambda gateway, value: gateway.live.freeze(bool(value)),
    "forget_tokens": _once(lambda gateway: gateway.access.forget()),
    "rotate_certificate": _once(lambda gateway: gateway.rotate_certificate()),
}
"""Everything else."""

CHANGES = (*SITE_CHANGES, *GATEWAY_CHANGES)
"""Names of everything that can be changed."""


def change_gateway(gateway: GatewaySimulator, changes: Mapping[str, Any]) -> None:
    """Change the house first, then the gateway, by names of CHANGES, as of now."""
    change_site(gateway.site, {name: value for name, value in changes.items() if name in SITE_CHANGES})
    for name, value in changes.items():
        if name in GATEWAY_CHANGES:
            GATEWAY_CHANGES[name](gateway, value)
