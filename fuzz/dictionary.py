# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that a target's inputs are made of, so that the fuzzer need not find them letter by letter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

__all__ = ["words"]


def _conf() -> Iterator[str]:
    from nutdrv_py.core.settings import backend_options
    from nutdrv_py.device import backend
    from nutdrv_py.process.upsconf import CORE

    yield from (f"{row.name} = " for row in CORE)
    yield from (f"{name} = " for known in backend.names() for name in backend_options(backend.load(known).Config))
    yield from ("default.", "override.", "battery.charge.low", "[home]", "[other]", '"', "\\#")


def _exporters() -> Iterator[str]:
    from nutdrv_py.exporters import config

    for name, section in config.SECTIONS.items():
        yield f"{name}:\n"
        yield from (f"  {field.name}: " for field in dataclasses.fields(section))
    yield from ("device:\n", "devices:\n", "- name: a\n", "  backend: rct\n", "logging:\n", "  password_file: x\n", "  auth_pass_env: HOME\n")
    yield from ("!!python/object:", "!!binary |", "&a ", "*a", "<<: ", "{", "}", "? ", "---\n", "!!timestamp ")


def _port_file() -> Iterator[str]:
    yield from ("ups.status: ", "OL", "OB", "LB", "FSD", "ALARM ", "TIMER ", "ups.alarm: ", "battery.charge: ", "#@ rw ", "#@ command ")
    yield from ("string 32", "range 1 99", "enum a b", "driver.", "ups.load: ", '"', "\\\n")


def _json() -> Iterator[str]:
    from fuzz.enphase import PATHS

    yield from {f'"{path[-1]}":' for path in PATHS if isinstance(path[-1], str)}
    yield from ("1e999", "NaN", "-Infinity", "null", '"open"', '"closed"', "[]", "{}", "\\u0000", "\\ud800")


def _socket() -> Iterator[str]:
    yield from ("PING\n", "DUMPALL\n", "DUMPSTATUS\n", "DUMPVALUE ", "GETPID\n", "NOBROADCAST\n", "BROADCAST 0\n", "LOGOUT\n", "SET ", "INSTCMD ")
    yield from (" TRACKING 1\n", "driver.debug", "driver.flag.allow_killpower", "driver.killpower", "driver.reload", "battery.charge.low", "ups.id")
    yield from ("shutdown.default", "test.battery.start", '"', "\\", "#")


def _repeater() -> Iterator[str]:
    yield from ("BEGIN LIST ", "END LIST ", "VAR rack ", "RW rack ", "CMD rack ", "RANGE rack ", "ENUM rack ", "TYPE rack ", "ERR ", "DATA-STALE")
    yield from ("ups.status ", "ups.alarm ", "battery.charge ", "battery.charge.low ", "OL", "OB", "LB", "FSD", "WAIT", "OFF", "STRING:", '"', "\\")


def _recording() -> Iterator[str]:
    yield from ('{"t":1', ',"poll":"begins"}\n', ',"poll":"ends","says":"OL"}\n', ',"ask":"GET /info"', ',"took":0.1', ',"status":200', ',"body":')
    yield from (',"in":"2b05', ',"out":"2b01', ',"line":"open"}\n', '{"same":2}', '"nutdrv_py recording"', ',"token":1', ',"error":"timeout"')


def _web() -> Iterator[str]:
    yield from ("GET ", "HEAD ", "POST ", "/metrics", " HTTP/1.1\r\n", " HTTP/0.9\r\n", "Host: localhost\r\n", "Host: 127.0.0.1:9831\r\n", "Host: [::1]\r\n")
    yield from ("Host: example.org\r\n", "Content-Length: ", "Expect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n", "Connection: keep-alive\r\n")


_BY_TARGET: Mapping[str, Callable[[], Iterator[str]]] = {
    "conf": _conf, "exporters": _exporters, "portfile": _port_file, "json": _json, "socket": _socket, "recording": _recording, "repeater": _repeater,
    "web": _web, "account": lambda: iter(("USERNAME=", "PASSWORD=", "TOKEN=", "# ", '"', "'")),
    "info": lambda: iter(("<device>", "<sn>", "</sn>", "<pn>", "</pn>", "<software>", "</software>", "D8.")),
    "token": lambda: iter(('"exp":', '"iat":', '"aud":', '"enphaseUser":', "1e11", "true", ".", "{", "}")),
}  # fmt: skip


def words(target: str) -> str:
    """Return the dictionary of a target in libFuzzer's form; empty when it needs none."""
    made = _BY_TARGET.get(target)
    found = {word.encode() for word in made()} if made else set()
    spelt = ("".join(f"\\x{byte:02x}" for byte in word) for word in sorted(found))
    return "".join(f'"{word}"\n' for word in spelt)
