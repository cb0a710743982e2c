# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check --backend``: what it finds without a fake device, and what it names as not tested."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py import log
from nutdrv_py.cli import main
from nutdrv_py.clock import Clock
from nutdrv_py.commands import check
from nutdrv_py.testing import live
from nutdrv_py.testing.live import Looked, look
from tests.conformance import wrong
from tests.conformance.right import CLOUDS, PASSWORD, Cloud, Right


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = CLOUDS["box"] = Cloud(Clock())
    yield made
    del CLOUDS["box"]


def _looked(backend: type[Right]) -> Looked:
    config = backend.Config(port="box", password=PASSWORD, pollinterval=1, ups="home")
    return asyncio.run(look(backend, config, Clock()))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LONGEST_POLL", 1.5)
    monkeypatch.setattr(live, "CANCELLED", 0.3)
    monkeypatch.setattr(live, "PAUSE", 0.01)


def test_a_right_backend_has_a_line_to_compare_with_the_device_and_no_failure(cloud: Cloud) -> None:
    cloud.delay = 0.05
    looked = _looked(Right)
    assert looked.failures == []
    assert dict(looked.done)["reading"].startswith("OL, battery.charge 80, battery.runtime 18000, ups.realpower 500")
    assert dict(looked.done)["cancel"] == "a poll was cancelled, and the next one gave OL"
    assert cloud.asked >= 4


@pytest.mark.parametrize(
    ("backend", "rule", "mode", "delay"),
    [
        (Right, "start", "silence", 0.0),
        (wrong.Blocks, "blocking", "", 0.6),
        (wrong.Hangs, "hang", "silence", 0.0),
        (wrong.Stubborn, "cancel", "", 0.1),
        (wrong.Swallows, "cancel", "", 0.1),
        (wrong.Raises, "error", "silence", 0.0),
        (wrong.Exits, "exit", "silence", 0.0),
        (wrong.Interrupts, "exit", "silence", 0.0),
        (wrong.Prints, "secret", "", 0.0),
        (wrong.InValue, "secret", "", 0.0),
        (wrong.Tasks, "leftovers", "", 0.0),
        (wrong.OwnNames, "names", "", 0.0),
        (wrong.WithUnit, "dropped", "", 0.0),
        (wrong.Tenths, "believable", "", 0.0),
        (wrong.WallClock, "time", "", 0.0),
        (wrong.Both, "status", "", 0.0),
    ],
)
def test_what_a_real_device_shows_of_a_wrong_backend_is_found(backend: type[Right], rule: str, mode: str, delay: float, cloud: Cloud) -> None:
    cloud.mode, cloud.delay = mode, delay
    cloud.state["battery"] = 2000.0
    assert rule in [failure.rule for failure in _looked(backend).failures]


def test_a_secret_of_a_file_is_looked_for_as_well(cloud: Cloud) -> None:
    log.hide("of-a-credentials-file")
    cloud.state["name"] = "of-a-credentials-file"
    assert [failure.rule for failure in _looked(Right).failures] == ["secret"]
    assert "of-a-credentials-file" in log.hidden()


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUT_CONFPATH", str(tmp_path))
    monkeypatch.setenv("NUT_STATEPATH", str(tmp_path))
    monkeypatch.setattr(check, "become", lambda sections: None)
    (tmp_path / "ups.conf").write_text(f"[home]\n driver = nutdrv_py\n backend = dummy\n port = box\n password = {PASSWORD}\n pollinterval = 1\n")
    (tmp_path / "ups.conf").chmod(0o600)
    return tmp_path


def _lines(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str], str]:
    code = main(["nutdrv_py", "check", *words, "--json"])
    out = capsys.readouterr().out
    return code, {row["topic"]: row["level"] for row in json.loads(out)}, out


def test_the_class_alone_is_judged_and_the_rest_is_named_as_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    code, levels, out = _lines(capsys, "--backend", "tests.conformance.right:Right")
    assert (code, levels) == (0, {"backend": "ok", "device": "warning", "conformance": "warning"})
    assert "outages, silence, nonsense" in out
    code, levels, out = _lines(capsys, "--backend", "tests.conformance.wrong:OpenToken")
    assert code == 1
    assert levels["secret-option"] == "failed"
    assert "driver.parameter.api_token" in out


def test_with_a_section_its_device_is_polled_by_the_backend_that_is_named(etc: Path, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    code, levels, out = _lines(capsys, "home", "--backend", "tests.conformance.right:Right")
    assert (code, levels["reading"]) == (0, "ok")
    assert PASSWORD not in out
    code, levels, out = _lines(capsys, "home", "--backend", "tests.conformance.wrong:Loud")
    assert code == 0
    cloud.mode = "silence"
    code, levels, out = _lines(capsys, "home", "--backend", "tests.conformance.wrong:Loud")
    assert (code, levels["start"], levels["secret"]) == (1, "failed", "failed")
    assert PASSWORD not in out


def test_a_backend_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, levels, out = _lines(capsys, "--backend", "nothing:Nothing")
    assert (code, levels) == (1, {"backend": "failed"})
    assert "cannot be imported" in out
