# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines: NUT's format, syslog, and once per change of state."""

from __future__ import annotations

import logging
import syslog

import pytest

from nutdrv_py import log
from nutdrv_py.errors import ConfigError


def test_debug_levels_are_nuts_numbers() -> None:
    for level in (0, 1, 3, 9):
        log.set_debug_level(level)
        assert log.debug_level() == level
        assert log.log.isEnabledFor(log.debug(level)) is bool(level) or level == 0
        assert not log.log.isEnabledFor(log.debug(level + 1)) or level == 9


def test_without_debugging_lines_are_plain_and_with_it_they_have_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr()
    log.set_debug_level(0)
    log.log.info("plain")
    log.log.log(log.debug(1), "hidden")
    log.set_debug_level(2)
    log.log.log(log.debug(2), "shown")
    log.log.log(log.debug(3), "hidden")
    log.log.warning("stamped")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "plain"
    assert lines[1].endswith("\t[D2] shown")
    assert lines[1][:11].strip().replace(".", "").isdigit()
    assert lines[2].endswith("\tstamped")
    assert len(lines) == 3


def test_the_background_writes_to_syslog_with_nuts_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: said.append((priority, line)))
    opened: list[tuple[object, ...]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: opened.append(words))
    log.to_syslog("nutdrv_py")
    log.set_debug_level(1)
    log.log.error("a\nb")
    log.log.warning("w")
    log.log.info("i")
    log.log.log(log.debug(1), "d")
    assert opened == [("nutdrv_py", syslog.LOG_PID, syslog.LOG_DAEMON)]
    assert [priority for priority, _ in said] == [syslog.LOG_ERR, syslog.LOG_WARNING, syslog.LOG_INFO, syslog.LOG_DEBUG]
    said.clear()
    log.to_syslog("nutdrv_py", quiet=1)
    log.log.info("i")
    log.log.warning("w")
    assert [priority for priority, _ in said] == [syslog.LOG_WARNING]


@pytest.mark.parametrize("wish", ["none", "false"])
def test_syslog_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("NUT_DEBUG_SYSLOG", wish)
    monkeypatch.setattr(syslog, "syslog", lambda *words: pytest.fail("written to syslog"))
    log.to_syslog("nutdrv_py")
    log.log.error("x")


def test_libraries_chatter_stays_out(capsys: pytest.CaptureFixture[str]) -> None:
    """httpx logs each request with its address at INFO."""
    log.to_stderr()
    log.set_debug_level(9)
    logging.getLogger("httpx").info("HTTP Request: GET https://gateway/")
    logging.getLogger("httpcore").debug("headers: Bearer ...")
    assert capsys.readouterr().err == ""


def test_trouble_is_logged_once_per_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trouble = log.Trouble()
    for _ in range(10):
        trouble.report("poll", "no answer")
    trouble.report("poll", "refused")
    trouble.report("poll", "no answer")
    assert trouble.active() == {"poll"}
    trouble.clear("poll", "fine again")
    trouble.clear("poll", "fine again")
    trouble.report("poll", "no answer")
    assert [record.message for record in caplog.records] == ["no answer", "refused", "fine again", "no answer"]
    assert trouble.count["poll"] == 13


def test_a_device_that_words_each_failure_anew_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trouble = log.Trouble()
    for number in range(1000):
        trouble.report("poll", f"failure {number}")
    assert len(caplog.records) < 20


def test_a_logging_section_with_a_level_alone_still_writes_somewhere() -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        log.to_stderr()
        handlers = list(root.handlers)
        log.apply({"version": 1, "disable_existing_loggers": False, "root": {"level": "DEBUG"}})
        assert root.handlers == handlers
        # Its debug messages hold the cookies of a login.
        assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)
        with pytest.raises(ConfigError, match="the section logging is not right"):
            log.apply({"version": 1, "handlers": {"x": {"class": "nothing.Here"}}})
    finally:
        root.handlers[:] = before
        root.setLevel(level)


@pytest.mark.parametrize(
    ("said", "shown"),
    [("SN\x1b[2J\nforged", "SN\\x1b[2J\\nforged"), ("a\rb\x00\x9b", "a\\rb\\x00\\x9b"), ("\u202egnp", "\\u202egnp"), ("Zähler 230 V", "Zähler 230 V")],
)
def test_no_text_of_a_device_moves_the_cursor_or_makes_a_line_of_its_own(said: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr()
    log.log.warning("serial %s", said)
    log.log.warning(said)
    try:
        raise ValueError(said)
    except ValueError:
        log.log.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [f"serial {shown}", shown]
    assert lines[-1].startswith("ValueError: ") or lines[-1] == "forged", "a traceback has lines"
    assert not any(char in text for text in lines for char in "\x1b\x00\x9b\u202e")
