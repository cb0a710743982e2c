# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether systemd starts a service again: by what systemctl says of its jobs and of ``Restart=``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nutdrv_py.process import systemd

UNIT = "nutdrv_py-portfile@home.service"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (f"0::/system.slice/system-nutdrv_py\\x2dportfile.slice/{UNIT}\n", UNIT),
        (f"9:memory:/x\n1:name=systemd:/system.slice/{UNIT}\n0::/\n", UNIT),
        ("0::/user.slice/user-0.slice/session-2.scope\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_service_of_a_process_is_found(cgroup: str, unit: str | None) -> None:
    if unit is None:
        with pytest.raises(ValueError, match="no service"):
            systemd.unit_of(cgroup)
    else:
        assert systemd.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("jobs", "restart", "result", "again"),
    [
        (f"7 {UNIT} restart running", "always", "", True),
        (f"7 {UNIT} stop running", "always", "", False),
        (f"7 {UNIT} stop running", "always", "signal", False),
        ("7 other.service restart running", "no", "", False),
        (f"7 {UNIT} start running", "always", "signal", True),
        (f"7 {UNIT} start running", "on-failure", "signal", True),
        (f"7 {UNIT} start running", "no", "signal", False),
        (f"7 {UNIT} reload running", "always", "signal", True),
        ("", "always", "", True),
        ("", "always", "signal", True),
        ("", "on-failure", "signal", True),
        ("", "on-failure", "", False),
        ("", "no", "signal", False),
        (None, "always", "signal", False),
    ],
)
def test_a_service_is_started_again_when_its_job_or_its_restart_setting_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str | None, restart: str, result: str, again: bool
) -> None:
    program = tmp_path / "systemctl"
    listed = "exit 1" if jobs is None else f"echo '{jobs}'"
    program.write_text(f'#!/bin/sh\ncase "$*" in *list-jobs*) {listed};; *) echo {restart};; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("INVOCATION_ID", "1")
    monkeypatch.setattr(systemd, "_unit", lambda: UNIT)
    if result:
        monkeypatch.setenv("SERVICE_RESULT", result)
    assert systemd.restarts() is again


def test_a_systemd_that_does_not_answer_in_time_starts_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("INVOCATION_ID", "1")
    monkeypatch.setattr(systemd, "_unit", lambda: UNIT)
    assert not systemd.restarts(0.1)
    assert "systemd cannot be asked whether it starts this unit again (TimeoutExpired)" in caplog.text
    assert 2 * systemd.ASK_SOON < 5, "upsdrvctl kills a driver after 5 s"


def test_without_systemd_nothing_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    assert systemd.job() is None
    assert not systemd.restarts()
