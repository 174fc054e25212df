"""Who may open what is written: the owner alone; with CWPO_SHARED_HOME=1 the group of the home, too; never others."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cwpo.errors import ConfigError
from workers import __main__ as processes
from workers.cli import main as command
from workers.cli import stack
from workers.machine import modes

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def usual_mask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CWPO_SHARED_HOME", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(
    ("shared", "home", "folder", "file"), [("0", 0o700, 0o700, 0o600), ("1", 0o2770, 0o2770, 0o660)]
)
def test_files_are_for_the_owner_or_for_the_group_of_the_home(
    shared: str, home: int, folder: int, file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_SHARED_HOME", shared)
    modes.keep_private()
    base = tmp_path / "home"
    modes.make_home(base)
    (base / "inside").mkdir()
    (base / "inside" / "file").write_text("x")
    assert [mode(base), mode(base / "inside"), mode(base / "inside" / "file")] == [home, folder, file]
    if shared == "1":
        assert mode(base / "cwpo.sqlite") == 0o660
    assert modes.sentence_on(base) == ""


def test_a_home_that_others_could_enter_is_closed_where_it_is_plainly_ours(tmp_path: Path) -> None:
    used, plain, sticky = tmp_path / "used", tmp_path / "plain", tmp_path / "sticky"
    for folder in (used, plain, sticky):
        (folder / "artifacts").mkdir(parents=True)
        folder.chmod(0o755)
    (plain / "artifacts").rmdir()
    sticky.chmod(0o1777)
    for folder in (used, plain, sticky):
        assert "others can enter it: chmod 700" in modes.sentence_on(folder)
        modes.make_home(folder)
    assert [mode(used), mode(plain), mode(sticky)] == [0o700, 0o755, 0o1777]


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"CWPO_HOME: .*file/home cannot be made"):
        modes.make_home(tmp_path / "file" / "home")


def test_a_shared_home_is_said_where_others_than_its_group_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_SHARED_HOME", "1")
    tmp_path.chmod(0o775)
    assert "others than its group can enter it" in modes.sentence_on(tmp_path)


@pytest.mark.parametrize("way", ["cwpo", "workers", "launcher"])
def test_every_way_in_sets_the_mask(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    if way == "cwpo":
        command.main(["run", "/nowhere/run.yaml"])
    elif way == "launcher":
        stack.main(["nonsense"])
    else:
        with pytest.raises(SystemExit):
            processes.main(["nonsense"])
    assert os.umask(0o022) == 0o077


def test_the_web_server_sets_the_mask(tmp_path: Path) -> None:
    """As it is started: by whatever runs app/serve.py, with a mask that lets others in."""
    program = "import os, runpy; os.umask(0o022); runpy.run_path('app/serve.py'); print(f'{os.umask(0):03o}')"
    environment = os.environ | {"CWPO_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.split() == ["077"], done.stderr
