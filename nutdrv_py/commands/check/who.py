# SPDX-License-Identifier: GPL-2.0-or-later
"""With whose eyes the check looks: what NUT's user may not read, the driver cannot read either."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.commands.install import hidden_from
from nutdrv_py.commands.sections import Section
from nutdrv_py.device.findings import Finding, warning
from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.paths import layout
from nutdrv_py.process import background

__all__ = ["Who", "become", "unreadable"]


@dataclass(frozen=True, slots=True)
class Who:
    """The driver's user and group, and the user of this process."""

    driver: str
    group: str
    here: str


def become(sections: Sequence[Section]) -> Who:
    """Become the driver's user as root, where that user may read this program.

    Raises :class:`ConfigError` when the sections have several users, :class:`StartError` when there is no such user.
    """
    users = {section.value("user") or layout().user for section in sections}
    if len(users) > 1:
        raise ConfigError(f"the sections run as different users ({', '.join(sorted(users))}); name one: nutdrv_py check UPS")
    user = users.pop()
    if all(hidden_from(user, Path(place)) is None for place in (sys.executable, __file__)):
        background.drop_privileges(user)
    try:
        here = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        here = str(os.geteuid())
    return Who(user, background.own_group(user) or user, here)


def unreadable(topic: str, path: Path, who: Who) -> Finding:
    """Report that this user may not read a file of NUT's."""
    text = f"user {who.here} may not read {path}, so it was not looked at"
    if who.here != who.driver:
        return warning(topic, text, "type the same with sudo")
    # As root it became this user already, so sudo would not help.
    return warning(topic, text, f"type: chown root:{who.group} {path}; chmod 0640 {path}")
