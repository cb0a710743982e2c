# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend in one file, in a folder that only root may change: what is loaded, and what is refused."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nutdrv_py.cli import main
from nutdrv_py.device.backend import load
from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.plugins import VARIABLE, folder, found, plugin
from tests.conftest import REPO

BACKEND = """
from nutdrv_py.api import Backend, Config, Reading, Status

class MyDevice(Backend[Config]):
    description = "My device"

    async def poll(self) -> Reading:
        return Reading({}, Status.OL)
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: pytest's folders have more above them than a /tmp has.
    made = Path(tempfile.mkdtemp(prefix="nutdrv-"))
    monkeypatch.setenv("NUT_CONFPATH", str(made))
    (made / "nutdrv_py.d").mkdir(mode=0o755)
    write(made / "nutdrv_py.d" / "my_device.py", BACKEND)
    before = set(sys.modules)
    yield made / "nutdrv_py.d"
    for name in set(sys.modules) - before:
        if ".plugins." in name:
            del sys.modules[name]
    shutil.rmtree(made)


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def test_a_file_there_is_a_backend_and_is_listed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("my_device:MyDevice").description == "My device"
    assert main(["nutdrv_py", "backends"]) == 0
    assert "backend = my_device:MyDevice    My device" in capsys.readouterr().out


def test_the_file_that_is_made_to_be_copied_is_one(place: Path) -> None:
    shutil.copy(REPO / "drivers" / "skeleton.py", place / "copied.py")
    (place / "copied.py").chmod(0o644)
    assert load("copied:Skeleton").__name__ == "Skeleton"


def test_another_folder_can_be_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/srv/backends")
    assert folder() == Path("/srv/backends")


def test_a_file_does_not_become_the_module_of_others(place: Path) -> None:
    write(place / "json.py", BACKEND)
    assert load("json:MyDevice").description == "My device"
    assert hasattr(sys.modules["json"], "loads")


def test_what_is_not_there_is_looked_for_where_python_looks(place: Path) -> None:
    assert plugin("not_there") is None
    assert plugin("a.b") is None
    assert plugin("../my_device") is None
    with pytest.raises(ConfigError, match="cannot be imported"):
        load("not_there:MyDevice")
    with pytest.raises(ConfigError, match="has no Another"):
        load("my_device:Another")


def _open_to_all(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def _open_to_a_group(path: Path) -> None:
    os.chown(path, -1, 65_533)
    path.chmod(path.stat().st_mode | 0o020)


def _anothers(path: Path) -> None:
    os.chown(path, 65_533, -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("which", ["my_device.py", ".", ".."])
@pytest.mark.parametrize("harm", [_open_to_all, _open_to_a_group, _anothers])
def test_what_others_may_change_is_refused_with_the_path_and_the_command(
    place: Path, which: str, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = (place / which).resolve()
    harm(wrong)
    with pytest.raises(ConfigError, match=r"is not loaded, because .* (type: (chown|chmod) |put it into a folder that only root)") as caught:
        load("my_device:MyDevice")
    assert str(place / "my_device.py") in str(caught.value)
    # /tmp itself is never changed.
    assert f" {wrong}" in str(caught.value).partition("type: ")[2] or ((harm, which) == (_anothers, "..") and "chmod" not in str(caught.value))
    assert main(["nutdrv_py", "backends"]) == 0
    assert "my_device: " in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_loads_its_own_but_not_anothers(place: Path) -> None:
    for path in (place.parent, place, place / "my_device.py"):
        os.chown(path, 65_533, 65_533)
    child = os.fork()
    if child == 0:
        os.setgid(65_533)
        os.setuid(65_533)
        try:
            os._exit(0 if plugin("my_device") is not None else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "code"), [(0o750, 3), (0o755, 4)])
def test_a_user_who_may_not_look_there_has_the_other_backends_and_of_one_that_it_may_not_read_a_sentence(place: Path, mode: int, code: int) -> None:
    place.parent.chmod(mode)
    (place / "my_device.py").chmod(0o600)
    child = os.fork()
    if child == 0:
        os.setgid(65_533)
        os.setuid(65_533)
        try:
            os._exit(3 if plugin("my_device") is None and found() == [] else 1)
        except ConfigError as error:
            os._exit(4 if "ls -l" in str(error) else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_of_nuts_user_is_refused_also_by_that_user_so_that_check_says_what_the_start_will_say(place: Path) -> None:
    try:
        account = pwd.getpwnam("nut")
    except KeyError:
        pytest.skip("no user nut; install NUT's packages")
    place.parent.chmod(0o755)
    os.chown(place / "my_device.py", account.pw_uid, 0)
    child = os.fork()
    if child == 0:
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        try:
            plugin("my_device")
            os._exit(1)
        except ConfigError as error:
            os._exit(3 if "chown root" in str(error) else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("def", ":1 cannot be loaded: SyntaxError"), ("\n1 / 0", ":2 cannot be loaded: ZeroDivisionError"),
     ("import not_there_either", "No module named 'not_there_either'"), ("x = '" + "x" * (1 << 20) + "'", "too large")],
)  # fmt: skip
def test_a_file_that_cannot_be_loaded_is_a_sentence(place: Path, text: str, sentence: str) -> None:
    write(place / "broken.py", text)
    with pytest.raises(ConfigError, match=sentence):
        load("broken:X")


def test_a_link_of_roots_is_followed(place: Path) -> None:
    (place / "other.py").symlink_to(place / "my_device.py")
    assert load("other:MyDevice").description == "My device"


def test_nothing_is_written_beside_it(place: Path) -> None:
    load("my_device:MyDevice")
    assert sorted(path.name for path in place.iterdir()) == ["my_device.py"]
