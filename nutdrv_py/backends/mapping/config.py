# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the mapping backend, the file that ``port`` names, and the file with the credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from nutdrv_py.backends.mapping.description import Description, describe, path_of
from nutdrv_py.backends.mapping.sources import Login, Options
from nutdrv_py.device.backend import Config, option
from nutdrv_py.device.credentials import read_credentials
from nutdrv_py.errors import ConfigError, without_login

__all__ = ["MappingConfig", "check", "login"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingConfig(Config):
    """Options of ``backend = mapping``. The file is read with them, so that a wrong file stops the start."""

    port: str = option("a YAML file, absolute or relative to the directory of ups.conf, or a shipped device such as victron-gx")
    pollinterval: int = option("seconds between polls", default=5, minimum=1, reload=True)
    maxage: int = option(
        "seconds the last good reading is served while polls fail; then the data are stale",
        default=0, minimum=15, reload=True, default_text="as the file says",
    )  # fmt: skip
    address: str | None = option("the device or its broker: host or host:port; {address} in the file", default=None)
    topic: str | None = option("beginning of the MQTT topics; {topic} in the file", default=None)
    unit: int | None = option("unit number of a Modbus device", default=None, minimum=0, default_text="as the file says")
    credentials: str | None = option("file with USERNAME= and PASSWORD= lines, not readable by others", default=None)
    certificate: str | None = option(
        "SHA-256 fingerprint of an https device's certificate, or any; nutdrv_py check shows it",
        default=None, default_text="one that an authority of this machine has signed",
    )  # fmt: skip
    plan: Description | None = field(default=None, repr=False, compare=False)
    """The file."""

    def __post_init__(self) -> None:
        """Read the file. Raises :class:`ConfigError`."""
        folder = Path(self.confpath or ".")
        plan = describe(path_of(self.port, folder), _options(self, folder))
        object.__setattr__(self, "plan", plan)
        if self.maxage == 0:
            object.__setattr__(self, "maxage", plan.maxage)


def _options(config: MappingConfig, folder: Path) -> Options:
    address, topic, certificate = config.address or "", config.topic or "", (config.certificate or "").replace(":", "").lower()
    if address and not re.fullmatch(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\s/@?#\\:\[\]{}]+)(:[0-9]{1,5})?", address):
        raise ConfigError(f"address = {without_login(address)!r} is no host or host:port such as 192.168.1.20 or [fd00::5]:502")
    if topic and (not topic.isprintable() or re.search(r"[+#{}]|^/|/$", topic)):
        raise ConfigError("topic = holds + or #, or a slash at an end; write the beginning of the topics, such as house/battery")
    if certificate not in ("", "any") and not re.fullmatch(r"(sha256)?[0-9a-f]{64}", certificate):
        raise ConfigError("certificate = is neither any nor a SHA-256 fingerprint of 64 hex digits; type: nutdrv_py check")
    return Options(address, topic, config.unit, certificate.removeprefix("sha256"), config.ups or "ups", folder)


def check(config: MappingConfig) -> None:
    """Refuse what cannot work, before anything is started. Raises :class:`ConfigError`."""
    plan = config.plan
    assert plan is not None
    login(config)
    if config.maxage > plan.maxage:
        raise ConfigError(
            f"maxage = {config.maxage} is more than the {plan.maxage} s that {plan.path} allows an answer; lower it, or change "
            "the file"
        )


def login(config: MappingConfig) -> Login:
    """Return user and password of the credentials file, nothing when there is none. Raises :class:`ConfigError`."""
    return Login(**read_credentials(config, config.credentials))
