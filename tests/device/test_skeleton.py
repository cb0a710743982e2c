# SPDX-License-Identifier: GPL-2.0-or-later
"""The backend that is made to be copied holds in each trap that a device, or whoever copies it, can lay."""

from __future__ import annotations

import ast
import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from skeleton import Skeleton, SkeletonConfig

from nutdrv_py import log
from nutdrv_py.core.guard import guarded
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import AuthError, ConfigError, DeviceError
from tests.conftest import REPO, FakeClock

TEMPLATE = REPO / "nutdrv_py" / "commands" / "template"
SECRET = "unicorn-4711"


class Quick(FakeClock):
    """Moves on when something sleeps."""

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def made(now: Callable[[], float]) -> Any:
    """The fake device that comes with a generated package."""
    module = ModuleType("fake")
    exec(compile((TEMPLATE / "fake.py.in").read_text(), "fake.py", "exec"), module.__dict__)
    return module.Fake(now=now)


def play(story: Callable[[Skeleton, Any, Quick], Awaitable[None]], *, password: str = "", told: str = "", folder: Path = Path()) -> None:
    async def run() -> None:
        clock = Quick()
        fake = made(clock.wall)
        fake.password = password
        await fake.start()
        credentials = None
        if told:
            credentials = "mine.conf"
            (folder / credentials).write_text(f"PASSWORD={told}\n")
            (folder / credentials).chmod(0o600)
        config = SkeletonConfig(port=f"127.0.0.1:{fake.port}", credentials=credentials, confpath=str(folder), maxage=60)
        try:
            async with Skeleton(config, clock) as backend:
                await story(backend, fake, clock)
        finally:
            await fake.stop()

    asyncio.run(run())


def kept(reading: Reading) -> Reading:
    found, dropped = guarded(reading, log.hidden(), fsd=False)
    assert dropped == ()
    return found


def test_the_file_is_the_template_of_new_backend_and_imports_the_api_alone() -> None:
    text = (REPO / "drivers" / "skeleton.py").read_text()
    template = (TEMPLATE / "backend.py.in").read_text().replace("@CLASS@", "Skeleton").replace("@BACKEND@", "skeleton:Skeleton")
    # A file alone has no simulator beside it.
    assert text == "".join(line for line in template.splitlines(keepends=True) if "@MODULE@" not in line)
    modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {name for name in modules if name and name.startswith("nutdrv_py")} == {"nutdrv_py.api"}


def test_on_the_grid_and_off_it_all_is_said() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        reading = kept(await backend.poll())
        assert reading.status == Status.OL
        assert reading.values["battery.charge"] == 81
        assert reading.values["ups.realpower"] == 640
        fake.set(grid="island", kw=0.7)
        reading = kept(await backend.poll())
        assert reading.status == Status.OB | Status.DISCHRG
        assert reading.decline is not None
        assert (reading.decline.low, reading.decline.cutoff, reading.decline.load) == (20, 10, 700)

    play(story)


@pytest.mark.parametrize("word", ["ISLAND", "", "rebooting", None, True, 0, ["island"], {"a": 1}, "x" * 1000])
def test_a_word_that_is_not_known_is_no_statement(word: object) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.status["grid"] = word
        with pytest.raises(DeviceError, match="about the grid, which is none of connected, island") as caught:
            await backend.poll()
        assert len(str(caught.value)) < 200

    play(story)


def test_a_missing_grid_is_no_statement_whatever_the_battery_does() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        del fake.status["grid"]
        fake.set(kw=3.0, soc=0.02, grid_volts=0)
        with pytest.raises(DeviceError, match="about the grid"):
            await backend.poll()

    play(story)


@pytest.mark.parametrize("values", [{"kw": 5.0}, {"grid_volts": 0}, {"house_kw": 0}, {"soc": 0.02}])
def test_nothing_but_the_grid_makes_an_outage(values: dict[str, Any]) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.set(**values)
        assert Status.OB not in (await backend.poll()).status

    play(story)


def test_one_wrong_word_is_no_outage() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        await backend.poll()
        fake.set(grid="island", soc=0.02)

        async def corrected() -> None:
            while fake.asked < 2:
                await asyncio.sleep(0)
            fake.set(grid="connected")

        poll = asyncio.ensure_future(backend.poll())
        await corrected()
        assert Status.OL in (await poll).status

    play(story)


@pytest.mark.parametrize("charge", [None, 81, -0.1, "NaN", float("nan"), float("inf"), True, "full", [0.8]])
def test_a_charge_that_cannot_be_is_left_out_and_the_grid_stays(charge: object) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.set(grid="island", soc=charge)
        reading = kept(await backend.poll())
        assert "battery.charge" not in reading.values
        assert Status.OB in reading.status

    play(story)


