# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the RCT backend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from nutdrv_py.device.backend import Config, option
from nutdrv_py.errors import ConfigError, without_login

__all__ = ["PORT", "RctConfig", "address", "check"]

PORT = 8899
"""TCP port of the inverter's serial protocol."""

MOST_WINDOW = 16
"""Maximum requests under way at a time: inverters lose requests long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RctConfig(Config):
    """Options of ``backend = rct`` (the outside of the project promises names and defaults)."""

    port: str = option("the inverter: host or host:port (8899)")
    pollinterval: int = option("seconds between quick polls: grid, charge, power", default=2, minimum=1, reload=True)
    pollfreq: int = option("seconds between full polls: the slow values", default=60, minimum=10, reload=True)
    maxage: int = option(
        "seconds the last good reading is served while polls fail; then the data are stale", default=60, minimum=1, reload=True
    )
    nominal_power: int | None = option(
        "W the inverter can give, when it does not report them",
        default=None, minimum=100, reload=True, default_text="as the inverter says",
    )  # fmt: skip
    charge_low_margin: float = option(
        "percentage points above the inverter's own limit in an island at which LB begins", default=5.0, minimum=0, reload=True
    )
    wakeup: bool = option("send the extension frame on connecting; some firmware is silent until then", default=False)
    window: int = option("requests that wait for their answers at a time", default=4, minimum=1)
    nominal_voltage: int = option("V of the grid, phase to neutral", default=230, minimum=50, reload=True)
    nominal_frequency: int = option("Hz of the grid", default=50, minimum=16, reload=True)


def address(port: str) -> tuple[str, int]:
    """Return host and TCP port for host, host:port or [address]:port. Raises :class:`ConfigError`."""
    wrong = ConfigError(f"port = {without_login(port)!r} is not a host or host:port such as 192.168.1.50 or 192.168.1.50:{PORT}")
    text = f"[{port}]" if port.count(":") > 1 and not port.startswith("[") else port
    if not text or re.search(r"[\s/@?#\\]", text):
        raise wrong
    try:
        parts = urlsplit(f"//{text}")
        host, number = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or number == 0 or text.endswith(":"):
        raise wrong
    return host, number or PORT


def check(config: RctConfig) -> None:
    """Refuse what cannot work, before anything is started."""
    address(config.port)
    if config.window > MOST_WINDOW:
        raise ConfigError(f"window = {config.window} is more than the inverter's line can hold; write 1 to {MOST_WINDOW}")
    if not 100 <= config.nominal_voltage <= 280:
        raise ConfigError(
            f"nominal_voltage = {config.nominal_voltage} is not that of one phase; write the voltage between phase and neutral"
        )
    if config.charge_low_margin > 90:
        raise ConfigError(f"charge_low_margin = {config.charge_low_margin:g} leaves nothing of the battery; write 0 to 90")
