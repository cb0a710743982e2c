# SPDX-License-Identifier: GPL-2.0-or-later
"""A device as its YAML file describes it, read and checked. See docs/describing-a-device.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.mapping.nodes import Node, read_nodes
from nutdrv_py.backends.mapping.rules import FACTORS, Grid, Quantity, Rule, canonical
from nutdrv_py.backends.mapping.sources import KINDS, Kind, Options, Place, Spec, kind
from nutdrv_py.errors import ConfigError, word
from nutdrv_py.nut.kinds import Kind as NutKind
from nutdrv_py.nut.kinds import What, kind_of

__all__ = ["DEVICES", "Battery", "Description", "describe", "path_of", "shipped"]

DEVICES = Path(__file__).parent / "devices"
"""Where the devices are that come with the package."""

MOST_FIELDS = 256
"""Maximum variables of a file."""

MAXAGE = (15, 600)
"""Seconds that a file may allow an answer to be old: upsmon must see that an alarm is withdrawn before silence, and in an outage
a charge must not be trusted for as long as a battery may last."""

_KEYS = frozenset({"device", "tried", "see", "maxage", "source", "grid", "fields", "battery", "no_charge"})
_FIELD = frozenset({"scale", "offset", "unit", "words"})
_BATTERY = frozenset({"power", "capacity", "low", "cutoff"})

_OWN: Mapping[str, str] = {
    "ups.status": "it follows from grid: alone",
    "ups.alarm": "alarms are not described in a file",
    "battery.charge.low": "write it as low: into battery:",
    "battery.runtime.low": "write override.battery.runtime.low = into ups.conf",
}
"""Variables that a file must not give, and why."""

_NOT_THE_GRID = re.compile(r"(battery\.(charge|current|voltage|runtime)|\.?(realpower|power|voltage|current|load))(\.|$)")
"""Variables that are no state of the grid: what they are read from cannot be grid:."""


@dataclass(frozen=True, slots=True)
class Battery:
    """What is known of the battery besides its charge. A float is a number that the file itself gives."""

    power: Quantity | None = None
    """W, + while it discharges."""
    capacity: Quantity | float | None = None
    """Wh of the full battery."""
    low: Quantity | float | None = None
    """Percent at which LB begins."""
    cutoff: Quantity | float | None = None
    """Percent at which the device ends the island."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Return those that the device reports."""
        return tuple(part for part in (self.power, self.capacity, self.low, self.cutoff) if isinstance(part, Quantity))


@dataclass(frozen=True, slots=True)
class Description:
    """A file, checked."""

    path: Path
    device: str
    tried: str
    see: tuple[str, ...]
    maxage: int
    """Seconds an answer may be old."""
    kind: Kind
    spec: Spec
    grid: Grid
    rules: tuple[Rule, ...]
    battery: Battery
    no_charge: str
    """Why there is no charge; empty when there is one."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Return where everything but the grid is read, each place once."""
        quantities = [rule.quantity for rule in self.rules if rule.quantity is not None]
        found = [place for quantity in (*quantities, *self.battery.quantities) for place in quantity.places]
        return tuple(dict.fromkeys(found))


def shipped() -> dict[str, Path]:
    """Return the devices that come with the package, by name."""
    return {path.stem: path for path in sorted(DEVICES.glob("*.yaml"))}


def path_of(port: str, folder: Path) -> Path:
    """Return the file that ``port`` names: a file, absolute or in ``folder``, or a device that comes with the package.

    A file in ``folder`` comes before a shipped device of the same name only if its name is written with its ending.
    """
    if re.fullmatch(r"[a-z0-9-]+", port):
        known = shipped()
        if port in known:
            return known[port]
        if not (folder / port).exists():
            names = ", ".join(known)
            raise ConfigError(f"port = {word(port)} is no file in {folder} and no shipped device; write one of: {names}")
    if "\0" in port:
        raise ConfigError("port holds a NUL byte; write the name of a file")
    return folder / port


def describe(path: Path, options: Options) -> Description:
    """Read the file. Raises :class:`ConfigError` with file, line and what to write."""
    root = read_nodes(path)
    top = root.entries(_KEYS)
    for name, reason in (
        ("source", "source: is missing: how the device is asked; write source: and in it http:, mqtt:, modbus: or file:"),
        ("grid", "grid: is missing. Without a statement of the device about the grid nothing can be served: an outage that is "
                 "guessed from the battery shuts servers down for nothing, or is missed. Write grid: with on: and off:"),
        ("maxage", "maxage: is missing, the seconds that an answer may be old; write maxage: 60"),
    ):  # fmt: skip
        if name not in top:
            raise root.fail(reason)
    kinds = [name for name in KINDS if name in top["source"].entries()]
    if len(kinds) != 1:
        raise top["source"].fail(f"one of these is needed here, and only one: {', '.join(f'{name}:' for name in KINDS)}")
    reader = _Reader(kind(kinds[0]), options)
    spec = reader.kind.spec(top["source"], options)
    grid = reader.grid(top["grid"])
    rules = reader.fields(top["fields"], grid) if "fields" in top else ()
    no_charge = top["no_charge"].text() if "no_charge" in top else ""
    has_charge = any(rule.name == "battery.charge" for rule in rules)
    if not has_charge and not no_charge:
        raise root.fail(
            "battery.charge is missing in fields:. Without a charge no low battery is seen, and servers are not shut down in "
            "time; if the device has none, write why: no_charge: it has no gauge"
        )
    if has_charge and no_charge:
        raise top["no_charge"].fail("there is a battery.charge; leave no_charge: out")
    return Description(
        path, top["device"].text() if "device" in top else path.stem,
        top["tried"].text() if "tried" in top else "not tried on hardware",
        tuple(item.text() for item in top["see"].items()) if "see" in top else (),
        top["maxage"].integer(*MAXAGE), reader.kind, spec, grid, rules,
        reader.battery(top["battery"]) if "battery" in top else Battery(), no_charge,
    )  # fmt: skip


