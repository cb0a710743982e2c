# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the repeater: whose UPS it is."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from nutdrv_py.device.backend import Config, option
from nutdrv_py.errors import ConfigError, without_login

__all__ = ["PORT", "RepeaterConfig", "Source", "check", "source"]

PORT = 3493
"""TCP port of NUT servers (IANA)."""

HOST = "localhost"
"""The server when ``port`` names none, as in NUT's clients."""

EXAMPLE = "write port = ups@host or ups@host:3493, such as rack@192.168.1.5 or rack@[fd00::5]:3493"

_FORM = re.compile(
    r"""(?P<ups>[^\s@:/"'\\#=\[\]]+)
        (?: @ (?: \[(?P<six>[^\s\[\]]+)\] | (?P<host>[^\s@:/"'\\#=?\[\]]+) ) (?: :(?P<port>[0-9]{1,5}) )? )?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeaterConfig(Config):
    """Options of ``backend = repeater``. The password travels as readable text: pynut2 knows no TLS."""

    port: str = option("whose UPS: ups@host or ups@host:port (3493)")
    username: str | None = option("user of the other server's upsd.users, for upsrw and upscmd", default=None, sensitive=True)
    password: str | None = option("the user's password; sent without TLS", default=None, sensitive=True)


@dataclass(frozen=True, slots=True)
class Source:
    """A UPS on a NUT server."""

    ups: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ups}@{host}" if self.port == PORT else f"{self.ups}@{host}:{self.port}"

    @property
    def local(self) -> bool:
        """Return whether the server is this machine by its loopback address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() in (HOST, "localhost.localdomain", "ip6-localhost")


def source(port: str) -> Source:
    """Return what ``ups``, ``ups@host`` or ``ups@host:port`` means, IPv6 addresses in brackets. Raises :class:`ConfigError`."""
    found = _FORM.fullmatch(port)
    wrong = ConfigError(f"port = {without_login(port)!r} does not name the UPS of a NUT server; {EXAMPLE}")
    if found is None or not found["ups"].isprintable() or not found["ups"].isascii():
        raise wrong
    number = int(found["port"] or PORT)
    if not 0 < number < 0x10000:
        raise wrong
    if found["six"] is not None:
        try:
            ipaddress.IPv6Address(found["six"])
        except ValueError:
            raise wrong from None
    return Source(found["ups"], found["six"] or found["host"] or HOST, number)


def check(config: RepeaterConfig) -> None:
    """Refuse what cannot work, before anything is started. Raises :class:`ConfigError`."""
    wanted = source(config.port)
    if (config.username is None) != (config.password is None):
        missing = "password" if config.password is None else "username"
        raise ConfigError(f"{missing} is missing: write username = and password =, or neither to read only")
    for name, secret in (("username", config.username), ("password", config.password)):
        if secret is not None and (not secret or not secret.isascii() or not secret.isprintable()):
            raise ConfigError(f"{name} is empty or holds characters that upsd.users cannot; use printable ASCII")
    if wanted.local and wanted.port == PORT and wanted.ups.lower() == config.ups.lower():
        raise ConfigError(
            f"port = {config.port} in the section [{config.ups}] is this very UPS: it would repeat itself; name the other "
            "server's host, or give this section another name"
        )
