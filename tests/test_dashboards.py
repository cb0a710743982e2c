# SPDX-License-Identifier: GPL-2.0-or-later
"""Dashboards and alert rules name only what is exported, and the programs that read them take them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from nutdrv_py.core.telemetry import Source
from nutdrv_py.exporters.points import device_points, driver_point, line
from tests.conftest import REPO
from tests.exporters.test_prometheus import Scrape, simulated_enphase, simulated_rct

FOLDER = REPO / "packaging" / "dashboards"
BOARDS = {"prometheus": FOLDER / "nutdrv_py-prometheus.json", "influxdb": FOLDER / "nutdrv_py-influxdb.json"}
ALERTS = FOLDER / "nutdrv_py-alerts.yml"
ALERTS_TEST = FOLDER / "nutdrv_py-alerts.test.yml"
METRIC = re.compile(r"\b(?:network_ups_tools|nutdrv_py|rctmon)_\w+")


@dataclass
class Shown:
    """What houses of both kinds export: metrics with their labels; InfluxDB's fields and tags by measurement; the points."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    fields: dict[str, set[str]] = field(default_factory=dict)
    tags: dict[str, set[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    now: float = 0.0

    def look(self, source: Source) -> None:
        scrape = Scrape(source, dropped={"influxdb": lambda: 0}, points_written=lambda: 0)
        for name, labels in scrape.values:
            self.metrics.setdefault(name, set()).update(key for key, _ in labels)
        self.flags |= {labels["flag"] for labels in scrape.labels("network_ups_tools_ups_status")}
        view = source.view()
        self.now = view.now
        for point in (driver_point(view), *device_points(view, {})):
            self.fields.setdefault(point.measurement, set()).update(point.fields)
            self.tags.setdefault(point.measurement, set()).update(point.tags)
            self.lines.append(line(point))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    found = Shown()
    asyncio.run(simulated_enphase(tmp_path_factory.mktemp("enphase"), found.look))
    asyncio.run(simulated_rct(found.look))
    return found


def board(kind: str) -> dict[str, Any]:
    return dict(json.loads(BOARDS[kind].read_text()))


def targets(kind: str, word: str) -> list[tuple[str, str]]:
    """Panel and query of each target."""
    return [(panel["title"], target[word]) for panel in board(kind)["panels"] for target in panel.get("targets", ())]


def rules() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["expr"]) for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("where", "query"), [*targets("prometheus", "expr"), *rules()])
def test_each_metric_that_is_named_is_exported_with_its_labels(where: str, query: str, shown: Shown) -> None:
    named = set(METRIC.findall(query.replace('job="nutdrv_py"', "")))
    assert named or re.search(r"\bup\{", query)
    assert named <= shown.metrics.keys()
    for metric, selector in re.findall(r"(\w+)\{([^}]*)\}", query):
        if metric in shown.metrics:
            assert set(re.findall(r"(\w+)[=!]", selector)) <= {*shown.metrics[metric], "job", "instance"}
    for flags in re.findall(r'flag=~?"([^"]*)"', query):
        assert set(flags.split("|")) <= shown.flags


@pytest.mark.parametrize(("where", "query"), targets("influxdb", "query"))
def test_each_measurement_field_and_tag_that_is_named_is_written(where: str, query: str, shown: Shown) -> None:
    measurement = re.search(r'FROM "(\w+)"', query)
    assert measurement
    named = re.findall(r'\w+\("([^"]+)"\)', query)
    assert named and set(named) <= shown.fields[measurement.group(1)]
    tags = re.findall(r'(?:, |WHERE )"(\w+)"', query)
    assert tags and set(tags) <= shown.tags[measurement.group(1)]


@pytest.mark.parametrize("kind", BOARDS)
def test_a_dashboard_can_be_imported_into_any_grafana(kind: str) -> None:
    found = board(kind)
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert found["uid"] and "id" not in found
    variables = {variable["name"]: variable for variable in found["templating"]["list"]}
    assert variables["datasource"] == {"name": "datasource", "label": "Data source", "type": "datasource", "query": kind}
    sources = [panel["datasource"] for panel in panels if panel["type"] != "row"]
    sources += [target["datasource"] for panel in panels for target in panel.get("targets", ())]
    assert all(source == {"type": kind, "uid": "${datasource}"} for source in sources)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("kind", BOARDS)
def test_the_question_of_the_variable_finds_the_ups(kind: str, shown: Shown) -> None:
    question = next(variable for variable in board(kind)["templating"]["list"] if variable["name"] == "ups")["definition"]
    if kind == "prometheus":
        assert question == "label_values(nutdrv_py_up, ups)" and "ups" in shown.metrics["nutdrv_py_up"]
    else:
        assert question == 'SHOW TAG VALUES FROM "ups" WITH KEY = "ups"' and "ups" in shown.tags["ups"]


promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@promtool
@pytest.mark.parametrize(("command", "path"), [("check", ALERTS), ("test", ALERTS_TEST)])
def test_promtool_takes_the_rules_and_they_fire_when_they_should(command: str, path: Path) -> None:
    done = subprocess.run(["promtool", command, "rules", str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_and_a_sentence() -> None:
    tested = {case["alertname"] for test in yaml.safe_load(ALERTS_TEST.read_text())["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert tested == {name for name, _ in rules()}


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[str]:
    """The address of an InfluxDB 1.x with an empty database ``home``."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as also_free:
        port, inner = free.getsockname()[1], also_free.getsockname()[1]
    settings = tmp_path / "influxdb.conf"
    settings.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{inner}"\n[meta]\ndir = "{tmp_path}/meta"\n'
        f'[data]\ndir = "{tmp_path}/data"\nwal-dir = "{tmp_path}/wal"\n[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n'
    )
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(["influxd", "run", "-config", str(settings)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.post(f"http://127.0.0.1:{port}/query", data={"q": "CREATE DATABASE home"}).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline and server.poll() is None, (tmp_path / "log").read_text(errors="replace")
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(30)


@pytest.mark.skipif(shutil.which("influxd") is None, reason="influxd is not installed")
def test_each_panel_draws_something_from_a_real_influxdb(influx: str, shown: Shown) -> None:
    body = "\n".join(shown.lines)
    httpx.post(f"{influx}/write", params={"db": "home", "precision": "ms"}, content=body.encode()).raise_for_status()
    began, end = int(shown.now - 3600), int(shown.now + 3600)
    for where, query in targets("influxdb", "query"):
        asked = query.replace("$timeFilter", f"time >= {began}s AND time <= {end}s").replace("$__interval", "60s").replace("$ups", "(home)")
        assert "$" not in asked.replace(")$/", "")
        answer = httpx.get(f"{influx}/query", params={"db": "home", "q": asked}).raise_for_status().json()["results"][0]
        assert answer.get("series"), f"{where}: {asked}: {answer}"