class _Reader:
    """Reads what depends on the kind of source."""

    def __init__(self, kind: Kind, options: Options) -> None:
        self.kind = kind
        self._options = options

    def grid(self, node: Node) -> Grid:
        """Return the rule of the grid."""
        entries = node.entries(self.kind.PLACE | {"on", "off"})
        for name in ("on", "off"):
            if name not in entries:
                other = "the grid is there" if name == "on" else "there is no grid"
                raise node.fail(f"{name}: is missing, the device's words for: {other}; what is in neither list says nothing")
        places = self.kind.places(node, entries, self._options)
        if len(places) != 1:
            raise node.fail("the grid is said at one place; a sum of several says nothing about it")
        on, off = self._words(entries["on"]), self._words(entries["off"])
        both = sorted(str(said) for said in on & off)
        if both:
            raise entries["off"].fail(f"{word(both[0])} cannot mean both on and off")
        return Grid(places[0], on, off)

    @staticmethod
    def _words(node: Node) -> frozenset[str | float]:
        if node.pairs is not None or not node.items():
            raise node.fail(
                "words or numbers are needed here: [SystemGridConnected], or [1, 3]. Limits such as 'above 180' are not taken: "
                "a voltage or a power is no statement about the grid"
            )
        return frozenset(_canonical(item) for item in node.items())

    def fields(self, node: Node, grid: Grid) -> tuple[Rule, ...]:
        """Return the variables."""
        entries = node.entries()
        if len(entries) > MOST_FIELDS:
            raise node.fail(f"there are more than {MOST_FIELDS} variables")
        return tuple(self._field(name, entry, grid) for name, entry in entries.items())

    def _field(self, name: str, node: Node, grid: Grid) -> Rule:
        nut = kind_of(name)
        if name in _OWN or name.startswith("driver."):
            raise node.fail(f"{word(name)} is not described here: {_OWN.get(name, 'the driver makes it')}")
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9.-]{0,63}", name) or nut.what is What.OTHER or "." not in name:
            raise node.fail(f"{word(name)} is no variable of NUT; see NUT's docs/nut-names.txt, or write experimental. before it")
        if node.word is not None:
            if nut.what is What.NUMBER and not name.endswith(".nominal"):
                raise node.fail(f"{word(name)} must be what the device says, not a number that is written here; say where it is")
            return Rule(name, constant=node.text())
        quantity = self.quantity(node, nut)
        if grid.place in quantity.places and _NOT_THE_GRID.search(name):
            raise node.fail(
                f"grid: is read from the same place as {word(name)}, which says nothing about the grid: a battery also "
                "discharges while the grid is there. Find what the device says about the grid itself"
            )
        return Rule(name, quantity)

    def quantity(self, node: Node, nut: NutKind) -> Quantity:
        """Return where a value is and what is made of it; ``nut`` is the unit that it must have."""
        entries = node.entries(self.kind.PLACE | _FIELD)
        places = self.kind.places(node, entries, self._options)
        scale = entries["scale"].number(-1e6, 1e6) if "scale" in entries else 1.0
        if "unit" in entries:
            given = entries["unit"].text()
            if given != nut.unit:
                known = [left for left, right in FACTORS if right == nut.unit]
                if given not in known:
                    units = ", ".join([nut.unit, *known])
                    raise entries["unit"].fail(f"NUT has this in {nut.unit or 'no unit'}; write one of: {units}")
                scale *= FACTORS[given, nut.unit]
        words: dict[str | float, str] = {}
        if "words" in entries:
            for key, value in entries["words"].pairs or ():
                words[_canonical(key)] = value.text()
            if not words:
                raise entries["words"].fail("write what each word of the device means, one a line: 1: charging")
        if (words or nut.what is not What.NUMBER) and len(places) > 1:
            raise node.fail("only numbers have a sum; leave one place")
        return Quantity(
            places, scale, entries["offset"].number(-1e9, 1e9) if "offset" in entries else 0.0, words,
            nut.what is not What.NUMBER, nut.lowest, nut.highest,
        )  # fmt: skip

    def battery(self, node: Node) -> Battery:
        """Return what is known of the battery."""
        entries = node.entries(_BATTERY)

        def part(name: str, nut: str, low: float, high: float) -> Quantity | float | None:
            entry = entries.get(name)
            if entry is None:
                return None
            return entry.number(low, high) if entry.word is not None else self.quantity(entry, kind_of(nut))

        power = entries.get("power")
        return Battery(
            self.quantity(power, kind_of("battery.realpower")) if power is not None else None,
            part("capacity", "battery.energy", 100, 1e6),
            part("low", "battery.charge", 0, 99), part("cutoff", "battery.charge", 0, 90),
        )  # fmt: skip


def _canonical(node: Node) -> str | float:
    text = node.text()
    said = canonical(node.integer(-(2**63), 2**64) if re.fullmatch(r"0[xX][0-9a-fA-F]+", text) else text)
    assert said is not None
    return said
