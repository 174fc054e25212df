"""What was bought from a judge, one line per reply, so that nothing is bought twice: not after a kill, not by another
run with the same answers, not with more repeats. Free of torch.

A file per judge lies under the artifact store of a machine. What a reply depends on is its key: the judge, how it is
asked, the whole question, and which repeat and try it is. Neither addresses nor keys of endpoints are in it.
"""

import contextvars
import errno
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cwpo.config.run import digest
from cwpo.evaluation.judges.questions import Letter
from cwpo.evaluation.judges.verdicts import Reply
from cwpo.full_disk import when_room

FOLDER = "purchases"
MOST_TEXT = 4_000  # characters of a reply that are kept


class Ledger:
    """The purchases of one judge; safe for threads, and for several processes that append at once."""

    def __init__(self, root: Path, judge: Mapping[str, Any]) -> None:
        self._judge = digest(judge)
        folder = root / FOLDER
        when_room(lambda: folder.mkdir(parents=True, exist_ok=True))
        self._path = folder / f"{self._judge[:32]}.jsonl"
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()  # its patience with a full disk, for the threads that buy
        self._known = dict(self._read())

    def key(self, text: str, repeat: int, attempt: int) -> str:
        """Of one reply: the same question asked again is another one."""
        return digest([self._judge, text, repeat, attempt])

    def get(self, key: str) -> Reply | None:
        """What was bought under that key."""
        with self._lock:
            return self._known.get(key)

    def add(self, key: str, reply: Reply, *, paid: bool = True) -> None:
        """Written at once, a line in one piece; what was paid for is on the disk before anything else is bought."""
        line = json.dumps({"key": key, **asdict(reply), "text": reply.text[:MOST_TEXT]}) + "\n"
        with self._lock:
            self._context.run(when_room, lambda: self._append(line, paid), needs=len(line))
            self._known[key] = reply

    def _append(self, line: str, paid: bool) -> None:
        """A full disk may take a part of it: the whole line is then written once more, behind that."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            text = (self._torn(descriptor) + line).encode()
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if paid:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _torn(self, descriptor: int) -> str:
        """A new line behind half of one, which a process that was killed left."""
        size = os.fstat(descriptor).st_size
        return "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""

    def _read(self) -> list[tuple[str, Reply]]:
        """All whole lines."""
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
                text = str(row["text"])
                tokens = {name: int(row[name]) for name in ("prompt_tokens", "completion_tokens")}
                found.append((str(row["key"]), Reply(text=text, verdict=_letter(row["verdict"]), **tokens)))
            except (ValueError, KeyError, TypeError):
                continue
        return found


def _letter(verdict: Any) -> Letter | None:
    return verdict if verdict in ("A", "B") else None
