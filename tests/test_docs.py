# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/ is true: its tables are those of the code, its links lead somewhere, its files are read, its commands run.

A block marked ``console`` holds commands after ``$``, each with what it prints, where that is worth seeing: figures may differ,
``...`` stands for anything. Each page has a scratch NUT with a simulated device of its own, in which they run in their order. A command
that would change the machine is not run; then it must be in :data:`NOT_RUN`, with the reason.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import read_ups_conf
from nutdrv_py.recording.file import Recorder
from nutdrv_py.recording.standins import StandIns
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import find_program, free_port
from tests.conftest import REPO
from tests.integration.conftest import Watched, alone, wait
from tests.programs import module

DOCS = REPO / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))

# fmt: off
NOT_RUN: tuple[tuple[str, str], ...] = (   # the whole command, why it is not run here
    (r"apt install( \.?[\w./*-]+)+",                            "installs packages"),
    (r"python3 -m venv /opt/nutdrv_py",                         "makes an environment; make demo and make test do the same"),
    (r"/opt/nutdrv_py/bin/pip install \.",                      "installs into it"),
    (r"/opt/nutdrv_py/bin/nutdrv_py install",                   "links into NUT's folder; tests/test_documents.py does it elsewhere"),
    (r"ln -s /opt/nutdrv_py/bin/nutdrv_py /usr/local/bin/nutdrv_py", "changes /usr/local"),
    (r"pip install '?nutdrv_py\[\w+\]'?",                       "installs from a registry"),
    (r"(sudo )?systemctl [a-z-]+( --[a-z-]+)?( [\w@.-]+)*",      "there is no systemd in the scratch directory"),
    (r"sed -i\.bak '[^']*' /etc/systemd/system/[\w.@-]+|mv /etc/systemd/system/[\w.@ /-]+", "packaging/matrix/moving.sh types it"),
    (r"bash -c '\. /etc/nut/enphase-home\.conf; .*",            "packaging/matrix/moving.sh types it"),
    (r"journalctl( -[tun] [\w@.-]+)+( -f)?",                    "there is no journal in the scratch directory"),
    (r"editor /etc/nut/[\w.-]+",                                "is for hands"),
    (r"install -m 0640 -o root -g nut /dev/null /etc/nut/[\w.-]+", "only root may give files away"),
    (r"chown root:nut /etc/[\w./-]+",                           "only root may give files away"),
    (r"NOTIFYTYPE=.* /etc/nut/notify .*",                       "sends a message; tests/integration/test_notifications.py runs the script"),
    (r"upsd -c reload",                                         "upsd in the foreground has no pid file"),
    (r"mkdir /tmp/battery|echo '.*' > /tmp/battery/status|python3 -m http\.server .*", "tests/integration/test_describing.py types it"),
    (
        r"nutdrv_py new-backend solar .*|pip install -e /tmp/solar|python -m pytest /tmp/solar|nutdrv_py simulate solar .*|kill %1",
        "tests/integration/test_writing.py types it",
    ),
    (r"nutdrv_py check mine|upsdrvctl start mine|upsc mine [\w.]+", "tests/integration/test_describing.py types it"),
    (r"nutdrv_py demo( --backend \w+)?",                        "tests/integration/test_demo.py runs it"),
)
# fmt: on

SERVES = re.compile(r"nutdrv_py (simulate (?!.*--list)|daemon|portfile (?!.*-s)|status.*--watch|record)")
"""Commands that go on until they are ended."""

MAY_FAIL = re.compile(r"nutdrv_py check|upsdrvctl stop")
"""Commands whose exit code tells of the machine: nobody's upsmon runs in the scratch directory."""

PATIENCE = 30.0
"""Seconds in which a command must print what the page shows."""


# Tables


@pytest.mark.parametrize("page", module("docs/generate").pages(), ids=lambda page: page.name)
def test_the_tables_are_those_of_the_code(page: Path) -> None:
    make = module("docs/generate")
    assert make.masked(make.renewed(page)) == make.masked(page.read_text()), "type: .venv/bin/python docs/generate"


def test_what_a_driver_can_ask_for_is_found_by_searching_the_page_on_troubles() -> None:
    """The list is not empty by a mistake: sentences known to be there, from all corners, are in it."""
    text = (DOCS / "troubleshooting.md").read_text()
    for known in (
        "there is no backend …; write backend = one of",
        "a driver cannot answer: fetch a token at",
        "THIS SYSTEM CANNOT REPORT AN OUTAGE: the inverter",
        "type: chmod o-rwx …",
        "its driver is not running there",
        "Add override.battery.charge.low = 20",
        "files in … cannot be replaced by this user",
        "choose another bind_port or bind_address",
    ):
        assert known in text, known


