# SPDX-License-Identifier: GPL-2.0-or-later
"""The completion in a real bash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def complete(script: Path, words: str, conf: Path) -> list[str]:
    """What bash offers for the last of ``words``; an empty one is written as ``''``."""
    program = f"""
        source {script}
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        $(complete -p nutdrv_py | sed 's/.*-F \\([^ ]*\\).*/\\1/') nutdrv_py
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-u", "-c", program], env={"PATH": "/usr/bin:/bin", "NUT_CONFPATH": str(conf)},
        capture_output=True, text=True, timeout=30, check=False, cwd=conf,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "ups.conf").write_text("user = nut\n[home]\n  driver = nutdrv_py\n  [barn]\n# [not]\n")
    (tmp_path / "exporters.yml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("nutdrv_py sim", ["simulate"]),
        ("nutdrv_py simulate ''", ["enphase", "rct"]),
        ("nutdrv_py simulate rct --sc", ["--scenario"]),
        ("nutdrv_py demo --backend r", ["rct"]),
        ("nutdrv_py backends re", ["repeater", "replay"]),
        ("nutdrv_py backends vic", ["victron-gx"]),
        ("nutdrv_py new", ["new-device", "new-backend"]),
        ("nutdrv_py install --rem", ["--remove"]),
        ("nutdrv_py -a ''", ["home", "barn"]),
        ("nutdrv_py portfile b", ["barn"]),
        ("nutdrv_py -a home -c reload-or-e", ["reload-or-error", "reload-or-exit"]),
        ("nutdrv_py -s x -x nominal_p", ["nominal_power="]),
        ("nutdrv_py -s x -x disable", ["disable_meters"]),
        ("nutdrv_py -s x -x passw", []),
        ("nutdrv_py portfile -c exp", ["exporters.yml"]),
        ("nutdrv_py nothing ''", []),
    ],
)
def test_bash_offers(words: str, wanted: list[str], completion: Path, conf: Path) -> None:
    assert complete(completion, words, conf) == wanted


def test_every_letter_of_the_driver_is_offered(completion: Path, conf: Path) -> None:
    from nutdrv_py.process.options import OPTIONS

    assert set(complete(completion, "nutdrv_py -", conf)) == {f"-{letter}" for letter, _, _ in OPTIONS} | {"--help", "--version"}
