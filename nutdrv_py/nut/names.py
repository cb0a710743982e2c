# SPDX-License-Identifier: GPL-2.0-or-later
"""Which names are NUT's: variables and instant commands, as docs/nut-names.txt of NUT 2.8 lists and its drivers serve them."""

from __future__ import annotations

import re

__all__ = ["is_command", "is_variable"]

# A row: a collection, and the names below it. # is a number, P a phase or two of them, T a limit of NUT's alarms.
_VARIABLES: tuple[tuple[str, str], ...] = (
    (
        "device",
        "contact count description location macaddr mfr model part serial type uptime usb.version",
    ),
    (
        "ups",
        "alarm beeper.status contacts date delay.reboot delay.shutdown delay.start display.language efficiency firmware "
        "firmware.aux id load load.energysave load.high macaddr mfr mfr.date mode model power power.nominal productid realpower "
        "realpower.nominal serial shutdown start.auto start.battery start.reboot status temperature temperature.T test.date "
        "test.interval test.result time timer.reboot timer.shutdown timer.start type vendorid watchdog.status",
    ),
    (
        "ups.P",
        "load power power.percent realpower realpower.percent",
    ),
    (
        "battery",
        "alarm.threshold capacity capacity.nominal charge charge.approx charge.low charge.restart charge.warning charger.status "
        "charger.type current current.total cycles date date.maintenance energysave energysave.delay energysave.load "
        "energysave.realpower health mfr.date mode packs packs.bad packs.external protection runtime runtime.low "
        "runtime.restart status temperature temperature.T temperature.cell.max temperature.cell.min type voltage voltage.T "
        "voltage.cell.max voltage.cell.min voltage.nominal",
    ),
    (
        "input output input.bypass bypass",
        "contact.status current current.T current.maximum current.minimum current.nominal current.peak current.status "
        "current.unbalance crestfactor eco.switchable feed.color feed.desc frequency frequency.T frequency.extended "
        "frequency.nominal frequency.status id inverter.status load load.high load.low load.warning mode phase.reason "
        "phase.shift phases power power.T power.maximum power.minimum power.nominal power.percent powerfactor quality realpower "
        "realpower.T realpower.maximum realpower.minimum realpower.nominal reverse sensitivity source source.preferred status "
        "switch.status switchable transfer.boost.high transfer.boost.low transfer.bypass.forced transfer.bypass.high "
        "transfer.bypass.low transfer.bypass.overload transfer.bypass.range transfer.delay transfer.forced "
        "transfer.frequency.bypass.range transfer.frequency.eco.range transfer.hysteresis transfer.high transfer.high.max "
        "transfer.high.min transfer.low transfer.low.max transfer.low.min transfer.reason transfer.trim.high transfer.trim.low "
        "voltage voltage.T voltage.extended voltage.fault voltage.maximum voltage.minimum voltage.nominal voltage.status",
    ),
    (
        "input.P output.P input.bypass.P bypass.P",
        "alarm crestfactor current current.T current.maximum current.minimum current.nominal current.peak current.status "
        "frequency load power power.maximum power.minimum power.percent powerfactor realpower realpower.percent voltage "
        "voltage.T voltage.maximum voltage.minimum voltage.nominal voltage.status",
    ),
    (
        "ambient ambient.#",
        "address contacts.#.status contacts.#.config contacts.#.name count humidity humidity.T humidity.alarm "
        "humidity.alarm.enable humidity.alarm.maximum humidity.alarm.minimum humidity.maximum humidity.minimum humidity.offset "
        "humidity.status id mfr model name parent.serial present serial temperature temperature.T temperature.alarm "
        "temperature.alarm.enable temperature.alarm.maximum temperature.alarm.minimum temperature.maximum temperature.minimum "
        "temperature.offset temperature.status",
    ),
    (
        "outlet outlet.# outlet.group.#",
        "alarm autoswitch.charge.low color count crestfactor current current.T current.maximum current.status delay.shutdown "
        "delay.start desc ecocontrol groupid id input load name phase power powerfactor protect.status realpower status switch "
        "switchable timer.shutdown timer.start type voltage voltage.T voltage.status group.count",
    ),
)

_COMMANDS = (
    "beeper.disable beeper.enable beeper.mute beeper.off beeper.on beeper.toggle bypass.start bypass.stop calibrate.start "
    "calibrate.stop experimental.ecomode.disable experimental.ecomode.enable experimental.essmode.disable "
    "experimental.essmode.enable load.cycle load.off load.off.delay load.on load.on.delay outlet.#.load.cycle "
    "outlet.#.load.off outlet.#.load.on outlet.#.shutdown.return outlet.group.#.load.cycle outlet.group.#.load.off "
    "outlet.group.#.load.on reset.input.minmax reset.watchdog shutdown.default shutdown.reboot shutdown.reboot.graceful "
    "shutdown.return shutdown.stayoff shutdown.stop test.battery.start test.battery.start.deep test.battery.start.low "
    "test.battery.start.quick test.battery.stop test.failure.start test.failure.stop test.panel.start test.panel.stop "
    "test.system.start"
)

_PARTS = {
    "#": "[0-9]+",
    "P": "(?:N|L[123](?:-(?:N|L[123]))?)",
    "T": "(?:high|low)(?:\\.(?:critical|warning))?",
}


def _pattern(name: str) -> str:
    return r"\.".join(_PARTS.get(part, re.escape(part)) for part in name.split("."))


def _matcher(names: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(_pattern(name) for name in names))


_VARIABLE = _matcher([f"{top}.{name}" for tops, names in _VARIABLES for top in tops.split() for name in names.split()])
_COMMAND = _matcher(_COMMANDS.split())
_EXPERIMENTAL = re.compile(r"experimental(?:\.[A-Za-z0-9_-]+)+")


def is_variable(name: str) -> bool:
    """Return whether a variable may be called so: a name of NUT's list, or one below ``experimental.``."""
    return bool(_VARIABLE.fullmatch(name) or _EXPERIMENTAL.fullmatch(name))


def is_command(name: str) -> bool:
    """Return whether an instant command may be called so."""
    return bool(_COMMAND.fullmatch(name) or _EXPERIMENTAL.fullmatch(name))
