# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this system can report an outage at all, and whether its parts agree on the state of the grid.

``ups.status`` does not depend on any of this: the relay alone makes OB. Other sources lag behind it, are read every five minutes,
or never change (a battery reports "grid-tied" on a generator, ``offgrid_secctrl`` stays inactive in an island, a System
Controller reports "multimode-ongrid" on a generator). An OB from one of them would shut servers down for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nutdrv_py.backends.enphase.site import Grid, Raw, devices, words
from nutdrv_py.device.reading import Value
from nutdrv_py.log import log

__all__ = ["KINDS", "SETTLING", "Detection", "can_see_outage", "contradictions"]

KINDS: Mapping[str, str] = {"ENPOWER": "IQ System Controller", "COLLAR": "IQ Meter Collar"}
"""Devices that separate the house from the grid: their types in the inventory, and their names."""

SETTLING = 600.0
"""Seconds for which an empty inventory proves nothing: a gateway that has just started does not list its devices yet."""

DOUBT = 60.0
"""Seconds for which a contradiction must last before it is reported: the parts follow the relay one by one."""

_MODES = ("Enchg_grid_mode", "Solar_grid_mode")

# Words of the parts, as far as captures and the gateway's own tables of strings show them; any other word proves nothing.
_ON = frozenset({"multimode-ongrid", "closed", "close", "on_grid", "enpwr_state_oper_closed", "encmn_mde_on_grid"})
_OFF = frozenset({
    "multimode-offgrid", "multimode-generator", "open", "off_grid", "enpwr_state_oper_no_grid", "enpwr_state_oper_gen_close",
    "encmn_mde_off_grid",
})  # fmt: skip
_KEYS: Mapping[str, tuple[str, ...]] = {
    # Not Enpwr_grid_mode, see above.
    "ENPOWER": ("mains_oper_state", "admin_state_str"),
    "COLLAR": ("mid_state", "grid_state", "admin_state_str"),
}


def can_see_outage(raw: Raw) -> tuple[bool | None, str]:
    """Return whether a device can island this house, and its type in the inventory; None while that is unknown.

    Without an IQ System Controller (ENPOWER) or Meter Collar the relay is "closed" for ever, also in an outage. A device that
    is listed is believed, whatever the batteries' mode is, and so is a mode that only systems with such a device have.
    """
    modes = {mode for key in _MODES if (mode := " ".join(words(raw.get("relay"), key)))}
    able = any("multimode" in mode for mode in modes)
    inventory = raw.get("inventory")
    for kind in KINDS:
        if next(devices(inventory, kind), None) is not None:
            return able or modes != {"grid-tied"}, kind
    if able:
        return True, ""
    listed = next((device for kind in _types(inventory) for device in devices(inventory, kind)), None)
    return (None, "") if listed is None else (False, "none")


def _types(inventory: object) -> Iterator[str]:
    for group in inventory if isinstance(inventory, list) else []:
        if isinstance(group, Mapping) and isinstance(group.get("type"), str):
            yield group["type"]


def contradictions(raw: Raw, *, on_grid: bool) -> tuple[str, ...]:
    """Return the sources that contradict the relay, each with its word."""
    against = _OFF if on_grid else _ON
    found = [f"{key} is {word}" for key in _MODES if (word := "".join(words(raw.get("relay"), key)[:1])) in against]
    for kind, keys in _KEYS.items():
        for device in devices(raw.get("inventory"), kind):
            said = ((key, "".join(words(device, key)[:1])) for key in keys)
            found += [f"{key} of the {KINDS[kind]} is {word}" for key, word in said if word in against]
    return tuple(found)


class Detection:
    """Remembers from reading to reading what is known of the ability to report an outage."""

    def __init__(self) -> None:
        self._able = False
        self._warned = False
        self._empty_since: float | None = None
        self._doubt_since: float | None = None
        self._doubted = False

    def update(self, raw: Raw, state: Grid, *, inventory_at: float | None, moved_at: float, now: float) -> dict[str, Value]:
        """Return the variables. ``moved_at``: when the relay moved last; an inventory from before proves nothing of now."""
        able, kind = can_see_outage(raw)
        # What the gateway listed once is still there, and a relay that was open can open.
        self._able = self._able or bool(able) or not state.on_grid
        if self._able:
            able = True
        elif able is None:
            able, kind = self._unlisted(raw, inventory_at, now)
        else:
            self._empty_since = None
        values: dict[str, Value] = {"experimental.controller.type": kind} if kind else {}
        doubt = self._doubt(raw, state, inventory_at is not None and inventory_at > moved_at, now)
        values["experimental.outage.detection"] = doubt or self._said(able, kind)
        return values

    def _unlisted(self, raw: Raw, inventory_at: float | None, now: float) -> tuple[bool | None, str]:
        """Return what an inventory without any device means: nothing for some minutes and until it was read twice."""
        if "inventory" not in raw or inventory_at is None:
            return None, ""
        self._empty_since = inventory_at if self._empty_since is None else self._empty_since
        settled = inventory_at > self._empty_since and now - self._empty_since >= SETTLING
        return (False, "none") if settled else (None, "")

    def _said(self, able: bool | None, kind: str) -> str:
        if able is not False:
            if able and self._warned:
                self._warned = False
                log.warning("This system can report an outage after all: the gateway lists a device that can separate the house")
            return "possible" if able else "unknown"
        why = "no IQ System Controller or Meter Collar" if kind == "none" else f"grid-tied in spite of an {KINDS.get(kind, kind)}"
        if not self._warned:
            self._warned = True
            log.error(
                "THIS SYSTEM CANNOT REPORT AN OUTAGE: %s, so ups.status stays OL for ever. Do not rely on it for a shutdown.",
                "it has no IQ System Controller and no IQ Meter Collar that could separate the house from the grid"
                if kind == "none"
                else f"the gateway runs it {why}",
            )
        return f"impossible: {why}"

    def _doubt(self, raw: Raw, state: Grid, inventory_counts: bool, now: float) -> str:
        """Return a sentence while other sources contradict the relay; it is logged once."""
        counted = raw if inventory_counts else {name: payload for name, payload in raw.items() if name != "inventory"}
        against = contradictions(counted, on_grid=state.on_grid)
        if not against:
            self._doubt_since = None
            if self._doubted:
                self._doubted = False
                log.warning("The gateway's parts agree on the state of the grid again")
            return ""
        self._doubt_since = now if self._doubt_since is None else self._doubt_since
        if now - self._doubt_since < DOUBT:
            return ""
        word = "closed" if state.on_grid else "open"
        if not self._doubted:
            self._doubted = True
            log.error(
                "The gateway contradicts itself: its relay is %s, but %s. ups.status follows the relay alone; if the house is %s "
                "the grid, restart the gateway and report this",
                word, ", ".join(against), "off" if state.on_grid else "on",
            )  # fmt: skip
        # A value of NUT has 256 characters; the log names them all.
        more = f" and {len(against) - 1} more" if len(against) > 1 else ""
        return f"doubtful: the relay is {word}, but {against[0]}{more}"
