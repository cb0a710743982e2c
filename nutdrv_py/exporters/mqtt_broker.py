# SPDX-License-Identifier: GPL-2.0-or-later
"""The broker of the section ``mqtt``: the connection that its keys make."""

from __future__ import annotations

import ssl

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import Mqtt
from nutdrv_py.exporters.topics import OFFLINE
from nutdrv_py.protocols import mqtt
from nutdrv_py.protocols.tls import trusting

__all__ = ["Broker"]


class Broker(mqtt.Broker):
    """The connection. ``will`` is the topic that the broker sets to offline when we vanish.

    Raises :class:`ConfigError` for what only an administrator can mend.
    """

    def __init__(self, options: Mqtt, will: str, guest: mqtt.Guest) -> None:
        super().__init__(
            mqtt.Link(
                "the section mqtt", options.mqtt_host or "", options.mqtt_port, options.client_name, options.auth_user or "",
                options.auth_pass or "", _context(options), options.tls_insecure, (will, OFFLINE),
            ),
            guest,
        )  # fmt: skip


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
