# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file: whole at every moment, others' entries kept, nothing written for nothing, and away when nobody knows anything."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import FIRST, PortFile, Writer
from nutdrv_py.nut.portfile import Entry, parse
from tests.conftest import FakeClock

VALUES = {"ups.status": "OL", "battery.charge": "87", "ups.mfr": "Enphase Energy", "driver.name": "x", "experimental.data.age": "0"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "home.dev"
    path.touch()
    return path


def read(path: Path) -> dict[str, str]:
    return {item.name: item.value for item in parse(path.read_text()) if isinstance(item, Entry)}


def test_the_file_must_exist_under_either_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="touch"):
        PortFile(tmp_path / "home.dev")
    assert not list(tmp_path.iterdir())
    (tmp_path / "home.dev-nocomms").touch()
    PortFile(tmp_path / "home.dev")


def test_what_is_known_is_written_without_the_drivers_own(file: Path) -> None:
    assert PortFile(file).show(VALUES)
    assert read(file) == {"ups.status": "OL", "battery.charge": "87", "ups.mfr": "Enphase Energy"}


def test_an_alarm_is_told_by_its_own_variable_and_never_in_the_status(file: Path) -> None:
    PortFile(file).show({"ups.status": "ALARM OB LB", "ups.alarm": "[No battery is usable]"})
    assert read(file) == {"ups.status": "OB LB", "ups.alarm": "[No battery is usable]"}


def test_values_that_dummy_ups_would_cut_are_left_out(file: Path) -> None:
    PortFile(file).show({"ups.status": "OL", "experimental.cells": "3.312 " * 24})
    assert read(file) == {"ups.status": "OL"}


def test_entries_of_others_stay_in_their_place_also_those_named_like_ours(file: Path) -> None:
    text = '# mine\nbattery.date: 2024-01-01\n\ninput.voltage.nominal: 230\nups.status: WAIT\nups.location: "the cellar"\n'
    file.write_text(text)
    PortFile(file).show(VALUES)
    lines = file.read_text().splitlines()
    assert lines[:4] == ["# mine", "battery.date: 2024-01-01", "", "input.voltage.nominal: 230"]
    assert lines[5] == 'ups.location: "the cellar"'
    assert read(file)["ups.status"] == "OL"


