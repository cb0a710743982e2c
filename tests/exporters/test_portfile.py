# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file: whole at every moment, others' entries kept, nothing written for nothing, and away when nobody knows anything."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.portfile import Writer, take_away
from nutdrv_py.exporters.portfile import file as module
from nutdrv_py.exporters.portfile.file import FIRST
from nutdrv_py.exporters.portfile.writer import PATIENCE, STUCK
from nutdrv_py.nut.portfile import parse
from nutdrv_py.nut.portitems import Entry
from tests.conftest import REPO, FakeClock

_kept: list[module.PortFile] = []


def PortFile(path: Path, maxage: float = FIRST) -> module.PortFile:
    """The keeper of the file; the one before has ended."""
    while _kept:
        _kept.pop().close()
    _kept.append(module.PortFile(path, maxage))
    return _kept[-1]


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


def test_names_keep_their_capitals(file: Path) -> None:
    PortFile(file).show({**VALUES, "input.L1-N.voltage": "230.0"})
    assert read(file)["input.L1-N.voltage"] == "230.0"


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


def test_what_the_script_wrote_is_nobodys_wish(file: Path) -> None:
    """Its 20 would hide the system's own limit, and with it LB."""
    text = "ups.status: OL\nbattery.charge.low: 20\nbattery.voltage.high: 86.4\nups.mfr: Enphase Energy\nups.model: IQ Gateway\n"
    file.write_text(text)
    assert PortFile(file).settings == {}
    file.write_text(text.replace("20", "30"))
    assert PortFile(file).settings == {"battery.charge.low": "30"}


def test_what_the_user_changes_meanwhile_stays_and_is_found_with_the_next_write(file: Path) -> None:
    target = PortFile(file)
    target.show({**VALUES, "battery.charge.low": "20"})
    file.write_text(file.read_text().replace('battery.charge.low: "20"', "Battery.Charge.Low: 35"))
    target.show({**VALUES, "battery.charge.low": "20", "battery.charge": "50"})
    assert target.settings == {"battery.charge.low": "35"}
    assert {name.lower(): value for name, value in read(file).items()}["battery.charge.low"] == "35"
    assert PortFile(file).settings == {"battery.charge.low": "35"}


def test_what_the_user_adds_meanwhile_is_the_users_also_where_nothing_was_told_before(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    file.write_text(file.read_text() + "battery.charge.low: 70\n")
    target.show({**VALUES, "battery.charge.low": "20"})
    assert target.settings == {"battery.charge.low": "70"}
    assert read(file)["battery.charge.low"] == "70"


def test_a_setting_that_the_user_takes_out_is_no_wish_any_more(file: Path) -> None:
    file.write_text("battery.charge.low: 85\n")
    target = PortFile(file)
    target.show({**VALUES, "battery.charge.low": "85"})
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if not line.startswith("battery.charge.low")))
    target.show({**VALUES, "battery.charge.low": "85"})
    assert target.settings == {}
    target.show({**VALUES, "battery.charge.low": "20"})
    assert read(file)["battery.charge.low"] == "20"
    target.show(VALUES)
    target.hide(final=True)
    assert target.away.read_text() == "", "not even that it was withdrawn stays"


