# SPDX-License-Identifier: GPL-2.0-or-later
"""The device: its name, its port, and what its backend finds out."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from nutdrv_py.clock import Clock
from nutdrv_py.commands.check.within import Within
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.findings import Finding, Level, failed, ok, warning
from nutdrv_py.errors import NutdrvError

__all__ = ["look", "resolved"]

RESOLVE = 4.0
"""Seconds for the name; a driver at boot does not wait longer either."""

CONNECT = 3.0
"""Seconds for the connection; on the local network a device answers sooner."""

FIXED = "give the device a fixed address in the router and write it as port = in ups.conf"

# fmt: off
REASONS = {   # why there is no connection: what to do
    errno.ECONNREFUSED: "the device is there, but not on port {port}: correct port = in ups.conf, or restart the device",
    errno.EHOSTUNREACH: "nobody has this address: is the device switched on and in this network? Type: ping {host}",
    errno.ENETUNREACH:  "there is no way into that network; type: ip route get {host}",
    errno.EACCES:       "a firewall on this machine forbids it",
}
# fmt: on
SILENT = "is the device switched on, and does a firewall drop port {port}? Type: nc -vz {host} {port}"


async def look(settings: Settings, within: Within, *, login: bool) -> AsyncIterator[Finding]:
    """Name, connection, and the backend's own findings. What cannot be reached is not asked any more."""
    try:
        backend = settings.backend(settings.config, Clock())
    except NutdrvError as error:
        yield failed("device", str(error), f"correct it, then type: nutdrv_py check {settings.ups}")
        return
    if backend.address is not None:
        host, port = backend.address
        addresses: Sequence[str] = ()
        problem = ""
        try:
            addresses = await within.thread(lambda: _addresses(host, port), RESOLVE)
        except TimeoutError:
            problem = f"no answer of the name service within {RESOLVE:.0f} s"
        except OSError as error:
            problem = error.strerror or str(error)
        name = resolved(host, addresses, problem, in_hosts=_in_hosts(host))
        yield name
        if name.level is Level.FAILED:
            return
        connection = await _connection(host, port, within)
        yield connection
        if connection.level is Level.FAILED:
            return
    async for finding in backend.examine(login=login):
        yield finding
    if settings.ignorelb and backend.says_low:
        yield warning(
            "ignorelb", "the LB of the source does not count here; only a charge below its mark, in whole numbers, makes LB",
            "take ignorelb out: lowbatt makes LB here earlier than at the source without it, and the source's LB counts too",
        )  # fmt: skip


def _addresses(host: str, port: int) -> list[str]:
    found = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return list(dict.fromkeys(found))


def _in_hosts(name: str, path: Path = Path("/etc/hosts")) -> bool:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(name.lower() in line.partition("#")[0].lower().split()[1:] for line in lines)


def resolved(host: str, addresses: Sequence[str], problem: str, *, in_hosts: bool) -> Finding:
    """Report on a name and the addresses found for it, or the ``problem`` of finding none.

    A name in .local is answered by the device itself over multicast DNS: servers seldom ask that way, the gateway's answers are
    faulty (IPv6 of the link, 169.254...), and at boot the driver may start before the resolver.
    """
    try:
        ipaddress.ip_address(host.partition("%")[0])
        return ok("name", f"{host} is an address; no name service is needed")
    except ValueError:
        pass
    local = host.lower().rstrip(".").endswith(".local") and not in_hosts
    if not addresses:
        advice = f"type: apt install libnss-mdns; better, {FIXED}" if local else f"correct port = in ups.conf, or {FIXED}"
        return failed("name", f"{host} cannot be resolved ({problem or 'no address'})", advice)
    parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    shown = f"{host} is {', '.join(addresses)}"
    if all(address.is_link_local for address in parsed):
        return failed("name", f"{shown}: that is only good on one cable", FIXED)
    if all(address.version == 6 for address in parsed):
        return warning("name", f"{shown}: IPv6 only, which changes with the provider's prefix", FIXED)
    if any(address.is_link_local for address in parsed):
        return warning("name", f"{shown}: one of them is only good on one cable", FIXED)
    if local:
        return warning("name", f"{shown} by multicast DNS, which may fail when it is needed: at boot, or in an outage", FIXED)
    return ok("name", shown)


async def _connection(host: str, port: int, within: Within) -> Finding:
    def connect() -> None:
        socket.create_connection((host, port), timeout=CONNECT).close()

    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        await within.thread(connect, CONNECT + 1)
    except TimeoutError:
        advice = SILENT.format(host=host, port=port)
        return failed("connection", f"{place} does not answer within {CONNECT:.0f} s", advice)
    except OSError as error:
        advice = REASONS.get(error.errno or 0, SILENT).format(host=host, port=port)
        return failed("connection", f"{place}: {error.strerror or error}", advice)
    return ok("connection", f"{place} takes connections")
