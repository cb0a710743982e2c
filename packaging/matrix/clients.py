# SPDX-License-Identifier: GPL-2.0-or-later
"""What Home Assistant's client library and pynut2 see of the UPS ``house`` on this machine."""

from __future__ import annotations

import asyncio

import pynut2.nut2
from aionut import AIONUTClient

NEEDED = ("ups.status", "battery.charge", "battery.runtime", "ups.load", "ups.mfr", "ups.model", "device.mfr")
"""What Home Assistant makes its first sensors and the device's card of."""


async def home_assistant() -> None:
    """What the integration does when it is set up."""
    client = AIONUTClient(host="127.0.0.1", port=3493, username="admin", password="matrix")
    try:
        assert "house" in await client.list_ups()
        variables = await client.list_vars("house")
        missing = [name for name in NEEDED if name not in variables]
        assert not missing, missing
        commands = await client.list_commands("house")
        assert "driver.reload" in commands, commands
        print(f"aionut: {len(variables)} variables, {variables['ups.status']}, commands {sorted(commands)}")
    finally:
        client.shutdown()


def pynut() -> None:
    """Read, set, command."""
    client = pynut2.nut2.PyNUTClient(host="127.0.0.1", login="admin", password="matrix")
    variables = client.list_vars("house")
    missing = [name for name in NEEDED if name not in variables]
    assert not missing, missing
    assert "battery.charge.low" in client.list_rw_vars("house")
    client.set_var("house", "battery.charge.low", "26")
    client.run_command("house", "driver.reload")
    print(f"pynut2: {len(variables)} variables, {variables['ups.status']}")


if __name__ == "__main__":
    asyncio.run(home_assistant())
    pynut()