def test_a_file_that_somebody_else_lays_beside_the_one_that_is_away_is_replaced_at_once(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    target.hide()
    file.write_text("ups.status: OB LB\n")
    assert target.show(VALUES)
    assert read(file)["ups.status"] == "OL" and not target.away.exists()


def test_a_second_keeper_is_refused_and_does_no_harm(file: Path) -> None:
    PortFile(file).show(VALUES)
    with pytest.raises(ConfigError, match="another process keeps it"):
        module.PortFile(file)
    with pytest.raises(BlockingIOError):
        take_away(file)
    assert file.exists()
    _kept.pop().close()
    assert take_away(file) and not file.exists()
    assert not take_away(file)


@pytest.mark.parametrize("age", [100.0, -1000.0, 1e9])
def test_a_file_from_long_ago_or_from_the_future_is_not_served(file: Path, age: float) -> None:
    file.write_text("ups.status: OB LB\n")
    moment = time.time() - age
    os.utime(file, (moment, moment))
    target = PortFile(file, 60)
    assert not file.exists() and target.away.exists()


def test_a_link_is_followed_and_stays(file: Path) -> None:
    link = file.with_name("link.dev")
    link.symlink_to(file)
    target = PortFile(link)
    target.show(VALUES)
    assert link.is_symlink() and read(file)["ups.status"] == "OL"
    target.hide()
    assert not link.exists() and file.with_name("home.dev-nocomms").exists()


def test_litter_of_a_killed_write_is_swept(file: Path) -> None:
    (file.parent / ".home.dev.abc.new").touch()
    PortFile(file)
    assert not (file.parent / ".home.dev.abc.new").exists()


def test_a_name_that_no_port_file_can_hold_is_left_out_and_a_long_alarm_is_cut(file: Path) -> None:
    PortFile(file).show({**VALUES, "a name": "1", "TIMER": "2", "ups.alarm": "[" + "x" * 200})
    assert read(file)["ups.alarm"] == "[" + "x" * 126
    assert "TIMER" not in read(file)


def test_after_the_end_no_write_brings_the_file_back(file: Path) -> None:
    target = PortFile(file)
    target.show(VALUES)
    target.hide(final=True)
    with pytest.raises(OSError, match="has ended"):
        target.show({**VALUES, "ups.status": "OB"})
    assert not file.exists()


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
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        target.show({**VALUES, "ups.status": "OB"})
    assert file.read_text() == before
    assert sorted(path.name for path in file.parent.iterdir()) == [".home.dev.lock", "home.dev"]


PARENT = """
import os, sys
from pathlib import Path
from nutdrv_py.exporters.portfile import PortFile
for line in sys.stdin:
    if child := os.fork():
        os.waitpid(child, 0)
        print("ended", flush=True)
        continue
    target = PortFile(Path(sys.argv[1]))
    print(os.getpid(), flush=True)
    count = 0
    while True:
        count += 1
        target.show({"ups.status": "OL", "battery.charge": str(count), **{f"experimental.v{n}": str(count) for n in range(60)}})
        if count % 7 == 0:
            target.hide()
"""
"""A process that makes a writer for each line it reads."""


@pytest.mark.timeout(120)
def test_killed_at_any_moment_it_leaves_a_whole_file(file: Path) -> None:
    file.write_text("ups.location: cellar\n")
    chance = random.Random(3)
    counts = set()
    with subprocess.Popen([sys.executable, "-c", PARENT, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for _ in range(100):
            print(file=parent.stdin, flush=True)
            pid = int(parent.stdout.readline())
            time.sleep(chance.uniform(0, 0.06))
            os.kill(pid, signal.SIGKILL)
            assert parent.stdout.readline() == "ended\n"
            present = [path for path in (file, file.with_name("home.dev-nocomms")) if path.exists()]
            assert present
            for path in present:
                found = read(path)
                assert found["ups.location"] == "cellar"
                numbers = {value for name, value in found.items() if name.startswith(("battery.charge", "experimental.v"))}
                assert len(numbers) <= 1, "all of one moment"
                counts |= numbers
    assert len(counts) > 3, "the writer was at work between the kills"


SCRIPTS = """\
ups.status: OB
battery.charge: 42
battery.runtime: 6706
input.current: 15.63
input.L1-N.voltage: 230.0
output.L2.realpower: 100.0
battery.charge.low: 20
device.model: IQ Gateway
# mine
battery.date: 2024-01-01
input.voltage.nominal: 230
ups.location: cellar
"""


def test_what_the_script_generated_and_nobody_keeps_is_dropped_and_the_users_entries_stay(file: Path) -> None:
    file.write_text(SCRIPTS)
    PortFile(file).show(VALUES)
    found = {name: value for name, value in read(file).items() if value}
    assert found == {
        **{name: value for name, value in VALUES.items() if name in read(file)},
        "battery.date": "2024-01-01",
        "input.voltage.nominal": "230",
        "ups.location": "cellar",
    }
    assert "# mine" in file.read_text()


def test_going_back_to_the_script_leaves_nothing_of_ours_frozen(file: Path) -> None:
    file.write_text("# mine\nups.location: cellar\nbattery.charge.low: 35\n")
    target = PortFile(file)
    target.show({**VALUES, "battery.charge.low": "35", "battery.voltage.high": "86.4", "experimental.battery.energy": "5000"})
    file.write_text(file.read_text().replace('"86.4"', '"57.6"'))
    target.hide(final=True)
    assert target.away.read_text() == '# mine\nups.location: cellar\nbattery.charge.low: "35"\nbattery.voltage.high: "57.6"\n'


@pytest.mark.parametrize("final", [False, True])
def test_when_both_files_are_there_the_one_that_was_taken_away_counts(file: Path, final: bool) -> None:
    file.write_text("ups.status: OB LB\nups.location: attic\n")
    away = file.with_name("home.dev-nocomms")
    away.write_text("ups.location: cellar\n")
    target = PortFile(file)
    if final:
        target.hide(final=True)
        assert away.read_text() == "ups.location: cellar\n"
    else:
        target.show(VALUES)
        assert read(file)["ups.location"] == "cellar"
        assert not away.exists()


def test_without_a_port_file_nothing_is_left_behind(tmp_path: Path) -> None:
    for name in ("home.dev", "home.dev-nocomms"):
        assert not take_away(tmp_path / name)
    with pytest.raises(ConfigError):
        PortFile(tmp_path / "home.dev")
    assert not list(tmp_path.iterdir())


def test_a_link_that_dangles_because_the_file_is_away_is_followed(file: Path) -> None:
    link = file.with_name("link.dev")
    link.symlink_to(file)
    file.rename(file.with_name("home.dev-nocomms"))
    PortFile(link).show(VALUES)
    assert link.is_symlink() and read(file)["ups.status"] == "OL"


def test_a_link_in_place_of_the_file_that_was_taken_away_is_not_followed(file: Path) -> None:
    victim = file.with_name("victim")
    victim.write_text("untouched")
    target = PortFile(file)
    target.show(VALUES)
    target.away.symlink_to(victim)
    target.hide(final=True)
    assert victim.read_text() == "untouched"
    assert not file.exists()


def test_who_may_read_the_file_by_its_access_list_still_may(file: Path) -> None:
    acl = bytes.fromhex("0200000001000600ffffffff02000400ffff000004000400ffffffff10000400ffffffff20000000ffffffff")
    try:
        os.setxattr(file, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("this file system has no access lists")
    before = os.getxattr(file, "system.posix_acl_access")
    PortFile(file).show(VALUES)
    assert os.getxattr(file, "system.posix_acl_access") == before


NARROW = """
import os, sys
from pathlib import Path
from nutdrv_py.exporters.portfile import PortFile
folder = Path(sys.argv[1])
file = folder / "home.dev"
file.write_text("ups.location: cellar\\n")
target = PortFile(file)
target.show({"ups.status": "OL", "battery.charge": "80"})
with open(folder / "full", "wb", buffering=0) as full:
    try:
        while full.write(b"x" * 4096):
            pass
    except OSError:
        pass
target.show({"ups.status": "OB DISCHRG LB", "battery.charge": "8"})
print(file.read_text())
target.hide()
target.show({"ups.status": "OB", "battery.charge": "7"})
print(file.read_text())
os.remove(folder / "full")
target.show({"ups.status": "OL", "battery.charge": "80"})
print(target.hide(final=True), target.away.read_text())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that gets full")
def test_on_a_full_disk_an_outage_is_written_in_place(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=32k none {tmp_path} && exec {sys.executable} -c '{NARROW}' {tmp_path}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True, check=False, cwd=REPO)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no name space of mounts here")
    assert 'ups.status: "OB DISCHRG LB"' in done.stdout, done.stderr
    assert 'ups.status: "OB"' in done.stdout, "also when it was away: a name takes no room"
    assert done.stdout.count("ups.location: cellar") == 3
    assert "True" in done.stdout


FIXED = """
import os, sys
from pathlib import Path
from nutdrv_py.exporters.portfile import PortFile
from nutdrv_py.errors import ConfigError
os.setgroups([])
os.setuid(65533)
file = Path(sys.argv[1]) / "home.dev"
target = PortFile(file)
target.show({"ups.status": "OB"})
print(file.read_text())
try:
    PortFile(file)
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user that may not write")
def test_in_a_folder_that_may_not_be_written_to_the_file_is_written_in_place() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "home.dev"
        file.write_text("ups.location: cellar\n")
        for path, mode in ((file, 0o600), (folder, 0o555)):
            os.chown(path, 65533, 65533)
            path.chmod(mode)
        done = subprocess.run([sys.executable, "-c", FIXED, name], capture_output=True, text=True, check=True, cwd=REPO)
        assert 'ups.status: "OB"' in done.stdout and "ups.location: cellar" in done.stdout
        assert "another process keeps it" in done.stdout
        assert [path.name for path in folder.iterdir()] == ["home.dev"]


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


async def test_values_are_written_as_often_as_asked_for_and_a_new_status_at_once(clock: FakeClock, file: Path) -> None:
    home = Home(clock, file)
    assert await home.tell(battery_charge="87") == "87"
    assert await home.tell(5, battery_charge="86") == "87"
    assert await home.tell(50, battery_charge="85") == "87"
    assert await home.look(5) == "85"
    assert await home.tell(5, battery_charge="84", ups_status="OB DISCHRG") == "84"
    assert await home.tell(15, battery_charge="80", ups_status="OB DISCHRG") == "84"
    assert await home.look(5) == "80"
    assert await home.tell(1, battery_charge="19", ups_status="OB LB DISCHRG") == "19"


async def test_stale_data_take_the_file_away_at_once(clock: FakeClock, file: Path) -> None:
    home = Home(clock, file)
    await home.tell()
    home.writer.tell(None)
    assert await home.look() is None
    assert await home.tell(1, battery_charge="50") == "50"


async def test_a_file_from_before_is_served_for_a_moment_while_the_device_is_asked(clock: FakeClock, file: Path) -> None:
    file.write_text("ups.status: OL\nbattery.charge: 99\n")
    home = Home(clock, file)
    home.writer.tell(None)
    home.writer._known = False
    assert await home.look(FIRST - 1) == "99"
    assert await home.look(1) is None


async def test_a_disk_that_fails_when_the_status_changes_takes_the_file_away(clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(clock, file)
    await home.tell()
    monkeypatch.setattr(module.os, "fsync", lambda *words: (_ for _ in ()).throw(OSError(5, "Input/output error")))  # type: ignore[attr-defined]
    await home.tell(60, battery_charge="50")
    assert file.exists(), "the status is still true"
    assert await home.tell(1 + PATIENCE, battery_charge="49") is None
    monkeypatch.undo()
    assert await home.tell(6) == "87"
    monkeypatch.setattr(module.os, "fsync", lambda *words: (_ for _ in ()).throw(OSError(5, "Input/output error")))  # type: ignore[attr-defined]
    assert await home.tell(1, ups_status="OB") is None


async def test_data_that_go_stale_while_the_disk_is_asked_are_no_error(clock: FakeClock, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = Home(clock, file)
    await home.tell()
    good = home.writer._shown

    def slow() -> bool:
        home.writer.tell(None)
        return good()

    home.writer._shown = slow  # type: ignore[method-assign]
    await home.tell(61, battery_charge="50")
    assert await home.look(1) is None
    assert not [record for record in caplog.records if "cannot be written" in record.message]


async def test_an_error_of_ours_is_no_end(clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(clock, file)
    await home.tell()
    monkeypatch.setattr(home.writer.file, "show", lambda variables: 1 / 0)
    assert await home.tell(60, ups_status="OB") is None
    monkeypatch.undo()
    assert await home.tell(6, ups_status="OB") == "87"


async def test_a_file_that_somebody_took_away_is_written_again_at_once(clock: FakeClock, file: Path) -> None:
    home = Home(clock, file)
    await home.tell()
    home.writer.file.away.parent.joinpath("home.dev").rename(home.writer.file.away)
    assert await home.look(1) == "87"


def test_a_writer_that_hangs_is_known_as_stuck(clock: FakeClock, file: Path) -> None:
    home = Home(clock, file)
    clock.now += STUCK + 1
    assert home.writer.stuck


async def test_a_write_that_fails_is_tried_again_and_said_once(
    clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(clock, file)
    await home.tell()
    good = os.replace
    monkeypatch.setattr(os, "replace", lambda *words, **more: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    for _ in range(5):
        await home.tell(6, ups_status="OB", battery_charge="50")
    monkeypatch.setattr(os, "replace", good)
    assert await home.tell(6, ups_status="OB", battery_charge="50") == "50"
    assert [record.message.count("Input/output") for record in caplog.records].count(1) == 2, "one for the write, one for the rename"
