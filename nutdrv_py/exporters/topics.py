# SPDX-License-Identifier: GPL-2.0-or-later
"""What is published where over MQTT: RctMon's topics and NUT's variables. Pure.

RctMon 0.0.2 publishes each of its values as plain text to ``<prefix>/<group>/<name>``; the names here are its. NUT's variables
are beside them under ``<prefix>/ups/<ups>/``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "OFFLINE", "ONLINE", "RCTMON", "RCTMON_GROUPS", "Place", "availability", "nut_values", "rctmon_values", "slug", "unfit",
    "value_text", "word",
]  # fmt: skip

ONLINE, OFFLINE = "online", "offline"
"""Payloads of the availability topics: Home Assistant's defaults."""

LONGEST_WORD = 200
"""Characters of one level of a topic: far below MQTT's 65535 bytes for a whole topic, far above any name in use."""

# Topics


def unfit(character: str) -> bool:
    """Return whether a topic must not hold it: wildcards, and the control and non-characters that brokers refuse (MQTT 3.1.1,
    1.5.3)."""
    code = ord(character)
    return (
        character in "+#" or code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or 0xFDD0 <= code < 0xFDF0
        or code & 0xFFFE == 0xFFFE
    )  # fmt: skip


def word(text: str) -> str:
    """Return ``text`` as one level of a topic: ``_`` for each character that a topic cannot hold, and for blanks around it."""
    clean = "".join("_" if unfit(c) or c == "/" else c for c in text[:LONGEST_WORD])
    inner = clean.strip()
    start = clean.find(inner) if inner else len(clean)
    return "_" * start + inner + "_" * (len(clean) - start - len(inner)) or "_"


def availability(prefix: str) -> str:
    """Return the topic of whether this process is connected; its last will."""
    return f"{prefix}/availability"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source's topics are. ``rctmon`` is what its RctMon topics begin with; None when it has none."""

    prefix: str
    ups: str
    rctmon: str | None = None
    discovery: str = "homeassistant"

    @property
    def base(self) -> str:
        """Return what the topics of its NUT variables begin with."""
        return f"{self.prefix}/ups/{word(self.ups)}"

    @property
    def status(self) -> str:
        """Return the topic of ``ups.status``."""
        return f"{self.base}/ups.status"

    @property
    def slug(self) -> str:
        """Return the name in letters, digits and ``_`` only, all that Home Assistant takes for an identifier."""
        return slug(f"{self.prefix}_{word(self.ups)}")

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the subscriptions for all topics that only this source publishes."""
        groups = () if self.rctmon is None else tuple(f"{self.rctmon}/{group}/+" for group in RCTMON_GROUPS)
        return (f"{self.base}/+", *groups)


def slug(text: str) -> str:
    """Return ``text`` with ``_`` for all but letters and digits of ASCII."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


# Values


def nut_values(place: Place, variables: Mapping[str, str]) -> dict[str, str]:
    """Return topics and texts of the NUT variables, without ``driver.*``. An empty one has none: an empty payload means "no
    value"."""
    return {f"{place.base}/{word(name)}": text for name, text in variables.items() if text and not name.startswith("driver.")}


def rctmon_values(place: Place, raw: Mapping[str, object]) -> dict[str, str]:
    """Return RctMon's topics and texts for the inverter's objects; none for a place without them."""
    if place.rctmon is None:
        return {}
    found = ((topic, value_text(raw.get(name))) for topic, name in RCTMON)
    return {f"{place.rctmon}/{topic}": text for topic, text in found if text}


