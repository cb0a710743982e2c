# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/files.md, row by row: another user's folder leads root to no other file, and nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from nutdrv_py import log
from nutdrv_py.backends.enphase import token as token_module
from nutdrv_py.backends.enphase.config import Credentials, EnphaseConfig, credentials, fingerprints
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.backends.enphase.pin import Pin
from nutdrv_py.backends.enphase.token import Authority
from nutdrv_py.backends.mapping.nodes import read_nodes
from nutdrv_py.clock import Clock
from nutdrv_py.commands import record
from nutdrv_py.commands.portfile_config import find, read_plan
from nutdrv_py.core.recall import Memory
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config
from nutdrv_py.exporters.config import Wake
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.exporters.history import History
from nutdrv_py.exporters.page.file import HistoryFile
from nutdrv_py.exporters.portfile import PortFile, abandon
from nutdrv_py.exporters.wake import WakeExporter
from nutdrv_py.exporters.wake.rules import State, Wanted
from nutdrv_py.log import Trouble
from nutdrv_py.machine.launcher import link
from nutdrv_py.machine.paths import Paths
from nutdrv_py.machine.plugins import plugin
from nutdrv_py.process.background import PidFile
from nutdrv_py.process.kept import Kept
from nutdrv_py.process.older import listening_pid
from nutdrv_py.process.oneshot import loader
from nutdrv_py.process.options import Arguments
from nutdrv_py.process.server import bind
from nutdrv_py.recording import file as recordings
from nutdrv_py.recording.standins import StandIns
from nutdrv_py.simulators.enphase.tokens import TokenAuthority
from tests.conftest import REPO

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led to root's files from another user's folder")

NUT = 65_533
"""Number of the user whose folder it is. No account is needed."""

SECRET = b"root's own\n"
SERIAL = "122333444455"
LONGEST = 20
"""Seconds after which a program counts as hanging."""

# What the program does with each file


def _token(path: Path) -> None:
    async def given(*words: object) -> Token:
        return Token.parse(TokenAuthority().issue(SERIAL, now=time.time()))

    setattr(token_module, "ask_cloud", given)  # noqa: B010
    authority = Authority(EnphaseConfig(port="127.0.0.1"), Credentials("you", "word"), path, Clock(), Trouble())
    authority.stored(SERIAL)
    asyncio.run(authority.fetch(SERIAL))


def _pin(path: Path) -> None:
    pin = Pin(EnphaseConfig(port="127.0.0.1", tokenfile=str(path.with_suffix(".token"))), Trouble())
    pin.trusts("ab" * 32)
    pin.introduced(SERIAL, "cd" * 32)


def _pid(path: Path) -> None:
    file = PidFile(path)
    file.read()
    file.write()
    file.remove()


def _socket(path: Path) -> None:
    assert listening_pid(path) is None
    bind(path, NUT).close()


def _wake(path: Path) -> None:
    made = WakeExporter([SimpleNamespace(ups="home")], Wake(), Clock(), path.parent)  # type: ignore[list-item]
    assert made._path == path

    async def story() -> None:
        await made._restore()
        made._state = State({"nas": Wanted()})
        await made._save()

    asyncio.run(story())


