"""The content of local models and data, hashed once: what a file held is remembered by its path, size, times and inode.

The memory is a small file under CWPO_HOME, so that the web process, workers and the next process read a file of 28 GB
once between them. It may be deleted at any time. Free of torch.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from cwpo.artifacts import content_files, content_hash
from cwpo.files import sha256_of, written_aside
from cwpo.full_disk import waits_for_room

MEMORY = "contents.json"
UNREAD = "unread:"  # in front of a name that stands for a content which nobody has read yet
SETTLED = 2.0  # seconds since the last change; a younger file may change again within the same tick of its clock
_FORMAT = 1

Stamp = tuple[int, int, int, int]  # bytes, modified and changed (ns), inode


def content_of(path: Path, home: Path, *, read_at_most: int | None = None) -> str:
    """`sha256:…` of a file or folder as `content_hash` gives it; unchanged files are not read again.

    read_at_most: bytes. Where more would have to be read, the answer is `unread:…`, which changes with the files' sizes
    and times and equals no content hash.
    """
    files = {str(file.absolute()): file for file in ([path] if path.is_file() else content_files(path))}
    stamps = {name: _stamp(file) for name, file in files.items()}
    known = _remembered(home)
    hashes = {name: known[name][1] for name, stamp in stamps.items() if name in known and known[name][0] == stamp}
    missing = [name for name in files if name not in hashes]
    if read_at_most is not None and sum(stamps[name][0] for name in missing) > read_at_most:
        return f"{UNREAD}{hashlib.sha256(json.dumps(sorted(stamps.items())).encode()).hexdigest()}"
    hashes |= {name: sha256_of(files[name]) for name in missing}
    settled = time.time_ns() - int(SETTLED * 1e9)
    new = {
        name: (stamps[name], hashes[name])
        for name in missing
        if max(stamps[name][1:3]) < settled and _stamp(files[name]) == stamps[name]
    }
    if new:
        _remember(home, new)
    return content_hash(path, lambda file: hashes[str(file.absolute())])


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _remembered(home: Path) -> dict[str, tuple[Stamp, str]]:
    try:
        kept = json.loads((home / MEMORY).read_text())
        return {name: (tuple(stamp), sha) for name, (stamp, sha) in kept["files"].items() if kept["format"] == _FORMAT}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not ours: everything is read again
        return {}


@waits_for_room
def _remember(home: Path, new: Mapping[str, tuple[Stamp, str]]) -> None:
    """Add to the file what other processes have not, and drop files that are gone."""
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(str(home / f"{MEMORY}.lock")):
        files = {name: entry for name, entry in _remembered(home).items() if os.path.exists(name)}
        text = json.dumps({"format": _FORMAT, "files": files | dict(new)}, indent=1, sort_keys=True)
        with written_aside(home / MEMORY, f".{MEMORY}-{uuid.uuid4().hex[:8]}") as aside:
            aside.write_text(text)
