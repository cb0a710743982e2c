# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that people, programs and other users write: ups.conf, credentials, the YAML of the exporters, port files, recordings."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from unittest import mock

from fuzz.invariants import bounded, harmless, kept, only
from fuzz.taking import SECRET, Bytes
from nutdrv_py.backends.dummy.play import Player
from nutdrv_py.backends.dummy.words import compose
from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.variables import Marks, shape
from nutdrv_py.device import backend as backends
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import ConfigError, DeviceError, ProtocolError
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.nut import parseconf, portfile
from nutdrv_py.nut.portitems import Entry
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import read_ups_conf
from nutdrv_py.recording import file as recording

__all__ = ["account", "conf", "exporters", "port_file", "recordings", "words"]

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-files-"))
_ELSEWHERE = (b"/", b"..", b"~")
"""What leads out of the folder; a device such as /dev/zero may not be read here."""


def _written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def words(data: bytes) -> None:
    """Read words and lines as NUT does, in any pieces; what is quoted comes back."""
    whole, pieces = parseconf.Reader(), parseconf.Reader()
    expected = [*whole.feed(data), *whole.end()]
    step = 1 + (data[0] % 7 if data else 0)
    found = [line for at in range(0, len(data), step) for line in pieces.feed(data[at : at + step])]
    bounded("bytes of a line that are kept", kept(pieces), parseconf.MAX_WORDS * (parseconf.MAX_WORD + 1))
    assert [*found, *pieces.end()] == expected
    for line in expected:
        if isinstance(line, parseconf.Line):
            bounded("words", len(line.words), parseconf.MAX_WORDS)
            text = parseconf.join(line.words)
            if len(text) < parseconf.MAX_WORD:
                (again,) = [*parseconf.Reader().feed(text.encode() + b"\n")]
                assert isinstance(again, parseconf.Line) and again.words == line.words, (line.words, again)


_INSTALLED = backends.names()
BACKENDS = ("enphase", "rct", "dummy", "repeater")
PREFIX = "driver = nutdrv_py\nbackend = {}\nport = localhost\n"


def conf(data: bytes) -> None:
    """Read ups.conf: the lines of the input in a section that holds a password."""
    steps = Bytes(data)
    backend, body = steps.choice(BACKENDS), steps.rest()
    secret = f"password = {SECRET}\nusername = me@invalid\n" if backend in ("enphase", "repeater") else ""
    # Some options name modules to import and files to read, which is the administrator's right.
    names = (b"backend", b"config", b"credentials", b"tokenfile", b"certificate", b"statepath")
    if any(word in body.lower() for word in names) and any(word in body for word in (*_ELSEWHERE, b":", b"\\", b'"')):
        return
    path = _written("ups.conf", b"[home]\n" + (PREFIX.format(backend) + secret).encode() + body)
    with only(ConfigError):
        found = read_ups_conf(path, "home")
        bounded("what is kept of ups.conf", kept(found), 40 * len(body) + 4096)
        environ = {"NUT_CONFPATH": str(FOLDER), "NUT_STATEPATH": str(FOLDER), "NUTDRV_PY_HOME": str(FOLDER)}
        # What is installed does not change meanwhile, and looking costs more than all the rest.
        with mock.patch.object(backends, "names", lambda: _INSTALLED):
            settings = load("home", "nutdrv_py", conf=found, environ=environ)
        harmless(*settings.parameters.values(), *settings.notes, repr(settings.config))
        assert settings.limits.maxage >= settings.limits.pollinterval > 0
        assert "ups.status" not in {name.lower() for name in (*settings.overrides, *settings.defaults)}


def account(data: bytes) -> None:
    """Read the file with the credentials: the input, and a password before it."""
    _written("account", f"PASSWORD={SECRET}\n".encode() + data)
    with only(ConfigError):
        found = credentials(EnphaseConfig(port="gateway.invalid", credentials="account", confpath=str(FOLDER)))
        harmless(repr(found))
        assert found.password is not None


YAML = f"mqtt:\n  mqtt_host: broker.invalid\n  auth_user: me\n  auth_pass: {SECRET}\n"


def exporters(data: bytes) -> None:
    """Read the YAML of the exporters: the input behind a section with a password, and alone."""
    if b"_file" in data and any(word in data for word in _ELSEWHERE):
        return
    for text in (data, YAML.encode() + data):
        with only(ConfigError):
            found = read_exports(_written("exporters.yml", text), {"HOME": SECRET})
            bounded("what is kept of the YAML", kept(found), 64 * len(text) + 4096)
            harmless(repr(found) if found.mqtt is None or found.mqtt.auth_pass != SECRET else repr(found.mqtt))


def port_file(data: bytes) -> None:
    """Read a port file, play it, and write into it: nothing but our lines changes, and OB or LB come only from its ups.status."""
    text = data.decode("utf-8", "replace")
    items = portfile.parse(text)
    bounded("items", len(items), text.count("\n") + 1)
    player, now, plays = Player(items, loop=True, least=2.0, defaults={}), 0.0, 0
    while player.due is not None and plays < 20:
        plays += 1
        now = max(now, player.due)
        player.play(now)
        assert player.due is None or player.due > now, "the file keeps the processor busy"
        with only(DeviceError):
            reading, _ = guarded(compose(player.values, player.alarms)[0])
            said = player.values["ups.status"].value.upper().split()
            for token in (Status.OB, Status.LB, Status.OL):
                assert token not in reading.status or token.name in said, f"{reading.status} from {said}"
            for variable in shape(reading, Marks(), {}, {}, {}).values():
                assert len(variable.value) <= 255 and variable.value.isascii()
    ours = {"battery.charge": "42", "ups.status": "OL"}
    with only(ProtocolError):
        new = portfile.update(text, ours, ("ups.load",))
        entries = [item for item in portfile.parse(new) if isinstance(item, Entry)]
        for name, value in ours.items():
            assert [item.value for item in entries if item.name.lower() == name] == [value]
        assert portfile.update(new, ours, ("ups.load",)) == new
        before = [item for item in items if isinstance(item, Entry) and item.name.lower() not in {*ours, "ups.load"}]
        after = [item for item in entries if item.name.lower() not in ours]
        assert [(item.name, item.value) for item in after] == [(item.name, item.value) for item in before]


def recordings(data: bytes) -> None:
    """Read a recording: the bytes as they are, and as lines that somebody has compressed again."""
    head = b'{"nutdrv_py recording": 1, "backend": "rct", "version": "0", "began": 1, "options": {"pollinterval": 2}}\n'
    for content in (data, gzip.compress(data, 1), gzip.compress(head + data, 1)):
        with only(ConfigError):
            found = recording.read(_written("recording.gz", content))
            bounded("what is kept of a recording", kept(found), 64 * len(data) + 4096)
            assert found.polls and all(poll.ended >= poll.begun for poll in found.polls)
