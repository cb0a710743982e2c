# SPDX-License-Identifier: GPL-2.0-or-later
"""Chroots of Debian releases: made once, copied for each use, entered in namespaces that end with what runs in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["REPO", "SYSTEM", "WORK", "base", "booted", "copy", "inside", "must", "remove", "sh", "tools"]

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
WORK = REPO / "build" / "matrix"
MIRROR = os.environ.get("MIRROR", "http://deb.debian.org/debian")

SYSTEM = "systemd systemd-sysv dbus procps openssl curl"
"""What a real system has and debootstrap's smallest variant has not."""

TESTS = (
    "python3-venv python3-pytest python3-pytest-timeout python3-pytest-xdist python3-freezegun python3-hypothesis "
    "python3-prometheus-client python3-paho-mqtt python3-httpx python3-construct python3-yaml python3-dateutil python3-certifi "
    "python3-urllib3 mosquitto mosquitto-clients nut-server"
)
"""The packages of the tests, in the release's own versions."""

PIP = "pynut2 rctclient influxdb-client reactivex typing-extensions aionut 'standard-telnetlib; python_version >= \"3.13\"'"
"""What the tests need and Debian has not, or not in each release; what these need in turn comes from Debian."""

BOOT = 30.0
"""Seconds that systemd may take to begin in a chroot."""


def sh(command: Sequence[str | Path], log: Path, **more: object) -> int:
    """Run a command with its output in a log; its exit code."""
    with log.open("ab") as file:
        return subprocess.run(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=False, **more).returncode  # type: ignore[call-overload, no-any-return]


def must(command: Sequence[str | Path], log: Path) -> None:
    """Run a command that has to succeed."""
    if sh(command, log):
        raise SystemExit(f"failed: {' '.join(map(str, command))[:200]}; see {log}")


def inside(root: Path, script: str, *, binds: Sequence[Path] = ()) -> list[str | Path]:
    """The command that runs ``script`` in a chroot, in namespaces of its own; all that it started ends with it.

    ``binds`` are folders of this machine that are to be seen there under the same names.
    """
    # Bound to itself it is a mount like any root, in which a test can have namespaces of its own.
    prepare = (
        'mount --make-rprivate / && mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
        'mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm" && mount -t tmpfs -o mode=1777 tmpfs "$0/tmp" && script=$1 && shift && '
        'for folder; do mount --bind "$folder" "$0$folder" || exit; done && exec chroot "$0" bash -c "$script"'
    )
    shield = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    return [*shield, "sh", "-c", prepare, root, script, *binds]


def copy(source: Path, target: Path) -> None:
    """A fresh copy of a chroot."""
    remove(target)
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def remove(root: Path) -> None:
    """Take a chroot away, but never through a mount."""
    if any(line.split()[1].startswith(f"{root}/") for line in Path("/proc/mounts").read_text().splitlines()):
        raise SystemExit(f"something is mounted below {root}; unmount it first")
    shutil.rmtree(root, ignore_errors=True)


def base(release: str, log: Path) -> Path:
    """The smallest system of a release, with this machine's way to packages; made once."""
    root = WORK / release / "base"
    if (root / ".made").exists():
        return root
    remove(root)
    scripts = Path("/usr/share/debootstrap/scripts")
    script = scripts / release if (scripts / release).exists() else scripts / "sid"
    must(["debootstrap", "--variant=minbase", "--include=ca-certificates", release, root, MIRROR, script], log)
    for pattern in ("/etc/apt/apt.conf.d/*", "/etc/apt/auth.conf.d/*"):
        for file in Path("/").glob(pattern[1:]):
            # Documentation stays, as on a system that was installed; proxies and certificates are this machine's.
            if file.name not in ("docker-clean", "docker-no-languages"):
                shutil.copy(file, root / file.parent.relative_to("/"), follow_symlinks=True)
    shutil.copy("/etc/resolv.conf", root / "etc")
    # The installer writes it on a real system; without it NUT's clients look for "localhost" for ever.
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n", encoding="ascii")
    # A proxy may speak TLS with a certificate that only this machine trusts.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\n[ -d /run/systemd/system ] || exit 101\n", encoding="ascii")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    (root / ".made").touch()
    return root


def pip_settings() -> tuple[dict[str, str], list[Path]]:
    """How pip is set up on this machine, as environment, and the folders that it names: a mirror, a proxy, wheels."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^[\w:-]+\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    environment = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in found if name != "cert"}
    words = {word for value in environment.values() for word in value.split()}
    # An index in files may point beside itself.
    folders = {Path(word.removeprefix("file://")).parent if word.startswith("file:///") else Path(word) for word in words}
    return environment, sorted(folder for folder in folders if folder.is_absolute() and folder.is_dir())


def tools(release: str, log: Path) -> Path:
    """The base with systemd and the packages of the tests; made once."""
    root = WORK / release / "tools"
    if (root / ".tools").exists():
        return root
    copy(base(release, log), root)
    apt = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {SYSTEM} {TESTS}"
    must(inside(root, f"export DEBIAN_FRONTEND=noninteractive; {apt}"), log)
    environment, folders = pip_settings()
    for folder in folders:
        (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
    # For the system's Python, which runs the packaged driver; the environment is only there for its pip.
    place = "/usr/local/lib/$(python3 -c 'import sys; print(\"python%d.%d\" % sys.version_info[:2])')/dist-packages"
    pip = f'python3 -m venv /opt/pip && /opt/pip/bin/pip install -q --no-deps --target "{place}" {PIP} && rm -rf /opt/pip'
    if sh(inside(root, pip, binds=folders), log, env={**os.environ, **environment}):
        raise SystemExit(f"pip failed in {root}; see {log}")
    (root / ".tools").touch()
    return root


def _init(pid: int) -> int | None:
    """The process id of the systemd that ``unshare`` has started, when it answers."""
    try:
        init = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0]
        ready = Path(f"/proc/{init}/comm").read_text(encoding="ascii") == "systemd\n"
    except (OSError, IndexError):
        return None
    ask = ["nsenter", "-t", init, "-a", "systemctl", "list-units"]
    return int(init) if ready and subprocess.run(ask, capture_output=True, check=False).returncode == 0 else None


@contextlib.contextmanager
def booted(root: Path, log: Path) -> Iterator[int]:
    """The process id of a systemd that runs in the chroot. Raises TimeoutError when it does not begin."""
    with log.open("ab") as file:
        boot = subprocess.Popen([HERE / "boot", root], stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + BOOT
        while (init := _init(boot.pid)) is None:
            if time.monotonic() > deadline or boot.poll() is not None:
                raise TimeoutError
            time.sleep(0.3)
        yield init
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(boot.pid, signal.SIGKILL)
        boot.wait()
        _tidy(boot.pid)


def _tidy(pid: int) -> None:
    """Remove the cgroups of a boot; its processes are gone, or about to be."""
    find = 'find "$tree/nutdrv_py-matrix.$0" -depth -type d -exec rmdir {} +'
    script = f'tree=$(mktemp -d) && mount -t cgroup2 none "$tree" && {find}'
    for _ in range(20):
        if not subprocess.run(["unshare", "--mount", "sh", "-c", script, str(pid)], capture_output=True, check=False).returncode:
            return
        time.sleep(0.2)
