# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py simulate enphase`` as README shows it: what it prints, put into ups.conf, starts a driver."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Watched, wait

INTERPRETER = Path(sys.executable)


def _users() -> list[str]:
    """Whom a driver can be run as here: root itself, and NUT's user where it may read this place."""
    if os.geteuid() != 0:
        return [pwd.getpwuid(os.geteuid()).pw_name]
    words = ["setpriv", "--reuid=nut", "--regid=nut", "--clear-groups", str(INTERPRETER), "-c", "import nutdrv_py"]
    with contextlib.suppress(OSError):
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return ["nut", "root"]
    return ["root"]


@contextlib.contextmanager
def _simulated(folder: str) -> Iterator[str]:
    """Run the simulator as a person does; yield the section that it prints."""
    command = [str(INTERPRETER), "-m", "nutdrv_py", "simulate", "enphase"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder})
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            if line.startswith("# Running"):
                break
            lines.append(line)
        yield "".join(line for line in lines if not line.startswith("#"))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("user", _users())
def test_the_section_that_is_printed_starts_a_driver_that_keeps_its_token(user: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sim-") as folder:
        os.chmod(folder, 0o755)
        with _simulated(folder) as section:
            stage = Watched({"driver": "nutdrv_py", "port": "x"}, ups="enphase-sim")
            try:
                conf = stage.folder / "etc" / "ups.conf"
                root = os.geteuid() == 0
                conf.write_text(f"driverpath = {stage.folder}/bin\n" + f"user = {user}\n" * root + section)
                if root:
                    group = pwd.getpwnam(user).pw_gid
                    for path in (stage.folder, *stage.folder.iterdir(), *(stage.folder / "etc").iterdir()):
                        os.chown(path, 0, group)
                        path.chmod(0o770 if path.is_dir() else 0o640)
                stage.start()
                stage.upsd()
                wait(lambda: stage.status().startswith("OL"), 30, "ups.status OL")
                token = Path(next(line.split()[2] for line in section.splitlines() if line.strip().startswith("tokenfile")))
                wait(token.exists, 10, "a token that is kept")
                assert token.owner() == user
                assert token.stat().st_mode & 0o077 == 0
                secret = token.parent.parent / "credentials"
                assert secret.stat().st_mode & 0o007 == 0
                assert token.parent.parent.stat().st_mode & 0o007 == 0
            finally:
                stage.close()
        assert not list(Path(folder).iterdir()), "nothing is left behind"
