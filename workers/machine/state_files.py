"""What a launcher says of itself in a file, sealed: what was cut or changed is as if it had never been there."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cwpo.files import write_whole
from workers.machine.paths import stack_failure, stack_file

_SEAL = "seal"
_MOST_PROCESSES = 2**31  # no process has a number beyond


def write(path: Path, said: Mapping[str, Any]) -> None:
    """The state file with its seal, for its owner alone."""
    write_whole(path, json.dumps({**said, _SEAL: _seal(said)}), private=True)


def said_of_stack(base: Path) -> dict[str, Any] | None:
    """What the launcher of the stack over this home wrote, whether it still runs or not; None where nothing that can
    be believed is there. It has `pid`, `web_url` and `redis_url`."""
    return _said(stack_file(base), "web_url", "redis_url")


def said_of_failure(base: Path) -> dict[str, Any] | None:
    """What the last launcher wrote that did not start, with `pid` and `error`; None as above."""
    return _said(stack_failure(base), "error")


def _said(path: Path, *texts: str) -> dict[str, Any] | None:
    """The content, where all these are texts in it and its seal is right; an older program wrote none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not _is_pid(said.get("pid")):
        return None
    seal = said.pop(_SEAL, None)
    if seal is not None and seal != _seal(said):
        return None
    return said if all(isinstance(said.get(name), str) for name in texts) else None


def _is_pid(value: object) -> bool:
    return type(value) is int and 0 < value < _MOST_PROCESSES


def _seal(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
