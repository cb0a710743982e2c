# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the Enphase backend: every mistake stops the start with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nutdrv_py.backends.enphase import Enphase
from nutdrv_py.backends.enphase.config import EnphaseConfig, credentials, gateway_url
from nutdrv_py.errors import ConfigError


@pytest.mark.parametrize(
    ("port", "url"),
    [
        ("envoy.local", "https://envoy.local"),
        ("192.168.1.20:8443", "https://192.168.1.20:8443"),
        ("https://envoy.local/", "https://envoy.local"),
        ("[fe80::1]:443", "https://[fe80::1]:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_a_gateway_is_a_host_host_and_port_or_url(port: str, url: str) -> None:
    assert gateway_url(port) == url


@pytest.mark.parametrize("port", ["", "http://envoy.local", "ftp://x", "host:port", "host:99999", "a b", "https://u:p@host", "host/path", "https://"])
def test_anything_else_is_refused(port: str) -> None:
    with pytest.raises(ConfigError):
        gateway_url(port)


def _check(tmp_path: Path, **options: Any) -> EnphaseConfig:
    settings = {"ups": "home", "port": "envoy.local", "statepath": str(tmp_path), "confpath": str(tmp_path), **options}
    config = EnphaseConfig(**settings)
    Enphase.check(config)
    return config


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "no way to log in"),
        ({"username": "a@b.c"}, "the password of the Enlighten account is missing"),
        ({"password": "x"}, "the username of the Enlighten account is missing"),
        ({"token": "x", "serial": "12-x"}, "not the gateway's serial number"),
        ({"token": "x", "login_url": "enlighten"}, "is not a URL"),
        ({"token": "x", "token_url": "http://mirror.example/tokens"}, "plain http would show the password"),
        ({"credentials": "nothing.conf"}, "cannot be read: No such file"),
        ({"token": "x", "certificate": "/no/such.pem"}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        _check(tmp_path, **options)


def _file(tmp_path: Path, text: str, mode: int = 0o640) -> Path:
    path = tmp_path / "enphase.conf"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_credentials_file_is_read_with_its_quotes_and_signs(tmp_path: Path) -> None:
    _file(tmp_path, "# comment\n\nUSERNAME = a@b.c\nPASSWORD='p#a\"s=s w'\n")
    found = credentials(_check(tmp_path, credentials="enphase.conf"))
    assert (found.username, found.password, found.token) == ("a@b.c", 'p#a"s=s w', None)
    assert "a@b.c" not in repr(found)


def test_the_file_wins_over_the_options(tmp_path: Path) -> None:
    path = _file(tmp_path, "PASSWORD=file\n")
    assert credentials(_check(tmp_path, credentials=str(path), username="u", password="conf")).password == "file"


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("USERNAME=a\nPASSWORD=b\n", 0o644, "type: chmod o-rwx"),
        ("USERNAME=a\nPASSWORD=b\n", 0o606, "type: chmod o-rwx"),
        ("USER=a\n", 0o600, r"enphase.conf:1: write USERNAME="),
        ("USERNAME=a\nhunter2\n", 0o600, r"^(?!.*hunter2).*enphase.conf:2: write USERNAME="),
        ("USERNAME=a\nhunter2=x\n", 0o600, r"^(?!.*hunter2).*enphase.conf:2: write USERNAME="),
        ("USERNAME=a\njust words\n", 0o600, r"enphase.conf:2: write"),
        ("PASSWORD=b\n", 0o600, "the username"),
    ],
)
def test_a_bad_credentials_file_is_refused(tmp_path: Path, text: str, mode: int, sentence: str) -> None:
    path = _file(tmp_path, text, mode)
    with pytest.raises(ConfigError, match=sentence) as caught:
        _check(tmp_path, credentials=str(path))
    assert "=b" not in str(caught.value)


def test_a_folder_in_which_others_may_write_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "USERNAME=a\nPASSWORD=b\n", 0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod o-w"):
        _check(tmp_path, credentials=str(path))


def test_a_token_in_the_file_is_enough(tmp_path: Path) -> None:
    _file(tmp_path, "TOKEN=abc\n")
    assert credentials(_check(tmp_path, credentials="enphase.conf")).token == "abc"
