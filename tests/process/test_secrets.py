# SPDX-License-Identifier: GPL-2.0-or-later
"""Wherever a password was put, in the right place or beside it, no sentence quotes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials
from nutdrv_py.errors import NutdrvError
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.machine.assignments import read_assignments
from nutdrv_py.process.loading import load
from nutdrv_py.process.options import parse
from nutdrv_py.process.upsconf import read_ups_conf

SECRET = "hunter2"

YAML = (
    "mqtt: {{enable: true, mqtt_host: x, auth_user: u, auth_pass: {}}}", "mqtt:\n  auth_pass: {}\n", "mqtt:\n  auth_pass:{}\n",
    "mqtt:\n  auth_pass {}\n", "mqtt: {}\n", "mqtt:\n  auth_pass: {}\n  auth_pass: {}\n", "{}\n",
    "mqtt:\n  auth_pass: [{}]\n", "mqtt:\n  mqtt_port: {}\n", "mqtt:\n  tls_enable: {}\n", "influxdb:\n  enable: true\n  url: {}\n",
    "influxdb:\n  enable: true\n  url: http://u:{}@x\n", "influxdb:\n  enable: true\n  url: u:{}@x\n", "influxdb:\n  token: {}\n  bogus: 1\n",
    "prometheus:\n  bind_port: {}\n", "device:\n  host: x\n  port: {}\n", "devices:\n- {{name: a, backend: b, port: {}, password: {}}}\n",
    "devices: {}\n", "logging: {}\n", "logging:\n  handlers:\n    a: {{class: {}}}\n",
    "logging:\n  handlers:\n    a: {{class: logging.handlers.SMTPHandler, credentials: {}}}\n",
)  # fmt: skip
FORMS = ("{}", "*{}", "!{}", "&{}", "%{}", "@{}", "`{}", "'{}", '"{}', "{{{}", "[{}", "{}: {}", "{} x", ">{}", "|{}", "? {}", "- {}", "!!python/{}", "#{}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line", YAML)
def test_of_the_exporters_file(line: str, form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if line == "{}\n" and form in ("{}: {}", "? {}"):
        pytest.skip("an unknown key is named: it is no value")
    value = form.replace("{}", SECRET).replace("{{", "{")
    path = tmp_path / "exporters.yml"
    path.write_text(line.replace("{{", "\0").replace("}}", "\1").replace("{}", value).replace("\0", "{").replace("\1", "}"))
    path.chmod(0o600)
    try:
        read_exports(path, {})
    except NutdrvError as error:
        assert SECRET not in str(error)
    assert SECRET not in caplog.text


SECTION = "[home]\n driver = nutdrv_py\n backend = repeater\n port = home@localhost\n username = u\n password = right\n"
LINES = (
    "password = {} x", "password = {}", "password {}", "password: {}", "password:{}", "password={}", "passwrd = {}", 'password = "{}', "password = '{}",
    "password = {}#{}", "port = u:{}@host", "port = https://u:{}@host", "serial = u:{}@host", "{} = x", "pollinterval = 1 {}", "override.x:{} = 1",
)  # fmt: skip


@pytest.mark.parametrize("backend", ["repeater", "enphase", "rct"])
@pytest.mark.parametrize("line", LINES)
def test_of_ups_conf(line: str, backend: str, tmp_path: Path) -> None:
    path = tmp_path / "ups.conf"
    section = SECTION if backend == "repeater" else f"[home]\n driver = nutdrv_py\n backend = {backend}\n port = host\n"
    path.write_text(section + line.replace("{}", SECRET) + "\n")
    path.chmod(0o600)
    said: list[str] = []
    try:
        loaded = load("home", "nutdrv_py", conf=read_ups_conf(path, "home"))
        said += loaded.notes
        said += [text for name, text in loaded.parameters.items() if "password" in name]
    except NutdrvError as error:
        said.append(str(error))
    # A name is not known to be a password: where it stands for one, the line is refused with nothing but that name.
    assert all(SECRET not in text for text in said) or line == "{} = x"


@pytest.mark.parametrize("argument", ["password={}", "password:{}", "passwrd={}", "port=u:{}@host", "password {}"])
def test_of_the_command_line(argument: str) -> None:
    try:
        arguments = parse(["-a", "home", "-x", argument.replace("{}", SECRET)], "nutdrv_py")
        load("home", "nutdrv_py", conf=None, arguments=arguments.after, before=arguments.before)
    except NutdrvError as error:
        assert SECRET not in str(error)
    else:
        raise AssertionError("a password on the command line is refused")


@pytest.mark.parametrize("line", ["PASSWORD={} x", "PASSWORD=$({})", "PASSWORD='{}", "{}", "export {}", "PASSWORD ={}", "PASSWORD=${}", "PASS={}`"])
def test_of_files_of_assignments(line: str, tmp_path: Path) -> None:
    text = line.replace("{}", SECRET)
    try:
        read_assignments(text + "\n", "file", {})
    except NutdrvError as error:
        assert SECRET not in str(error)
    path = tmp_path / "credentials"
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    try:
        credentials(EnphaseConfig(ups="home", port="x", credentials=str(path)))
    except NutdrvError as error:
        assert SECRET not in str(error)
