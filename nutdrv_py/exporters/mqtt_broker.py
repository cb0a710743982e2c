# SPDX-License-Identifier: GPL-2.0-or-later
"""The broker of the section ``mqtt``: its keys, checked, and the connection that they make."""

from __future__ import annotations

import re
import ssl

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.topics import OFFLINE, unfit
from nutdrv_py.protocols import mqtt
from nutdrv_py.protocols.tls import trusting

__all__ = ["Broker", "check"]


class Broker(mqtt.Broker):
    """The connection. ``will`` is the topic that the broker sets to offline when we vanish.

    Raises :class:`ConfigError` for what only an administrator can mend.
    """

    def __init__(self, options: Mqtt, will: str, guest: mqtt.Guest) -> None:
        check(options)
        super().__init__(
            mqtt.Link(
                "the section mqtt", options.mqtt_host or "", options.mqtt_port, options.client_name, options.auth_user or "",
                options.auth_pass or "", _context(options), options.tls_insecure, (will, OFFLINE),
            ),
            guest,
        )  # fmt: skip


def check(options: Mqtt) -> None:
    """Raise :class:`ConfigError` for keys that cannot work; the pairs are those that RctMon 0.0.2 asks for."""
    for right, sentence in (
        (options.mqtt_host, "needs mqtt_host, the address of the broker"),
        (_is_host(options.mqtt_host or ""), "has a mqtt_host that is neither a name nor an address"),
        (bool(options.auth_user) == bool(options.auth_pass), "needs auth_user and auth_pass together, or neither"),
        (bool(options.tls_certfile) == bool(options.tls_keyfile), "needs tls_certfile and tls_keyfile together, or neither"),
        (options.tls_enable or not options.tls_certfile, "has tls_certfile, which is of no use unless tls_enable is true"),
        (options.tls_enable or not options.tls_ca_cert, "has tls_ca_cert, but nothing is encrypted unless tls_enable is true"),
        (_is_prefix(options.topic_prefix), "has a topic_prefix that cannot be; leave out + and #, and slashes around it"),
        (_is_prefix(options.discovery_prefix), "has a discovery_prefix that cannot be; leave out + and #, and slashes around it"),
        (not any(map(unfit, options.client_name.translate(_WILDCARDS))), "has control characters in its client_name"),
    ):
        if not right:
            raise ConfigError(f"the section mqtt {sentence}")


_WILDCARDS = str.maketrans("", "", "+#")


def _is_host(host: str) -> bool:
    try:
        return bool(re.fullmatch(r"[^\s\x00-\x1f/]+", host)) and bool(host.encode("idna"))
    except UnicodeError:
        return False


def _is_prefix(prefix: str) -> bool:
    return bool(prefix) and prefix == prefix.strip("/") and not any(map(unfit, prefix))


def _context(options: Mqtt) -> ssl.SSLContext | None:
    """Return the TLS context; None without TLS."""
    if not options.tls_enable:
        return None
    try:
        context = trusting(options.tls_ca_cert or "")
    except OSError as error:
        raise ConfigError(f"mqtt: tls_ca_cert = {options.tls_ca_cert} cannot be used: {_file_reason(error)}") from None
    if options.tls_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.tls_certfile:
        files = f"tls_certfile = {options.tls_certfile} with tls_keyfile = {options.tls_keyfile}"
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal, and wait.
            context.load_cert_chain(options.tls_certfile, options.tls_keyfile, password="")
        except OSError as error:
            raise ConfigError(f"mqtt: {files} cannot be used: {_file_reason(error)}") from None
    return context


def _file_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not PEM, not a pair, or a key with a passphrase ({error.reason or 'no certificate in it'})"
    return error.strerror or str(error)
