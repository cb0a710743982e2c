# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scenarios of both devices have in common: errors in files, names, and the command."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest

from nutdrv_py.commands import simulate
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.stories import Event, ScenarioError, Timeline

DEVICES: tuple[ModuleType, ...] = (enphase, rct)
HOUSE = {"enphase": "site", "rct": "house"}


@pytest.fixture(params=DEVICES, ids=lambda device: device.__name__.rpartition(".")[2])
def device(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def kind(device: ModuleType) -> str:
    return device.__name__.rpartition(".")[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HOUSE: {soc: 120}", "0 to 100"),
        ("HOUSE: 3", "needs keys"),
        ("HOUS: {}", "has no key"),
        ("base: outrage", 'did you mean "outage"'),
        ("timeline: 3", "needs a list"),
        ("timeline: [{at: soon, set: {}}]", "number of seconds"),
        ("timeline: [{at: true, set: {}}]", "number of seconds"),
        ("timeline: [{at: 3, set: 4}]", "with what changes"),
        ("timeline: [{at: 3, set: {gird: outage}}]", 'did you mean "grid"'),
        ("timeline: [{at: -3, set: {grid: outage}}]", "starts at 0"),
        ("[1, 2", "not YAML"),
        ("- 1", "needs keys"),
    ],
)
def test_errors_are_sentences(device: ModuleType, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(text.replace("HOUSE", HOUSE[kind(device)]), encoding="utf-8")
    with pytest.raises(ScenarioError, match=message):
        device.load_scenario(str(path))


@pytest.mark.parametrize(("size", "message"), [(300 * 1024, "too long"), (3, "cannot be read")])
def test_a_file_that_is_no_scenario_is_refused(device: ModuleType, tmp_path: Path, size: int, message: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_bytes(b"\xff" * size)
    with pytest.raises(ScenarioError, match=message):
        device.load_scenario(str(path))


def test_an_unknown_name_is_answered_with_the_nearest(device: ModuleType) -> None:
    with pytest.raises(ScenarioError, match='did you mean "outage"'):
        device.load_scenario("outag")


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.configure(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario", "nothing-such"), "no scenario"), (("--listen", "0.0.0.0:8899"), "loopback"), (("--listen", "8443"), ""),
        (("--speed", "nan"), ""), (("--speed", "0"), ""),
    ],
)  # fmt: skip
def test_the_command_refuses_what_it_cannot_do(device: ModuleType, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(arguments(kind(device), *words)) == 2
    assert said in (shown := capsys.readouterr().err)
    assert shown


def test_the_command_refuses_a_serial_number_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(arguments("rct", "--serial", "far too long for its field")) == 2
    assert "serial number" in capsys.readouterr().err


def test_the_command_lists(device: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(arguments(kind(device), "--list")) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(device.SCENARIOS)


@pytest.mark.parametrize(
    ("now", "done"),
    [(0, "0"), (4, "4"), (5, "5 a 5"), (7, "5 a 7"), (9, "5 a 9 b 9 c 9"), (100, "5 a 9 b 9 c 100")],
)  # fmt: skip
def test_a_timeline_makes_each_change_at_its_time_in_the_order_of_the_story(now: float, done: str) -> None:
    log: list[str] = []
    line = Timeline([Event(9, {"b": 1}), Event(5, {"a": 1}), Event(9, {"c": 1})])
    line.play(now, lambda moment: log.append(f"{moment:g}"), log.extend)
    assert " ".join(log) == done
    assert len(line) == sum(at > now for at in (5, 9, 9))
