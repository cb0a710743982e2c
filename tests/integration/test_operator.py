# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py check`` and ``nutdrv_py status`` as an administrator types them: real upsdrvctl, upsd and simulated devices."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import pwd
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nutdrv_py.simulators.enphase import RunningSimulator, load_scenario
from nutdrv_py.simulators.nut import find_program, free_port
from tests.integration.conftest import Lab, Watched, wait
from tests.integration.test_enphase import Home


def typed(stage: Watched, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(stage.folder / "bin" / "nutdrv_py"), *words]
    environ = {**stage.environment(), "LC_ALL": "C", **(environ or {})}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def checked(stage: Watched, *words: str, environ: dict[str, str] | None = None) -> tuple[dict[str, dict[str, str]], int]:
    """The worst of each topic, of equals the first, and the exit code."""
    done = typed(stage, "check", "--json", *words, environ=environ)
    order = ("ok", "warning", "failed")
    rows = json.loads(done.stdout)
    assert not done.stderr
    return {row["topic"]: row for row in sorted(reversed(rows), key=lambda row: order.index(row["level"]))}, done.returncode


@pytest.fixture
def home() -> Iterator[Home]:
    with RunningSimulator(replace(load_scenario("online"), timeline=())) as running:
        stage = Home(running)
        try:
            yield stage
        finally:
            stage.close()


def _serve(stage: Watched) -> subprocess.Popen[bytes]:
    stage.start()
    upsd = stage.upsd()
    wait(lambda: stage.status().startswith("OL"), timeout=30)
    return upsd


def test_a_good_setup_passes_and_its_driver_does_not_notice(home: Home) -> None:
    _serve(home)
    pid = home.pid
    kept = {path: path.read_bytes() for path in (home.folder / "etc").iterdir()}
    logins = home.running.sim.authority.issued
    done = typed(home, "check")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(re.match(r"(ok|warning) +[a-z]+: .", line) for line in lines), done.stdout
    assert {line.split()[1].rstrip(":") for line in lines} >= {
        "permissions", "configuration", "name", "connection", "certificate", "gateway", "clock", "token", "endpoints", "outage", "battery",
        "meters", "launcher", "driver", "upsd", "upsmon", "deadtime", "mode",
    }  # fmt: skip
    for secret in (home.running.sim.password, home.running.sim.username, (home.folder / "etc" / "home.token").read_text().strip()):
        assert secret not in done.stdout
    assert {path: path.read_bytes() for path in (home.folder / "etc").iterdir()} == kept
    assert home.running.sim.authority.issued == logins
    assert home.pid == pid
    assert home.status().startswith("OL")
    assert home.running.sim.most_parallel <= 2


def _stop(stage: Watched) -> None:
    stage.upsdrvctl("stop", stage.ups)
    wait(lambda: not stage.socket.exists())


