# SPDX-License-Identifier: GPL-2.0-or-later
"""What a backend's background tasks die of is in the log; what a task's caller has heard is not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource

import pytest

from nutdrv_py.process import background, serving


async def test_a_background_task_that_dies_is_logged_although_the_backend_keeps_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(serving, "UNHEARD", 0.01)

    async def die() -> None:
        raise KeyError("the queue")

    serving.contain()
    kept = asyncio.create_task(die(), name="reader of the queue")
    heard = asyncio.create_task(die())
    with pytest.raises(KeyError):
        await heard
    await asyncio.sleep(0.05)
    assert kept.done()
    assert caplog.text.count("the background task reader of the queue has died: KeyError") == 1
    assert "Task-" not in "".join(record.message for record in caplog.records)


async def test_a_callback_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    serving.contain()
    for _ in range(3):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
    assert sum("ZeroDivisionError" in record.message for record in caplog.records) == 1


async def test_descriptors_that_are_used_up_are_said_once_and_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    serving.contain()
    for _ in range(3):
        asyncio.get_running_loop().call_exception_handler({"message": "accept", "exception": OSError(24, "Too many open files")})
    assert [record.message.partition(",")[0] for record in caplog.records] == ["No more files or connections can be opened"]


def test_a_crash_leaves_no_core_dump() -> None:
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError):
            os.setuid(65534)
        background.forbid_dumps()
        os._exit(ctypes.CDLL(None).prctl(3) + resource.getrlimit(resource.RLIMIT_CORE)[0])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
