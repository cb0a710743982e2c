# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's process: start and stop, exit codes and sentences, pid file, signals, users, systemd."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.integration.conftest import Lab, alive, wait


def test_upsdrvctl_starts_and_stops_the_driver(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    assert alive(pid)
    assert stat.S_IMODE(lab.socket.stat().st_mode) == 0o660
    assert stat.S_IMODE(lab.pid_file.stat().st_mode) == 0o644
    assert lab.upsdrvctl("stop").returncode == 0
    wait(lambda: not alive(pid))
    wait(lambda: not lab.socket.exists() and not lab.pid_file.exists())


def test_data_are_there_when_the_start_returns(lab: Lab) -> None:
    lab.start()
    assert b'SETINFO ups.status "OL"\nDATAOK\n' in lab.client().ask(b"DUMPSTATUS\n", b"DUMPDONE\n")


def test_the_process_has_the_drivers_name_for_newer_upsdrvctl(lab: Lab) -> None:
    """upsdrvctl 2.8.3+ signals only a process whose executable is called like the driver."""
    lab.start()
    assert os.path.basename(os.readlink(f"/proc/{lab.pid}/exe")) == "nutdrv_py"


def test_the_background_process_holds_no_terminal_and_lives_in_the_state_directory(lab: Lab) -> None:
    lab.start()
    proc = Path(f"/proc/{lab.pid}")
    assert os.readlink(proc / "cwd") == str(lab.folder / "run")
    assert {os.readlink(proc / "fd" / n) for n in "012"} == {"/dev/null"}
    assert "Umask:\t0007" in (proc / "status").read_text()
    assert os.getsid(lab.pid) == lab.pid


def test_of_two_starts_the_second_wins_and_its_socket_stays(lab: Lab) -> None:
    lab.start()
    first = lab.pid
    lab.start()
    second = lab.pid
    assert first != second
    assert not alive(first)
    assert lab.client().ask(b"GETPID\n", b"\n").endswith(f"PID {second}\n".encode())


def test_a_killed_driver_is_replaced_over_its_leftovers(lab: Lab) -> None:
    lab.start()
    os.kill(lab.pid, signal.SIGKILL)
    assert lab.socket.exists()
    lab.start()
    assert lab.client().ask(b"PING\n", b"PONG\n")


def test_a_hanging_older_instance_is_killed(lab: Lab) -> None:
    lab.start()
    first = lab.pid
    os.kill(first, signal.SIGSTOP)
    began = time.monotonic()
    lab.start()
    assert not alive(first)
    assert time.monotonic() - began < 40


def test_a_pid_file_that_names_a_stranger_harms_nobody(lab: Lab) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lab.pid_file.write_text(f"{stranger.pid}\n")
        lab.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "specifying '-a id' or '-s id' is now mandatory"),
        (["-a", "nothing"], "Section nothing not found in ups.conf"),
        (["-a", "ups", "-x", "pollintervall=3"], "Did you mean 'pollinterval'?"),
        (["-a", "ups", "-x", "nonsense"], "'nonsense' is not a valid flag"),
        (["-a", "ups", "-x", "password=geheim"], "process list"),
        (["-a", "ups", "-Z"], "invalid option -- 'Z'"),
        (["-a", "ups", "-u", "no-such-user"], "OS user no-such-user not found"),
        (["-a", "ups", "-g", "no-such-group"], "OS group no-such-group not found"),
        (["-a", "ups", "-i", "0"], "invalid pollinterval: 0"),
        (["-s", "x"], "write backend = one of"),
    ],
)
def test_a_start_that_cannot_be_fails_with_1_and_a_sentence(lab: Lab, argv: list[str], sentence: str) -> None:
    if "-u" in argv and os.geteuid() != 0:
        pytest.skip("only root changes the user")
    words = argv or ["-F"]
    done = lab.driver(*words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "geheim" not in done.stderr + done.stdout


def test_a_start_that_fails_after_the_fork_fails_for_upsdrvctl_too(labs: Callable[..., Lab]) -> None:
    lab = labs()
    # A directory in the socket's place cannot be replaced by a socket.
    lab.socket.mkdir()
    done = lab.driver("-a", "ups")
    assert done.returncode == 1
    assert "unable to create listener socket" in done.stderr
    assert not lab.pid_file.exists()


def test_a_state_directory_that_is_missing_not_writable_or_too_deep_is_named(labs: Callable[..., Lab]) -> None:
    lab = labs(environ={"NUT_STATEPATH": "/no/such/place"})
    done = lab.driver("-a", "ups")
    assert done.returncode == 1
    assert "Can't chdir to /no/such/place" in done.stderr
    deep = lab.folder / ("d" * 100)
    deep.mkdir()
    lab._environ["NUT_STATEPATH"] = str(deep)
    done = lab.driver("-a", "ups")
    assert done.returncode == 1
    assert "is too long" in done.stderr


def test_version_help_and_list_go_through_pipes_with_the_banner(lab: Lab) -> None:
    for word in ("-V", "-h", "-L"):
        done = lab.driver(word)
        assert done.returncode == 0
        assert done.stdout.startswith("Network UPS Tools 2.8.5 - Python driver nutdrv_py ")
    assert 'VALUE factor "what the device' in lab.driver("-L", "-x", "backend=plain:Plain").stdout
    assert 'FLAG ignorelb "' in lab.driver("-L").stdout
    assert "UNKNOWN" in lab.driver("-L", "-x", "backend=enphase").stdout
    assert "-x" in lab.driver("-h").stdout
    started = lab.driver("-a", "ups")
    assert started.stdout.count("Network UPS Tools") == 1


def test_a_full_disk_behind_stdout_does_not_keep_the_driver_from_starting(lab: Lab) -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [str(lab.folder / "bin" / "nutdrv_py"), "-a", "ups", "-FF"],
            env=lab.environment(), stdout=full, stderr=full, start_new_session=True,
        )  # fmt: skip
    lab._processes.append(process)
    wait(lambda: lab.client().ask(b"PING\n", b"PONG\n"), timeout=30)
    process.send_signal(signal.SIGURG)
    process.terminate()
    assert process.wait(20) == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_driver_whose_output_is_closed_starts_and_prints_into_no_socket(lab: Lab, closed: str) -> None:
    command = f'exec "$0" -a ups {closed}'
    done = subprocess.run(["sh", "-c", command, str(lab.folder / "bin" / "nutdrv_py")], env=lab.environment(), timeout=60, check=False)
    assert done.returncode == 0
    client = lab.client()
    os.kill(lab.pid, signal.SIGURG)
    assert client.ask(b"PING\n", b"PONG\n") == b"PONG\n"