@contextlib.contextmanager
def _frozen(stage: Watched) -> Iterator[None]:
    pid = stage.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_is_wrong_with_a_running_nut_is_told_with_what_to_type(labs: Callable[..., Lab]) -> None:
    """One stage, spoilt step by step."""
    lab = labs({"maxage": "2"})
    upsd = _serve(lab)
    found, code = checked(lab)
    assert (found["driver"]["level"], found["upsd"]["level"], code) == ("ok", "ok", 0)

    with _frozen(lab):
        found, code = checked(lab)
        assert "upsdrvctl stop ups; upsdrvctl start ups" in found["driver"]["advice"]
        assert code == 1

    (lab.folder / "etc" / "upsmon.conf").write_text(f"MONITOR {lab.address} 1 demo demo primary\nSHUTDOWNCMD true\nDEADTIME 4\n")
    found, code = checked(lab)
    assert (found["deadtime"]["level"], code) == ("failed", 1)
    assert "DEADTIME 15 or more" in found["deadtime"]["advice"]
    (lab.folder / "etc" / "upsmon.conf").unlink()

    with (lab.folder / "etc" / "ups.conf").open("a") as file:
        file.write(f'[new]\n    driver = nutdrv_py\n    backend = "plain:Plain"\n    port = "{lab.device}"\n')
    found, code = checked(lab, "new")
    assert (found["upsd"]["level"], found["driver"]["level"], code) == ("failed", "failed", 1)
    assert "upsd -c reload" in found["upsd"]["advice"]
    assert "upsdrvctl start new" in found["driver"]["advice"]
    both = typed(lab, "check").stdout.splitlines()
    names = [line.split()[1] for line in both]
    assert names == sorted(names, key=["ups:", "new:"].index)

    lab.say(grid="unknown")
    wait(lab.stale, timeout=40)
    found, code = checked(lab, "ups")
    assert (found["driver"]["level"], found["upsd"]["level"], code) == ("failed", "failed", 1)
    assert "stale" in found["driver"]["text"]
    assert "stale" in found["upsd"]["text"]

    _stop(lab)
    found, code = checked(lab, "ups")
    assert found["driver"]["advice"] == "type: upsdrvctl start ups"
    assert found["upsd"]["advice"] == "type: upsdrvctl start ups"

    upsd.terminate()
    upsd.wait(10)
    found, code = checked(lab, "ups")
    assert "systemctl enable --now nut-server" in found["upsd"]["advice"]

    (lab.folder / "bin" / "nutdrv_py").rename(lab.folder / "elsewhere")
    done = subprocess.run([lab.folder / "elsewhere", "check", "ups"], env=lab.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert f"type: nutdrv_py install --driverpath {lab.folder}/bin" in done.stdout


class Deaf:
    """A socket that takes connections and never says a word."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._kept.append(self.server.accept()[0])

    def close(self) -> None:
        self.server.close()
        for client in self._kept:
            client.close()


def test_the_whole_check_ends_within_30_s_although_everything_hangs() -> None:
    with contextlib.ExitStack() as stack:
        port = free_port()
        device = stack.enter_context(contextlib.closing(Deaf(socket.create_server(("127.0.0.1", 0)))))
        number = device.server.getsockname()[1]
        lab = Watched(
            {
                "driver": "nutdrv_py", "backend": "enphase", "port": f"127.0.0.1:{number}", "token": "a.b.c", "config": "exporters.yml",
                "api_timeout": "30",
            },
            ups="home",
        )  # fmt: skip
        stack.callback(lab.close)
        web = stack.enter_context(contextlib.closing(Deaf(socket.create_server(("127.0.0.1", port)))))
        assert web.server.getsockname()[1] == port
        (lab.folder / "etc" / "exporters.yml").write_text(f"page:\n  bind_port: {port}\n")
        stack.enter_context(contextlib.closing(Deaf(socket.create_server(("127.0.0.1", lab.port)))))
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(str(lab.socket))
        unix.listen()
        stack.enter_context(contextlib.closing(Deaf(unix)))
        began = time.monotonic()
        found, code = checked(lab)
        assert time.monotonic() - began < 30
        assert code == 1
        for topic in ("gateway", "driver", "exporters", "upsd"):
            assert found[topic]["level"] == "failed", found[topic]
            assert found[topic]["advice"]
        assert found["mode"]["level"] == "ok"


def _may_read_this(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    interpreter = Path(__file__).parent.parent.parent / ".venv" / "bin" / "python"
    try:
        return subprocess.run([*words, interpreter, "-c", "import nutdrv_py"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(os.geteuid() != 0 or not _may_read_this("nut"), reason="needs root, and a place that NUT's user may read")
def test_as_root_it_looks_with_the_eyes_of_the_drivers_user(home: Home) -> None:
    conf = home.folder / "etc" / "ups.conf"
    conf.write_text(conf.read_text().replace("user = root", "user = nut"))
    group = pwd.getpwnam("nut").pw_gid
    for path in (home.folder, *home.folder.iterdir(), *(home.folder / "etc").iterdir()):
        os.chown(path, 0, group)
        path.chmod(0o770 if path.is_dir() else 0o640)
    found, _ = checked(home)
    assert found["permissions"]["level"] == "ok", found
    assert found["permissions"]["text"].startswith("user nut ")
    assert found["endpoints" if "endpoints" in found else "token"]["level"] in ("ok", "warning")
    server = home.folder / "etc" / "upsd.conf"
    os.chown(server, 0, 0)
    server.chmod(0o600)
    said = typed(home, "check").stdout
    assert f"user nut may not read {server}" in said
    assert f"chown root:nut {server}; chmod 0640 {server}" in said
    assert "internal error" not in said
    secret = home.folder / "etc" / "credentials"
    os.chown(secret, 0, 0)
    secret.chmod(0o600)
    found, code = checked(home)
    assert code == 1
    assert found["permissions"]["level"] == "failed"
    assert f"chown root:nut {secret}" in found["permissions"]["advice"]
    secret.chmod(0o644)
    found, code = checked(home)
    assert "chmod o-rwx" in found["permissions"]["advice"]
    secret.unlink()
    os.chown(conf, 0, 0)
    conf.chmod(0o600)
    found, code = checked(home)
    assert f"chown root:nut {conf}" in found["permissions"]["advice"]


def test_an_upsd_of_another_configuration_is_not_taken_for_ours(labs: Callable[..., Lab]) -> None:
    theirs, ours = labs(), labs()
    _serve(theirs)
    (ours.folder / "etc" / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {theirs.port}\n")
    found, code = checked(ours)
    assert (found["upsd"]["level"], code) == ("failed", 1)
    assert f"sport = :{theirs.port}" in found["upsd"]["advice"]


DUMMY = find_program("upsd").replace("upsd", "dummy-ups")


@pytest.mark.skipif(not os.access(DUMMY, os.X_OK), reason="dummy-ups is not beside upsd")
def test_an_old_driver_of_the_same_name_that_upsd_still_serves_is_told_and_the_advice_helps(labs: Callable[..., Lab]) -> None:
    lab = labs()
    conf = lab.folder / "etc" / "ups.conf"
    new = conf.read_text()
    old = lab.folder / "etc" / "old.dev"
    old.write_text("ups.status: OL\n")
    conf.write_text(f"driverpath = {lab.folder}/bin\n" + "user = root\n" * (os.geteuid() == 0) + f"[ups]\n driver = dummy-ups\n port = {old}\n")
    (lab.folder / "bin" / "dummy-ups").symlink_to(DUMMY)
    assert lab.upsdrvctl("start", "ups").returncode == 0
    upsd = lab.upsd()
    wait(lambda: lab.status() == "OL", timeout=30)

    conf.write_text(new)
    lab.start()
    found, code = checked(lab)
    assert (found["driver"]["level"], found["upsd"]["level"], code) == ("ok", "failed", 1)
    assert "from the driver dummy-ups, not from nutdrv_py" in found["upsd"]["text"]
    assert f"holds {lab.folder}/run/dummy-ups-ups " in found["upsd"]["advice"]

    os.kill(int((lab.folder / "run" / "dummy-ups-ups.pid").read_text()), signal.SIGTERM)
    wait(lambda: "Driver not connected" in lab.upsc("ups.status").stderr or "Data stale" in lab.upsc("ups.status").stderr, timeout=30)
    found, code = checked(lab)
    assert (found["driver"]["level"], found["upsd"]["level"], code) == ("ok", "failed", 1)
    assert "type: upsd -c reload" in found["upsd"]["advice"]

    # upsd in the foreground has no pid file, so this is what upsd -c reload does.
    upsd.send_signal(signal.SIGHUP)
    wait(lambda: checked(lab)[0]["upsd"]["level"] == "ok", timeout=30)


def test_an_upsmon_that_does_not_run_or_is_not_let_in_is_told(labs: Callable[..., Lab], tmp_path: Path) -> None:
    """By pynut2, and by upsc where pynut2 is not."""
    lab = labs()
    _serve(lab)
    conf = lab.folder / "etc" / "upsmon.conf"
    right = conf.read_text()
    (tmp_path / "pynut2").mkdir()
    (tmp_path / "pynut2" / "__init__.py").write_text("raise ImportError\n")
    without = {"PYTHONPATH": f"{tmp_path}:{lab.environment()['PYTHONPATH']}"}

    def told() -> tuple[str, str]:
        both = [checked(lab, environ=environ)[0]["upsmon"] for environ in (None, without)]
        assert both[0] == both[1]
        return both[0]["level"], both[0]["advice"]

    nobody = ("warning", "type: systemctl status nut-monitor; journalctl -u nut-monitor")
    assert told() == nobody
    upsmon = lab.upsmon()
    wait(lambda: told() == ("ok", ""), timeout=30)
    upsmon.terminate()
    upsmon.wait(10)
    conf.write_text(right.replace("demo demo", "demo wrong"))
    lab.upsmon()
    wait(lambda: "ACCESS-DENIED" in lab.log("upsmon"), timeout=30)
    assert told() == nobody


@pytest.mark.parametrize("spoil", [lambda text: text.replace(" demo demo primary", ""), lambda text: text.replace("MINSUPPLIES 1", "MINSUPPLIES 2")])
def test_an_upsmon_conf_with_which_upsmon_does_not_start_fails(labs: Callable[..., Lab], spoil: Callable[[str], str]) -> None:
    lab = labs()
    conf = lab.folder / "etc" / "upsmon.conf"
    conf.write_text(spoil(conf.read_text()))
    upsmon = lab.spawn("upsmon", "-F", "-p")
    assert upsmon.wait(30) != 0
    assert "insufficient power configured" in lab.log("upsmon")
    found, code = checked(lab)
    assert (found["upsmon"]["level"], code) == ("failed", 1)


# status


class Screen:
    """``nutdrv_py status`` in a pipe or a terminal, read as it comes."""

    def __init__(self, stage: Watched, *words: str, terminal: tuple[int, int] | None = None, environ: dict[str, str] | None = None) -> None:
        if terminal is not None:
            self._fd, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", terminal[1], terminal[0], 0, 0))
        else:
            self._fd, theirs = os.pipe()
        command = [str(stage.folder / "bin" / "nutdrv_py"), "status", *words]
        full = {**{k: v for k, v in stage.environment().items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}, **(environ or {})}
        self.process = subprocess.Popen(command, env=full, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True)
        os.close(theirs)
        self.text = ""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, 65536):
                self.text += data.decode(errors="replace")

    def has(self, words: str, timeout: float = 30) -> None:
        wait(lambda: words in self.text, timeout=timeout, what=f"{words!r} in {self.text!r}")

    def end(self) -> int:
        """Ctrl-C, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        self._reading.join(5)
        assert self.process.stderr is not None
        assert self.process.stderr.read() == b""
        self.process.stderr.close()
        os.close(self._fd)
        return code


def test_status_in_a_pipe_is_plain_text_and_the_exit_code_tells_whether_the_data_are_good(labs: Callable[..., Lab]) -> None:
    lab = labs({"maxage": "2"})
    done = typed(lab, "status")
    assert (done.stdout, done.returncode) == ("ups\nThe driver is not running; type: upsdrvctl start ups\n", 1)
    lab.start()
    done = typed(lab, "status", "ups")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:3] == ["ups", "On the grid", "Charge   [########|##########################-----]  87 %, low at 20 %"]
    assert "House    <--    640 W  used" in done.stdout
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    lab.say(grid="down", soc=15)
    wait(lambda: "LOW BATTERY, on battery" in typed(lab, "status").stdout, timeout=20)
    lab.say(grid="unknown")
    wait(lambda: "No data since " in typed(lab, "status").stdout, timeout=20)
    done = typed(lab, "status")
    assert done.returncode == 1
    assert "15 %" not in done.stdout
    rows = json.loads(typed(lab, "status", "--json").stdout)
    assert (rows[0]["ups"], rows[0]["running"], rows[0]["stale"], rows[0]["status"]) == ("ups", True, True, [])
    assert all(name.startswith("driver.") for name in rows[0]["variables"])


