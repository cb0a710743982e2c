# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the Enphase backend, and the file with its credentials."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nutdrv_py.device.backend import Config, option
from nutdrv_py.device.credentials import read_credentials
from nutdrv_py.errors import ConfigError, without_login
from nutdrv_py.machine.files import look, read
from nutdrv_py.machine.paths import writable
from nutdrv_py.machine.private import private_file

__all__ = ["Credentials", "EnphaseConfig", "check", "credentials", "gateway_url", "is_loopback", "token_path"]

LOGIN_URL = "https://enlighten.enphaseenergy.com/login/login.json"
TOKEN_URL = "https://entrez.enphaseenergy.com/tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnphaseConfig(Config):
    """Options of ``backend = enphase`` (the outside of the project promises names and defaults)."""

    port: str = option("the IQ Gateway: host, host:port or URL")
    pollinterval: int = option("seconds between quick polls: grid, charge, power", default=5, minimum=2, reload=True)
    pollfreq: int = option("seconds between full polls: the slow values", default=60, minimum=5, reload=True)
    pollfreqalert: int = option(
        "seconds between full polls off the grid, or while the state of the grid is unknown; 45 at most",
        default=20,
        minimum=5,
        reload=True,
    )
    maxage: int = option(
        "seconds the last good reading is served while polls fail; then the data are stale", default=120, minimum=1, reload=True
    )
    serial: str | None = option("serial number of the gateway; checked", default=None, default_text="learnt from the gateway")
    username: str | None = option("e-mail address of the Enlighten account", default=None, sensitive=True, reload=True)
    password: str | None = option("password of the Enlighten account", default=None, sensitive=True, reload=True)
    token: str | None = option("a gateway token fetched by hand", default=None, sensitive=True, reload=True)
    credentials: str | None = option(
        "file with USERNAME=, PASSWORD= or TOKEN= lines, not readable by others", default=None, reload=True
    )
    tokenfile: str | None = option(
        "where the token is kept", default=None, default_text="nutdrv_py-<ups>.token in the NUT user's home or statepath"
    )
    login_timeout: int = option("seconds for one request to the cloud", default=10, minimum=5, reload=True)
    api_timeout: int = option("seconds for one request to the gateway", default=10, minimum=2, reload=True)
    loadkwh: int | None = option(
        "W per kWh of capacity that mean 100 % load; 0 gives no ups.load",
        default=None, default_text="the batteries' rated power, else 768", minimum=0, reload=True,
    )  # fmt: skip
    disable_meters: bool = option("do not ask the gateway's meters (CTs)", default=False, reload=True)
    certificate: str = option(
        "pin (remember the first one of the serial), any, or a file with a PEM certificate or SHA-256 fingerprint", default="pin"
    )
    certificate_change: str = option(
        "what to do when a pinned gateway of the right serial shows a certificate with another key: accept it, ask (the data go "
        "stale and the log says what to type), or refuse it",
        default="accept", choices=("accept", "ask", "refuse"), reload=True,
    )  # fmt: skip
    login_url: str = option("where to log in", default=LOGIN_URL)
    token_url: str = option("where to fetch the token", default=TOKEN_URL)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to come by a token: an account, a token fetched by hand, or both. Never shown by ``repr``."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def account(self) -> bool:
        """Return whether there is an account to log in with."""
        return bool(self.username and self.password)


def gateway_url(port: str) -> str:
    """Return ``https://host[:port]`` for host, host:port or URL. Raises :class:`ConfigError`.

    Plain http is only taken for loopback, because the token goes with every request.
    """
    bare = port.partition("://")[2] or port
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(bare).version == 6:
            raise ConfigError(f"port = {port!r} is a bare IPv6 address; write it in brackets: port = [{bare}]")
    url = port if "://" in port else f"https://{port}"
    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"port = {without_login(port)!r} is not a host, host:port or URL") from None
    if not host or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or re.search(r"[\s@\\]", port):
        raise ConfigError(f"port = {without_login(port)!r} is not a host, host:port or URL such as https://envoy.local")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"port = {port!r}: plain http would show the token to everyone on the network; write https or only the host"
        )
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}" + (f":{number}" if number else "")


def is_loopback(host: str | None) -> bool:
    """Return whether the host is this machine by its address; such a server needs no certificate of an authority."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _resolved(config: EnphaseConfig, name: str) -> Path:
    path = Path(name)
    return path if path.is_absolute() else Path(config.confpath or ".") / path


def credentials(config: EnphaseConfig) -> Credentials:
    """Return the account or token of options and credentials file; the file wins. Raises :class:`ConfigError`."""
    found = Credentials(config.username, config.password, config.token)
    return dataclasses.replace(found, **read_credentials(config, config.credentials, ("username", "password", "token")))


def token_path(config: EnphaseConfig) -> Path:
    """Return where the token is kept: ``tokenfile``, else in the first writable of the NUT user's home and statepath."""
    if config.tokenfile:
        return _resolved(config, config.tokenfile)
    name = f"nutdrv_py-{config.ups}.token"
    return writable(*(Path(folder) for folder in (config.home, config.statepath) if folder)) / name


def check(config: EnphaseConfig) -> None:
    """Refuse what cannot work, before anything is started."""
    gateway_url(config.port)
    for name in ("login_url", "token_url"):
        parts = urlsplit(getattr(config, name))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{name} = {without_login(getattr(config, name))!r} is not a URL")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ConfigError(f"{name}: plain http would show the password to everyone on the way; write https")
    if config.serial is not None and not config.serial.isalnum():
        raise ConfigError(
            f"serial = {without_login(config.serial)!r} is not the gateway's serial number (twelve digits, see its label)"
        )
    found = credentials(config)
    path = token_path(config)
    private_file(path)
    if bool(found.username) != bool(found.password):
        missing = "password" if found.username else "username"
        raise ConfigError(f"the {missing} of the Enlighten account is missing; USERNAME= and PASSWORD= go together")
    if not found.account and not found.token and look(path) is None:
        raise ConfigError(
            f"there is no way to log in to the gateway of [{config.ups}]: write credentials = FILE into its section, "
            "the file holding USERNAME= and PASSWORD= lines, or TOKEN="
        )
    if config.certificate not in ("pin", "any"):
        fingerprints(_resolved(config, config.certificate))


_FINGERPRINT = re.compile(r"^(?:sha256[ :=]*)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})$", re.IGNORECASE)


def fingerprints(path: Path) -> frozenset[str]:
    """Return the SHA-256 fingerprints that a file of certificates (PEM) or fingerprints names. Raises :class:`ConfigError`."""
    import hashlib
    import ssl

    try:
        text = read(path).decode("ascii", "replace")
    except OSError as error:
        raise ConfigError(f"certificate = {path} cannot be read: {error.strerror}; write pin, any, or a file") from error
    found: set[str] = set()
    for block in re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL):
        try:
            found.add(hashlib.sha256(ssl.PEM_cert_to_DER_cert(block)).hexdigest())
        except ValueError:
            raise ConfigError(f"certificate = {path}: the PEM certificate is damaged") from None
    for line in text.splitlines():
        match = _FINGERPRINT.match(line.strip())
        if match:
            found.add(match.group(1).replace(":", "").lower())
    if not found:
        raise ConfigError(f"certificate = {path} holds neither a PEM certificate nor a SHA-256 fingerprint")
    return frozenset(found)


def pinned(config: EnphaseConfig) -> frozenset[str] | None:
    """Return the fingerprints the user trusts, None for ``pin`` and ``any``."""
    return None if config.certificate in ("pin", "any") else fingerprints(_resolved(config, config.certificate))