def _history(path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        file = HistoryFile(path, {"home": History(clock)}, clock)
        running = asyncio.ensure_future(file.run())
        await asyncio.sleep(0.3)
        running.cancel()
        await file.stop()

    asyncio.run(story())


def _charge(path: Path) -> None:
    async def story() -> None:
        paths = Paths(*[None] * 4)  # type: ignore[arg-type]
        settings = Settings("home", "nutdrv_py", "x", Backend, Config(port="x"), paths)
        kept = Kept(settings, path.parent)
        kept.read()
        kept.keep(Memory(1.0, 50.0, off_grid=False))
        while kept._job is not None:
            await asyncio.sleep(0.01)

    asyncio.run(story())


def _port_file(path: Path) -> None:
    file = PortFile(path)
    file.show({"ups.status": "OL"})
    file.hide(final=True)


def _lock(path: Path) -> None:
    port = path.with_name(path.name.removeprefix(".").removesuffix(".lock"))
    if not port.parent.is_symlink():
        port.touch()
    abandon([port])
    _port_file(port)


def _recording(path: Path) -> None:
    record._claim(path)
    recorder = recordings.Recorder("rct", 0.0, {}, StandIns(), "1")
    recorder.write(path)
    recordings.read(path)


def _replayed(path: Path) -> None:
    recordings.read(path)


def _exports(path: Path) -> None:
    conf = path.parents[2] / "etc"
    conf.mkdir()
    (conf / "ups.conf").write_text(f"[home]\ndriver = nutdrv_py\nbackend = dummy\nport = home.dev\nconfig = {path}\n")
    os.environ["NUT_CONFPATH"] = str(conf)
    loader(Arguments(ups="home"), "nutdrv_py")()


def _secret(path: Path) -> None:
    conf = path.parents[2] / "exports.yml"
    conf.write_text(f"mqtt:\n  enable: true\n  mqtt_host: 127.0.0.1\n  auth_user: you\n  auth_pass_file: {path}\n")
    read_exports(conf)


def _script(path: Path) -> None:
    find("home", str(path), {})
    read_plan("home", str(path), {})


@dataclass(frozen=True, slots=True)
class Row:
    """How a row of the table is tried: what the program does with the file of that name."""

    name: str
    act: Callable[[Path], object]


ROWS: Mapping[str, tuple[Row, ...]] = {
    "token": (Row("home.token", _token),),
    "pin": (Row("home.pin", _pin),),
    "pid file": (Row("nutdrv_py-home.pid", _pid),),
    "socket": (Row("nutdrv_py-home", _socket),),
    "history": (Row("home.history", _history),),
    "waiting machines": (Row("nutdrv_py-home.wake", _wake),),
    "charge": (Row("nutdrv_py-home.battery", _charge),),
    "port file": (Row("home.dev", _port_file),),
    "port file taken away": (Row("home.dev", lambda path: abandon([path])), Row("home.dev-nocomms", lambda path: _port_file(path.with_name("home.dev")))),
    "lock of the port file": (Row(".home.dev.lock", _lock),),
    "recording": (Row("home.recording", _recording), Row("home.recording", _replayed)),
    "credentials": (Row("credentials", lambda path: credentials(EnphaseConfig(port="127.0.0.1", credentials=str(path)))),),
    "exporters' configuration": (Row("exports.yml", _exports),),
    "exporters' secret": (Row("password", _secret),),
    "portfile's configuration": (Row("enphase-home.conf", _script),),
    "description of `backend = mapping`": (Row("device.yaml", read_nodes),),
    "backend in one file": (Row("device.py", lambda path: plugin(path.stem, path.parent)),),
    "certificate": (Row("gateway.pem", fingerprints),),
    "launcher": (Row("nutdrv_py", lambda path: link(Path(sys.executable), path.parent)),),
}

NOT_TRIED = {
    "interpreter": "root runs programs from that folder",
    "port file of `backend = dummy`": "it is read by the user of the driver alone",
    "file that a description reads (`file:`)": "it is read by the user of the driver alone",
    "certificates of exporters' servers": "they are read by the user of the driver alone",
    "log file of `logging:`": "Python's logging opens it; the table says so",
    "ups.conf, upsd.conf, upsmon.conf": "they lie in root's folder",
}

# What another user does to its own folder


def _to_file(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.parent / "nologin")


def _swapped(path: Path, victim: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to(victim.parent)


def _fifo(path: Path, victim: Path) -> None:
    os.mkfifo(path, 0o600)
    os.chown(path, NUT, NUT)


def _second_name(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


ATTACKS: Mapping[str, Callable[[Path, Path], None]] = {
    "a link to root's file": _to_file,
    "a dangling link into root's folder": _dangling,
    "the folder is a link": _swapped,
    "a FIFO": _fifo,
    "root's file under a second name": _second_name,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Root's folder with root's file, and a folder of another user's with a path in it."""

    folder: Path
    victim: Path
    path: Path

    def state(self) -> object:
        """Everything in root's folder."""
        return {
            place.name: (place.read_bytes(), (found := place.stat()).st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ino)
            for place in self.victim.parent.iterdir()
        }


def _scene(tmp_path: Path, name: str) -> Scene:
    # The folders above are those of pytest, which another user may not enter; here all may, as on a real machine.
    folder = tmp_path / "s"
    victims = folder / "root"
    victims.mkdir(parents=True)
    victim = victims / name
    victim.write_bytes(SECRET)
    victim.chmod(0o600)
    for place in (folder / "nut", folder / "nut" / "port"):
        place.mkdir(mode=0o755)
        os.chown(place, NUT, NUT)
    return Scene(folder, victim, folder / "nut" / "port" / name)


def _apart(act: Callable[[], object], words: Path) -> tuple[int, str]:
    """Call ``act`` in another process; its exit code and all that it said. A negative code is a signal: it hung."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST)
            out = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            log.to_stderr()
            try:
                act()
                code = 0
            except BaseException as error:
                known = isinstance(error, OSError) or type(error).__module__ == "nutdrv_py.errors"
                print(error if known else traceback.format_exc(), file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, words.read_text(errors="replace")


TABLE = re.findall(r"^\| ([^|]+) \|", (REPO / "docs" / "files.md").read_text(), re.MULTILINE)[1:]


def test_each_row_of_the_table_is_tried_or_has_a_reason() -> None:
    assert sorted(TABLE) == sorted([*ROWS, *NOT_TRIED])


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("title", "row"), [(title, row) for title, rows in ROWS.items() for row in rows])
def test_root_is_led_to_no_file_of_its_own_and_says_what_is_wrong(tmp_path: Path, title: str, row: Row, attack: str) -> None:
    scene = _scene(tmp_path, row.name)
    ATTACKS[attack](scene.path, scene.victim)
    wrong = scene.path.parent if attack == "the folder is a link" else scene.path
    before, planted = scene.state(), _entry(wrong)
    code, said = _apart(lambda: row.act(scene.path), tmp_path / "said")
    assert code >= 0, f"it hung: {said}"
    assert scene.state() == before
    assert "Traceback" not in said
    assert SECRET.decode().strip() not in said
    # Where the program writes, what was put there may be gone instead: then there is nothing to say.
    assert str(wrong) in said or _entry(wrong) != planted, f"nobody is told: {said!r}"


def _entry(path: Path) -> object:
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        return found.st_ino, found.st_mode, found.st_ctime_ns
    return None


# The stories


@dataclass(frozen=True, slots=True)
class House:
    """A configuration of root's, and a folder of NUT's user with its token, exporters' configuration and port file."""

    etc: Path
    nut: Path
    root: Path

    @property
    def port(self) -> Path:
        return self.nut / "home.dev"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ, "NUT_CONFPATH": str(self.etc), "NUT_STATEPATH": str(self.nut), "NUTDRV_PY_HOME": str(self.nut),
            "PYTHONPATH": str(REPO), "NUT_ALTPIDPATH": str(self.nut),
        }  # fmt: skip
        program = [sys.executable, "-c", "import sys; sys.argv[0] = 'nutdrv_py'; from nutdrv_py.cli import main; sys.exit(main())"]
        return subprocess.run([*program, *words], env=environ, capture_output=True, text=True, timeout=LONGEST, check=False)

    def names(self) -> list[str]:
        return sorted(place.name for place in self.root.iterdir())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """With a token that others may read, so that the next start by root fails before root is given up."""
    try:
        account = pwd.getpwnam("nut")
    except KeyError:
        pytest.skip("no user nut, as whom the driver would go on; install NUT's packages")
    folder = Path(tempfile.mkdtemp(prefix="nutdrv-"))
    folder.chmod(0o755)
    house = House(folder / "etc", folder / "nut", folder / "root")
    for place in (house.etc, house.nut, house.root):
        place.mkdir(mode=0o755)
    (house.root / "victim").write_bytes(SECRET)
    (house.nut / "home.token").write_text(TokenAuthority().issue(SERIAL, now=time.time()))
    (house.nut / "exports.yml").write_text(f"portfile:\n  enable: true\n  path: {house.port}\n")
    house.port.write_text("ups.status: OB LB\n")
    for place in (house.nut, *house.nut.iterdir()):
        os.chown(place, account.pw_uid, account.pw_gid)
        place.chmod(0o755 if place.is_dir() else 0o644)
    (house.etc / "ups.conf").write_text(
        f"[home]\ndriver = nutdrv_py\nbackend = enphase\nport = 127.0.0.1:9\ntokenfile = {house.nut}/home.token\nconfig = {house.nut}/exports.yml\n"
    )
    script = house.etc / "enphase-home.conf"
    script.write_text(f"ENVOY_HOST=127.0.0.1:9\nTOKEN_FILE={house.nut}/other.token\nTOKEN=x.y.z\nPORT_FILE={house.port}\n")
    script.chmod(0o640)
    os.chown(script, 0, account.pw_gid)
    yield house
    shutil.rmtree(folder)


def test_a_start_by_root_that_fails_takes_the_port_file_away_as_the_user_of_the_driver(house: House) -> None:
    done = house("-a", "home")
    assert done.returncode == 1
    assert "chmod o-rwx" in done.stderr
    assert not house.port.exists()
    assert (house.nut / "home.dev-nocomms").read_text() == "ups.status: OB LB\n"
    assert (house.nut / ".home.dev.lock").stat().st_uid == pwd.getpwnam("nut").pw_uid, "root's would stop the driver later"


def test_a_start_as_a_user_that_is_not_there_leaves_no_old_port_file_in_force(house: House) -> None:
    (house.nut / "home.token").chmod(0o600)
    done = house("-a", "home", "-u", "no-such-user")
    assert done.returncode == 1
    assert not house.port.exists()
    assert (house.nut / ".home.dev.lock").stat().st_uid == pwd.getpwnam("nut").pw_uid


ROOTS = (
    ("-a", "home"), ("portfile", "-s", "-c", "CONF"), ("portfile", "--away", "-c", "CONF"), ("portfile", "-c", "CONF"),
    ("daemon", "--away", "-c", "YAML"), ("daemon", "-c", "YAML"),
)  # fmt: skip


@pytest.mark.parametrize("words", ROOTS, ids=" ".join)
@pytest.mark.parametrize("name", ["home.dev", ".home.dev.lock"])
@pytest.mark.parametrize("target", ["victim", "nologin"])
def test_root_renames_and_makes_no_file_for_another_user(house: House, words: tuple[str, ...], name: str, target: str) -> None:
    """Issue: the target was renamed to -nocomms, or an empty file of root's appeared (/etc/nologin)."""
    (house.nut / name).unlink(missing_ok=True)
    (house.nut / name).symlink_to(house.root / target)
    places = {"CONF": str(house.etc / "enphase-home.conf"), "YAML": str(house.nut / "exports.yml")}
    done = house(*(places.get(word, word) for word in words))
    assert house.names() == ["victim"]
    assert (house.root / "victim").read_bytes() == SECRET
    assert "Traceback" not in done.stdout + done.stderr
    if name == ".home.dev.lock" and words[0] != "-a":
        # Root has become that user, whose links in its own folder are its own business; but a lock is never a link.
        assert f"rm {house.nut / name}" in done.stdout + done.stderr, "the path that is wrong, and what to type"


def test_a_port_file_that_is_reached_by_a_link_of_roots_is_kept_as_before(house: House) -> None:
    (house.etc / "nut").symlink_to(house.nut)
    (house.etc / "linked.dev").symlink_to(house.etc / "nut" / "home.dev")
    code, said = _apart(lambda: PortFile(house.etc / "linked.dev").show({"ups.status": "OL"}), house.root / "said")
    assert code == 0, said
    assert (house.etc / "linked.dev").is_symlink()
    assert 'ups.status: "OL"' in house.port.read_text()
    assert house.port.stat().st_uid == pwd.getpwnam("nut").pw_uid


def test_a_mode_that_gives_more_rights_to_who_runs_the_file_is_not_copied(house: House) -> None:
    os.chown(house.port, 0, 0)
    house.port.chmod(0o6755)
    code, said = _apart(lambda: PortFile(house.port).show({"ups.status": "OL"}), house.root / "said")
    assert code == 0, said
    assert stat.S_IMODE(house.port.stat().st_mode) == 0o644