def test_a_device_that_starts_says_0_and_is_not_believed_at_once() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.set(grid="island", soc=0)
        assert "battery.charge" not in (await backend.poll()).values
        for _ in range(30):
            clock.now += 5
            reading = await backend.poll()
        assert reading.values["battery.charge"] == 0, "a true 0 is believed in two minutes"

    play(story)


def test_a_charge_in_percent_from_a_device_that_says_fractions_is_not_8100() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        await backend.poll()
        fake.set(soc=81, house_kw=640)
        reading = kept(await backend.poll())
        assert reading.values["battery.charge"] == 81
        assert "ups.realpower" not in reading.values, "640 kW"

    play(story)


def test_an_old_answer_of_a_device_whose_clock_is_right_is_old_from_the_start() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.stamp = clock.wall() - 86_400
        assert (await backend.poll()).at == clock.now - 86_400

    play(story)


def test_a_device_whose_clock_is_wrong_is_read_from_its_second_answer_on() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        for stamp in (1000.0, 1005.0, 1010.0):
            fake.stamp = stamp
            reading = await backend.poll()
        assert reading.at == clock.now

    play(story)


def test_an_answer_that_is_always_the_same_gets_old() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.stamp = clock.wall()
        began = clock.now
        assert (await backend.poll()).at == began
        clock.now += 50
        assert (await backend.poll()).at == began
        fake.stamp += 5
        assert (await backend.poll()).at == clock.now

    play(story)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"3", b"{", b"[" * 100_000, b"\xff\xfe", b"x" * (2 << 20)])
def test_garbage_is_a_sentence(body: bytes) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.body = body
        with pytest.raises(DeviceError):
            await backend.poll()
        fake.body = None
        assert Status.OL in (await backend.poll()).status

    play(story)


def test_the_right_password_is_accepted(tmp_path: Path) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        assert Status.OL in (await backend.poll()).status

    play(story, password=SECRET, told=SECRET, folder=tmp_path)


def test_a_wrong_password_is_tried_no_more_than_the_driver_wants_and_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        caplog.set_level(logging.DEBUG)
        with pytest.raises(AuthError, match="write PASSWORD= into the file") as caught:
            await backend.poll()
        assert caught.value.rejected
        text = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(backend.config) + repr(vars(backend))
        assert SECRET not in text

    play(story, password="another", told=SECRET, folder=tmp_path)


@pytest.mark.parametrize("port", [f"http://you:{SECRET}@192.0.2.1", f"ftp://{SECRET}", "http://[::1", "192.0.2.1/status", "x:y:z", "", "a b://"])
def test_a_wrong_port_is_a_sentence_without_what_stands_in_it(port: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Skeleton.check(SkeletonConfig(port=port))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("certificate", ["pin", "ab" * 31, "zz" * 32])
def test_a_wrong_fingerprint_stops_the_start(certificate: str) -> None:
    with pytest.raises(ConfigError, match="fingerprint"):
        Skeleton.check(SkeletonConfig(port="192.0.2.1", certificate=certificate))


def test_a_credentials_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text(f"PASSWORD={SECRET}\n")
    (tmp_path / "mine.conf").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        Skeleton.check(SkeletonConfig(port="192.0.2.1", credentials="mine.conf", confpath=str(tmp_path)))


def test_a_device_that_is_away_is_a_sentence_and_one_that_comes_back_is_read() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        port = fake.port
        await fake.stop()
        with pytest.raises(DeviceError, match=r"127\.0\.0\.1"):
            await backend.poll()
        await fake.start(port=port)
        assert Status.OL in (await backend.poll()).status

    play(story)


def test_a_slow_device_blocks_nothing_and_a_cancelled_poll_leaves_nothing_behind() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        fake.slow = 30
        tasks = len(asyncio.all_tasks())
        poll = asyncio.ensure_future(backend.poll())
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - began < 1, "the event loop was blocked"
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        fake.slow = 0
        assert Status.OL in (await backend.poll()).status
        assert len(asyncio.all_tasks()) <= tasks + 3  # the fake's own, which sleep

    play(story)


def test_check_says_what_the_device_says() -> None:
    async def story(backend: Skeleton, fake: Any, clock: Quick) -> None:
        found = [finding async for finding in backend.examine(login=False)]
        assert [(finding.topic, finding.level.value) for finding in found] == [("grid", "ok"), ("charge", "ok"), ("low", "ok")]
        fake.set(grid="?")
        found = [finding async for finding in backend.examine(login=False)]
        assert [(finding.topic, finding.level.value) for finding in found] == [("device", "failed")]

    play(story)
