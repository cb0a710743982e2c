# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/writing-a-backend.md is typed here, step by step, on a NUT of its own, and each piece of code in it is run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nutdrv_py import api
from nutdrv_py.api import Clock, Config, DeviceError, Status
from tests.conftest import REPO
from tests.integration.reader import BLOCK, Reader

PAGE = (REPO / "docs" / "writing-a-backend.md").read_text(encoding="utf-8")
STEPS, CONTRACT = PAGE.split("\n# The contract\n")
CODE = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]


class Writer(Reader):
    """Installs the package beside the stage, not into the environment of the tests."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        super().__init__(folder, environ={"PYTHONPATH": str(self.site)})

    def type(self, command: str) -> str:
        if command.startswith("pip install -e "):
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(self.site), command.split()[-1]],
                capture_output=True, text=True, timeout=110, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return ""
        if command.startswith("python -m pytest "):
            # They are run by tests/commands/test_new_backend.py.
            words = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "--rootdir", command.split()[-1], command.split()[-1]]
            done = subprocess.run(words, env=self.stage.environment(), capture_output=True, text=True, timeout=110, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        return super().type(command)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_whoever_types_this_page_has_a_backend_and_sees_an_outage(writer: Writer) -> None:
    pytest.importorskip("pip", reason="the page installs a package")
    writer.page(STEPS)
    assert writer.stage.status() == "OB DISCHRG"


def _run(number: int) -> dict[str, Any]:
    module = ModuleType(f"written_{number}")
    sys.modules[module.__name__] = module
    try:
        exec(compile(CODE[number], module.__name__, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return vars(module)


@pytest.mark.parametrize("number", range(len(CODE)))
def test_each_piece_of_code_runs(number: int) -> None:
    _run(number)


def _named(name: str) -> Any:
    return next(found[name] for number in range(len(CODE)) if name in (found := _run(number)))


async def test_the_smallest_backend_of_the_page_is_right(tmp_path: Path) -> None:
    file = tmp_path / "word"
    backend = _named("Small")(Config(port=str(file)), Clock())
    for word, status in (("up\n", Status.OL), ("down", Status.OB)):
        file.write_text(word)
        assert (await backend.poll()).status == status
    for word in ("", "UP", "on battery"):
        file.write_text(word)
        with pytest.raises(DeviceError):
            await backend.poll()
    file.write_text("up")
    os.utime(file, (1e9, 1e9))
    assert (await backend.poll()).at < 0, "nobody has written it for years"
    file.unlink()
    with pytest.raises(DeviceError, match="cannot be read"):
        await backend.poll()


async def test_the_pushed_backend_of_the_page_is_right() -> None:
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await lines.get():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    woken = asyncio.Event()
    async with _named("Pushed")(Config(port=f"127.0.0.1:{server.sockets[0].getsockname()[1]}"), Clock()) as backend:
        backend.wake = woken.set
        for word, status in (("up", Status.OL), ("down", Status.OB)):
            woken.clear()
            lines.put_nowait(json.dumps({"grid": word}).encode() + b"\n")
            await asyncio.wait_for(woken.wait(), 10)
            assert (await backend.poll()).status == status
        lines.put_nowait(b"nonsense\n")
        async with asyncio.timeout(10):
            with pytest.raises(DeviceError, match="not a line of JSON"):
                while True:
                    await backend.poll()
                    await asyncio.sleep(0.01)
    lines.put_nowait(b"")
    server.close()


def test_the_page_explains_every_name_of_the_api() -> None:
    words = set(re.findall(r"[A-Za-z_]+", PAGE))
    assert set(api.__all__) - {"API_VERSION", "NutdrvError", "charger_status"} <= words


def test_the_page_explains_every_member_of_the_contract() -> None:
    words = set(re.findall(r"[A-Za-z_]+", CONTRACT))
    for kind in (api.Backend, api.PushBackend, api.Reading, api.Decline, api.Config):
        names = {name for owner in kind.__mro__ if owner.__module__.startswith("nutdrv_py") for name in (*vars(owner), *getattr(owner, "__slots__", ()))}
        own = {name for name in names if not name.startswith("_")}
        assert own <= words, kind
