"""Files that people give through the dashboard: on disk under CWPO_HOME/uploads, by their content. Free of torch."""

import contextlib
import hashlib
import os
import re
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from cwpo.data.files import suffix_of
from cwpo.errors import DataError
from workers.machine.paths import home, uploads

MOST_BYTES = 64 << 20  # the web server holds what a browser sends in memory until it is read
LONGEST_NAME = 60
_CHUNK = 1 << 20
_INCOMING = "incoming-"
_ABANDONED = 3_600.0  # seconds after which the rest of an upload whose process was killed is removed


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that was given."""

    path: Path
    bytes: int
    at: datetime

    @property
    def name(self) -> str:
        return self.path.name


def keep(name: str, stream: BinaryIO) -> Path:
    """Copy a file chunk by chunk and name its folder by its content; the same file again is the same path."""
    folder = uploads(home())
    file = _safe(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        with _incoming(folder) as aside:
            digest = _copied(stream, aside, name)
            target = folder / digest[:16] / file
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                os.replace(aside, target)
            else:
                os.utime(target)
        return target
    except OSError as error:
        raise DataError(f"The file could not be kept ({error.strerror}): look at the disk under CWPO_HOME.") from error


def kept() -> list[Upload]:
    """What was given, the newest first."""
    found = []
    for path in uploads(home()).glob("*/*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append(Upload(path=path, bytes=stat.st_size, at=datetime.fromtimestamp(stat.st_mtime, UTC)))
    return sorted(found, key=lambda one: one.at, reverse=True)


def remove(path: str) -> None:
    """Delete a file that was given; no other file of this machine."""
    wanted = Path(path)
    if not any(one.path == wanted for one in kept()):
        raise DataError("This file was not uploaded here, or is gone already.")
    wanted.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        wanted.parent.rmdir()


def _copied(stream: BinaryIO, aside: Path, name: str) -> str:
    digest, size = hashlib.sha256(), 0
    with aside.open("wb") as file:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > MOST_BYTES:
                raise DataError(
                    f"{_shown(name)} has more than {MOST_BYTES >> 20} MB: copy it to the server, and give its path."
                )
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if not size:
        raise DataError(f"{_shown(name)} is empty: give a file with rows.")
    return digest.hexdigest()


@contextmanager
def _incoming(folder: Path) -> Iterator[Path]:
    """A file that is gone at the end, however that comes."""
    aside = folder / f"{_INCOMING}{uuid.uuid4().hex}"
    try:
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    for left in folder.glob(f"{_INCOMING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


def _safe(name: str) -> str:
    """Letters, digits, dots, dashes and underscores of the name, with the ending that says how it is read."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    suffix = suffix_of(Path(last.replace("\0", "")))
    stem = re.sub(r"[^\w-]+", "_", last[: -len(suffix)]).strip("_") or "pairs"
    return f"{stem[: LONGEST_NAME - len(suffix)]}{suffix}"


def _shown(name: str) -> str:
    return re.split(r"[/\\]", name)[-1][:LONGEST_NAME]
