# SPDX-License-Identifier: GPL-2.0-or-later
"""A program as a source: what it is given, what is taken from it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from nutdrv_py.backends.mapping.sources.command import FRESH
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError
from tests.backends.mapping.conftest import GOOD, House
from tests.conftest import REPO

SECRET = "unicorn-4711"


def program(home: House, text: str, *words: str, more: str = "") -> None:
    """Write a shell script as the program, and the description that names it."""
    path = home.folder / "battery"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    home.describe(GOOD.replace("{file: state.json}", f"{{command: {json.dumps([str(path), *words])}{more}}}"))
    home.path.chmod(0o644)


def ended(home: House) -> bool:
    """Whether the process whose number the program has written is gone."""
    path, until = home.folder / "pid", time.monotonic() + 5
    while not (path.exists() and path.read_text().strip()):
        time.sleep(0.01)
        assert time.monotonic() < until
    while os.path.exists(f"/proc/{path.read_text().strip()}"):
        if Path(f"/proc/{path.read_text().strip()}/stat").read_text().split()[2] == "Z" or time.monotonic() > until:
            break
        time.sleep(0.01)
    return time.monotonic() <= until


async def test_what_it_prints_is_the_device(home: House) -> None:
    program(home, """echo '{"grid": "down", "soc": 55}'""")
    reading = await home.backend().poll()
    assert (reading.status, reading.values["battery.charge"], reading.at) == (Status.OB, 55, home.clock.now)


async def test_a_poll_runs_it_once_and_the_second_look_at_an_outage_once_more(home: House) -> None:
    program(home, f"""echo x >> {home.folder}/runs; echo '{{"grid": "up", "soc": 55}}'""")
    backend = home.backend()
    await backend.poll()
    home.clock.now += FRESH + 0.1
    await backend.poll()
    assert (home.folder / "runs").read_text() == "x\nx\n"
    program(home, f"""echo y >> {home.folder}/runs; echo '{{"grid": "down", "soc": 55}}'""")
    home.clock.now += FRESH + 0.1
    await backend.poll()
    assert (home.folder / "runs").read_text() == "x\nx\ny\ny\n"


async def test_no_shell_reads_its_words(home: House) -> None:
    words = ["a b", "$(touch harm)", ";touch harm", "`touch harm`", "*", "{address}"]
    program(home, f"""for word; do echo "$word" >> {home.folder}/words; done; echo '{{"grid": "up"}}'""", *words)
    await home.backend(address="192.0.2.7:80").poll()
    assert (home.folder / "words").read_text().splitlines() == [*words[:-1], "192.0.2.7:80"]


async def test_it_finds_nothing_of_the_drivers_environment_or_files(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    inherited = os.open(home.folder, os.O_RDONLY)
    program(home, f"""env > {home.folder}/env; ls /proc/self/fd > {home.folder}/fds; read line; echo '{{"grid": "up"}}'""")
    await home.backend().poll()
    os.close(inherited)
    assert SECRET not in (home.folder / "env").read_text()
    assert set((home.folder / "fds").read_text().split()) <= {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"echo {SECRET} >&2; echo {SECRET}; exit 3", "ended with 3"),
        (f"echo {SECRET}", "prints something that is not json"),
        ("", "not json"),
        ("yes x", "more than 262144 bytes, and was ended"),
        ("kill -9 $$", "ended with -9"),
        ("""echo '{"grid": "restarting"}'""", "neither on nor off"),
    ],
)
async def test_what_cannot_be_used_is_a_sentence_that_quotes_nothing(text: str, sentence: str, home: House) -> None:
    program(home, text)
    with pytest.raises(DeviceError, match=sentence) as caught:
        await home.backend().poll()
    assert SECRET not in str(caught.value)


async def test_one_that_hangs_is_ended_with_all_that_it_has_started(home: House) -> None:
    program(home, f"sleep 100 & echo $! > {home.folder}/pid; wait", more=", timeout: 1")
    with pytest.raises(DeviceError, match="did not end within 1 s"):
        await home.backend().poll()
    assert ended(home)


async def test_one_that_leaves_a_child_behind_with_its_output_does_not_hold_the_poll(home: House) -> None:
    program(home, f"""echo '{{"grid": "up"}}'; sleep 100 & echo $! > {home.folder}/pid""", more=", timeout: 1")
    with pytest.raises(DeviceError, match="did not end"):
        await home.backend().poll()
    assert ended(home)


async def test_a_cancelled_poll_ends_it(home: House) -> None:
    program(home, f"echo $$ > {home.folder}/pid; exec sleep 100")
    poll = asyncio.ensure_future(home.backend().poll())
    while not (home.folder / "pid").exists():
        await asyncio.sleep(0.01)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert ended(home)


async def test_lines_and_a_word_are_read_as_from_a_file(home: House) -> None:
    program(home, "echo grid=up; echo soc = 41", more=", format: lines")
    assert (await home.backend().poll()).values["battery.charge"] == 41


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("battery", "whole path"), ("[]", "whole path"), ("/bin/echo grid=up", "whole path"), ("[./battery]", "whole path"),
        ("[/nowhere/battery]", "/nowhere/battery: No such file"), ("[/bin/echo, '{address}']", "the address is missing"),
        ("[/usr/bin]", "Is a directory"), (f"[/bin/echo{', x' * 64}]", "more than 64 words"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_one_stops_the_start(command: str, sentence: str, home: House) -> None:
    home.describe(GOOD.replace("{file: state.json}", f"{{command: {command}}}"))
    home.path.chmod(0o644)
    with pytest.raises(ConfigError, match=sentence):
        home.config()


@pytest.mark.parametrize("name", ["battery", "device.yaml"])
def test_a_program_or_a_file_that_others_may_change_stops_the_start(name: str, home: House) -> None:
    program(home, "echo")
    home.config()
    (home.folder / name).chmod(0o757)
    with pytest.raises(ConfigError, match=f"type: chmod (go-w|o-w) .*{name}|{name} may have been written by another user"):
        home.config()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group")
def test_a_description_that_a_group_may_change_may_not_name_a_program(home: House) -> None:
    program(home, "echo")
    os.chown(home.path, 0, 65_533)
    home.path.chmod(0o664)
    with pytest.raises(ConfigError, match="names a program to run and others may change it"):
        home.config()


def test_the_page_says_as_whom_it_is_run() -> None:
    page = (REPO / "docs" / "describing-a-device.md").read_text()
    assert "command: [/usr/local/bin/" in page
    assert "as the user of the driver" in page
