# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines as NUT's programs write them: stderr in the foreground, syslog (facility daemon) in the background.

NUT has numbered debug levels (``-D`` is 1, ``-DDD`` is 3); :func:`debug` gives the :mod:`logging` level of each. With
debugging on, lines look as in NUT's common.c: seconds since start with six decimals, a tab, ``[D2]``.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import syslog
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nutdrv_py.errors import ConfigError

__all__ = [
    "Trouble", "apply", "debug", "debug_level", "hidden", "hide", "log", "printable", "set_debug_level", "to_stderr", "to_syslog",
]  # fmt: skip

log = logging.getLogger("nutdrv_py")

TALKATIVE = ("httpcore", "httpx", "hpack", "urllib3")
"""Libraries that would log cookies and bodies at their debug levels."""

_DEEPEST = 9
_SHORTEST_SECRET = 4  # a shorter text is a part of many words
_started = time.monotonic()
_SYSLOG = {
    logging.CRITICAL: syslog.LOG_CRIT,
    logging.ERROR: syslog.LOG_ERR,
    logging.WARNING: syslog.LOG_WARNING,
    logging.INFO: syslog.LOG_INFO,
}


def debug(level: int) -> int:
    """Return the logging level of NUT's debug level 1 to 9: the deeper, the lower."""
    return logging.DEBUG + 1 - min(max(level, 1), _DEEPEST)


def set_debug_level(level: int) -> None:
    """Show debug messages up to ``level``; 0 shows none."""
    log.setLevel(debug(level) if level > 0 else logging.INFO)


def debug_level() -> int:
    """Return the level that is shown now."""
    return max(0, logging.DEBUG + 1 - log.level) if log.level <= logging.DEBUG else 0


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_hidden: dict[str, None] = {}


def hide(secret: object) -> None:
    """Replace this text in every line and traceback that is logged from now on. Short texts and others than str are ignored."""
    if not isinstance(secret, str) or len(secret) < _SHORTEST_SECRET:
        return
    for form in (secret, repr(secret)[1:-1], quote(secret, safe="")):
        _hidden[form] = None


def hidden() -> tuple[str, ...]:
    """Return what :func:`hide` was given, in the forms that are looked for."""
    return tuple(_hidden)


def _redacted(text: str) -> str:
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text


def printable(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with its control characters spelt out, so that no device moves a terminal's cursor or forges a line.

    With ``lines`` the line feeds stay.
    """
    return _CONTROL.sub(lambda found: found[0] if lines and found[0] == "\n" else ascii(found[0])[1:-1], text)


def _record(*args: Any, **more: Any) -> logging.LogRecord:
    """Make a record whose message and traceback hold no secret and no control character, whatever handler it meets."""
    record = logging.LogRecord(*args, **more)
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        return record  # the handler reports what is wrong with it
    if (shown := printable(_redacted(message))) != message:
        record.msg, record.args = shown, None
    if record.exc_info and record.exc_info[0] is not None:
        # A formatter takes the text that it finds here.
        record.exc_text = printable(_redacted(logging.Formatter().formatException(record.exc_info)), lines=True)
    return record


logging.setLogRecordFactory(_record)


class _NutFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not debug_level():
            return text
        tag = f"[D{logging.DEBUG + 1 - record.levelno}] " if record.levelno <= logging.DEBUG else ""
        pid = f"[{os.getpid()}] " if "NUT_DEBUG_PID" in os.environ else ""
        return f"{time.monotonic() - _started:11.6f}\t{pid}{tag}{text}"


class _SyslogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            priority = next((p for level, p in _SYSLOG.items() if record.levelno >= level), syslog.LOG_DEBUG)
            for line in self.format(record).splitlines():
                syslog.syslog(priority, line)
        except Exception:
            self.handleError(record)


def _install(handler: logging.Handler, formatter: logging.Formatter | None = None) -> None:
    handler.setFormatter(formatter or _NutFormatter("%(message)s"))
    # Libraries may warn through the same door; their chatter (one line per HTTP request) stays out, and with it secrets.
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)


def to_stderr() -> None:
    """Write to standard error: foreground, and background until the start has succeeded."""
    _install(logging.StreamHandler(sys.stderr))


def to_stdout() -> None:
    """Write to standard output, in RctMon's format: what its daemon does without a section ``logging``."""
    _install(logging.StreamHandler(sys.stdout), logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))


def to_syslog(ident: str, quiet: int = 0) -> None:
    """Write to syslog as ``ident[pid]``; each step of ``quiet`` (-q) leaves out one more of info, warning, error.

    ``NUT_DEBUG_SYSLOG`` is honoured: ``stderr`` keeps standard error, ``none`` or ``false`` writes nowhere.
    """
    wish = os.environ.get("NUT_DEBUG_SYSLOG", "")
    if wish == "stderr":
        return
    if wish in ("none", "false"):
        _install(logging.NullHandler())
        return
    syslog.openlog(ident, syslog.LOG_PID, syslog.LOG_DAEMON)
    handler = _SyslogHandler()
    if quiet:
        handler.setLevel((logging.WARNING, logging.ERROR, logging.CRITICAL)[min(quiet, 3) - 1])
    _install(handler)


def apply(settings: Mapping[str, object]) -> None:
    """Log as ``logging.config.dictConfig`` takes it. Raises :class:`ConfigError` for what it does not take."""
    import logging.config

    root = logging.getLogger()
    before = list(root.handlers)
    try:
        logging.config.dictConfig(dict(settings))
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise ConfigError(f"the section logging is not right: {error}{cause}") from error
    if not root.handlers:
        # A level without a handler, as people write it, means "more of it", not "nowhere".
        for handler in before:
            root.addHandler(handler)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))


class Trouble:
    """Logs what is wrong once per change of state, never once per poll.

    Each ``topic`` is fine or in trouble. The first report of a topic is logged, a repetition only if its text was not
    seen since the topic was last fine; :meth:`clear` logs the recovery. ``count`` counts all reports.
    """

    _MOST_TEXTS = 8  # a device that words each failure differently must not fill the log

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        self.count: dict[str, int] = {}

    def report(self, topic: str, message: str, level: int = logging.WARNING) -> bool:
        """Note a failure; true when it was logged."""
        self.count[topic] = self.count.get(topic, 0) + 1
        seen = self._seen.setdefault(topic, set())
        if message in seen or len(seen) >= self._MOST_TEXTS:
            log.log(debug(3), "again: %s", message)
            return False
        seen.add(message)
        log.log(level, "%s", message)
        return True

    def clear(self, topic: str, message: str = "") -> bool:
        """Clear a topic that is fine again; return whether it was in trouble."""
        was = self._seen.pop(topic, None) is not None
        if was and message:
            log.info("%s", message)
        return was

    def active(self) -> frozenset[str]:
        """Return the topics in trouble now."""
        return frozenset(self._seen)
