# SPDX-License-Identifier: GPL-2.0-or-later
"""Page, -L, example and `backends` name the same options."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nutdrv_py.cli import main
from nutdrv_py.core.settings import backend_options
from nutdrv_py.device.backend import Config
from nutdrv_py.process.options import OPTIONS
from nutdrv_py.process.upsconf import CORE
from tests.conftest import REPO
from tests.test_documents import SECTIONS

EXAMPLE = (REPO / "ups.conf.example").read_text()
BACKENDS = {"home": "enphase", "rct": "rct", "file": "dummy", "mirror": "repeater", "played": "replay", "described": "mapping"}
COMMON = set(backend_options(Config))


def _chapter(page: str, title: str) -> str:
    found = re.search(rf'^\.S[SH] "?{re.escape(title)}"?$\n(.*?)(?=^\.S[SH] )', page, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def _options(chapter: str) -> set[str]:
    """The names that stand as tags of paragraphs."""
    return {name.replace("\\-", "-") for name in re.findall(r"^\.TP\n\\fB([^\\]+)\\fR(?: = \S+)?$", chapter, re.MULTILINE)}


def _listed(capsys: pytest.CaptureFixture[str], backend: str) -> set[str]:
    """What -L says, without the core's own."""
    assert main(["nutdrv_py", "-L", "-x", f"backend={backend}"]) == 0
    text = capsys.readouterr().out.partition(f"# backend = {backend}\n")[2]
    return set(re.findall(r"^(?:VALUE|FLAG) (\S+) ", text, re.MULTILINE))


@pytest.mark.parametrize("section", BACKENDS)
def test_page_list_example_and_backends_command_name_the_same_options(section: str, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    backend = BACKENDS[section]
    options = backend_options(SECTIONS[section])
    assert _options(_chapter(page, f"backend = {backend}")) | COMMON == set(options)
    secrets = {name for name, settled in options.items() if settled.sensitive}
    assert _listed(capsys, backend) == set(options) - secrets
    assert main(["nutdrv_py", "backends", backend]) == 0
    assert set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)) == set(options)
    text = re.split(r"^\[|^# ----", EXAMPLE.split(f"[{section}]")[1], flags=re.MULTILINE)[0]
    shown = set(re.findall(r"^    (?:# )?(\w+)(?:\s*=|\s+#|$)", text, re.MULTILINE))
    assert shown - {row.name for row in CORE} == set(options) - {"pollinterval"}


def test_the_page_names_the_options_of_the_core_and_of_the_command_line(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", "-L"]) == 0
    listed = set(re.findall(r"^(?:VALUE|FLAG) (\S+) ", capsys.readouterr().out.partition("# backend")[0], re.MULTILINE))
    assert _options(_chapter(page, "Of every section")) == listed - {"chroot"}
    letters = re.findall(r"^\\fB\\-(\w)\\fR", _chapter(page, "COMMAND LINE"), re.MULTILINE)
    assert letters == [letter for letter, _, _ in OPTIONS]


def test_a_default_in_the_page_is_the_codes(page: str) -> None:
    text = _chapter(page, "backend = enphase")
    assert re.search(r"\\fBmaxage\\fR = \\fIvalue\\fR\n.*\nDefault: 120\.", text)
    assert re.search(r"\\fBmaxage\\fR = \\fIvalue\\fR\n.*\nDefault: 60\.", _chapter(page, "backend = rct"))


def test_the_page_names_each_command_with_its_options(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _chapters_of_commands(page)
    with pytest.raises(SystemExit):
        main(["nutdrv_py", "--help"])
    names = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert names
    for name in names:
        with pytest.raises(SystemExit):
            main(["nutdrv_py", name, "--help"])
        wanted = set(re.findall(r"(?<![\w:-])--?[a-z][a-z-]*", capsys.readouterr().out.partition("options:")[2])) - {"-h", "--help"}
        chapter = re.search(rf"^\.SS nutdrv_py {name}\b.*\n((?:(?!\.S[SH]).*\n)*)", text, re.MULTILINE)
        assert chapter, name
        assert {word for word in wanted if word in chapter[1].replace("\\-", "-")} == wanted


def _chapters_of_commands(page: str) -> str:
    return page.partition(".SH COMMANDS\n")[2].partition(".SH INSTANT COMMANDS")[0]


def test_the_page_has_nuts_own_layout(page: str) -> None:
    titles = re.findall(r'^\.SH "?(.*?)"?$', page, re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "NOTE", "SUPPORTED HARDWARE", "EXTRA ARGUMENTS", "INSTANT COMMANDS", "INSTALLATION", "AUTHOR", "SEE ALSO"]
    assert [title for title in titles if title in wanted] == wanted
    assert re.search(r"^\.SH NAME\nnutdrv_py \\- \S", page, re.MULTILINE)


@pytest.mark.parametrize("command", [["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"], ["mandoc", "-T", "lint", "-W", "warning"]])
def test_the_page_is_set_without_a_warning(command: list[str], page: str, tmp_path: Path) -> None:
    if shutil.which(command[0]) is None or (command[0] == "man" and shutil.which("groff") is None):
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / "nutdrv_py.8"
    path.write_text(page)
    done = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout if command[0] == "mandoc" else done.stderr
    assert said.strip() == ""
    assert done.returncode == 0
