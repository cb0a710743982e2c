# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py record`` as a person runs it: beside the driver, whose files it leaves alone, and to a whole file whatever happens."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py.backends.replay import Replay
from nutdrv_py.backends.replay.config import ReplayConfig
from nutdrv_py.commands import record
from nutdrv_py.device.reading import Reading
from nutdrv_py.errors import ConfigError, NutdrvError, StartError
from nutdrv_py.recording.file import Recording, read
from nutdrv_py.simulators.enphase import Fault, RunningSimulator
from tests.backends.taping import taping
from tests.conftest import REPO

PROGRAM = """
import argparse, sys
from nutdrv_py.commands import record
from nutdrv_py.errors import NutdrvError
record.WRITE_EVERY = {write_every}
parser = argparse.ArgumentParser()
record.configure(parser)
try:
    sys.exit(record.run(parser.parse_args()))
except NutdrvError as error:
    sys.exit(str(error))
"""


def _conf(folder: Path, **options: str) -> None:
    lines = "".join(f"    {name} = {value}\n" for name, value in {"driver": "nutdrv_py", **options}.items())
    (folder / "ups.conf").write_text(
        f"[home]\n{lines}\n[other]\n    driver = dummy-ups\n    port = x.dev\n[file]\n    driver = nutdrv_py\n    backend = dummy\n    port = x.dev\n"
    )
    (folder / "ups.conf").chmod(0o600)


class Started:
    """The command in a process of its own."""

    def __init__(self, folder: Path, *words: str, write_every: float = 60.0) -> None:
        environment = {**os.environ, "NUT_CONFPATH": str(folder), "NUT_STATEPATH": str(folder), "PYTHONPATH": str(REPO)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(write_every=write_every), *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        )  # fmt: skip

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def _recorded(path: Path) -> Recording | None:
    """What is in the file, once it is there."""
    try:
        return read(path)
    except NutdrvError:
        return None


def _wait(path: Path, polls: int) -> Recording:
    deadline = time.monotonic() + 60
    while (found := _recorded(path)) is None or len(found.polls) < polls:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningSimulator]:
    with RunningSimulator("online") as running:
        sim = running.sim
        secret = tmp_path / "credentials"
        secret.touch(mode=0o600)
        secret.write_text(f"USERNAME={sim.username}\nPASSWORD={sim.password}\n")
        _conf(
            tmp_path, port=sim.host_port, backend="enphase", credentials=str(secret), tokenfile=str(tmp_path / "home.token"),
            login_url=sim.login_url, token_url=sim.token_url, pollinterval="2",
        )  # fmt: skip
        yield running


def test_a_recording_is_made_shown_and_explained(tmp_path: Path, gateway: RunningSimulator) -> None:
    path = tmp_path / "home.recording"
    code, out, err = Started(tmp_path, "home", str(path), "--minutes", "0.06").end()
    assert code == 0, err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path).polls[0].says.startswith("OL")
    assert f"zcat {path} | less" in out
    assert "serial_num (" in out
    assert "of 0.06 min" in err
    assert gateway.sim.serial not in out + err
    assert sorted(found.name for found in tmp_path.iterdir()) == ["credentials", "home.recording", "ups.conf"]


def test_the_drivers_token_is_used_and_left_as_it_is(tmp_path: Path, gateway: RunningSimulator) -> None:
    token = tmp_path / "home.token"
    token.touch(mode=0o600)
    sim = gateway.sim
    token.write_text(gateway.call(lambda: sim.authority.issue(sim.serial, now=time.time(), username=sim.username)))
    before = token.read_text(), token.stat().st_mtime_ns
    path = tmp_path / "home.recording"
    asked = len(gateway.sim.requests)
    running = Started(tmp_path, "home", str(path), "--minutes", "5", write_every=0.5)
    found = _wait(path, 2)
    assert running.end(signal.SIGINT)[0] == 0
    assert found.polls[1].says.startswith("OL")
    assert (token.read_text(), token.stat().st_mtime_ns) == before
    paths = [request.path for request in list(gateway.sim.requests)[asked:]]
    assert "/ivp/ensemble/relay" in paths
    assert not [name for name in paths if "login" in name or "token" in name]
    assert not (tmp_path / "home.pin").exists()


