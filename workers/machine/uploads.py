"""Files that people give through the dashboard: on disk under CWPO_HOME/uploads, by their content. Free of torch.

A file of more than a megabyte is on disk before a page hears of it: the door writes it there as it comes in
(`Arriving`), and what the page is given in its place is a mark that only this process can read (`keep`, `whole`).
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
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

MOST_BYTES = 4 << 30
LEAVES_FREE = 1 << 30  # bytes of the disk that no upload takes
LONGEST_NAME = 60
MARK = b"cwpo-arrived "  # what stands in place of a file that is on disk already begins so
_CHUNK = 1 << 20
_INCOMING = "incoming-"
_ABANDONED = 3_600.0  # seconds after which the rest of an upload whose process was killed is removed


@dataclass(frozen=True, kw_only=True)
class _Arrived:
    """A file that came in and waits for the page that asked for it; or why it did not."""

    path: Path
    digest: str
    bytes: int
    problem: str
    at: float


_arrived: dict[bytes, _Arrived] = {}  # by mark


class Arriving:
    """A file on its way from a browser, on disk as it comes and hashed as it comes. Blocks: not for an event loop.

    What goes wrong is said to the page that asked for the file, where there is a place for sentences.
    """

    def __init__(self) -> None:
        self._digest, self._bytes, self._problem = hashlib.sha256(), 0, ""
        folder = uploads(home())
        self._path = folder / f"{_INCOMING}{uuid.uuid4().hex}"
        self._file: BinaryIO | None = None
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder)
            self._file = self._path.open("xb")

    def write(self, piece: bytes) -> None:
        """The next piece; nothing more is written once something went wrong."""
        if self._file is None:
            return
        self._bytes += len(piece)
        with self._told():
            if self._bytes > MOST_BYTES:
                raise DataError(_too_large("It"))
            if shutil.disk_usage(self._path.parent).free - len(piece) < LEAVES_FREE:
                raise DataError(
                    "There is no room for this file on the server's disk: give a smaller one, or make room."
                )
            self._digest.update(piece)
            self._file.write(piece)

    def arrived(self) -> bytes:
        """The end of the file; what is handed on in its place."""
        if self._file is not None:
            with self._told():
                self._file.flush()
                os.fsync(self._file.fileno())
        self._close()
        mark = MARK + secrets.token_urlsafe(24).encode()
        _arrived[mark] = _Arrived(
            path=self._path, digest=self._digest.hexdigest(), bytes=self._bytes, problem=self._problem, at=time.time()
        )
        return mark

    def drop(self, mark: bytes = b"") -> None:
        """It is not wanted, or did not come whole; `mark`: what `arrived` said, if it did."""
        self._close()
        _arrived.pop(mark, None)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in here ends the file, and is kept for the page."""
        try:
            yield
        except (OSError, DataError) as error:
            self._problem = str(error) if isinstance(error, DataError) else _not_kept(error)
            self.drop()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


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
    """A file that was given, in a folder that is named by its content: copied piece by piece, or moved there where it
    is on disk already. The same file again is the same path."""
    folder = uploads(home())
    file = _safe(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        mark = _mark_in(stream)
        if mark:
            one = _found(mark)
            target = _placed(one.path, folder / one.digest[:16] / file)
            _arrived.pop(mark, None)
            return target
        with _incoming(folder) as aside:
            digest = _copied(stream, aside, name)
            return _placed(aside, folder / digest[:16] / file)
    except OSError as error:
        raise DataError(_not_kept(error)) from error


def whole(name: str, stream: BinaryIO, most: int) -> bytes:
    """All bytes of a file that was given and is read at once, wherever it is; a sentence where it has more than
    `most`."""
    mark = _mark_in(stream)
    if not mark:
        found = stream.read(most + 1)
    else:
        try:
            with _found(mark).path.open("rb") as file:
                found = file.read(most + 1)
        except OSError as error:
            raise DataError(_again()) from error
    if len(found) > most:
        raise DataError(f"{_shown(name)} has more than {most >> 20} MB, which is more than is read here.")
    return found


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


def _mark_in(stream: BinaryIO) -> bytes:
    """What stands in place of a file that is on disk already; empty where the stream is the file."""
    start = stream.read(128)
    stream.seek(0)
    return start if start.startswith(MARK) and len(start) < 128 else b""


def _found(mark: bytes) -> _Arrived:
    one = _arrived.get(mark)
    if one is not None and one.problem:
        raise DataError(one.problem)
    if one is None or not one.path.exists():
        raise DataError(_again())
    if not one.bytes:
        raise DataError("The file is empty: give a file with rows.")
    return one


def _placed(aside: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.utime(target)
        aside.unlink(missing_ok=True)
    else:
        os.replace(aside, target)
    return target


def _again() -> str:
    return "This file is not held any more (the dashboard was started again, or an hour has passed): choose it again."


def _too_large(what: str) -> str:
    return f"{what} has more than {MOST_BYTES / 2**20:,.0f} MB: copy it to the server, and give its path."


def _not_kept(error: OSError) -> str:
    return f"The file could not be kept ({error.strerror}): look at the disk under CWPO_HOME."


def _copied(stream: BinaryIO, aside: Path, name: str) -> str:
    digest, size = hashlib.sha256(), 0
    with aside.open("wb") as file:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > MOST_BYTES:
                raise DataError(_too_large(_shown(name)))
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
    for mark, one in list(_arrived.items()):
        if time.time() - one.at > _ABANDONED:
            _arrived.pop(mark, None)
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
