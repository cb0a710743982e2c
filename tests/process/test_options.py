# SPDX-License-Identifier: GPL-2.0-or-later
"""A NUT driver's command line."""

from __future__ import annotations

import pytest

from nutdrv_py.errors import ConfigError
from nutdrv_py.process.options import parse, usage
from nutdrv_py.process.upsconf import Entry


def test_clusters_and_glued_values_are_read() -> None:
    args = parse(["-DDFFa", "home", "-xport=x", "-u", "nut"], "drv")
    assert (args.debug, args.foreground, args.ups, args.user) == (2, 2, "home", "nut")
    assert args.after == [Entry("port", "x", "-x port")]


def test_x_before_the_section_is_kept_apart_from_x_after_it() -> None:
    args = parse(["-x", "port=1", "-a", "u", "-x", "port=2", "-x", "flag", "-i", "7"], "drv")
    assert args.before == [Entry("port", "1", "-x port")]
    assert args.after == [Entry("port", "2", "-x port"), Entry("flag", None, "-x flag"), Entry("pollinterval", "7", "-i")]


def test_a_value_with_equals_signs_is_kept_whole() -> None:
    assert parse(["-a", "u", "-x", "url=https://h/?a=b"], "drv").after[0].value == "https://h/?a=b"


@pytest.mark.parametrize(
    ("argv", "foreground", "save_pid"),
    [
        (["-a", "u"], False, True),
        (["-a", "u", "-F"], True, False),
        (["-a", "u", "-FF"], True, True),
        (["-a", "u", "-D"], True, False),
        (["-a", "u", "-D", "-B"], False, True),
        (["-a", "u", "-d", "2"], True, False),
        (["-a", "u", "-d", "0"], False, True),
    ],
)
def test_who_stays_in_the_foreground_and_who_saves_a_pid_file(argv: list[str], foreground: bool, save_pid: bool) -> None:
    args = parse(argv, "drv")
    assert (args.in_foreground, args.save_pid) == (foreground, save_pid)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["-Z"], "drv: invalid option -- 'Z'\nError: unknown option -?. Try -h for help."),
        (["-a"], "option requires an argument"),
        (["-a", "x", "more"], "Error: too many non-option arguments. Try -h for help."),
        (["-a", "x", "-s", "y"], "mutually exclusive and single-use only"),
        (["-a", "x", "-a", "y"], "mutually exclusive and single-use only"),
        (["-i", "0"], "Error: command-line: invalid pollinterval: 0"),
        (["-i", "x"], "Error: command-line: invalid pollinterval: x"),
        (["-c", "nonsense"], "unknown argument to option -c"),
        (["-c", ""], "unknown argument to option -c"),
        (["-P", "1"], "not a process id"),
        (["-d", "x"], "option -d needs a number"),
        (["-r", "/tmp"], "chroot"),
    ],
)
def test_a_wrong_command_line_gets_nuts_sentence(argv: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv, "drv")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("word", "command"),
    [("reload", "reload-or-error"), ("r", "reload-or-error"), ("e", "exit"), ("reload-or-ex", "reload-or-exit")],
)
def test_c_takes_a_prefix_in_main_cs_order(word: str, command: str) -> None:
    assert parse(["-a", "u", "-c", word], "drv").command == command


def test_the_environment_sets_the_level_but_not_the_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUT_DEBUG_LEVEL", "3")
    args = parse(["-a", "u"], "drv")
    assert (args.debug_level, args.in_foreground) == (3, False)
    assert parse(["-a", "u", "-D"], "drv").debug_level == 1


def test_the_usage_lists_every_option_that_is_taken() -> None:
    text = usage("nutdrv_py")
    for letter in "VLasicPDdqhkFBrugx":
        assert f"  -{letter}" in text