# Links


def _anchor(heading: str) -> str:
    """As Python-Markdown's toc makes it."""
    plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _anchors(page: Path) -> set[str]:
    return {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.is_relative_to(REPO), target
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), target


def _nav(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for item in found.values() if isinstance(found, dict) else found:
            yield from _nav(item)


def test_each_page_is_in_the_menu_and_begins_as_it_should() -> None:
    menu = list(_nav(yaml.safe_load((REPO / "mkdocs.yml").read_text())["nav"]))
    there = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert len(menu) == len(set(menu))
    assert there == set(menu)
    for page in PAGES:
        lines = page.read_text().splitlines()
        assert "SPDX-License-Identifier: GPL-2.0-or-later" in lines[0], page
        assert lines[1].startswith("# "), page


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed; make docs installs it")
def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# Files


@dataclass(frozen=True)
class Block:
    """A fenced block: its mark, its text, where it begins."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPO)}:{self.line}"


_BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>[\w.]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(page, text[: found.start()].count("\n") + 1, found["kind"], textwrap.dedent(found["body"])) for found in _BLOCK.finditer(text)]


BLOCKS = tuple(block for page in PAGES for block in _blocks(page))


def _of(*kinds: str) -> pytest.MarkDecorator:
    found = [block for block in BLOCKS if block.kind in kinds]
    return pytest.mark.parametrize("block", found, ids=map(str, found))


def _is_section(block: Block) -> bool:
    return block.kind == "ups.conf" or (block.kind == "" and re.match(r"\[\w+\]\n", block.text) is not None)


SECTIONS = [block for block in BLOCKS if _is_section(block)]


@pytest.mark.parametrize("block", SECTIONS, ids=map(str, SECTIONS))
def test_sections_are_read_by_the_driver_without_a_word(block: Block, tmp_path: Path) -> None:
    # The page on backends has written a package before, which is the skeleton under another name.
    text = block.text.replace("/etc/", f"{tmp_path}/").replace("= solar\n", "= skeleton:Skeleton\n")
    (tmp_path / "ups.conf").write_text(text)
    (tmp_path / "ups.conf").chmod(0o640)
    for name in re.findall(r"credentials *= *(\S+)", text):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("USERNAME=a\nPASSWORD=b\n")
    for name in re.findall(r"config *= *(\S+)", text):
        (tmp_path / name).write_text("prometheus: {}\n")
    sections = re.findall(r"^\[(\w+)\]", text, re.MULTILINE)
    for section in sections:
        conf = read_ups_conf(tmp_path / "ups.conf", section)
        if next((entry.value for entry in conf.section if entry.name == "backend"), "") == "replay":
            recording = tmp_path / next(str(entry.value) for entry in conf.section if entry.name == "port")
            recorder = Recorder("rct", 0.0, {}, StandIns())
            recorder.add([{"t": 0, "poll": "begins"}, {"t": 1, "poll": "ends", "says": "OL"}])
            recorder.write(recording)
        if "my-battery.yaml" in text:
            (tmp_path / "my-battery.yaml").write_text("maxage: 60\nsource: {file: x}\ngrid: {path: g, on: [on], off: [off]}\nno_charge: none\n")
        settings = load(section, "nutdrv_py", conf=conf, environ={"NUT_CONFPATH": str(tmp_path), "NUT_STATEPATH": str(tmp_path)})
        assert settings.notes == ()


@_of("credentials")
def test_credentials_are_read(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.touch(mode=0o600)
    path.write_text(block.text)
    found = credentials(EnphaseConfig(port="gateway", credentials=str(path)))
    assert found.account or found.token


EXPORTERS = frozenset({"device", "devices", "prometheus", "influxdb", "mqtt", "page", "portfile", "logging"})


@_of("yaml", "yml", "rctmon.yml")
def test_exporters_files_are_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load(block.text)
    if not isinstance(content, dict) or not set(content) <= EXPORTERS:
        pytest.skip("a file of another program")
    for name in re.findall(r"\w+_env: *(\S+)", block.text):
        monkeypatch.setenv(name, "secret")
    for name in re.findall(r"(?:token|password|auth_pass)_file: *(\S+)", block.text):
        path = tmp_path / Path(name).name
        path.touch(mode=0o600)
        path.write_text("secret\n")
    path = tmp_path / "exporters.yml"
    path.touch(mode=0o600)
    path.write_text(re.sub(r"(_file: *)\S*/", rf"\g<1>{tmp_path}/", block.text))
    read_exports(path)


# Files of NUT's own: the real programs say what they do not like


class Bare(Watched):
    """A NUT without anything of ours that is of interest: upsd and upsmon read their files."""

    def __init__(self) -> None:
        super().__init__({"driver": "nutdrv_py", "backend": "dummy", "port": "none.dev"}, ups="home")

    def append(self, name: str, text: str) -> None:
        with (self.folder / "etc" / name).open("a") as file:
            file.write(text)


COMPLAINTS = re.compile(r"invalid directive|unknown|ignor|unrecogni|error", re.IGNORECASE)


def _complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if COMPLAINTS.search(line)]


def _upsd_reads(name: str, text: str, log_in: Mapping[str, str]) -> tuple[list[str], dict[str, list[str]]]:
    """What upsd complains about, and what it answers each user (with a password) who logs in as an upsmon does."""
    stage = Bare()
    try:
        stage.append(name, re.sub(r"LISTEN \S+ \d+", lambda found: f"LISTEN 127.0.0.1 {free_port()}", text))
        stage.upsd()
        wait(lambda: stage.upsc().returncode == 1 and "refused" not in stage.upsc().stderr, 20, stage.log("upsd"))
        answers = {}
        for user, password in log_in.items():
            with socket.create_connection(("127.0.0.1", stage.port), 10) as line:
                asked = []
                for words in (f"USERNAME {user}", f"PASSWORD {password}", "LOGIN home"):
                    line.sendall(f"{words}\n".encode())
                    asked.append(line.recv(256).decode().strip())
                answers[user] = asked
        return _complaints(stage.log("upsd")), answers
    finally:
        stage.close()


@_of("upsd.conf")
def test_upsd_takes_its_file(block: Block) -> None:
    assert _upsd_reads("upsd.conf", block.text, {}) == ([], {})


def test_upsd_complains_about_a_wrong_file() -> None:
    assert _upsd_reads("upsd.conf", "NONSENSE 1\n", {})[0]


@_of("upsd.users")
def test_upsd_lets_the_users_in(block: Block) -> None:
    users = dict(re.findall(r"^\[(\w+)\]\n\s+password = (\S+)", block.text, re.MULTILINE))
    assert users
    assert _upsd_reads("upsd.users", block.text, users) == ([], {user: ["OK", "OK", "OK"] for user in users})


def test_upsd_keeps_others_out() -> None:
    _, answers = _upsd_reads("upsd.users", "[a]\n    password = b\n", {"a": "b"})
    assert answers["a"][2] == "ERR ACCESS-DENIED"


def _upsmon_says(text: str) -> list[str]:
    stage = Bare()
    try:
        rest = [line for line in (stage.folder / "etc" / "upsmon.conf").read_text().splitlines() if "MONITOR" not in line]
        text = re.sub(r"SHUTDOWNCMD .*", 'SHUTDOWNCMD "/bin/true"', text.replace("@localhost", f"@127.0.0.1:{stage.port}"))
        (stage.folder / "etc" / "upsmon.conf").write_text("\n".join(rest) + "\n" + text)
        stage.upsmon()
        wait(lambda: "Using power down flag file" in stage.log("upsmon") and "UPS: " in stage.log("upsmon"), 20, stage.log("upsmon"))
        return [line for line in _complaints(stage.log("upsmon")) if "connect failed" not in line]
    finally:
        stage.close()


upsmon_may_run = pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it")


@upsmon_may_run
@_of("upsmon.conf")
def test_upsmon_takes_its_file(block: Block) -> None:
    assert _upsmon_says(block.text) == []


@upsmon_may_run
def test_upsmon_complains_about_a_wrong_file() -> None:
    assert _upsmon_says("MONITOR home@localhost 1 a b primary\nNONSENSE 1\n")


# Commands


@dataclass(frozen=True)
class Command:
    """A command of a page, and what the page says that it prints."""

    page: Path
    line: int
    text: str
    output: str

    @property
    def reason(self) -> str | None:
        """Why it is not run; None when it is."""
        return next((reason for pattern, reason in NOT_RUN if re.fullmatch(pattern, self.text)), None)


@cache
def _commands() -> frozenset[str]:
    """The commands that ``nutdrv_py --help`` lists."""
    done = subprocess.run([_ours(), "--help"], capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"^    ([a-z]+)\b", done.stdout, re.MULTILINE))


def _ours() -> str:
    return str(Path(sys.executable).with_name("nutdrv_py"))


def _said(page: Path) -> list[Command]:
    found: list[Command] = []
    for block in _blocks(page):
        if block.kind != "console":
            continue
        assert block.text.startswith("$ "), f"{block}: a console block begins with a command"
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            text, _, output = part.partition("\n")
            found.append(Command(page, block.line, re.sub(r"\s+# .*$", "", text.strip()), output))
    return found


ALL = tuple(command for page in PAGES for command in _said(page))


def _masked(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "0", text)


def _shows(printed: str, wanted: str) -> bool:
    """Whether ``printed`` is what the page says."""
    pattern = ""
    for line in wanted.rstrip("\n").splitlines():
        pattern += r"(?:.*\n)*?" if line.strip() == "..." else re.escape(_masked(line)).replace(r"\.\.\.", ".*") + r"[ \t]*\n"
    lines = "".join(f"{line.rstrip()}\n" for line in _masked(printed).splitlines())
    return re.fullmatch(pattern, lines) is not None


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("OL CHRG\n", "OL CHRG\n", True),
        ("OB\n", "OL CHRG\n", False),
        ("14052\n", "9\n", True),
        ("a\nb\nc\n", "...\nb\n...\n", True),
        ("a\nb\nc\n", "b\n", False),
        ("a\nc\n", "...\nb\n...\n", False),
        ('name{x="1"} 5\n', "name{...\n", True),
    ],
)
def test_what_is_printed_is_compared_with_the_page(printed: str, wanted: str, same: bool) -> None:
    assert _shows(printed, wanted) is same


class World(Watched):
    """A scratch NUT with a simulated house, in which the commands of a page run as they stand there."""

    def __init__(self, section: Mapping[str, str], ups: str, extra: str = "") -> None:
        super().__init__({"driver": "nutdrv_py", **section}, ups=ups)
        self.web = free_port()
        self.etc = self.folder / "etc"
        with (self.etc / "ups.conf").open("a") as file:
            file.write(extra.replace("@localhost", f"@127.0.0.1:{self.port}"))
        self._names = re.findall(r"^\[(\w+)\]", (self.etc / "ups.conf").read_text(), re.MULTILINE)

    def put(self, name: str, text: str) -> None:
        path = self.etc / name
        path.touch(mode=0o600)
        path.write_text(text)

    def adapted(self, text: str) -> str:
        """The command with the places of the scratch directory in it."""
        words = shlex.split(text)
        if words[0] in ("upsc", "upsrw", "upscmd"):
            # NUT's clients know no environment variable for the port.
            address = f"127.0.0.1:{self.port}"
            shown = [f"{word}@{address}" if word in self._names else word for word in words]
            return shlex.join([find_program(words[0]), *shown[1:], *([address] if words[1:] == ["-l"] else [])])
        if words[0] == "upsdrvctl":
            text = text.replace("upsdrvctl", find_program("upsdrvctl"), 1)
        text = re.sub(r"/(?:etc/(?:nut/)?|var/lib/nut/)(?=[\w.-]+)", f"{self.etc}/", text)
        # All here is this user's.
        text = re.sub(r"^install (.*?)-o nut -g nut ", r"install \1", text)
        return text.replace("9831", str(self.web))

    def run(self, command: Command) -> None:
        """Run it until it shows what the page says; one that serves runs on until the end of the page."""
        if SERVES.match(command.text):
            self._serve(command)
            return
        program = command.text.split()[0]
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                ["bash", "-c", self.adapted(command.text)], env=self.environment(), cwd=self.folder,
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            right = done.returncode == 0 or MAY_FAIL.match(command.text) is not None
            right = right and (not command.output or _shows(done.stdout, command.output))
            # upsd needs a moment to find its drivers; what a page shows is asked for until it is there.
            if right or time.monotonic() > deadline or program not in ("upsc", "upsrw", "curl"):
                break
            time.sleep(0.2)
        told = f"{command.text}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert right, told
        assert "Traceback" not in done.stderr, told

    def _serve(self, command: Command) -> None:
        log = self.folder / "log" / "served"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.adapted(command.text)}"], env=self.environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        if command.output:
            wait(lambda: _shows(log.read_text(), command.output), PATIENCE, command.text)
            assert process.poll() is None, log.read_text()
            return
        time.sleep(2)
        assert process.poll() in (None, 0), log.read_text()


@contextlib.contextmanager
def _enphase_world(*, running: bool) -> Iterator[World]:
    with enphase.RunningSimulator(replace(enphase.load_scenario("split-phase"), timeline=())) as device:
        sim = device.sim
        account = f"USERNAME={sim.username}\nPASSWORD={sim.password}\n"
        urls = {"login_url": sim.login_url, "token_url": sim.token_url}
        section = {"backend": "enphase", "port": sim.host_port, "credentials": "enphase-home.conf", "tokenfile": "token", **urls}
        if running:
            # What enphase-monitor's own file holds; the page moves user and password to a file of their own.
            section["credentials"] = "enphase-login.conf"
        world = World(section, "home")
        try:
            world.put("enphase-login.conf", account)
            world.put("enphase-home.conf", account)
            if running:
                upper = "".join(f"{name.upper()}={value}\n" for name, value in urls.items())
                world.put("enphase-home.conf", f"ENVOY_HOST={sim.host_port}\nUPS=home\nPORT_FILE=port/home.dev\n{upper}{account}")
                world.put("home.dev", "")
            yield world
        finally:
            world.close()


@contextlib.contextmanager
def _rct_world(*, running: bool) -> Iterator[World]:
    with rct.RunningInverter(replace(rct.load_scenario("online"), timeline=())) as device:
        world = World({"backend": "rct", "port": device.sim.host_port}, "home")
        try:
            host, _, port = device.sim.host_port.rpartition(":")
            world.put(
                "rctmon.yml",
                f"device: {{host: {host}, port: {port}}}\nprometheus: {{enable: true, exposition: true, bind_port: {world.web}}}\n",
            )
            yield world
        finally:
            world.close()


@contextlib.contextmanager
def _file_world(*, running: bool, ups: str = "home", extra: str = "") -> Iterator[World]:
    """A file instead of a house: for commands that are the same for every device, and much quicker."""
    world = World({"backend": "dummy", "port": "device.dev"}, ups, extra)
    try:
        world.put("device.dev", f"ups.status: {'OL' if ups == 'lab' else 'OL DISCHRG'}\n")
        yield world
    finally:
        world.close()


COPIES = "".join(f"[{name}]\n driver = nutdrv_py\n backend = repeater\n port = home@localhost\n" for name in ("ups", "qnapups"))
STAGED = "    lowbatt = 20\n[early]\n driver = nutdrv_py\n backend = repeater\n port = home@localhost\n lowbatt = 60\n"


@dataclass(frozen=True)
class Setting:
    """The world of a page, and whether the driver runs when the page begins."""

    make: Callable[..., contextlib.AbstractContextManager[World]]
    running: bool = True


SETTINGS: Mapping[str, Setting] = {
    "index.md": Setting(_file_world, False),
    "getting-started-enphase.md": Setting(_enphase_world, False),
    "getting-started-rct.md": Setting(_rct_world, False),
    "moving-from-enphase-monitor.md": Setting(_enphase_world),
    "moving-from-rctmon.md": Setting(_rct_world, False),
    "moving-from-dummy-ups.md": Setting(lambda *, running: _file_world(running=running, ups="lab")),
    "troubleshooting.md": Setting(_enphase_world),
    "staged-shutdown.md": Setting(lambda *, running: _file_world(running=running, extra=STAGED), False),
    "several.md": Setting(lambda *, running: _file_world(running=running, extra=COPIES), False),
}
ELSEWHERE = Setting(_file_world)

WITH_COMMANDS = [page for page in PAGES if any(command.page == page and command.reason is None for command in ALL)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_commands_of_the_page_do_what_it_says(page: Path) -> None:
    setting = SETTINGS.get(page.relative_to(DOCS).as_posix(), ELSEWHERE)
    commands = [command for command in _said(page) if command.reason is None]
    with setting.make(running=setting.running) as world:
        world.upsd()
        if setting.running:
            world.start()
            wait(lambda: world.status().startswith("OL"), 30)
        for command in commands:
            world.run(command)


def test_each_command_is_run_or_has_a_reason_not_to_be() -> None:
    """What is run must be a program that is there: a word that means nothing would be a sentence, not a command."""
    for command in ALL:
        if command.reason is None:
            program = command.text.split()[0]
            if program == "nutdrv_py":
                word = command.text.split()[1]
                assert word in _commands() or word.startswith("-"), f"{command.page.name}:{command.line}: {command.text}"
            else:
                where = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
                assert shutil.which(program, path=where), f"{command.page.name}:{command.line}: {command.text}"


def test_reasons_are_for_commands_that_are_on_a_page() -> None:
    """No pattern outlives its command."""
    unused = [pattern for pattern, _ in NOT_RUN if not any(re.fullmatch(pattern, command.text) for command in ALL)]
    assert unused == []