def test_a_start_whose_ignorelb_cannot_work_leaves_the_running_driver_alone(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    lab.configure("ignorelb")
    lab.say(soc=None, left=None, low=None)
    failed = lab.upsdrvctl("start")
    assert failed.returncode != 0
    assert "ignorelb" in failed.stdout + failed.stderr
    assert alive(pid)
    assert lab.pid == pid
    assert lab.client().ask(b"GETPID\n", b"\n") == f"PID {pid}\n".encode()
    lab.say()
    lab.start()
    assert lab.pid != pid
    wait(lambda: not alive(pid))


def test_d_dumps_escaped_values_without_socket_pid_file_or_harm_to_the_running_driver(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    lab.say(name='a "q" #1')
    done = lab.driver("-a", "ups", "-d", "1")
    assert done.returncode == 0
    assert 'ups.model: a \\"q\\" \\#1\n' in done.stdout
    assert "driver.state: dumping\n" in done.stdout
    assert alive(pid)
    names = [line.split(":")[0].lower() for line in done.stdout.splitlines()[1:]]
    assert names == sorted(names)


def test_d_needs_no_state_directory(labs: Callable[..., Lab]) -> None:
    lab = labs(environ={"NUT_STATEPATH": "/no/such/place"})
    assert "ups.status: OL" in lab.driver("-a", "ups", "-d", "1").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_foreground_driver_ends_cleanly_by_a_signal(lab: Lab, number: signal.Signals) -> None:
    process = lab.foreground("-a", "ups", "-F")
    wait(lab.socket.exists)
    assert not lab.pid_file.exists()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert not lab.socket.exists()
    assert f"Signal {number}: exiting" in lab.log()


def test_ff_saves_a_pid_file(lab: Lab) -> None:
    process = lab.foreground("-a", "ups", "-FF")
    wait(lab.pid_file.exists)
    wait(lab.socket.exists)
    assert lab.pid == process.pid
    process.terminate()
    assert process.wait(10) == 0
    assert not lab.pid_file.exists()


def test_signals_of_a_c_driver_do_here_what_they_do_there(lab: Lab) -> None:
    process = lab.foreground("-a", "ups", "-F")
    wait(lab.socket.exists)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGURG):
        process.send_signal(number)
        time.sleep(0.2)
        assert process.poll() is None, number
    assert lab.client().ask(b"PING\n", b"PONG\n")
    wait(lambda: "battery.charge: 87" in lab.log(), what="URG prints the data")
    assert lab.log().count("Configuration reloaded") == 2
    lab.configure("group = root")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == 138


def test_signals_during_the_start_do_not_kill(lab: Lab) -> None:
    process = lab.foreground("-a", "ups", "-F")
    for _ in range(40):
        time.sleep(0.01)
        if Path(f"/proc/{process.pid}/exe").exists() and lab.log():
            process.send_signal(signal.SIGHUP)
    wait(lab.socket.exists)
    assert process.poll() is None


def test_debug_lines_have_nuts_format(lab: Lab) -> None:
    process = lab.foreground("-a", "ups", "-DDDDD")
    wait(lab.socket.exists)
    lab.client().ask(b"DUMPALL\n", b"DUMPDONE\n")
    process.terminate()
    process.wait(10)
    assert re.search(r"^ {0,3}\d+\.\d{6}\t\[D5\] < DumpAll$", lab.log(), re.MULTILINE)
    assert re.search(r"^ {0,3}\d+\.\d{6}\tStartup successful$", lab.log(), re.MULTILINE)


def test_c_talks_to_the_running_driver(lab: Lab) -> None:
    assert lab.driver("-a", "ups", "-c", "reload").returncode == 255
    lab.start()
    pid = lab.pid
    assert lab.driver("-a", "ups", "-c", "reload").returncode == 0
    lab.configure("group = root")
    assert lab.driver("-a", "ups", "-c", "reload").returncode == 2
    assert alive(pid)
    assert lab.driver("-a", "ups", "-c", "exit").returncode == 0
    wait(lambda: not alive(pid))


def test_p_signals_the_process_it_is_given(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    assert lab.driver("-a", "ups", "-c", "exit", "-P", str(pid)).returncode == 0
    wait(lambda: not alive(pid))


def test_k_cuts_the_power_with_and_without_a_running_driver(lab: Lab) -> None:
    flag = Path(f"{lab.device}.off")
    assert lab.upsdrvctl("shutdown").returncode == 0
    assert flag.exists()
    flag.unlink()
    lab.start()
    pid = lab.pid
    assert lab.upsdrvctl("shutdown").returncode == 0
    assert flag.exists()
    wait(lambda: not alive(pid), what="the driver ends after killpower")


def test_k_says_plainly_when_the_device_has_no_switch(labs: Callable[..., Lab]) -> None:
    lab = labs({"backend": "noswitch:NoSwitch"}, environ={"PYTHONPATH": str(REPO / "tests" / "integration")})
    done = lab.driver("-a", "ups", "-k")
    assert done.returncode == 1
    assert "shutdown not supported" in done.stderr
    lab.start()
    assert lab.driver("-a", "ups", "-k").returncode == 1
    assert alive(lab.pid), "a killpower that did nothing leaves the driver at work"


def test_sd_notify_ready_status_reload_watchdog_and_stop(labs: Callable[..., Lab]) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(0.1)
        lab = labs(environ={"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "3000000"})
        said: list[str] = []

        def heard(text: str) -> bool:
            try:
                while True:
                    said.append(systemd.recv(4096).decode())
            except TimeoutError:
                return any(text in message for message in said)

        process = lab.foreground("-a", "ups", "-FF")
        wait(lambda: heard(f"READY=1\nMAINPID={process.pid}\nMONOTONIC_USEC="))
        wait(lambda: heard("WATCHDOG=1"))
        assert any("STATUS=OL 87 %" in message for message in said)
        process.send_signal(signal.SIGHUP)
        wait(lambda: heard("RELOADING=1\nMONOTONIC_USEC="))
        reload_at = next(n for n, message in enumerate(said) if "RELOADING" in message)
        wait(lambda: heard("READY=1") and any("READY=1" in message for message in said[reload_at + 1 :]))
        lab.say(grid="down")
        wait(lambda: heard("STATUS=OB 87 %"), timeout=15)
        process.terminate()
        assert process.wait(10) == 0
        wait(lambda: heard("STOPPING=1"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
def test_root_is_given_up_for_nuts_user_and_the_socket_gets_the_group() -> None:
    """With all code where that user can read it, as a package has it."""
    try:
        account = pwd.getpwnam("nut")
    except KeyError:
        pytest.skip("no user nut")
    home = Path(tempfile.mkdtemp(prefix="nutdrv-"))
    try:
        home.chmod(0o755)
        site = home / "site"
        packages = next(Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages")))
        wanted = ("httpx", "httpcore", "h11", "anyio", "idna", "certifi", "sniffio", "construct", "yaml", "exceptiongroup")
        site.mkdir()
        for name in (*wanted, "typing_extensions.py"):
            if (packages / name).is_dir():
                shutil.copytree(packages / name, site / name)
            elif (packages / name).exists():
                shutil.copy(packages / name, site)
        shutil.copytree(REPO / "nutdrv_py", site / "nutdrv_py", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPO / "tests" / "integration" / "plain.py", site)
        (home / "device").write_text("grid=up\nsoc=50\n")
        (home / "etc").mkdir()
        (home / "etc" / "ups.conf").write_text(f"[ups]\ndriver = nutdrv_py\nport = {home}/device\nbackend = plain:Plain\ngroup = nut\n")
        run = home / "run"
        run.mkdir()
        os.chown(run, 0, account.pw_gid)
        run.chmod(0o770)
        launcher = home / "nutdrv_py"
        python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
        launcher.write_text(f"#!{python}\nimport sys\nfrom nutdrv_py.cli import main\nsys.exit(main())\n")
        launcher.chmod(0o755)
        environ = {
            **os.environ, "PYTHONPATH": str(site), "NUT_CONFPATH": str(home / "etc"), "NUT_STATEPATH": str(run), "NUT_ALTPIDPATH": str(run),
        }  # fmt: skip
        subprocess.run(["chmod", "-R", "a+rX", str(site)], check=True)
        done = subprocess.run([launcher, "-a", "ups"], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        pid = int((run / "nutdrv_py-ups.pid").read_text())
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{account.pw_uid}\t{account.pw_uid}\t{account.pw_uid}" in status
            assert f"Gid:\t{account.pw_gid}\t{account.pw_gid}\t{account.pw_gid}" in status
            found = (run / "nutdrv_py-ups").stat()
            assert (found.st_uid, found.st_gid) == (account.pw_uid, account.pw_gid)
            assert stat.S_IMODE(found.st_mode) == 0o660
        finally:
            os.kill(pid, signal.SIGTERM)
        wait(lambda: not alive(pid))
        wait(lambda: not (run / "nutdrv_py-ups").exists())
        # A directory that this user may not write to is named before anything is started.
        run.chmod(0o755)
        done = subprocess.run([launcher, "-a", "ups"], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "is not writable" in done.stderr
    finally:
        shutil.rmtree(home)