def test_nothing_is_written_when_nothing_has_changed(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    before = file.stat()
    assert not target.show({**VALUES, "experimental.data.age": "5", "driver.state": "quiet"})
    after = file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_the_modification_time_moves_by_whole_seconds(file: Path) -> None:
    target = PortFile(file)
    seen = set()
    for charge in range(10):
        target.show({**VALUES, "battery.charge": str(charge)})
        seen.add(int(file.stat().st_mtime))
    assert len(seen) == 10


def test_what_is_not_known_any_more_is_deleted_also_after_a_restart(file: Path) -> None:
    PortFile(file).show({**VALUES, "battery.temperature": "20.0"})
    again = PortFile(file)
    again.show(VALUES)
    assert read(file)["battery.temperature"] == "", "an empty value makes a running dummy-ups forget it"


def test_the_users_settings_are_found_and_ours_are_not_taken_for_them(file: Path) -> None:
    file.write_text("battery.charge.low: 35\nups.model: My battery\nbattery.charge: 5\n")
    first = PortFile(file)
    assert first.settings == {"battery.charge.low": "35", "ups.model": "My battery"}
    first.show({**VALUES, "battery.charge.low": "35", "ups.model": "My battery"})
    second = PortFile(file)
    assert second.settings == {"battery.charge.low": "35", "ups.model": "My battery"}, "ups.mfr is ours"
    text = file.read_text().replace('"Enphase Energy"', '"Somebody"')
    file.write_text(text)
    assert PortFile(file).settings["ups.mfr"] == "Somebody"


def test_mode_and_owner_stay(file: Path) -> None:
    file.chmod(0o640)
    PortFile(file).show(VALUES)
    assert file.stat().st_mode & 0o777 == 0o640


def test_without_data_the_file_is_away_and_comes_back_whole(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    assert target.hide()
    assert not file.exists() and target.away.exists()
    assert not target.hide()
    assert target.show({**VALUES, "ups.status": "OB"})
    assert not target.away.exists()
    assert read(file)["ups.status"] == "OB"


def test_the_same_data_after_an_absence_are_written_all_the_same(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    target.hide()
    assert target.show(VALUES)
    assert file.exists()


def test_bytes_of_others_that_are_not_utf8_stay(file: Path) -> None:
    file.write_bytes(b"# caf\xe9\nups.status: OL\n")
    PortFile(file).show(VALUES)
    assert file.read_bytes().startswith(b"# caf\xe9\n")


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = PortFile(file)
    target.show(VALUES)
    before = file.read_text()

    def refuse(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        target.show({**VALUES, "ups.status": "OB"})
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["home.dev"]


CHILD = """
import sys
from pathlib import Path
from nutdrv_py.exporters.portfile import PortFile
target = PortFile(Path(sys.argv[1]))
print("go", flush=True)
count = 0
while True:
    count += 1
    target.show({"ups.status": "OL", "battery.charge": str(count), **{f"experimental.v{n}": str(count) for n in range(60)}})
    if count % 7 == 0:
        target.hide()
"""


@pytest.mark.timeout(120)
def test_killed_at_any_moment_it_leaves_a_whole_file(file: Path) -> None:
    file.write_text("ups.location: cellar\n")
    chance = random.Random(3)
    counts = set()
    for _ in range(100):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(file)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0, 0.06))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        present = [path for path in (file, file.with_name("home.dev-nocomms")) if path.exists()]
        assert present
        for path in present:
            found = read(path)
            assert found["ups.location"] == "cellar"
            numbers = {value for name, value in found.items() if name.startswith(("battery.charge", "experimental.v"))}
            assert len(numbers) <= 1, "all of one moment"
            counts |= numbers
    assert len(counts) > 10


# When it is written


class Home:
    def __init__(self, clock: FakeClock, file: Path, *, every: float = 60, alert: float = 20) -> None:
        self.clock = clock
        self.path = file
        self.writer = Writer(PortFile(file), clock, every=every, alert=alert)

    async def tell(self, seconds: float = 0, **changes: str) -> str | None:
        """The charge in the file ``seconds`` later, after these data."""
        self.clock.now += seconds
        self.writer.tell({**VALUES, **{name.replace("_", "."): value for name, value in changes.items()}})
        return await self.look()

    async def look(self, seconds: float = 0) -> str | None:
        self.clock.now += seconds
        await self.writer.step()
        return read(self.path).get("battery.charge") if self.path.exists() else None


def run(story: object) -> None:
    import asyncio

    asyncio.run(story)  # type: ignore[arg-type]


def test_values_are_written_as_often_as_asked_for_and_a_new_status_at_once(clock: FakeClock, file: Path) -> None:
    async def story() -> None:
        home = Home(clock, file)
        assert await home.tell(battery_charge="87") == "87"
        assert await home.tell(5, battery_charge="86") == "87"
        assert await home.tell(50, battery_charge="85") == "87"
        assert await home.look(5) == "85"
        assert await home.tell(5, battery_charge="84", ups_status="OB DISCHRG") == "84"
        assert await home.tell(15, battery_charge="80", ups_status="OB DISCHRG") == "84"
        assert await home.look(5) == "80"
        assert await home.tell(1, battery_charge="19", ups_status="OB LB DISCHRG") == "19"

    run(story())


def test_stale_data_take_the_file_away_at_once(clock: FakeClock, file: Path) -> None:
    async def story() -> None:
        home = Home(clock, file)
        await home.tell()
        home.writer.tell(None)
        assert await home.look() is None
        assert await home.tell(1, battery_charge="50") == "50"

    run(story())


def test_a_file_from_before_is_served_for_a_moment_while_the_device_is_asked(clock: FakeClock, file: Path) -> None:
    async def story() -> None:
        file.write_text("ups.status: OL\nbattery.charge: 99\n")
        home = Home(clock, file)
        home.writer.tell(None)
        home.writer._known = False
        assert await home.look(FIRST - 1) == "99"
        assert await home.look(1) is None

    run(story())


def test_a_write_that_fails_is_tried_again_and_said_once(clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        home = Home(clock, file)
        await home.tell()
        good = os.replace
        monkeypatch.setattr(os, "replace", lambda *words: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
        for _ in range(5):
            assert await home.tell(6, ups_status="OB", battery_charge="50") == "87"
        monkeypatch.setattr(os, "replace", good)
        assert await home.tell(6, ups_status="OB", battery_charge="50") == "50"
        assert sum("Read-only" in record.message for record in caplog.records) == 1

    run(story())
