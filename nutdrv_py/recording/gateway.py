# SPDX-License-Identifier: GPL-2.0-or-later
"""One request to an IQ Gateway as a line of a recording, and back. No header but Date and Content-Type is ever looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

from nutdrv_py.errors import ProtocolError
from nutdrv_py.recording.rules import scrub, version
from nutdrv_py.recording.standins import StandIns

__all__ = ["ERRORS", "Exchange", "line_of"]

ERRORS = ("timeout", "connect", "broken", "certificate")
"""How a request can end without an answer: none in time, no connection, one that was cut, a certificate that is not trusted."""

_XML = ("sn", "pn", "software", "imeter")
_TYPE = re.compile(r"[a-z]+/[a-z.+-]+")
_BEGINNINGS = '<{["'
_METHOD = re.compile(r"(?:GET|POST) /[A-Za-z0-9_/.]{0,80}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came of it: an answer, or one of :data:`ERRORS`. Times in seconds since the beginning."""

    at: float
    """When it ended."""
    took: float
    ask: str
    """Method and path."""
    status: int = 0
    date: str | None = None
    kind: str | None = None
    body: bytes = b""
    error: str | None = None

    @property
    def begun(self) -> float:
        """Return the seconds at which it was asked."""
        return self.at - self.took

    @classmethod
    def of(cls, line: Mapping[str, object]) -> Exchange:
        """Read a line that :func:`line_of` made. Raises :class:`ProtocolError`."""
        at, took, ask, error = line.get("t"), line.get("took", 0.0), line.get("ask"), line.get("error")
        status, date, kind = line.get("status", 0), line.get("date"), line.get("type")
        if not (
            isinstance(at, int | float)
            and isinstance(took, int | float)
            and isinstance(ask, str)
            and _METHOD.fullmatch(ask)
            and isinstance(status, int)
            and (date is None or isinstance(date, str))
            and (kind is None or isinstance(kind, str))
            and error in (None, *ERRORS)
            and (error is not None or 100 <= status <= 599)
        ):
            raise ProtocolError("a request is not as it should be")
        # Header values must not break out of their line.
        if any(not text.isascii() or not text.isprintable() for text in (date or "", kind or "")):
            raise ProtocolError("a header is not as it should be")
        return cls(float(at), float(took), ask, status, date, kind, _body(line.get("body")), _text(error))


def line_of(
    at: float, took: float, ask: str, stand_ins: StandIns, *,
    status: int = 0, headers: Mapping[str, str] | None = None, body: bytes = b"", error: str | None = None,
) -> dict[str, object]:  # fmt: skip
    """Return the line for a request that ended ``at`` seconds after the beginning and ``took`` some."""
    line: dict[str, object] = {"t": round(at, 3), "took": round(took, 3), "ask": ask}
    if error is not None:
        return {**line, "error": error}
    line["status"] = status
    for name, value in (("date", _date((headers or {}).get("Date"))), ("type", _type((headers or {}).get("Content-Type")))):
        if value is not None:
            line[name] = value
    return {**line, "body": _told(body, stand_ins) if status == 200 else _shape(body)}


def _text(content: object) -> str | None:
    return content if isinstance(content, str) else None


def _date(text: str | None) -> str | None:
    """Return a date written anew: the rest of the header is dropped."""
    try:
        return formatdate(parsedate_to_datetime(text).timestamp(), usegmt=True) if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def _type(text: str | None) -> str | None:
    found = _TYPE.match(text or "")
    return found.group() if found else None


def _no_number(text: str) -> None:
    return None


def _told(body: bytes, stand_ins: StandIns) -> dict[str, object]:
    try:
        return {"json": scrub(json.loads(body, parse_constant=_no_number), stand_ins)}
    except (ValueError, RecursionError):
        pass
    start = body.find(b"<device>")
    if start < 0:
        return _shape(body)
    found: dict[str, str] = {}
    for name in _XML:
        match = re.search(f"<{name}>\\s{{0,20}}([A-Za-z0-9._-]{{1,40}})\\s{{0,20}}</{name}>".encode(), body[start : start + 4096])
        if match:
            text = match.group(1).decode("ascii")
            found[name] = text if text in ("true", "false") or (name != "sn" and version(text)) else stand_ins.text(text, name)
    return {"device": found}


def _shape(body: bytes) -> dict[str, object]:
    """Return of a page, or of something broken, only how it begins, and how long it was."""
    first = body.lstrip()[:1].decode("ascii", "replace")
    return {"begins": first if first in _BEGINNINGS else "?" if first else "", "bytes": len(body)}


def _body(told: object) -> bytes:
    if not isinstance(told, Mapping):
        return b""
    if "json" in told:
        return json.dumps(told["json"]).encode()
    device = told.get("device")
    if isinstance(device, Mapping):
        rows = "".join(f"<{name}>{device[name]}</{name}>" for name in _XML if name in device)
        return f"<envoy_info><device>{rows}</device></envoy_info>".encode("ascii", "replace")
    return str(told.get("begins", "")).encode("ascii", "replace")
