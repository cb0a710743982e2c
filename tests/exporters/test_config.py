# SPDX-License-Identifier: GPL-2.0-or-later
"""The YAML file: RctMon's as it is, what its documentation promises, and a sentence with file and line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters.config import Exports, InfluxDB, Mqtt, Page, Prometheus
from nutdrv_py.exporters.config_file import port_files, read_exports
from nutdrv_py.exporters.topics import Place, rctmon_values

RCTMON = """\
device:
  host: 192.168.1.50
  port: 8899
prometheus:
  enable: true
  exposition: true
  bind_address: 127.0.0.1
  bind_port: 9831
influxdb:
  enable: true
  url: http://localhost:8086
  token: s3cret-token
  org: rctmon
  bucket: rctmon
mqtt:
  enable: true
  mqtt_host: broker.local
  mqtt_port: 8883
  mqtt_retain: false
  client_name: rctmon
  topic_prefix: rctmon
  auth_user: user
  auth_pass: 1234
  tls_enable: true
  tls_insecure: false
  tls_ca_cert: /etc/ssl/ca.pem
  tls_certfile:
  tls_keyfile:
logging:
  version: 1
  root: {level: INFO}
"""


def read(folder: Path, text: str, mode: int = 0o600, **environ: str) -> Exports:
    path = folder / "config.yml"
    path.write_text(text)
    path.chmod(mode)
    return read_exports(path, environ)


def refused(folder: Path, text: str, mode: int = 0o600) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, mode)
    return str(caught.value).replace(str(folder / "config.yml"), "FILE")


def test_rctmons_whole_file_is_read_as_it_is(tmp_path: Path) -> None:
    found = read(tmp_path, RCTMON)
    assert [(d.name, d.backend, dict(d.options)) for d in found.devices] == [("rct", "rct", {"port": "192.168.1.50:8899"})]
    assert found.prometheus == Prometheus(exposition=True)
    assert found.influxdb == InfluxDB(enable=True, token="s3cret-token", org="rctmon", bucket="rctmon")
    assert found.mqtt is not None
    assert (found.mqtt.mqtt_host, found.mqtt.mqtt_port, found.mqtt.mqtt_retain) == ("broker.local", 8883, False)
    assert found.mqtt.auth_pass == "1234", "a password of digits is a text"
    assert found.mqtt.tls_certfile is None
    assert found.logging is not None
    assert found.page is None
    assert found.any


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        ("", set()),
        ("device:\nprometheus:\ninfluxdb:\nmqtt:\nlogging:\n", {"prometheus"}),
        ("device: {host: rct}\nprometheus: {}\n", {"prometheus"}),
        ("prometheus: {enable: false}\n", set()),
        ("page:\n", {"page"}),
        ("mqtt: {mqtt_host: x}\n", set()),
        ("mqtt: {mqtt_host: x, enable: yes}\n", {"mqtt"}),
    ],
)
def test_sections_may_be_empty_or_absent(tmp_path: Path, text: str, enabled: set[str]) -> None:
    found = read(tmp_path, text)
    assert {name for name in ("prometheus", "influxdb", "mqtt", "page", "portfile") if getattr(found, name)} == enabled


def test_the_device_of_an_empty_section_is_rctmons_default(tmp_path: Path) -> None:
    assert read(tmp_path, "device:\n").devices[0].options == {"port": "127.0.0.1:8899"}
    assert read(tmp_path, "device: {host: '2001:db8::1', name: cellar}\n").devices[0].options == {"port": "[2001:db8::1]:8899"}


def test_defaults_are_rctmons_and_listen_on_loopback() -> None:
    assert (Prometheus().enable, Prometheus().exposition, Prometheus().bind_address, Prometheus().bind_port) == (True, False, "127.0.0.1", 9831)
    assert (InfluxDB().enable, InfluxDB().url, InfluxDB().org, InfluxDB().bucket) == (False, "http://localhost:8086", "rct", "rct-inverter")
    assert (Mqtt().enable, Mqtt().mqtt_port, Mqtt().mqtt_retain, Mqtt().client_name, Mqtt().topic_prefix) == (False, 1883, True, "rctmon", "rctmon")
    assert Page().bind_address == "127.0.0.1"


def test_several_devices_of_one_file(tmp_path: Path) -> None:
    text = "devices:\n  - {name: house, backend: enphase, port: envoy.local, serial: 122333444455}\n  - {name: barn, backend: rct, port: 192.168.1.50}\n"
    found = read(tmp_path, text).devices
    assert [(d.name, d.backend) for d in found] == [("house", "enphase"), ("barn", "rct")]
    assert found[0].options == {"port": "envoy.local", "serial": "122333444455"}
    assert found[1].where.endswith("config.yml:3")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mqtt: {tls_enabel: true}\n", "FILE:1: there is no key tls_enabel; did you mean tls_enable?"),
        ("mqtt: {tls_cafile: x}\n", "FILE:1: there is no key tls_cafile; did you mean tls_"),
        ("prometheus: {'enable:true': }\n", "FILE:1: there is no key enable...; write a blank behind the colon"),
        ("page: {bind_prot: 1}\n", "FILE:1: there is no key bind_prot; did you mean bind_port?"),
        ("prometheus:\n  enable: 'maybe'\n", "FILE:2: prometheus.enable must be true or false"),
        ("prometheus:\n  bind_port: 98311\n", "FILE:2: prometheus.bind_port is 98311; it must be 0 to 65535"),
        ("prometheus:\n  bind_port: 1.5\n", "FILE:2: prometheus.bind_port must be a whole number"),
        ("prometheus:\n  bind_port: [1]\n", "FILE:2: prometheus.bind_port must be a whole number"),
        ("prometheus: 9831\n", "FILE:1: the section prometheus must hold lines of the form key: value"),
        ("- a\n", "FILE:1: the file must hold lines of the form key: value"),
        ("prometheus:\n  enable: true\n  enable: false\n", "FILE:3: enable is there twice; remove one"),
        ("a: [\n", "FILE:2: this is not YAML"),
        ("a: b: c\n", "FILE:1: this is not YAML"),
        ("influxdb: {enable: true, url: 'localhost:8086'}\n", "FILE:1: influxdb.url must begin with http:// or https://"),
        ("influxdb: {enable: true, url: 'http://a:b@c:1'}\n", "FILE:1: influxdb.url must not hold a user or password"),
        ("influxdb: {enable: true, username: a}\n", "FILE:1: influxdb: username and password are for 1.x servers; add database"),
        ("influxdb: {enable: true, database: x, token: y}\n", "FILE:1: influxdb: database is for 1.x servers"),
        ("influxdb:\n  interval: 0\n", "FILE:2: influxdb.interval is 0.0; it must be 1 to 3600"),
        ("influxdb:\n  interval: .nan\n", "FILE:2: influxdb.interval must be a number"),
        ("mqtt: {enable: true}\n", "FILE:1: mqtt.mqtt_host is missing: the address of the broker"),
        ("mqtt: {enable: true, mqtt_host: x, auth_user: y}\n", "FILE:1: mqtt: auth_user and auth_pass go together"),
        ("mqtt: {enable: true, mqtt_host: x, tls_certfile: y}\n", "FILE:1: mqtt: tls_certfile and tls_keyfile go together"),
        ("mqtt: {enable: true, mqtt_host: x, tls_certfile: y, tls_keyfile: z}\n", "FILE:1: mqtt: tls_certfile needs tls_enable: true; without"),
        ("mqtt: {enable: true, mqtt_host: x, topic_prefix: 'a/#'}\n", "FILE:1: mqtt.topic_prefix is 'a/#'; write a topic without + and #"),
        ("portfile: {}\n", "FILE:1: portfile.path is missing"),
        ("device: {port: abc}\n", "FILE:1: device.port must be a whole number"),
        ("devices: {name: x}\n", "FILE:1: devices must be a list"),
        ("devices:\n  - {name: x}\n", "FILE:2: this device has no backend and no port"),
        ("device: {name: a}\ndevices:\n  - {name: a, backend: rct, port: x}\n", "FILE:3: there are two devices of the name a"),
        ("logging: verbose\n", "FILE:1: logging must hold what Python's"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_line_and_the_nearest_key(tmp_path: Path, text: str, sentence: str) -> None:
    assert refused(tmp_path, text).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("promtheus: {}\n", "there is no section promtheus; did you mean prometheus?"),
        ("prometheus:\n  bind_prot: 1\n", "there is no key bind_prot; did you mean bind_port?"),
        ("influxdb:\n  zzz: 1\n", "there is no key zzz; the keys are bucket, "),
        ("influxdb: {bucket_file: x}\n", "there is no key bucket_file; did you mean bucket?"),
        ("device: {hots: x}\n", "there is no key hots; did you mean host?"),
    ],
)  # fmt: skip
def test_a_key_that_rctmon_ignores_is_a_warning_with_the_nearest_known_one(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, sentence: str) -> None:
    read(tmp_path, text)
    line = 2 if ":\n" in text else 1
    assert f"config.yml:{line}: {sentence}" in caplog.text
    assert "It is ignored" in caplog.text


def test_a_file_that_is_not_there_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_exports(tmp_path / "none.yml")
    (tmp_path / "bin.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_exports(tmp_path / "bin.yml")


def test_a_default_logging_section_works(tmp_path: Path) -> None:
    assert read(tmp_path, "logging:\n").logging is None
    assert read(tmp_path, "logging: {}\n").logging == {"version": 1, "disable_existing_loggers": False}


@pytest.mark.parametrize(
    "text",
    ["logging: {[1]: 2}\n", "prometheus: {bind_port: !!int x}\n", "logging: !!timestamp x\n", "a: " + "[" * 2000, "logging: !!python/object:os.system {}\n"],
)  # fmt: skip
def test_what_yaml_itself_cannot_make_is_a_sentence_and_no_traceback(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).startswith("FILE")


def test_an_empty_key_means_its_default_and_never_all_addresses(tmp_path: Path) -> None:
    found = read(tmp_path, "prometheus: {bind_address: , bind_port: , enable: }\npage: {bind_address: , title: }\n")
    assert found.prometheus == Prometheus()
    assert found.page == Page()


@pytest.mark.parametrize(("text", "port"), [("'9840'", 9840), ('"9840"', 9840), ("9840", 9840)])
def test_quoted_numbers_and_truth_values_are_taken_as_rctmon_takes_them(tmp_path: Path, text: str, port: int) -> None:
    found = read(tmp_path, f"device: {{port: {text}}}\nprometheus: {{enable: 'true', exposition: 1, bind_port: {text}}}\n")
    assert found.prometheus == Prometheus(exposition=True, bind_port=port)
    assert found.devices[0].options == {"port": f"127.0.0.1:{port}"}


def test_merge_keys_and_anchors_are_followed(tmp_path: Path) -> None:
    text = "prometheus: &where\n  bind_address: 127.0.0.2\n  bind_port: 1234\npage:\n  <<: *where\n  title: Cellar\n"
    found = read(tmp_path, text).page
    assert found == Page(bind_address="127.0.0.2", bind_port=1234, title="Cellar")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("device:\nportfile: {path: '/x/home.dev'}\n", ["/x/home.dev"]),
        ("devices: [{name: a}, {name: b}]\nportfile: {path: '/x/{ups}.dev'}\nnonsense: 1\n", ["/x/a.dev", "/x/b.dev"]),
        ("portfile: {}\n", []), ("portfile: [", []), ("- 1\n", []), ("", []),
    ],
)  # fmt: skip
def test_where_the_port_files_are_is_known_also_when_the_rest_is_wrong(tmp_path: Path, text: str, files: list[str]) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    assert [str(file) for file in port_files(path)] == files


# Secrets


def test_a_secret_may_stand_in_a_file_or_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    found = read(tmp_path, "influxdb: {enable: true, token_file: token}\nmqtt: {enable: true, mqtt_host: x, auth_user: u, auth_pass_env: PASS}\n", PASS="pw")
    assert found.influxdb is not None
    assert found.mqtt is not None
    assert (found.influxdb.token, found.mqtt.auth_pass) == ("s3cret", "pw")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod o-rwx"):
        read(tmp_path, "influxdb: {enable: true, token_file: token}\n")
    assert "is not set" in refused(tmp_path, "mqtt: {auth_pass_env: NOWHERE}\n")
    assert "given twice" in refused(tmp_path, "influxdb: {token: x, token_file: token}\n")


@pytest.mark.parametrize("prefix", ["/rctmon/", "rctmon/", "/a/b"])
def test_slashes_around_the_prefix_of_topics_are_taken_as_rctmon_takes_them(tmp_path: Path, prefix: str) -> None:
    found = read(tmp_path, f"mqtt: {{enable: true, mqtt_host: x, topic_prefix: {prefix}, auth_user: '', tls_certfile: ''}}\n").mqtt
    assert found is not None
    assert (found.topic_prefix, found.auth_user, found.auth_pass, found.tls_certfile) == (prefix, None, None, None)
    assert rctmon_values(Place(prefix, "home", prefix), {"battery.soc": 0.5}) == {f"{prefix}/battery/soc": "0.5"}


def test_a_certificate_authority_without_tls_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """RctMon's own example, with mqtt switched on."""
    assert read(tmp_path, "mqtt: {enable: true, mqtt_host: x, tls_enable: false, tls_ca_cert: /etc/ssl/ca.pem}\n").mqtt is not None
    assert "nothing is encrypted" in caplog.text


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ("influxdb: {enable: true, token: your-token}\n", True),
        ("influxdb: {enable: false, token: s3cret}\nmqtt: {enable: false, auth_user: a, auth_pass: b}\n", True),
        ("influxdb: {enable: false, token: ''}\n", False),
    ],
)
def test_a_file_whose_secrets_are_not_in_use_is_warned_of(tmp_path: Path, text: str, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path, text, mode=0o644)
    assert ("chmod o-rwx" in caplog.text) is warns
    assert "s3cret" not in caplog.text


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    found = read(tmp_path, RCTMON)
    assert "s3cret" not in repr(found)
    assert "1234" not in repr(found)
    assert "hunter2" not in refused(tmp_path, "influxdb:\n  token: [hunter2]\n")


