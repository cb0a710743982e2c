# SPDX-License-Identifier: GPL-2.0-or-later
"""ups.conf as NUT parses it, and every mistake with its sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.settings import Settings
from nutdrv_py.errors import ConfigError
from nutdrv_py.process.loading import load
from nutdrv_py.process.upsconf import Entry, read_ups_conf

BASE = "[home]\n driver = nutdrv_py\n port = /dev/null\n backend = plain:Plain\n"


def _load(tmp_path: Path, text: str, ups: str = "home", *, mode: int = 0o640, **more: object) -> Settings:
    path = tmp_path / "ups.conf"
    path.write_text(text)
    path.chmod(mode)
    return load(ups, "nutdrv_py", conf=read_ups_conf(path, ups), environ={}, **more)  # type: ignore[arg-type]


def _refused(tmp_path: Path, text: str, **more: object) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text, **more)  # type: ignore[arg-type]
    return str(caught.value)


def test_the_section_wins_over_the_global_line_and_the_last_line_wins(tmp_path: Path) -> None:
    settings = _load(tmp_path, "pollinterval = 9\nuser = a\n" + BASE + " pollinterval = 5\n pollinterval = 4\n")
    assert settings.config.pollinterval == 4
    assert settings.user == "a"
    assert _load(tmp_path, "pollinterval = 9\n" + BASE).config.pollinterval == 9


def test_x_after_the_section_wins_and_x_before_it_loses(tmp_path: Path) -> None:
    text = BASE + "pollfreq = 30\n"
    assert _load(tmp_path, text, arguments=[Entry("pollfreq", "20", "-x pollfreq")]).config.pollfreq == 20
    assert _load(tmp_path, text, before=[Entry("pollfreq", "20", "-x pollfreq")]).config.pollfreq == 30


@pytest.mark.parametrize(
    "line",
    [
        "maxstartdelay = 60", "maxretry = 3", "retrydelay = 5", "sdorder = 1", "sddelay = 3", "nowait", "LIBUSB_DEBUG = 3",
        "nolock", 'desc = "a b"', "synchronous = yes", "group = nut", "ignorelb", "allow_killpower", "debug_min = 2",
        'sdcommands = "load.off, shutdown.default"', "reconnect_max_tries = 3",
    ],
)  # fmt: skip
def test_every_key_that_nut_knows_in_a_section_is_accepted(tmp_path: Path, line: str) -> None:
    _load(tmp_path, BASE + line + "\n")


def test_unknown_global_lines_are_other_programs_business(tmp_path: Path) -> None:
    _load(tmp_path, "driverpath = /x\nsomething = else\nmaxstartdelay = 5\nchroot_x\n" + BASE)


def test_shapes_of_lines_are_nuts(tmp_path: Path) -> None:
    """A blank inside the brackets is no header, a missing = is no setting, only one word is a value."""
    settings = _load(tmp_path, BASE + " [ other ]\n desc = a b\n foo bar\n foo =\n ignorelb # comment\n maxage = 33")
    assert settings.config.maxage == 33
    assert settings.ignorelb
    assert any("ups.conf:6" in note for note in settings.notes)
    assert any("ups.conf:7" in note for note in settings.notes)


def test_defaults_and_overrides_are_collected_and_published(tmp_path: Path) -> None:
    settings = _load(tmp_path, BASE + ' override.battery.charge.low = 30\n default.ups.id = "x y"\n')
    assert settings.overrides == {"battery.charge.low": "30"}
    assert settings.defaults == {"ups.id": "x y"}
    assert settings.config.overrides == {"battery.charge.low": "30"}
    assert settings.parameters["driver.parameter.override.battery.charge.low"] == "30"
    assert settings.parameters["driver.parameter.default.ups.id"] == "x y"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BASE + " pollintervall = 3\n", "Did you mean 'pollinterval'?"),
        (BASE + " ignorelbb\n", "Did you mean 'ignorelb'?"),
        (BASE + " xyzzy = 3\n", "-L -x backend="),
        (BASE + " xyzzy = 3\n", "ups.conf:5"),
        (BASE + " Port = x\n", "Did you mean 'port'?"),
        (BASE + " maxage = soon\n", "maxage = 'soon' is not a whole number"),
        (BASE + " maxage\n", "maxage needs a value"),
        (BASE + " factor = nan\n", "not a number"),
        (BASE + " pollinterval = 0\n", "invalid pollinterval: 0"),
        (BASE + " chroot = /x\n", "chroot"),
        (BASE + " statepath = /x\n", "above the first [section]"),
        (BASE + " ignorelb = perhaps\n", "is a flag"),
        (BASE + ' desc = "a # b\n', "Parse error"),
        ("[home]\n driver = dummy-ups\n port = x\n backend = plain:Plain\n", "is for driver dummy-ups, but I'm nutdrv_py!"),
        ("[home]\n driver = nutdrv_py\n backend = plain:Plain\n", "you must specify a port name"),
        ("[home]\n driver = nutdrv_py\n port = x\n", "write backend = one of: "),
        ("[home]\n driver = nutdrv_py\n port = x\n backend = nothing\n", "there is no backend 'nothing'"),
        ("[home]\n driver = nutdrv_py\n port = x\n backend = no_such_module:X\n", "cannot be imported"),
        ("[home]\n driver = nutdrv_py\n port = x\n backend = plain:Nothing\n", "has no Nothing"),
        ("[home]\n driver = nutdrv_py\n port = x\n backend = pathlib:Path\n", "is not a nutdrv_py.Backend"),
        ("[other]\n driver = nutdrv_py\n", "Section home not found"),
        ("[HOME]\n driver = nutdrv_py\n", "Section home not found"),
    ],
)
def test_a_mistake_gets_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in _refused(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Can't open .*ups\.conf: No such file"):
        read_ups_conf(tmp_path / "ups.conf", "home")


def test_a_broken_line_in_another_section_does_not_stop_this_one(tmp_path: Path) -> None:
    _load(tmp_path, '[other]\n desc = "a # b"\n' + BASE)


def test_a_secret_in_a_file_that_everybody_may_read_stops_the_start(tmp_path: Path) -> None:
    sentence = _refused(tmp_path, BASE + " password = geheim\n", mode=0o644)
    assert "chmod o-rwx" in sentence
    assert "geheim" not in sentence


def test_a_secret_on_the_command_line_is_refused(tmp_path: Path) -> None:
    sentence = _refused(tmp_path, BASE, arguments=[Entry("password", "geheim", "-x password")])
    assert "process list" in sentence
    assert "geheim" not in sentence


def test_secrets_are_not_published(tmp_path: Path) -> None:
    settings = _load(tmp_path, BASE + " password = geheim\n factor = 2\n")
    assert "geheim" not in str(settings.parameters)
    assert settings.parameters["driver.parameter.factor"] == "2.0"


def test_a_value_below_the_minimum_is_raised_and_said(tmp_path: Path) -> None:
    settings = _load(tmp_path, BASE + " pollfreq = 0\n")
    assert settings.config.pollfreq == 1
    assert any("raised to 1" in note for note in settings.notes)


def test_data_of_a_healthy_device_must_not_go_stale_between_two_polls(tmp_path: Path) -> None:
    settings = _load(tmp_path, BASE + " pollinterval = 30\n maxage = 20\n")
    assert settings.config.maxage == 60
    assert any("raised to 60" in note for note in settings.notes)


def test_an_override_that_would_hide_outages_is_refused(tmp_path: Path) -> None:
    assert "hide outages" in _refused(tmp_path, BASE + " override.ups.status = OL\n")


def test_the_launchers_name_presets_the_backend(tmp_path: Path) -> None:
    path = tmp_path / "ups.conf"
    path.write_text("[home]\n driver = nutdrv_py_nothing\n port = x\n")
    with pytest.raises(ConfigError, match="there is no backend 'nothing'"):
        load("home", "nutdrv_py_nothing", conf=read_ups_conf(path, "home"), environ={})


def test_allow_killpower_no_means_no(tmp_path: Path) -> None:
    """A C driver looks only at the presence; a battery must not be cut off because somebody wrote "no"."""
    assert _load(tmp_path, BASE + " allow_killpower\n").allow_killpower
    assert not _load(tmp_path, BASE + " allow_killpower = no\n").allow_killpower


def test_statepath_comes_from_the_environment_then_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ups.conf"
    path.write_text("STATEPATH = /from/file\n" + BASE)
    conf = read_ups_conf(path, "home")
    assert str(load("home", "nutdrv_py", conf=conf, environ={}).paths.statepath) == "/from/file"
    assert str(load("home", "nutdrv_py", conf=conf, environ={"NUT_STATEPATH": "/env"}).paths.statepath) == "/env"


def test_what_a_reload_cannot_change_is_named(tmp_path: Path) -> None:
    old = _load(tmp_path, BASE)
    assert old.unchangeable(_load(tmp_path, BASE + " maxage = 99\n ignorelb\n")) == []
    changed = _load(tmp_path, BASE.replace("/dev/null", "/dev/zero") + "user = x\n")
    assert old.unchangeable(changed) == ["user", "port"]
    assert old.unchangeable(dataclasses.replace(old, group="x")) == ["group"]


@given(st.binary(max_size=300))
def test_any_file_gives_settings_or_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "ups.conf"
    path.write_bytes(BASE.encode() + data)
    try:
        load("home", "nutdrv_py", conf=read_ups_conf(path, "home"), environ={})
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize(
    "line",
    ["lowbatt = 250", "override.battery.charge.low = 101", "override.battery.charge.low = -1", "default.battery.charge.low = low",
     "override.Battery.Charge.Low = nan", "default.battery.runtime.low = -5", "override.battery.runtime.low = soon"],
)  # fmt: skip
def test_a_low_mark_that_would_be_low_always_or_never_stops_the_start(tmp_path: Path, line: str) -> None:
    assert "is not a" in _refused(tmp_path, BASE + line + "\n")


@pytest.mark.parametrize("line", ["lowbatt = 100", "override.battery.charge.low = 0", "default.battery.runtime.low = 300.5"])
def test_a_low_mark_within_its_range_is_taken(tmp_path: Path, line: str) -> None:
    _load(tmp_path, BASE + line + "\n")
