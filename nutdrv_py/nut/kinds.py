# SPDX-License-Identifier: GPL-2.0-or-later
"""What a variable is, by its name: a number with decimals, unit and range, a text, or a flag.

Names, units and opaque strings are those of NUT's docs/nut-names.txt; ``experimental.*`` are this driver's own.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

__all__ = ["FLAG", "KINDS", "NUMBER", "OTHER", "TEXT", "Kind", "What", "kind_for", "kind_of"]


class What(enum.Enum):
    """What a value is. An exporter with typed fields needs nothing else to choose the type."""

    NUMBER = enum.auto()
    TEXT = enum.auto()
    FLAG = enum.auto()
    """One of two words, such as yes and no."""
    OTHER = enum.auto()
    """Text without a type of its own: of a name that no row has, a list, or a number's name without a number."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a variable is. The last four describe a number: NUT's unit, and the lowest and highest believable value, inclusive."""

    what: What = What.TEXT
    unit: str = ""
    decimals: int = 1
    lowest: float = -math.inf
    highest: float = math.inf


TEXT, FLAG, NUMBER, OTHER = Kind(), Kind(What.FLAG), Kind(What.NUMBER), Kind(What.OTHER)


def _in(unit: str, decimals: int, lowest: float, highest: float) -> Kind:
    return Kind(What.NUMBER, unit, decimals, lowest, highest)


# fmt: off
KINDS: tuple[tuple[Kind, str], ...] = (   # the first row with a pattern that fits the name decides
    (_in("",   1,     0,    1), "driver.flag.allow_killpower"),
    (FLAG, "driver.flag.* battery.energysave *.alarm.enable *.extended *.present *.protection *.start.auto *.start.battery "
           "*.start.reboot *.switch *.switchable"),
    (OTHER, "*.cells.*"),
    (TEXT, "*.admin *.alarm *.alarm.threshold *.approx *.auto *.aux *.code *.color *.contact *.contacts *.date *.date.* *.desc "
           "*.description *.detection *.firmware *.firmware.* *.groupid *.id *.language *.location *.macaddr *.mfr *.mode "
           "*.model *.name *.oper *.part *.port *.productid *.quality *.reason *.result *.rotation *.sensitivity *.serial "
           "*.source *.source.* *.state *.status *.stream *.time *.type *.vendorid *.version *.version.*"),
    (_in("min", 1,    0,  1e7), "battery.energysave.delay"),
    (_in("s",  1,  -1e9,  1e9), "*.delay *.delay.* *.timer.* *.interval *.uptime *.age *.parameter.maxage *.parameter.poll*"),
    (_in("s",  0,     0,  1e9), "*.runtime *.runtime.low"),
    (_in("s",  1,     0,  1e9), "*.runtime.*"),
    (_in("d",  1,  -1e6,  1e6), "*.days"),
    (_in("C",  1,  -100, 1000), "*temperature *temperature.*"),
    (_in("V",  3,  -1e6,  1e6), "*cell.min *cell.max"),
    (_in("V",  1,  -1e6,  1e6), "*voltage *voltage.*"),
    (_in("A",  2,  -1e5,  1e5), "*current"),
    (_in("A",  1,  -1e5,  1e5), "*current.*"),
    (_in("%",  1,     0,  100), "*.transfer.frequency.* *.humidity *.humidity.*"),
    (_in("V",  1,  -1e6,  1e6), "*.transfer.*"),
    (_in("Hz", 2,     0, 1000), "*frequency"),
    (_in("Hz", 0,     0, 1000), "*frequency.nominal"),
    (_in("Hz", 1,     0, 1000), "*frequency.*"),
    (_in("Wh", 1, -1e12, 1e12), "*.energy *.energy.*"),
    (_in("%",  0,     0,  100), "*battery.charge *.charge.low *.charge.restart *.charge.warning"),
    (_in("%",  1,     0,  100), "*.charge *.charge.* driver.parameter.lowbatt"),
    (_in("%",  1,     0, 1000), "*.load *.load.* *.percent *.efficiency *.health"),
    (_in("",   2,    -1,    1), "*powerfactor"),
    (_in("",   1,     0, 1000), "*.crestfactor"),
    (_in("var", 1, -1e9,  1e9), "*.reactivepower"),
    (_in("W",  0,  -1e9,  1e9), "*.realpower.nominal"),
    (_in("W",  1,  -1e9,  1e9), "*.realpower *.realpower.*"),
    (_in("VA", 0,  -1e9,  1e9), "*power.nominal"),
    (_in("VA", 1,  -1e9,  1e9), "*.power *.power.*"),
    (_in("Ah", 1,     0,  1e7), "*capacity *capacity.nominal"),
    (_in("Ohm", 1,    0, 1e12), "*.resistance"),
    (_in("",   1,     0,  1e9), "*.count *.cycles *.packs *.packs.* *.phases *.island.flag driver.debug"),
)
# fmt: on

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


@lru_cache(4096)
def kind_of(name: str) -> Kind:
    """Return the kind of the variable of that name; :data:`OTHER` when no row fits."""
    return next((kind for kind, patterns in KINDS for pattern in patterns.split() if fnmatchcase(name, pattern)), OTHER)


def kind_for(name: str, text: str, *, number: bool = False) -> Kind:
    """Return the kind of the variable with this text: a number only if ``float(text)`` is finite.

    ``number`` is whether the text was made from an int or a float: then it is a number even when no row fits.
    """
    kind = kind_of(name)
    if kind is OTHER and number:
        kind = NUMBER
    finite = _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
    return OTHER if kind.what is What.NUMBER and not finite else kind
