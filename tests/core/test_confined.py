# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nutdrv_py.core.confined import SelfCancelledError, confined

Work = Callable[[], Coroutine[Any, Any, str]]


async def _result() -> str:
    return "done"


async def _error() -> str:
    raise ValueError("as it was raised")


async def _own_timeout() -> str:
    raise TimeoutError("of its own")


async def _never() -> str:
    await asyncio.Event().wait()
    return ""


async def _cancels_itself() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return ""


async def _counts_twice() -> str:
    """As anyio 3 does when its limit ends together with the cancellation."""
    task = asyncio.current_task()
    assert task is not None
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task.cancel()
        raise
    return ""


async def _turns_it_into_an_error() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("as httpx names it") from None
    return ""


async def _finishes_all_the_same() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "done"


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (_error, ValueError), (_own_timeout, TimeoutError), (_never, TimeoutError), (_cancels_itself, SelfCancelledError),
        (_counts_twice, TimeoutError), (_turns_it_into_an_error, ValueError),
    ],
)  # fmt: skip
async def test_what_becomes_of_work_that_fails_and_nothing_is_left_to_who_waited(work: Work, error: type[Exception]) -> None:
    with pytest.raises(error):
        await confined(work(), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


@pytest.mark.parametrize("work", [_result, _finishes_all_the_same])
async def test_a_result_is_a_result_also_when_it_came_late(work: Work) -> None:
    assert await confined(work(), 0.01) == "done"


@pytest.mark.parametrize("work", [_never, _counts_twice, _turns_it_into_an_error, _finishes_all_the_same])
async def test_who_is_cancelled_while_waiting_is_cancelled_and_the_work_has_ended(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    ended = False

    async def watched() -> str:
        nonlocal ended
        try:
            return await work()
        finally:
            ended = True

    task = asyncio.create_task(confined(watched()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
    assert not caplog.records, "nobody is told of an exception that was never retrieved"


def _stubborn(times: int) -> tuple[Work, list[int]]:
    """Work that takes no notice of being cancelled, so many times."""
    cancelled = [0]

    async def work() -> str:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled[0] += 1
                if cancelled[0] > times:
                    raise

    return work, cancelled


async def test_work_that_swallows_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutdrv_py.core.confined.AGAIN", 0.01)
    work, cancelled = _stubborn(3)
    with pytest.raises(TimeoutError):
        await confined(work(), 0.01)
    assert cancelled == [4]


async def test_who_is_cancelled_does_not_wait_for_work_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutdrv_py.core.confined.AGAIN", 0.01)
    work, _ = _stubborn(1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await confined(work())


async def test_a_limit_around_it_still_works() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await confined(_counts_twice())
