# SPDX-License-Identifier: GPL-2.0-or-later
"""The repeater against a server that says what no real upsd would; see tests/integration/test_repeater.py for the real one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends import repeater
from nutdrv_py.backends.repeater import Repeater
from nutdrv_py.backends.repeater import line as lines
from nutdrv_py.backends.repeater.config import RepeaterConfig, Source, source
from nutdrv_py.backends.repeater.mirror import LONGEST_NAME, MOST_HOPS, PATH, is_mirrored, mirror
from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import CommandError, ConfigError, DeviceError, Result, StaleError
from nutdrv_py.nut.parseconf import escape

SECRET = "s3cret-Pass"
USER = "remote-user"
HANG = b"hang"
CLOSE = b"close"
GOOD = {"ups.status": "OL CHRG", "battery.charge": "87", "ups.model": "Model", "driver.name": "other", "ups.id": "a"}

Answer = bytes | Callable[[], bytes]


def variables(values: Mapping[str, str], ups: str = "ups") -> bytes:
    return listed("VAR", *(f'{name} "{escape(text)}"' for name, text in values.items()), ups=ups)


def listed(kind: str, *rows: str, ups: str = "ups", name: str = "") -> bytes:
    body = "".join(f"{kind} {ups} {row}\n" for row in rows)
    ident = f"{kind} {ups}{name and ' ' + name}"
    return f"BEGIN LIST {ident}\n{body}END LIST {ident}\n".encode()


@dataclass
class Server:
    """A NUT server that answers by a table; what it does not know it calls unknown, as upsd does."""

    answers: dict[str, Answer] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.answers = {"LIST VAR ups": variables(GOOD), **LOGIN, **self.answers}
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            for raw in connection.makefile("rb"):
                line = raw.decode("latin-1").rstrip("\n")
                self.heard.append(line)
                found = self.answers.get(line, b"ERR UNKNOWN-COMMAND\n")
                data = found() if callable(found) else found
                if data == HANG:
                    continue
                if data.endswith(CLOSE):
                    connection.sendall(data.removesuffix(CLOSE))
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(data)
        except OSError:
            pass

    def drop(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread in accept()
        self._listener.close()
        self.drop()


LOGIN: dict[str, Answer] = {
    f"USERNAME {USER}": b"OK\n", f"PASSWORD {SECRET}": b"OK\n", f'USERNAME "{USER}"': b"OK\n", f'PASSWORD "{SECRET}"': b"OK\n",
    "SET TRACKING ON": b"OK\n",
}  # fmt: skip
RW: dict[str, Answer] = {
    "LIST RW ups": listed("RW", 'ups.id "a"', 'ups.delay.shutdown "20"', 'ups.beeper.status "on"', 'ups.number "5"', 'driver.debug "0"'),
    "LIST CMD ups": listed("CMD", "test.battery.start", "load.off", "driver.reload", "shutdown.default"),
    "GET TYPE ups ups.id": b"TYPE ups ups.id RW STRING:20\n",
    "GET TYPE ups ups.delay.shutdown": b"TYPE ups ups.delay.shutdown RW RANGE NUMBER\n",
    "GET TYPE ups ups.beeper.status": b"TYPE ups ups.beeper.status RW ENUM\n",
    "GET TYPE ups ups.number": b"TYPE ups ups.number RW NUMBER\n",
    "LIST RANGE ups ups.delay.shutdown": listed("RANGE", 'ups.delay.shutdown "0" "60"', 'ups.delay.shutdown "120" "600"'),
    "LIST ENUM ups ups.beeper.status": listed("ENUM", 'ups.beeper.status "on"', 'ups.beeper.status "not \\"on\\""'),
}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def config(port: int, **more: object) -> RepeaterConfig:
    return RepeaterConfig(port=f"ups@127.0.0.1:{port}", ups="here", **more)  # type: ignore[arg-type]


def anonymous(server: Server) -> Repeater:
    return Repeater(config(server.port), Clock())


def known(server: Server) -> Repeater:
    return Repeater(config(server.port, username=USER, password=SECRET), Clock())


async def story(backend: Repeater, tell: Callable[[Repeater], Awaitable[None]]) -> None:
    async with backend:
        await tell(backend)


def once(backend: Repeater) -> Reading:
    async def tell() -> Reading:
        async with backend:
            return await backend.poll()

    return asyncio.run(tell())


# Options


@pytest.mark.parametrize(
    ("port", "wanted"),
    [
        ("ups@nas", Source("ups", "nas", 3493)),
        ("ups@nas:3494", Source("ups", "nas", 3494)),
        ("rack-2.a_b@192.168.1.5:1", Source("rack-2.a_b", "192.168.1.5", 1)),
        ("ups@[fd00::5]", Source("ups", "fd00::5", 3493)),
        ("ups@[fe80::1%eth0]:65535", Source("ups", "fe80::1%eth0", 65535)),
        ("ups", Source("ups", "localhost", 3493)),
    ],
)
def test_port_names_ups_host_and_tcp_port(port: str, wanted: Source) -> None:
    assert source(port) == wanted
    assert source(str(wanted)) == wanted


@pytest.mark.parametrize(
    "port",
    ["", "@", "@nas", "ups@", "ups@nas:", "ups@nas:0", "ups@nas:65536", "ups@nas:abc", "ups@nas:-1", "ups@:3493", "ups@fd00::5",
     "ups@[fd00::5", "ups@[nas]", "ups@[]", "a@b@c", "/dev/ttyS0", "nas:3493", "ups @nas", "ups@na s", 'u"ps@nas', "ups@nas/x",
     "ups\n@nas", "üps@nas", "ups@http://nas"],
)  # fmt: skip
def test_another_port_is_refused_with_an_example(port: str) -> None:
    with pytest.raises(ConfigError, match=r"rack@192\.168\.1\.5"):
        source(port)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"username": "x"}, "password is missing"),
        ({"password": "x"}, "username is missing"),
        ({"username": "", "password": "x"}, "username is empty"),
        ({"username": "x", "password": "häslich"}, "password is empty or holds"),
        ({"username": "x", "password": "line\nfeed"}, "password is empty or holds"),
    ],
)
def test_half_a_login_is_refused_and_the_secret_not_shown(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        Repeater.check(RepeaterConfig(port="ups@nas", **options))  # type: ignore[arg-type]
    assert "slich" not in str(caught.value)


@pytest.mark.parametrize("port", ["home", "HOME@127.0.0.1", "home@[::1]", "home@localhost:3493"])
def test_a_repeater_of_its_own_section_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match="repeat itself"):
        Repeater.check(RepeaterConfig(port=port, ups="home"))


@pytest.mark.parametrize("port", ["other", "home@nas", "home@localhost:3494"])
def test_the_same_name_elsewhere_is_not(port: str) -> None:
    Repeater.check(RepeaterConfig(port=port, ups="home"))


def test_without_pynut2_the_start_is_refused_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynut2.nut2", None)
    with pytest.raises(ConfigError, match=r"pip install 'nutdrv_py\[client\]'"):
        Repeater.check(RepeaterConfig(port="ups@nas"))


def test_pynut2_is_loaded_only_when_it_is_used() -> None:
    code = "import sys, nutdrv_py.backends.repeater; print('pynut2' in sys.modules, 'telnetlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "False False"


# What is made of the answers


@pytest.mark.parametrize(
    ("status", "alarm", "wanted", "alarms"),
    [
        ("OL", None, Status.OL, ()),
        ("  OL   CHRG ", None, Status.OL | Status.CHRG, ()),
        ("OB DISCHRG LB", None, Status.OB | Status.LB | Status.DISCHRG, ()),
        ("FSD OL", None, Status.FSD | Status.OL, ()),
        ("FSD FSD OB LB", None, Status.FSD | Status.OB | Status.LB, ()),
        ("OFF", None, Status.OFF, ()),
        ("ALARM OL RB", "[Replace battery!] [Fan]", Status.OL | Status.RB, ("Replace battery!", "Fan")),
        ("ALARM OL", "Replace battery", Status.OL, ("Replace battery",)),
        ("ALARM OL", "[[twice]]", Status.OL, ("twice",)),
        ("ALARM OL", None, Status.OL, ("alarm",)),
        ("ALARM OL", " [] ", Status.OL, ("alarm",)),
        ("OL", "", Status.OL, ()),
        ("OL HE TEST ECO", None, Status.OL, ()),
        ("OL ol ALARMS |", None, Status.OL, ()),
    ],
)
def test_status_and_alarms_of_the_source(status: str, alarm: str | None, wanted: Status, alarms: tuple[str, ...]) -> None:
    values = {"ups.status": status} | ({} if alarm is None else {"ups.alarm": alarm})
    reading = mirror("ups@nas", values, "me")
    assert (reading.status, reading.alarms) == (wanted, alarms)
    assert "ups.status" not in reading.values and "ups.alarm" not in reading.values


@pytest.mark.parametrize("status", [None, "", " ", "WAIT", "WAIT OL", "CHRG", "OL OB", "OL OB OFF", "HE", "ALARM", "FSD", "LB"])
def test_a_status_that_says_nothing_about_the_line_is_no_reading(status: str | None) -> None:
    with pytest.raises(DeviceError, match="ups@nas"):
        mirror("ups@nas", {} if status is None else {"ups.status": status}, "me")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("battery.charge", True), ("outlet.1.load.on", True), ("experimental.x_y-z", True), ("ambient.1.temperature", True),
        ("driver.name", False), ("driver.parameter.port", False), ("shutdown.default", False), ("", False), ('a"b', False),
        ("a b", False), ("a\nb", False), (".a", False), ("n" * LONGEST_NAME, True), ("n" * (LONGEST_NAME + 1), False),
    ],
)  # fmt: skip
def test_which_names_are_repeated(name: str, wanted: bool) -> None:
    assert is_mirrored(name) is wanted


def test_unknown_words_of_the_status_are_named() -> None:
    assert Status.parse("ALARM OL ECO FSD TEST") == (Status.OL | Status.FSD, ("ECO", "TEST"))


def test_data_that_came_through_this_repeater_are_refused_as_a_loop() -> None:
    with pytest.raises(DeviceError, match="loop"):
        mirror("ups@nas", {"ups.status": "OL", PATH: "other me third"}, "me")


def test_so_many_repeaters_in_a_row_and_no_more() -> None:
    values = {"ups.status": "OL"}
    for number in range(MOST_HOPS):
        values = {"ups.status": "OL", PATH: str(mirror("ups@nas", values, f"id{number}").values[PATH])}
    assert len(values[PATH].split()) == MOST_HOPS
    with pytest.raises(DeviceError, match=f"{MOST_HOPS} repeaters in a row"):
        mirror("ups@nas", values, "last")


# The line


@pytest.mark.parametrize(
    "text",
    ["", " ", "plain", 'IQ "G" x', '"', '""', "\\", 'a \\ b \\" c', "Gate #2", "it's", "a = b", "trailing  ", "[x]", "%s {ups}", "x" * 255,
     "END LIST VAR ups", "ERR DATA-STALE"],
)  # fmt: skip
def test_a_value_is_served_as_the_source_has_it(server: Server, text: str) -> None:
    server.answers["LIST VAR ups"] = variables({"ups.status": "OL", "ups.id": text, "ups.model": "after"})
    values = once(anonymous(server)).values
    assert (values["ups.id"], values["ups.model"]) == (text, "after")


ROW = b'VAR ups ups.status "OL"\n'


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (b'VAR ups ups.model "Ger\xc3\xa4t"\n', {"ups.model": "Gert"}),
        (b'VAR ups ups.model "Ger\xe4t"\n', {"ups.model": "Gert"}),
        (b'VAR ups ups.model "a\tb\x00c\x07"\n', {"ups.model": "abc"}),
        (b'VAR ups ups.model "open\nVAR ups ups.id "7"\n', {"ups.id": "7"}),
        (b'VAR ups ups.model "Gate #2"\nVAR ups ups.id "7"\n', {"ups.id": "7"}),
        (b'VAR ups ups.model "ends \\\nVAR ups ups.id "7"\n', {"ups.id": "7"}),
        (b"VAR\nVAR ups\nVAR ups ups.model\n\n   \nnonsense\n", {}),
        (b"VAR ups ups.model unquoted\n", {"ups.model": "unquoted"}),
        (b'VAR ups ups.model "one" "two"\n', {"ups.model": "one"}),
        (b'VAR ups ups.model "%s"\n' % (b"x" * 700), {"ups.model": "x" * 512}),
        (b'VAR ups ups.model "%s"\nVAR ups ups.id "7"\n' % (b"x" * 100_000), {"ups.id": "7"}),
        (b'VAR ups "bad name" "1"\nVAR ups %s "1"\nVAR ups driver.x "1"\n' % (b"n" * 300), {}),
        (b'RW ups ups.model "other list"\n', {}),
    ],
)
def test_lines_that_break_the_form_are_left_out_and_the_others_served(server: Server, rows: bytes, wanted: dict[str, str]) -> None:
    server.answers["LIST VAR ups"] = b"BEGIN LIST VAR ups\n" + ROW + rows + b"END LIST VAR ups\n"
    reading = once(anonymous(server))
    assert reading.status == Status.OL
    assert {name: text for name, text in reading.values.items() if name != PATH} == wanted


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"BEGIN LIST VAR ups\n" + ROW + CLOSE, "closed the connection"),
        (b"BEGIN LIST VAR ups\nVAR ups ups.sta" + CLOSE, "closed the connection"),
        (CLOSE, "closed the connection"),
        (b"BEGIN LIST VAR ups\n" + ROW, "did not answer in time"),
        (b"BEGIN LIST VAR ups\n" + ROW + b"END LIST VAR ups", "did not answer in time"),
        (HANG, "did not answer in time"),
        (b"BEGIN LIST VAR ups\n" + ROW + b"ERR DATA-STALE\n", "stale"),
        (b"BEGIN LIST VAR ups\nEND LIST VAR ups\n", "neither on line"),
        (b"\n", "not that of a NUT server"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not that of a NUT server"),
        (b"BEGIN LIST UPS\nEND LIST UPS\n", "not that of a NUT server"),
        (b"OK\n", "not that of a NUT server"),
        (b"ERR\n", "answered ERR"),
        (b"ERR " + b"y" * 600 + b"\n", "answered ERR y{40}$"),
        (b"\xff\xfd\x01\xff\xfb\x03\xff\xff\n", "not that of a NUT server"),
        (b"BEGIN LIST VAR ups\n" + ROW * 20_000, "not that of a NUT server"),
        (b"ERR DATA-STALE\n", "upsc ups"),
        (b"ERR DRIVER-NOT-CONNECTED\n", "upsdrvctl start ups"),
        (b"ERR UNKNOWN-UPS\n", "upsc -l 127.0.0.1"),
        (b"ERR ACCESS-DENIED\n", "access denied; let this machine"),
        (b"ERR SOMETHING-NEW\n", "answered ERR SOMETHING-NEW"),
    ],
)  # fmt: skip
async def test_an_unusable_answer_is_a_sentence_and_the_next_one_is_read_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, sentence: str
) -> None:
    monkeypatch.setattr(repeater, "ANSWER", 2.0 if len(answer) > 10_000 else 0.4)
    server.answers["LIST VAR ups"] = answer

    async def tell(backend: Repeater) -> None:
        with pytest.raises(DeviceError, match=sentence):
            await backend.poll()
        server.answers["LIST VAR ups"] = variables(GOOD)
        assert (await backend.poll()).values["battery.charge"] == "87"

    await story(anonymous(server), tell)


@given(st.binary(max_size=300))
def test_no_bytes_whatever_crash_the_reading_of_a_line(data: bytes) -> None:
    assert all(isinstance(word, str) for word in lines._parse(data.replace(b"\n", b"") + b"\n"))


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=120))
def test_whatever_is_escaped_is_read_back(text: str) -> None:
    assert lines._parse(f'VAR ups ups.id "{escape(text, 240)}"\n'.encode()) == ("VAR", "ups", "ups.id", text)


@pytest.mark.parametrize("kind", [str, bytes])
def test_text_and_bytes_from_pynut2_mean_the_same(server: Server, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    nut2 = lines.available()
    original = nut2.PyNUTClient._read_until

    def read_until(self: object, end: str) -> object:
        found = original(self, end)
        return found.encode() if kind is bytes and isinstance(found, str) else found

    monkeypatch.setattr(nut2.PyNUTClient, "_read_until", read_until)
    assert once(anonymous(server)).values["ups.model"] == "Model"


# Connecting


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (socket.gaierror(-2, "unknown"), "host 127.0.0.1 is not known"),
        (UnicodeError("label too long"), "host 127.0.0.1 is not known"),
        (ConnectionRefusedError(111, "refused"), "nothing listens there; start nut-server"),
        (TimeoutError("timed out"), "switched on"),
        (OSError(113, "No route to host"), "nc -vz 127.0.0.1"),
    ],
)
def test_no_connection_is_a_sentence_that_says_what_to_look_for(server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str) -> None:
    def connect(*_: object, **__: object) -> None:
        raise error

    backend = anonymous(server)
    monkeypatch.setattr(lines.available().telnetlib.socket, "create_connection", connect)
    with pytest.raises(DeviceError, match=sentence):
        once(backend)


async def test_attempts_to_connect_become_rarer_up_to_the_limit(server: Server, clock: object) -> None:
    server.close()
    attempts = []

    async def tell(backend: Repeater) -> None:
        original = backend.line.open
        backend.line.open = lambda: (attempts.append(clock.now), original())  # type: ignore[method-assign, assignment, attr-defined]
        for _ in range(60):
            with pytest.raises(DeviceError, match="nothing listens"):
                await backend.poll()
            clock.now += 1  # type: ignore[attr-defined]

    await story(Repeater(config(server.port), clock), tell)  # type: ignore[arg-type]
    gaps = [round(after - before) for before, after in itertools.pairwise(attempts)]
    assert gaps[:4] == [1, 2, 5, 10]
    assert set(gaps[4:]) == {10}


async def test_one_connection_is_kept_and_a_lost_one_made_again_at_once(server: Server) -> None:
    async def tell(backend: Repeater) -> None:
        for _ in range(3):
            await backend.poll()
        assert server.connections == 1
        server.drop()
        with pytest.raises(DeviceError, match="closed the connection"):
            await backend.poll()
        await backend.poll()
        assert server.connections == 2

    await story(anonymous(server), tell)
    time.sleep(0.1)
    assert server.heard[-1] == "LOGOUT"


async def test_a_refusal_of_the_server_does_not_cost_the_connection(server: Server) -> None:
    server.answers["LIST VAR ups"] = b"ERR DATA-STALE\n"

    async def tell(backend: Repeater) -> None:
        for _ in range(3):
            with pytest.raises(StaleError, match="stale"):
                await backend.poll()
        assert server.connections == 1

    await story(anonymous(server), tell)


async def test_a_source_that_drips_is_given_up_in_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeater, "ANSWER", 0.5)
    server.answers["LIST VAR ups"] = HANG

    async def tell(backend: Repeater) -> None:
        def drip() -> None:
            for _ in range(200):
                for connection in list(server._open):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return
                time.sleep(0.02)

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(DeviceError, match="in time"):
            await backend.poll()
        assert time.monotonic() - began < 1.5

    await story(anonymous(server), tell)


async def test_a_name_service_that_hangs_holds_one_thread_and_not_the_driver(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeater, "ANSWER", 0.1)
    monkeypatch.setattr(repeater, "GRACE", 0.1)
    monkeypatch.setattr(repeater, "RETRY", (0.0,))
    release = threading.Event()
    original = socket.create_connection
    looking: list[object] = []

    def connect(*args: object, **more: object) -> object:
        looking.append(args)
        release.wait(10)
        return original(*args, **more)  # type: ignore[arg-type]

    async def tell(backend: Repeater) -> None:
        monkeypatch.setattr(lines.available().telnetlib.socket, "create_connection", connect)
        for _ in range(5):
            with pytest.raises(DeviceError):
                await backend.poll()
        with pytest.raises(DeviceError):
            await backend.command("load.off", None)
        assert len(looking) == 1
        release.set()
        monkeypatch.setattr(repeater, "ANSWER", 2.0)
        for _ in range(50):
            try:
                await backend.poll()
                break
            except DeviceError:
                await asyncio.sleep(0.1)
        else:
            pytest.fail("it does not find back")

    await story(known(server), tell)


# Writing


async def test_writable_variables_and_commands_are_mirrored_with_their_limits(server: Server) -> None:
    server.answers.update(RW)

    async def tell(backend: Repeater) -> None:
        assert not backend.writable and not backend.commands
        await backend.poll()
        assert backend.writable == {
            "ups.id": Writable(maxlen=20),
            "ups.delay.shutdown": Writable(ranges=((0, 60), (120, 600))),
            "ups.beeper.status": Writable(enum=("on", 'not "on"')),
            "ups.number": Writable(maxlen=32),
        }
        assert backend.commands == {"test.battery.start", "load.off"}

    await story(known(server), tell)


async def test_what_can_be_set_is_asked_again_after_a_gap_or_for_a_new_variable_but_not_in_each_poll(server: Server) -> None:
    server.answers.update(RW)

    async def tell(backend: Repeater) -> None:
        def asked() -> int:
            return server.heard.count("LIST RW ups")

        for _ in range(3):
            await backend.poll()
        assert asked() == 1
        server.answers["LIST VAR ups"] = b"ERR DRIVER-NOT-CONNECTED\n"
        with pytest.raises(DeviceError):
            await backend.poll()
        assert backend.writable
        server.answers["LIST VAR ups"] = variables(GOOD)
        server.answers["LIST RW ups"] = listed("RW", 'ups.id "a"')
        for _ in range(2):
            await backend.poll()
        assert asked() == 2 and set(backend.writable) == {"ups.id"}
        server.drop()
        with pytest.raises(DeviceError):
            await backend.poll()
        await backend.poll()
        assert asked() == 3
        server.answers["LIST VAR ups"] = variables({**GOOD, "ups.new": "1"})
        for _ in range(2):
            await backend.poll()
        server.answers["LIST VAR ups"] = variables(GOOD)
        await backend.poll()
        assert asked() == 4

    await story(known(server), tell)


@pytest.mark.parametrize(
    ("changed", "writable"),
    [
        ({"LIST RW ups": b"ERR UNKNOWN-COMMAND\n", "LIST CMD ups": b"ERR UNKNOWN-COMMAND\n"}, set()),
        ({"LIST RW ups": listed("RW"), "LIST CMD ups": listed("CMD")}, set()),
        ({"GET TYPE ups ups.id": b"ERR VAR-NOT-SUPPORTED\n"}, {"ups.delay.shutdown", "ups.beeper.status", "ups.number"}),
        ({"GET TYPE ups ups.id": b"TYPE\n"}, {"ups.id", "ups.delay.shutdown", "ups.beeper.status", "ups.number"}),
        ({"GET TYPE ups ups.id": b"TYPE ups ups.id RW STRING:x\n"}, {"ups.id", "ups.delay.shutdown", "ups.beeper.status", "ups.number"}),
        (
            {"LIST RANGE ups ups.delay.shutdown": listed("RANGE", 'x "0.5" "1.5"', 'x "1"', "x"),
             "LIST ENUM ups ups.beeper.status": listed("ENUM", "x")},
            {"ups.id", "ups.delay.shutdown", "ups.beeper.status", "ups.number"},
        ),
        ({"LIST RW ups": CLOSE}, set()),
        ({"LIST CMD ups": b"garbage\n"}, set()),
    ],
)  # fmt: skip
async def test_odd_answers_about_what_can_be_set_do_not_cost_the_reading(server: Server, changed: dict[str, bytes], writable: set[str]) -> None:
    server.answers.update({**RW, **changed})

    async def tell(backend: Repeater) -> None:
        assert (await backend.poll()).status == Status.OL | Status.CHRG
        assert set(backend.writable) == writable

    await story(known(server), tell)


async def test_many_slow_answers_about_what_can_be_set_are_spread_over_polls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeater, "ANSWER", 1.0)
    monkeypatch.setattr(repeater, "LEARNING", 0.2)
    names = [f"outlet.{number}.name" for number in range(10)]
    server.answers.update({"LIST RW ups": listed("RW", *(f'{name} "x"' for name in names)), "LIST CMD ups": listed("CMD")})

    def slow(name: str) -> Callable[[], bytes]:
        def answer() -> bytes:
            time.sleep(0.05)
            return f"TYPE ups {name} RW STRING:8\n".encode()

        return answer

    server.answers.update({f"GET TYPE ups {name}": slow(name) for name in names})

    async def tell(backend: Repeater) -> None:
        polls = 0
        while not backend.writable:
            began = time.monotonic()
            await backend.poll()
            assert time.monotonic() - began < 0.6
            polls += 1
        assert 2 <= polls < 10
        assert set(backend.writable) == set(names)
        assert server.connections == 1

    await story(known(server), tell)


async def test_without_credentials_nothing_is_offered_or_asked(server: Server) -> None:
    server.answers.update(RW)

    async def tell(backend: Repeater) -> None:
        await backend.poll()
        assert not backend.writable and not backend.commands
        assert server.heard == ["LIST VAR ups"]
        for attempt in (backend.set("ups.id", "x"), backend.command("load.off", None)):
            with pytest.raises(CommandError) as caught:
                await attempt
            assert caught.value.code is Result.FAILED

    await story(anonymous(server), tell)


async def test_a_refused_login_leaves_the_reading_and_is_said_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers.update({**RW, f"PASSWORD {SECRET}": b"ERR INVALID-PASSWORD\n", f'PASSWORD "{SECRET}"': b"ERR INVALID-PASSWORD\n"})

    async def tell(backend: Repeater) -> None:
        for _ in range(3):
            await backend.poll()
        assert not backend.writable and not backend.commands

    await story(known(server), tell)
    assert len([record for record in caplog.records if "password is wrong" in record.getMessage()]) == 1


SAID = 'SET VAR ups ups.id "a \\"b\\" \\\\ \\#2"'


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({SAID: b"OK\n"}, None),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"SUCCESS\n"}, None),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"ERR UNKNOWN\n"}, Result.UNKNOWN),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"ERR INVALID-ARGUMENT\n"}, Result.INVALID),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"ERR FAILED\n"}, Result.FAILED),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"PENDING\n"}, "in time"),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"OK TRACKING 1\n"}, Result.FAILED),
        ({SAID: b"OK TRACKING 1\n", "GET TRACKING 1": b"perhaps\n"}, Result.FAILED),
        ({SAID: HANG}, "in time"),
        ({SAID: CLOSE}, "closed the connection"),
        ({SAID: b"PENDING\n"}, Result.FAILED),
        ({SAID: b"ERR ACCESS-DENIED\n"}, Result.FAILED),
        ({SAID: b"ERR DATA-STALE\n"}, Result.FAILED),
        ({SAID: b"ERR READONLY\n"}, Result.INVALID),
        ({SAID: b"ERR TOO-LONG\n"}, Result.INVALID),
        ({SAID: b"ERR INVALID-VALUE\n"}, Result.INVALID),
        ({SAID: b"ERR VAR-NOT-SUPPORTED\n"}, Result.UNKNOWN),
        ({SAID: b"ERR UNKNOWN-UPS\n"}, Result.UNKNOWN),
        ({SAID: b"ERR SET-FAILED\n"}, Result.FAILED),
        ({SAID: b"ERR\n"}, Result.FAILED),
    ],
)
async def test_the_outcome_of_a_setting_is_that_of_the_source(
    server: Server, monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes], outcome: Result | str | None
) -> None:
    monkeypatch.setattr(repeater, "TELLING", 0.5)
    monkeypatch.setattr(repeater, "LOOK", 0.05)
    server.answers.update(answers)

    async def tell(backend: Repeater) -> None:
        await backend.poll()
        if outcome is None:
            await backend.set("ups.id", 'a "b" \\ #2')
        elif isinstance(outcome, str):
            with pytest.raises(DeviceError, match=outcome):
                await backend.set("ups.id", 'a "b" \\ #2')
        else:
            with pytest.raises(CommandError) as caught:
                await backend.set("ups.id", 'a "b" \\ #2')
            assert caught.value.code is outcome
        await backend.poll()

    await story(known(server), tell)
    assert server.heard.count(SAID) == 1


@pytest.mark.parametrize(("param", "said"), [(None, "INSTCMD ups load.off"), ("10", "INSTCMD ups load.off 10"), ("a b", 'INSTCMD ups load.off "a b"')])
async def test_a_command_is_passed_on_with_its_parameter(server: Server, param: str | None, said: str) -> None:
    server.answers[said] = b"OK\n"

    async def tell(backend: Repeater) -> None:
        await backend.command("load.off", param)

    await story(known(server), tell)
    assert said in server.heard


@pytest.mark.parametrize("value", ["a\nSET VAR ups ups.id evil", "\x00", "ä", "x" * 256])
async def test_what_could_not_be_sent_as_it_is_is_not_sent(server: Server, value: str) -> None:
    async def tell(backend: Repeater) -> None:
        with pytest.raises(CommandError) as caught:
            await backend.set("ups.id", value)
        assert caught.value.code is Result.INVALID

    await story(known(server), tell)
    assert not [line for line in server.heard if "VAR" in line]


async def test_the_power_of_the_other_servers_ups_is_never_cut(server: Server) -> None:
    with pytest.raises(CommandError, match="switch it off there"):
        await known(server).shutdown()


# The log


async def test_no_secret_is_logged_at_any_level_whatever_happens(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeater, "ANSWER", 0.3)
    monkeypatch.setattr(repeater, "RETRY", (0.0,))
    caplog.set_level(1)
    for name in ("pynut2", "pynut2.nut2", "nutdrv_py"):
        caplog.set_level(1, name)
    server.answers.update({**RW, "INSTCMD ups load.off": b"ERR ACCESS-DENIED\n"})
    shown: list[str] = []

    async def tell(backend: Repeater) -> None:
        # Even with its logger on again: it is never told.
        logging.getLogger("pynut2.nut2").disabled = False
        monkeypatch.setattr(lines, "available", lambda: sys.modules["pynut2.nut2"])
        for answer in (variables(GOOD), b"ERR DATA-STALE\n", HANG, CLOSE, b"nonsense\n", variables(GOOD)):
            server.answers["LIST VAR ups"] = answer
            try:
                await backend.poll()
            except DeviceError as error:
                shown.append(str(error))
        with pytest.raises(CommandError) as caught:
            await backend.command("load.off", None)
        shown.extend([str(caught.value), repr(backend.config), repr(backend), repr(backend.line)])

    try:
        await story(known(server), tell)
    finally:
        logging.getLogger("pynut2.nut2").disabled = True
    assert any(SECRET in line for line in server.heard)
    captured = capfd.readouterr()
    everything = "\n".join([caplog.text, captured.out, captured.err, *shown])
    assert "NUT Class initialization" in everything
    assert SECRET not in everything and USER not in everything


def test_pynut2_logs_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "pynut2")
    server.answers["LIST VAR ups"] = CLOSE
    with pytest.raises(DeviceError):
        once(known(server))
    assert not [record for record in caplog.records if record.name.startswith("pynut2")]


@pytest.mark.parametrize(
    ("port", "password", "warned"),
    [("ups@192.0.2.1", "x", 1), ("ups@192.0.2.1", None, 0), ("ups@127.0.0.1", "x", 0), ("ups@[::1]", "x", 0), ("ups", "x", 0), ("ups@nas", "x", 1)],
)
async def test_a_password_that_goes_over_the_network_unprotected_is_said_once(
    caplog: pytest.LogCaptureFixture, port: str, password: str | None, warned: int
) -> None:
    backend = Repeater(RepeaterConfig(port=port, username=password, password=password), Clock())
    for _ in range(2):
        await backend.__aenter__()
    assert len([record for record in caplog.records if "no TLS" in record.getMessage()]) == warned


async def test_what_is_odd_is_logged_once_and_served_without(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["LIST VAR ups"] = b"BEGIN LIST VAR ups\n" + b'VAR ups ups.status "OL ECO"\nVAR ups\n' + b"END LIST VAR ups\n"

    async def tell(backend: Repeater) -> None:
        for _ in range(3):
            assert (await backend.poll()).status == Status.OL

    await story(anonymous(server), tell)
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(messages) == 2
    assert any("'ECO'" in message for message in messages) and any("NUT's form" in message for message in messages)
