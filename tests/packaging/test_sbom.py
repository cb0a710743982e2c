# SPDX-License-Identifier: GPL-2.0-or-later
"""The bill of materials holds what setup.cfg asks for and what that brings along, nothing else; the audit says what it has not seen."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nutdrv_py import __version__
from tests.conftest import REPO


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``make sbom`` writes."""
    pytest.importorskip("cyclonedx_py")
    file = tmp_path_factory.mktemp("sbom") / "bill.json"
    done = subprocess.run([sys.executable, REPO / "packaging" / "sbom.py", file], capture_output=True, text=True, timeout=115, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def _asked() -> list[Requirement]:
    """The requirements of the package and of its extra ``all``, out of setup.cfg."""
    config = configparser.ConfigParser()
    config.read(REPO / "setup.cfg")
    lines = [line for line in config["options"]["install_requires"].splitlines() if line]
    extras = config["options.extras_require"]
    (combined,) = [Requirement(line) for line in extras["all"].splitlines() if line]
    for name in combined.extras:
        lines += [line for line in extras[name].splitlines() if line]
    return [Requirement(line) for line in lines]


def _brought_along(asked: list[Requirement]) -> set[str]:
    found: set[str] = set()
    waiting = list(asked)
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if (one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))) or name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(one.name) or ():
            inner = Requirement(line)
            if not inner.marker or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                inner.marker = None
                waiting.append(inner)
    return found


def test_the_components_are_those_of_setup_cfg_and_what_they_bring_along(bill: dict[str, Any]) -> None:
    assert {canonicalize_name(component["name"]) for component in bill["components"]} == _brought_along(_asked())


def test_the_bill_is_about_the_package_and_tells_nothing_of_the_machine(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["version"], subject["licenses"][0]["license"]["id"]) == ("nutdrv_py", __version__, "GPL-2.0-or-later")
    text = json.dumps(bill)
    assert str(REPO) not in text and str(Path.home()) not in text and "file://" not in text


def test_each_component_has_a_version_and_the_tree_of_dependencies_has_no_loose_end(bill: dict[str, Any]) -> None:
    known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert all(component["version"] for component in bill["components"])
    assert {row["ref"] for row in bill["dependencies"]} == known
    assert {ref for row in bill["dependencies"] for ref in row["dependsOn"]} <= known


VERDICT = runpy.run_path(str(REPO / "packaging" / "audit.py"))["verdict"]
GOOD = {"name": "a", "version": "1", "vulns": []}


@pytest.mark.parametrize(
    ("rows", "code", "sentence"),
    [
        ([GOOD, {"name": "b", "version": "2", "vulns": []}], 0, "No vulnerability of the 2 components is known."),
        ([GOOD, {"name": "b", "skip_reason": "not found"}], 2, "Of 2 components 1 could be looked up"),
        ([], 2, "Of 2 components 0 could be looked up"),
        ([GOOD, {"name": "b", "version": "2", "vulns": [{"id": "CVE-1"}]}], 1, "Vulnerable: b 2 (CVE-1)"),
    ],
)
def test_an_audit_that_could_not_look_is_none(rows: list[dict[str, Any]], code: int, sentence: str) -> None:
    said, found = VERDICT(2, {"dependencies": rows})
    assert found == code
    assert said.startswith(sentence)
