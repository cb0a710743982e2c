# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration written for a shell is read as a shell reads it, and nothing in it is ever run."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.assignments import read_assignments

KNOWN = {"NUT_SYSCONFIG": "/etc/nut", "NUT_LOCALSTATE": "/var/lib/nut", "UPS": "home"}

LINES = [
    ("A=1", {"A": "1"}),
    ("  A=1  ", {"A": "1"}),
    ("A=", {"A": ""}),
    ("A=''", {"A": ""}),
    ('A="two words"', {"A": "two words"}),
    ("A='two words'", {"A": "two words"}),
    ("A=one' 'word", {"A": "one word"}),
    (r"A=one\ word", {"A": "one word"}),
    ("A=1 # a comment", {"A": "1"}),
    ("A=1#nocomment", {"A": "1#nocomment"}),
    ("A='#1'", {"A": "#1"}),
    ("# A=1", {}),
    ("", {}),
    ("\t", {}),
    ("A=1\nA=2", {"A": "2"}),
    ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ('A="$NUT_SYSCONFIG/x"', {"A": "/etc/nut/x"}),
    ("A=$NUT_SYSCONFIG/x", {"A": "/etc/nut/x"}),
    ("A=${NUT_LOCALSTATE}x", {"A": "/var/lib/nutx"}),
    ("A='$NUT_SYSCONFIG'", {"A": "$NUT_SYSCONFIG"}),
    (r'A="\$NUT_SYSCONFIG \" \\ \`"', {"A": '$NUT_SYSCONFIG " \\ `'}),
    (r'A="\a"', {"A": r"\a"}),
    ("A=1\nB=$A$A", {"A": "1", "B": "11"}),
    ("A=a=b", {"A": "a=b"}),
    ("A='p$s`w;d|&<>()'", {"A": "p$s`w;d|&<>()"}),
    ('A="a;b|c&d<e>f(g)h"', {"A": "a;b|c&d<e>f(g)h"}),
    ("A=100%", {"A": "100%"}),
    ("A=a*b?c[d]", {"A": "a*b?c[d]"}),
    ("A=cost$", {"A": "cost$"}),
    ('A="$ 5"', {"A": "$ 5"}),
    ("A=Käthe", {"A": "Käthe"}),
    ("A=1;", {"A": "1"}),
    ("A=1; B=2;C=3", {"A": "1", "B": "2", "C": "3"}),
    ("A=1 B=2 # both", {"A": "1", "B": "2"}),
    ("export A=1", {"A": "1"}),
    ("export A=1 B='2 3'; C=4", {"A": "1", "B": "2 3", "C": "4"}),
    ("A=1\nexport A", {"A": "1"}),
    ("A='two\nlines'", {"A": "two\nlines"}),
    ('A="two\n$UPS lines"\nB=2', {"A": "two\nhome lines", "B": "2"}),
    ("A=one\\\nB=1", {"A": "oneB=1"}),
    ("A=1 \\\n B=2", {"A": "1", "B": "2"}),
    ('A="x\\\ny"', {"A": "xy"}),
    ("A=$UNSET", {"A": ""}),
    ("A=${UNSET:-/x y}", {"A": "/x y"}),
    ("A=${UNSET-x}", {"A": "x"}),
    ("A=${UPS:-x}${UPS-y}", {"A": "homehome"}),
    ("E=\nA=${E:-x}${E-y}", {"E": "", "A": "x"}),
    ("A=${UNSET:-${NONE:-'q}'\"$UPS\"}}", {"A": "q}home"}),
    ('A="${UNSET:-$UPS}/"', {"A": "home/"}),
    ("A=~x", {"A": "~x"}),
    ("A=x~", {"A": "x~"}),
]


@pytest.mark.parametrize(("text", "found"), LINES)
def test_values_are_what_a_shell_would_assign(text: str, found: dict[str, str]) -> None:
    assert read_assignments(text, "conf", KNOWN).values == found


