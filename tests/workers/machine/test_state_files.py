"""What a launcher wrote of itself is believed whole or not at all, by everything that asks where the stack is."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.cli import stack
from workers.machine import state_files
from workers.machine.paths import stack_failure, stack_file
from workers.machine.processes import identity
from workers.machine.redis.address import redis_url, refusal
from workers.notices.tell import web_address

REDIS, WEB = "unix:///run/user/0/cwpo-x/redis.sock", "http://127.0.0.1:8501"
SAID = {"pid": os.getpid(), "process": identity(os.getpid()), "web_url": WEB, "redis_url": REDIS, "notes": ["Port é"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REDIS_URL", "CWPO_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    return tmp_path


def there_is_no_stack(home: Path) -> bool:
    """As everybody sees it who asks."""
    url = redis_url()
    return (stack.running_stack(home), web_address(), "run `cwpo start`" in (refusal(url) or "")) == (None, "", True)


def test_what_was_written_is_read_again_and_is_nobody_elses(home: Path) -> None:
    state_files.write(stack_file(home), SAID)
    assert stack.running_stack(home) == SAID
    assert (redis_url(), web_address()) == (REDIS, WEB)
    assert stat.S_IMODE(stack_file(home).stat().st_mode) == 0o600


def test_every_flipped_bit_and_every_cut_is_seen(home: Path) -> None:
    """A bit that makes another word of the seal's own name leaves the rest as it was."""
    path = stack_file(home)
    state_files.write(path, SAID)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place])
        assert there_is_no_stack(home), place
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 7]) + whole[place + 1 :])
        found = state_files.said_of_stack(home)
        assert found is None or {name: found[name] for name in SAID} == SAID, path.read_bytes()


def without(name: str) -> Callable[[Path], None]:
    return lambda path: state_files.write(path, {key: value for key, value in SAID.items() if key != name})


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
    "a list": lambda path: path.write_text("[]"),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "no address of Redis": without("redis_url"),
    "no address of the dashboard": without("web_url"),
    "no process": without("pid"),
    "no process has the number": lambda path: state_files.write(path, SAID | {"pid": 2**70}),
    "a group of processes": lambda path: state_files.write(path, SAID | {"pid": -1}),
    "an address that is none": lambda path: state_files.write(path, SAID | {"redis_url": None}),
    "unsealed, without an address": lambda path: path.write_text(json.dumps({"pid": os.getpid()})),
    "another seal": lambda path: path.write_text(json.dumps(SAID | {"seal": "0" * 64})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_as_if_there_were_no_stack(home: Path, damage: str) -> None:
    DAMAGE[damage](stack_file(home))
    assert there_is_no_stack(home)


def test_a_stack_that_ends_while_somebody_asks_is_no_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes after it was seen and before it is read."""
    state_files.write(stack_file(home), SAID)
    read = Path.read_text

    def gone_first(path: Path, *args: str, **how: str) -> str:
        if path == stack_file(home):
            path.unlink(missing_ok=True)
        return read(path, *args, **how)

    monkeypatch.setattr(Path, "read_text", gone_first)
    assert redis_url() == "redis://127.0.0.1:6379/0"
    assert there_is_no_stack(home)


def test_a_stack_of_an_older_program_is_still_found(home: Path) -> None:
    """It wrote no seal."""
    stack_file(home).write_text(json.dumps(SAID))
    assert (stack.running_stack(home), redis_url(), web_address()) == (SAID, REDIS, WEB)
    stack_failure(home).write_text(json.dumps({"pid": 7, "error": "no"}))
    assert stack.failure_of(home, 7) == "no"


def test_why_a_stack_did_not_start_is_believed_whole_or_not_at_all(home: Path) -> None:
    path = stack_failure(home)
    state_files.write(path, {"pid": 7, "error": "PORT: must be a number."})
    assert (stack.failure_of(home, 7), stack.failure_of(home, 8)) == ("PORT: must be a number.", None)
    path.write_text(path.read_text().replace("PORT", "PART"))
    assert stack.failure_of(home, 7) is None
    state_files.write(path, {"pid": 7})
    assert stack.failure_of(home, 7) is None
