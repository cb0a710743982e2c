# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that keeps the charge over a restart: nothing in it or around it costs more than the memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from nutdrv_py.core.recall import Memory
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.machine.paths import Paths
from nutdrv_py.process.kept import Kept

MEMORY = Memory(1_800_000_000.0, 42.5, True, 700.0, 9000.0, 20.0, 10.0)


def kept(folder: Path) -> Kept:
    paths = Paths(*[None] * 4)  # type: ignore[arg-type]
    return Kept(Settings("home", "nutdrv_py", "x", Backend, Config(port="x"), paths), folder)


def written(file: Kept, *memories: Memory) -> None:
    async def story() -> None:
        for memory in memories:
            file.keep(memory)
        while file._job is not None:
            await asyncio.sleep(0.01)

    asyncio.run(story())


def test_what_was_written_last_is_read_by_the_next_driver(tmp_path: Path) -> None:
    file = kept(tmp_path)
    assert file.read() is None
    written(file, Memory(1.0, 50.0, False), Memory(2.0, 49.0, False), MEMORY)
    assert kept(tmp_path).read() == MEMORY
    assert os.listdir(tmp_path) == ["nutdrv_py-home.battery"]
    assert file.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 4000, b'{"wall": 1, "charge": 1e999, "off_grid": true}', b"x" * 9999])
def test_a_file_that_holds_something_else_is_no_memory_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    file = kept(tmp_path)
    file.path.write_bytes(content)
    assert file.read() is None
    written(file, MEMORY)
    assert file.read() == MEMORY


def test_a_link_or_a_pipe_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    file = kept(tmp_path)
    for lay in (lambda: file.path.symlink_to(victim), lambda: os.mkfifo(file.path)):
        lay()
        assert file.read() is None
        written(file, MEMORY)
        assert file.read() == MEMORY
        file.path.unlink()
    (tmp_path / f".{file.path.name}.new").symlink_to(victim)
    written(file, MEMORY)
    assert victim.read_text() == "untouched"


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = kept(tmp_path / "absent")
    written(file, MEMORY)
    written(file, MEMORY)
    assert [record.getMessage() for record in caplog.records if "forgets the charge" in record.getMessage()] == [
        f"{file.path} cannot be written (No such file or directory), so a restart in an outage forgets the charge; type: ls -ld {file.path.parent}"
    ]
