# SPDX-License-Identifier: GPL-2.0-or-later
"""What a backend's background tasks die of is in the log; what a task's caller has heard is not."""

from __future__ import annotations

import asyncio

import pytest

from nutdrv_py.process import serving


def test_a_background_task_that_dies_is_logged_although_the_backend_keeps_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "UNHEARD", 0.01)

    async def die() -> None:
        raise KeyError("the queue")

    async def story() -> None:
        serving.contain()
        kept = asyncio.create_task(die(), name="reader of the queue")
        heard = asyncio.create_task(die())
        with pytest.raises(KeyError):
            await heard
        await asyncio.sleep(0.05)
        assert kept.done()

    asyncio.run(story())
    assert caplog.text.count("the background task reader of the queue has died: KeyError") == 1
    assert "Task-" not in "".join(record.message for record in caplog.records)


def test_a_callback_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        serving.contain()
        for _ in range(3):
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    asyncio.run(story())
    assert sum("ZeroDivisionError" in record.message for record in caplog.records) == 1