def test_status_watch_in_a_pipe_prints_a_block_per_change_and_says_how_long_it_has_seen(labs: Callable[..., Lab]) -> None:
    lab = labs()
    lab.start()
    screen = Screen(lab, "--watch", environ={"LC_ALL": "C"})
    screen.has("On the grid")
    time.sleep(5)
    assert screen.text.count("On the grid") == 1
    lab.say(grid="down")
    screen.has("On battery for ")
    assert screen.end() == 0
    assert "\x1b" not in screen.text


def test_status_in_a_narrow_terminal_keeps_to_its_width_and_draws_anew(labs: Callable[..., Lab]) -> None:
    lab = labs()
    lab.start()
    screen = Screen(lab, "--watch", terminal=(40, 24), environ={"TERM": "xterm", "LC_ALL": "C.UTF-8"})
    screen.has("Ctrl-C")
    lab.say(grid="down", soc=15, alarm="The battery is on fire, and this sentence is longer than the terminal is wide")
    screen.has("LOW BATTERY")
    wait(lambda: screen.text.count("\x1b[H") >= 2)
    assert screen.end() == 0
    shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", screen.text)
    assert max(len(line) for line in shown.splitlines()) <= 40
    assert "█" in shown
    assert "\x1b[1;31m" in screen.text
    plain = Screen(lab, terminal=(60, 24), environ={"TERM": "xterm", "LC_ALL": "C", "NO_COLOR": "1"})
    assert plain.process.wait(20) == 0
    plain.has("LOW BATTERY")
    assert plain.end() == 0
    assert "\x1b" not in plain.text
    assert plain.text.isascii()


def test_status_shows_any_driver_of_nuts(labs: Callable[..., Lab]) -> None:
    dummy = find_program("upsd").replace("upsd", "dummy-ups")
    if not os.access(dummy, os.X_OK):
        pytest.skip("dummy-ups is not beside upsd")
    lab = labs()
    device = lab.folder / "etc" / "their.dev"
    device.write_text("ups.status: OB\nbattery.charge: 55\nbattery.runtime: 600\n")
    conf = lab.folder / "etc" / "ups.conf"
    conf.write_text(conf.read_text() + f"[theirs]\n    driver = dummy-ups\n    port = {device}\n")
    (lab.folder / "bin" / "dummy-ups").symlink_to(dummy)
    done = lab.upsdrvctl("start", "theirs")
    assert done.returncode == 0, done.stdout + done.stderr
    found = typed(lab, "status", "theirs")
    assert found.returncode == 0, found.stdout
    assert "On battery, 10 min left" in found.stdout
    assert "Data " not in found.stdout