def test_a_poll_that_the_end_cuts_off_is_not_written_as_one_that_failed(tmp_path: Path, gateway: RunningSimulator) -> None:
    path = tmp_path / "home.recording"
    started = Started(tmp_path, "home", str(path), "--minutes", "5", write_every=0.2)
    _wait(path, 1)
    gateway.fault("*", Fault("hang"))
    time.sleep(3)
    code, _, err = started.end(signal.SIGINT)
    assert code == 0, err
    assert all(poll.says for poll in read(path).polls)
    assert b'"error"' not in gzip.decompress(path.read_bytes())


async def test_a_backend_that_fails_is_recorded_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> list[bool]:
        async with taping("rct", tmp_path) as t:
            await t.polls(1, 2)
            good = t.tape.backend.poll

            async def fails() -> Reading:
                await good()
                raise KeyError("soc")

            t.tape.backend.poll = fails  # type: ignore[method-assign]
            found = [await t.tape.poll() is None]
            t.tape.backend.poll = good  # type: ignore[method-assign]
            return [*found, await t.tape.poll() is not None]

    assert await story() == [True, True]


async def test_a_refused_token_is_not_replaced(tmp_path: Path) -> None:
    async def story() -> list[str]:
        async with taping("enphase", tmp_path) as t:
            await t.polls(2, 5)
            t.sim.set(forget_tokens=True)
            await t.polls(3, 120)
            return [request.path for request in t.sim.requests]

    assert (await story()).count("/tokens") == 1
    assert not (tmp_path / "home.token").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_a_whole_file(tmp_path: Path, gateway: RunningSimulator, number: int) -> None:
    path = tmp_path / "home.recording"
    started = Started(tmp_path, "home", str(path), "--minutes", "5", write_every=0.2)
    found = _wait(path, 1)
    began = time.monotonic()
    code, out, err = started.end(number)
    assert (code, time.monotonic() - began < 10) == (0, True), err
    assert "less" in out
    assert len(read(path).polls) >= len(found.polls)


def test_a_kill_loses_no_more_than_what_was_not_written_yet(tmp_path: Path, gateway: RunningSimulator) -> None:
    path = tmp_path / "home.recording"
    started = Started(tmp_path, "home", str(path), "--minutes", "5", write_every=0.2)
    found = _wait(path, 2)
    started.end(signal.SIGKILL)
    assert len(read(path).polls) >= len(found.polls)


async def test_a_device_that_is_away_makes_a_file_too(tmp_path: Path) -> None:
    _conf(tmp_path, port="127.0.0.1:9", backend="rct")
    path = tmp_path / "home.recording"
    code, out, err = Started(tmp_path, "home", str(path), "--minutes", "0.05").end()
    assert code == 0
    assert "0 of them good" in out
    assert "cannot be reached" in err
    with pytest.raises(NutdrvError, match="could not be reached"):
        await Replay(ReplayConfig(port=str(path), speed=0.0), record.Clock()).poll()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("other", "new"), "dummy-ups"), (("file", "new"), "enphase, rct"), (("nobody", "new"), "nobody"), (("home", "ups.conf"), "already"),
     (("home", "absent/new"), "cannot be made")],
)  # fmt: skip
def test_what_cannot_be_recorded_is_said_before_anything_is_asked(words: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    monkeypatch.setenv("NUT_STATEPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _conf(tmp_path, port="127.0.0.1:9", backend="rct")
    parser = argparse.ArgumentParser()
    record.configure(parser)
    with pytest.raises((ConfigError, StartError), match=said):
        record.run(parser.parse_args(words))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "241", "nan", "x"])
def test_minutes_are_a_number_that_can_be(minutes: str) -> None:
    parser = argparse.ArgumentParser()
    record.configure(parser)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["home", "file", "--minutes", minutes])
    assert caught.value.code == 2


async def test_the_options_that_are_told_are_numbers_and_flags(tmp_path: Path) -> None:
    async with taping("enphase", tmp_path) as t:
        await t.polls(1, 5)
    options = dict(read(tmp_path / "home.recording").options)
    assert options["pollinterval"] == 5
    assert "disable_meters" in options
    assert all(isinstance(value, int | float) for value in options.values()), json.dumps(options)