@pytest.mark.parametrize(("text", "found"), [line for line in LINES if "\r" not in line[0]])
def test_the_table_agrees_with_bash(text: str, found: dict[str, str]) -> None:
    settings_ = "".join(f"{name}={shlex.quote(value)}\n" for name, value in KNOWN.items())
    show = "".join(f'printf "%s\\0" "${name}"\n' for name in found)
    done = subprocess.run(["bash", "-c", f"{settings_}{text}\n{show}"], capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.split("\0")[:-1] == list(found.values())


HOSTILE = [
    "touch {}", "A=1 touch {}", "A=$(touch {})", 'A="$(touch {})"', "A=`touch {}`", 'A="`touch {}`"', "A=1; touch {}", "A=1;touch {}",
    "A=1 && touch {}", "A=1&touch {}", "A=1 | touch {}", "A=1|touch {}", "A=x>{}", "A=x >{}", "f() {{ touch {}; }}", "A=(touch {})",
    "if true; then touch {}; fi", ". {}", "source {}", "eval touch {}", "A=${{B:-$(touch {})}}", "A=$((1+1)){}", "A=<(touch {})",
    "export A=1 {}", "A+=1{}", "A[0]=1{}", "A = {}", "A=$'\\x41'{}", 'A=$"x"{}', "A=~/{}", "A=$1{}", "A=$?{}", "A=$$ {}",
    "A='open {}", 'A="open {}', "[ -f {} ]", "A=1;; B={}", "; A={}", "A=${{B:-`touch {}`}}", "A=${{B:=x}}{}", "A=${{B/x/y}}{}", "readonly A={}", "trap 'touch {}' EXIT", "A=${{A}}x$(touch {})",
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE)
def test_what_a_shell_would_act_on_is_refused_with_its_line(line: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    victim = tmp_path_factory.mktemp("victim") / "made"
    text = "# first line\nB=1\n" + line.format(victim) + "\nC=2\n"
    with pytest.raises(ConfigError, match=r"conf:3: "):
        read_assignments(text, "conf", KNOWN)
    assert not victim.exists()


@given(st.text(max_size=80))
def test_any_text_gives_assignments_or_a_sentence(text: str) -> None:
    try:
        read_assignments(text, "conf", KNOWN)
    except ConfigError as error:
        assert str(error).startswith("conf:")


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_what_is_taken_as_data_bash_takes_as_the_same_data(value: str) -> None:
    quoted = shlex.quote(value)
    assert read_assignments(f"A={quoted}", "conf", KNOWN).values == {"A": value}


def test_what_a_windows_editor_leaves_is_no_part_of_a_value() -> None:
    assert read_assignments("\ufeffA=1\r\nB=2\r\n", "conf", {}).values == {"A": "1", "B": "2"}


def test_names_that_are_used_and_those_that_are_not_set_are_told_without_the_line() -> None:
    found = read_assignments('BASE=/x\nA=$BASE/y\nPASSWORD="ho$rse"\n', "conf", {})
    assert found.values["A"] == "/x/y"
    assert found.used == {"BASE", "rse"}
    assert found.notes == (
        "conf:3: the variable at column 13 is not set, so it is empty as it is to a shell; if the $ is meant, put the value into single quotes",
    )


def test_a_lenient_reader_passes_over_what_it_would_refuse() -> None:
    text = "A=1\n. /etc/x\nB='\n open\nC=$(x)\nD=4 e\nPORT_FILE=x\n"
    assert read_assignments(text, "conf", {}, lenient=True).values["PORT_FILE"] == "x"


@settings(max_examples=300, deadline=None)
@given(st.text("AB=12 '\"\\$;{}:-#\n~\t/", max_size=24).map(lambda text: f"A={text}\n#\n"))
def test_whatever_is_taken_at_all_bash_takes_in_the_same_way(text: str) -> None:
    try:
        found = read_assignments(text, "conf", {"HOME": "/home"})
    except ConfigError:
        return
    show = "".join(f'printf "%s\\0" "${name}"\n' for name in found.values)
    # What is taken holds no command, so that it can be given to a shell.
    done = subprocess.run(["/bin/bash", "-c", f"{text}{show}"], capture_output=True, text=True, check=False, env={"HOME": "/home", "PATH": ""})
    assert (done.stderr, done.stdout.split("\0")[:-1]) == ("", list(found.values.values()))