def value_text(value: object) -> str | None:
    """Return a value as RctMon writes it: True, 5, 49.98, text; None for what it could not write.

    Numbers have six decimals, as RctMon's ``{:f}`` gives them, without the zeros at their end: never an exponent, and always a
    point, so that no reader takes 230 and 230.1 for different types.
    """
    if isinstance(value, bool | int | str):
        return str(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    text = f"{value:.6f}".rstrip("0")
    text = f"{text}0" if text.endswith(".") else text
    return "0.0" if text == "-0.0" else text


# fmt: off
_A, _B = "dc_conv.dc_conv_struct[0]", "dc_conv.dc_conv_struct[1]"
_PHASES = tuple(enumerate(("l1", "l2", "l3")))

RCTMON: tuple[tuple[str, str], ...] = (
    ("basic/serial_number",              "inverter_sn"),
    ("basic/parameter_file",             "parameter_file"),
    ("basic/control_software_version",   "svnversion"),
    ("basic/have_generator_a",           f"{_A}.enabled"),
    ("basic/have_generator_b",           f"{_B}.enabled"),
    ("basic/power_switch_available",     "rb485.available"),
    ("basic/inverter_status",            "prim_sm.state"),
    ("basic/inverter_grid_separated",    "prim_sm.island_flag"),
    ("basic/inverter_insulation_total",  "iso_struct.Riso"),
    ("basic/inverter_insulation_negative", "iso_struct.Rn"),
    ("basic/inverter_insulation_positive", "iso_struct.Rp"),
    *((f"basic/fault{n}",                f"fault[{n}].flt") for n in range(4)),
    ("basic/temperature_heatsink",       "db.temp1"),
    ("basic/temperature_heatsink_batt",  "db.temp2"),
    ("basic/temperature_core",           "db.core_temp"),
    ("battery/bms_sn",                   "battery.bms_sn"),
    ("battery/soc_min",                  "power_mng.soc_min"),
    ("battery/battery_voltage",          "power_mng.u_acc_mix_lp"),
    ("battery/battery_power",            "g_sync.p_acc_lp"),
    ("battery/battery_state",            "power_mng.state"),
    ("battery/soc",                      "battery.soc"),
    ("battery/soh",                      "battery.soh"),
    ("battery/soc_target",               "battery.soc_target"),
    ("battery/temperature",              "battery.temperature"),
    ("battery/bat_status",               "battery.bat_status"),
    ("battery/status",                   "battery.status"),
    ("battery/status2",                  "battery.status2"),
    ("battery/impedance_fine",           "battery.bat_impedance.impedance_fine"),
    ("battery/discharged_amp_hours",     "battery.discharged_amp_hours"),
    ("battery/stored_energy",            "battery.stored_energy"),
    ("battery/used_energy",              "battery.used_energy"),
    ("battery/efficiency",               "battery.efficiency"),
    ("battery/voltage",                  "battery.voltage"),
    ("battery/current",                  "battery.current"),
    ("battery/cycles",                   "battery.cycles"),
    ("household/load_total",             "g_sync.p_ac_load_sum_lp"),
    *((f"household/load_{line}",         f"g_sync.p_ac_load[{n}]") for n, line in _PHASES),
    ("grid/power_total",                 "g_sync.p_ac_grid_sum_lp"),
    *((f"grid/power_{line}",             f"g_sync.p_ac_sc[{n}]") for n, line in _PHASES),
    *((f"grid/voltage_{line}",           f"g_sync.u_l_rms[{n}]") for n, line in _PHASES),
    *((f"grid/phase_to_phase_voltage_{n + 1}", f"g_sync.u_ptp_rms[{n}]") for n in range(3)),
    ("grid/frequency",                   "grid_pll[0].f"),
    ("energy/ac_sum",                    "energy.e_ac_total"),
    ("energy/household_sum",             "energy.e_load_total"),
    ("energy/grid_load_sum",             "energy.e_grid_load_total"),
    ("energy/grid_feed_sum",             "energy.e_grid_feed_total"),
    ("energy/solar_generator_a_sum",     "energy.e_dc_total[0]"),
    ("energy/solar_generator_b_sum",     "energy.e_dc_total[1]"),
    ("powerswitch/software_version",     "rb485.version_main"),
    ("powerswitch/bootloader_version",   "rb485.version_boot"),
    *((f"powerswitch/grid_voltage_{line}",   f"rb485.u_l_grid[{n}]") for n, line in _PHASES),
    *((f"powerswitch/grid_frequency_{line}", f"rb485.f_grid[{n}]") for n, line in _PHASES),
    *((f"powerswitch/power_storage_frequency_{line}", f"rb485.f_wr[{n}]") for n, line in _PHASES),
    *(
        (f"solargenerator/{letter}/{name}", source)
        for n, letter, struct_ in ((0, "a", _A), (1, "b", _B))
        for name, source in (
            ("voltage",                  f"g_sync.u_sg_avg[{n}]"),
            ("power",                    f"{struct_}.p_dc_lp"),
            ("mpp_target_voltage",       f"{struct_}.u_target"),
            ("mpp_search_step",          f"{struct_}.mpp.mpp_step"),
        )
    ),
)
"""RctMon 0.0.2's topics, and the inverter's object each shows as it is: ratios from 0 to 1, energy fed to the grid below zero,
bits as numbers."""
# fmt: on

RCTMON_GROUPS: tuple[str, ...] = tuple(dict.fromkeys(topic.rpartition("/")[0] for topic, _ in RCTMON))
"""What RctMon's topics are grouped by: the part before the last slash."""
