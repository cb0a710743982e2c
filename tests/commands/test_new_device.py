# SPDX-License-Identifier: GPL-2.0-or-later
"""A description that is written by asking is one that the driver reads; answers that make none write nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nutdrv_py.backends.mapping.description import Description, describe
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.cli import main


def _answer(monkeypatch: pytest.MonkeyPatch, answers: Sequence[str]) -> None:
    left: Iterator[str] = iter(answers)

    def given(question: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", given)


def _read(path: Path) -> Description:
    return describe(path, Options(address="192.0.2.1", folder=path.parent))


@pytest.mark.parametrize(
    ("answers", "on", "off"),
    [
        (["http", "maybe", "", "", "My battery: 5 kWh", "/api", "grid.state", "on, connected", "off", "/api", "soc", "1"], "connected", "OFF"),
        (["mqtt", "no", "", "Mine", "a/grid", "", "on", "off", "a/soc", "charge", ""], "on", "off"),
        (["telex", "modbus", "Mine", "826", "1,2", "240", "843", ""], 2, 240),
        (["file", "/run/state.json", "Mine", "grid", "true", "false", "", "it has no gauge"], True, False),
        (["command", "'", "/bin/echo 'a b' --json", "Mine", "grid", "1", "0", "soc", ""], 1, 0),
    ],
)
def test_the_answers_become_a_file_that_the_driver_reads(
    answers: list[str], on: object, off: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    _answer(monkeypatch, answers)
    assert main(["nutdrv_py", "new-device", "mine.yaml"]) == 0
    plan = _read(tmp_path / "mine.yaml")
    assert (plan.grid.judge(on), plan.grid.judge(off), plan.grid.judge("what")) == (True, False, None)
    assert "nutdrv_py check mine" in capsys.readouterr().out
    charge = next((rule.quantity for rule in plan.rules if rule.name == "battery.charge"), None)
    assert (charge is None) == bool(plan.no_charge)
    if charge is not None:
        assert charge.scale == (100 if answers[-1] == "1" else 1)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (["http", "", "", "Mine"], "not answered to the end"),
        (["http", "", "", "Mine", "/api", "soc", "1", "0", "/api", "soc", ""], "says nothing about the grid"),
        (["http", "", "form", "no-path", "", "", "", "Mine", "/api", "grid", "up", "down", "/api", "soc", ""], "a path on the device is needed here"),
        (["command", "battery", "Mine", "grid", "up", "down", "soc", ""], "whole path of a program"),
        (["http", "", "", "Mine", "/api", "grid", "up", "UP", "/api", "soc", ""], "cannot mean both"),
    ],
)
def test_answers_that_make_no_description_write_nothing(
    answers: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _answer(monkeypatch, answers)
    assert main(["nutdrv_py", "new-device", str(tmp_path / "mine.yaml")]) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    assert main(["nutdrv_py", "new-device", str(path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("answers", "source", "credentials", "certificate"),
    [
        (["http", "yes", "basic"], "{http: 'https://{address}', basic: yes}", True, True),
        (["http", "no", "form", "/api/login", "user", "pass", "token"],
         """{http: 'http://{address}', login: {"post": "/api/login", "json": {"user": "{username}", "pass": "{password}"}, "token": "token"}}""", True, False),
        (["http", "", "form", "/login", "-", "", ""], """{http: 'http://{address}', login: {"post": "/login", "json": {"password": "{password}"}}}""", True, False),
        (["http", "", ""], "{http: 'http://{address}'}", False, False),
        (["mqtt", "yes", "broker.pem", "yes"], """{mqtt: '{address}', tls: yes, ca: "broker.pem"}""", True, False),
        (["mqtt", "yes", "", ""], "{mqtt: '{address}', tls: yes}", False, False),
    ],
)  # fmt: skip
def test_login_and_encryption_are_asked_for_and_no_secret_is(
    answers: list[str], source: str, credentials: bool, certificate: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    place = ["/api", "grid"] if answers[0] == "http" else ["a/grid", ""]
    _answer(monkeypatch, [*answers, "Mine", *place, "up", "down", "", "it has no gauge"])
    assert main(["nutdrv_py", "new-device", "mine.yaml"]) == 0
    assert f"source: {source}\n" in (tmp_path / "mine.yaml").read_text()
    _read(tmp_path / "mine.yaml")
    out = capsys.readouterr().out
    assert (f"credentials = {tmp_path}/mine.conf" in out) == credentials == ("install -m 0640" in out)
    assert ("certificate =" in out) == certificate
