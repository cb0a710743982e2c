# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's client on the newest httpx, and on the distribution's as the package uses it: on Debian 12 0.23 with anyio 3.6."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from nutdrv_py.simulators.enphase import Fault, RunningSimulator, load_scenario
from tests.conftest import REPO

DISTRIBUTION = "/usr/bin/python3"

SCRIPT = f"""
import asyncio, os, sys
sys.path.insert(0, {str(REPO)!r})
from nutdrv_py.backends.enphase.client import Gateway
from nutdrv_py.errors import DeviceError

async def story(url):
    gateway = Gateway(url, lambda fingerprint: True)
    held = []
    for _ in range(4):
        try:
            await gateway.get("/info", timeout=1)
            print("answered")
        except DeviceError as error:
            print(error)
        held.append(len(os.listdir("/proc/self/fd")))
    assert held[-1] <= held[0] + 1, f"open descriptors after each request: {{held}}"
    assert asyncio.current_task().cancelling() == 0, "a cancellation is left over"
    await gateway.close()

asyncio.run(story(sys.argv[1]))
"""


def _has_httpx() -> bool:
    try:
        return subprocess.run([DISTRIBUTION, "-c", "import httpx"], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


both = pytest.mark.parametrize(
    "python",
    [
        pytest.param(sys.executable, id="ours"),
        pytest.param(
            DISTRIBUTION, id="the distribution's",
            marks=pytest.mark.skipif(not _has_httpx(), reason="the distribution's Python has no httpx"),
        ),
    ],
)  # fmt: skip


def _said(python: str, url: str) -> list[str]:
    done = subprocess.run([python, "-c", SCRIPT, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@both
@pytest.mark.parametrize("fault", [Fault("hang"), Fault("drip", seconds=0.3)], ids=lambda fault: fault.kind)
def test_a_gateway_that_hangs_is_no_answer_in_time_and_nothing_worse(fault: Fault, python: str) -> None:
    with RunningSimulator(replace(load_scenario("online"), timeline=())) as running:
        url = f"https://{running.sim.host_port}"
        assert _said(python, url) == ["answered"] * 4
        running.fault("*", fault)
        assert _said(python, url) == ["/info: no answer within 1 s"] * 4


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """It takes connections and never says a word: the TLS handshake hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def _full() -> Iterator[int]:
    """Its queue is full, so that making a connection hangs, as with a host that drops packets."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@both
@pytest.mark.parametrize("server", [_silent, _full])
def test_a_connection_that_cannot_be_made_is_no_answer_in_time_and_nothing_worse(server: object, python: str) -> None:
    with server() as port:  # type: ignore[operator]
        said = _said(python, f"https://127.0.0.1:{port}")
    # anyio 3 makes an error of its own of a connection that is given up.
    assert len(said) == 4
    assert set(said) <= {"/info: no answer within 1 s", "the gateway cannot be reached: All connection attempts failed"}