def test_a_file_with_a_secret_that_everybody_may_read_is_refused_and_one_without_is_not(tmp_path: Path) -> None:
    assert "chmod o-rwx FILE" in refused(tmp_path, RCTMON, mode=0o644)
    assert read(tmp_path, "prometheus:\n", mode=0o644).prometheus is not None


KEYS = st.sampled_from(["device", "devices", "prometheus", "mqtt", "enable", "host", "port", "logging", "x"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(ANY)
def test_any_yaml_is_read_or_refused_with_a_sentence(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        read(folder, yaml.safe_dump(value))
    except ConfigError as error:
        assert "config.yml" in str(error)


@pytest.mark.parametrize(
    "logging",
    [
        "{handlers: {a: {(): os.system}}}", "{handlers: {a: {class: subprocess.Popen}}}", "{handlers: {a: {class: logging.StreamHandler, stream: ext://os.environ}}}",
        "{formatters: {a: {(): builtins.eval}}}", "{filters: [{'()': x}]}", "!!python/object/apply:os.system [id]", "{root: !!python/name:os.system }",
    ],
)  # fmt: skip
def test_a_logging_section_runs_no_code(logging: str, tmp_path: Path) -> None:
    assert refused(tmp_path, f"logging: {logging}\n").startswith("FILE:1: ")


def test_a_logging_section_may_use_pythons_own_handlers(tmp_path: Path) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text("logging: {handlers: {a: {class: logging.StreamHandler, stream: ext://sys.stdout}}, root: {handlers: [a]}}\n")
    assert read_exports(path, {}).logging is not None
