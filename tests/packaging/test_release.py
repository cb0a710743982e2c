# SPDX-License-Identifier: GPL-2.0-or-later
"""The version is the same everywhere, and a release is made in one step or not at all."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import nutdrv_py
from nutdrv_py.commands import record
from tests.conftest import REPO
from tests.programs import module

VERSIONS = {
    "nutdrv_py/__init__.py": r'(?m)^__version__ = "(.*)"$',
    "CHANGELOG.md": r"(?m)^## (\S+) ",
    "packaging/debian/changelog": r"^nutdrv-py \((.*)\)",
    "packaging/rpm/nutdrv_py.spec": r"(?m)^Version: *(.*)$",
    "packaging/selinux/nutdrv_py.te": r"(?m)^policy_module\(nutdrv_py, (.*)\)",
    "docs/backends/index.md": r"(?m)^\| `driver\.version\.internal` \| `(.*?)`",
}
CHANGELOG = "# Changes\n\n## {} (unreleased)\n\n- Something that a user notices.\n"


def versions(tree: Path) -> set[str]:
    found = {path: re.search(pattern, (tree / path).read_text()) for path, pattern in VERSIONS.items()}
    return {match[1] if match else f"none in {path}" for path, match in found.items()}


def test_the_version_is_the_same_in_each_file_that_has_one() -> None:
    assert versions(REPO) == {nutdrv_py.__version__}
    spec = (REPO / "packaging" / "rpm" / "nutdrv_py.spec").read_text()
    assert f"- {nutdrv_py.__version__}-1\n" in spec.partition("%changelog")[2]


class Tree:
    """A checkout with the files of a release in it, all of 1.0.0, which is released."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in VERSIONS:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            text = (REPO / path).read_text().replace(nutdrv_py.__version__, "1.0.0")
            (folder / path).write_text(CHANGELOG.format("1.1.0") if path == "CHANGELOG.md" else text)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "A Name")
        self.git("config", "user.email", "a@example.org")
        self.commit("Before")
        self.git("tag", "v1.0.0")

    def git(self, *words: str) -> str:
        return subprocess.run(["git", "-C", self.folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def release(self, version: str = "1.1.0", checks: str = "test -e CHANGELOG.md") -> tuple[int, str]:
        command = [sys.executable, str(REPO / "packaging" / "release.py"), version, "--tree", str(self.folder), "--checks", checks]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    @property
    def state(self) -> tuple[str, str, str]:
        return self.git("rev-parse", "HEAD"), self.git("status", "--porcelain"), self.git("tag")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_a_release_is_a_commit_and_a_tag_with_the_version_in_each_file(tree: Tree) -> None:
    code, said = tree.release()
    assert code == 0, said
    assert "git push --follow-tags" in said
    assert versions(tree.folder) == {"1.1.0"}
    assert tree.git("status", "--porcelain") == ""
    assert tree.git("describe", "--exact-match") == "v1.1.0"
    assert set(tree.git("show", "--name-only", "--format=", "HEAD").split()) == set(VERSIONS)
    assert re.search(r"## 1\.1\.0 \(\d{4}-\d\d-\d\d\)\n", (tree.folder / "CHANGELOG.md").read_text())
    debian = (tree.folder / "packaging/debian/changelog").read_text()
    assert re.findall(r"(?m)^nutdrv-py \((.*?)\)", debian) == ["1.1.0", "1.0.0"]
    assert re.search(r"(?m)^ -- .+ <.+>  \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000$", debian)
    assert (tree.folder / "packaging/rpm/nutdrv_py.spec").read_text().partition("%changelog")[2].count("- 1.") == 2
    assert tree.release("1.1.0") == (1, "v1.1.0 was released before\n")


def test_the_checks_see_the_files_of_the_release(tree: Tree) -> None:
    assert tree.release(checks="grep -q 1.1.0 nutdrv_py/__init__.py")[0] == 0


@pytest.mark.parametrize("version", ["", "1.1", "v1.1.0", "1.1.0rc1", "1.1.0; true", "-1.1.0", "1.0.0", "0.9.9", "2.0.0"])
def test_a_version_that_is_none_or_not_newer_or_has_no_changes_is_refused(tree: Tree, version: str) -> None:
    before = tree.state
    code, said = tree.release(version)
    assert code
    assert said
    assert "Traceback" not in said
    assert tree.state == before


def test_a_failing_check_leaves_the_tree_as_it_was(tree: Tree) -> None:
    before = tree.state
    code, said = tree.release(checks="false")
    assert (code, tree.state) == (1, before)
    assert "the checks have failed; nothing is changed: false" in said


def test_a_commit_that_git_refuses_leaves_the_tree_as_it_was(tree: Tree) -> None:
    hook = tree.folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = tree.state
    assert tree.release()[0] == 1
    assert tree.state == before


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new"])
def test_changes_that_are_not_committed_are_refused(tree: Tree, name: str) -> None:
    with (tree.folder / name).open("a") as file:
        file.write("more\n")
    code, said = tree.release()
    assert (code, tree.git("tag")) == (1, "v1.0.0")
    assert "not committed" in said


@pytest.mark.parametrize("text", ["# Changes\n", CHANGELOG.format("1.2.0"), "# Changes\n\n## 1.1.0 (unreleased)\n\n## 1.0.0 (2026-01-01)\n\n- Old.\n"])
def test_without_a_chapter_of_changes_nothing_is_released(tree: Tree, text: str) -> None:
    (tree.folder / "CHANGELOG.md").write_text(text)
    tree.commit("Changes")
    before = tree.state
    code, said = tree.release()
    assert (code, tree.state) == (1, before)
    assert "has no chapter '## 1.1.0 (unreleased)' with changes; write it" in said


def test_the_first_release_replaces_the_entries_of_the_first_package(tree: Tree) -> None:
    tree.git("tag", "--delete", "v1.0.0")
    (tree.folder / "CHANGELOG.md").write_text(CHANGELOG.format("1.0.0"))
    tree.commit("Changes")
    code, said = tree.release("1.0.0")
    assert code == 0, said
    assert (tree.folder / "packaging/debian/changelog").read_text().count("nutdrv-py (") == 1
    assert (tree.folder / "packaging/rpm/nutdrv_py.spec").read_text().partition("%changelog")[2].count("- 1.0.0-1") == 1


def test_the_versions_are_compared_as_numbers() -> None:
    numbers = module("packaging/release.py").numbers
    assert numbers("0.10.0") > numbers("0.9.9")


TEMPLATES = REPO / ".github" / "ISSUE_TEMPLATE"


@pytest.mark.parametrize("name", ["bug.yml", "device.yml"])
def test_a_template_asks_for_a_recording_by_a_command_that_there_is(name: str) -> None:
    fields = {field["attributes"]["label"]: field for field in yaml.safe_load((TEMPLATES / name).read_text())["body"] if field["type"] != "markdown"}
    recording = fields["The recording"]
    assert recording["validations"] == {"required": True}
    parser = argparse.ArgumentParser()
    record.configure(parser)
    commands = re.findall(r"`nutdrv_py record ([^`]*)`", recording["attributes"]["description"])
    assert commands
    for words in commands:
        parser.parse_args(words.split())
