# SPDX-License-Identifier: GPL-2.0-or-later
"""Real time on the lines of this project's backends is shortened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import nutdrv_py.backends.rct as rct
from nutdrv_py.backends.rct import client
from nutdrv_py.protocols import modbus

MODBUS = 0.05
"""Seconds that an answer is waited for."""


@pytest.fixture(scope="module", autouse=True)
def _quick_lines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "GAP", 0.0)
        patch.setattr(client, "ANSWER", 0.03)
        patch.setattr(rct, "CONFIRM", 0.01)
        made = modbus.Client.__init__

        def hasty(self: modbus.Client, who: str, host: str, port: int, timeout: float) -> None:
            made(self, who, host, port, MODBUS)

        patch.setattr(modbus.Client, "__init__", hasty)
        yield
