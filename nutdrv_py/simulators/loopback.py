# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets of simulators: on this machine only, and on the same port again after an absence."""

from __future__ import annotations

import ipaddress
import socket


def check_loopback(host: str) -> None:
    """Refuse to listen anywhere but on this machine: the simulator's certificate and secrets protect nothing."""
    try:
        allowed = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        allowed = False
    if not allowed:
        raise ValueError(f'The simulator listens on the loopback interface only (127.0.0.1 or ::1), not on "{host}".')


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a TCP socket bound to this address, not yet listening."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Needed twice: to come back on the same port at once, and to listen on it beside the placeholder.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
