# SPDX-License-Identifier: GPL-2.0-or-later
"""A device of another package comes through the doors of ours: simulate, demo, record and scan."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nutdrv_py.api import (
    Backend,
    Clock,
    Config,
    ConfigError,
    Found,
    Reading,
    Search,
    Status,
    Tape,
    Tools,
)
from nutdrv_py.cli import main
from nutdrv_py.commands import record
from nutdrv_py.commands.doors import tools
from nutdrv_py.device import backend as backends


class Strange(Backend[Config]):
    description = "Strange"
    tools = "strange_tools:TOOLS"

    async def poll(self) -> Reading:
        return Reading({}, Status.OL)


class Heard(Strange):
    def __init__(self, config: Config, clock: Clock, tape: Tape) -> None:
        super().__init__(config, clock)
        self._tape = tape

    async def poll(self) -> Reading:
        self._tape.take([{"t": self._tape.now(), "heard": "something"}])
        return await super().poll()

    def settle(self) -> Mapping[str, object]:
        return {"left": 7}


async def find(search: Search) -> Sequence[Found]:
    search.say(f"{len(search.hosts)} addresses, {search.seconds:g} s")
    return [Found("A strange device", "strange", (("port", "192.168.1.9"), ("backend", "strange")))]


async def failing(search: Search) -> Sequence[Found]:
    raise ConfigError("the radio is off; switch it on")


async def broken(search: Search) -> Sequence[Found]:
    raise ZeroDivisionError("unicorn-4711")


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module: Any = ModuleType("strange_tools")
    module.TOOLS = Tools(record=Heard, find=find)
    module.Strange = Strange
    monkeypatch.setitem(sys.modules, "strange_tools", module)
    for name in list(backends.BUILT_IN):
        monkeypatch.delitem(backends.BUILT_IN, name)
    monkeypatch.setattr(backends, "names", lambda: dict(backends.BUILT_IN))
    monkeypatch.setitem(backends.BUILT_IN, "strange", "strange_tools:Strange")
    yield module


async def test_its_conversation_is_recorded_and_what_it_adds_to_the_end_of_a_poll(strange: ModuleType, tmp_path: Path) -> None:
    tape = record.Tape("strange", Config(port="x"), Clock())
    assert await tape.poll() is not None
    tape.write(tmp_path / "recording")
    text = gzip.decompress((tmp_path / "recording").read_bytes()).decode()
    assert '"heard"' in text
    assert '"left"' in text


def test_what_it_finds_is_a_section_and_what_it_says_is_said(
    strange: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    assert main(["nutdrv_py", "scan", "--seconds", "0.1", "--network", "192.0.2.0/30", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "# A strange device\n[strange]\n    driver      = nutdrv_py\n    port        = 192.168.1.9\n" in out
    assert "2 addresses, 0.1 s" in err


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (Tools(find=failing), "the radio is off"),
        (Tools(find=broken), "internal error in the search of backend strange: ZeroDivisionError; please"),
        (Tools(), "No device was found"),
        ("nothing", "No device was found"),
    ],
)
def test_a_search_that_is_not_possible_is_said(
    made: object, sentence: str, strange: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    strange.TOOLS = made
    assert main(["nutdrv_py", "scan", "--seconds", "0.1"]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("not_there:TOOLS", "cannot be imported"), ("strange_tools:OTHER", "cannot be imported"), ("strange_tools:Strange", "are no nutdrv_py.api.Tools")],
)
def test_tools_that_cannot_be_used_are_a_sentence(place: str, sentence: str, strange: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strange, "tools", place)
    with pytest.raises(ConfigError, match=sentence):
        tools("strange", "record")


@pytest.mark.parametrize("words", [["simulate", "strange"], ["demo", "--backend", "strange"]])
def test_what_it_does_not_bring_is_said(words: list[str], strange: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", *words]) == 1
    assert "backend = strange has no simulation" in capsys.readouterr().err
