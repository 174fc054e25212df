"""Atomic file writes: a file is written beside its target, synced, and renamed over it; and the hash of a file.

`written_aside` is for folders of ours, which nobody else can write; `written_new` for the folders of people: nothing
that somebody put there is followed or overwritten.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cwpo.errors import DataError
from cwpo.full_disk import waits_for_room, when_room

_CHUNK = 1 << 20
PARTIAL = ".partial"  # what the name ends in until the file is whole


@contextmanager
def written_aside(path: Path, name: str | None = None) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    `name`: the temporary file's name, by default `<name of path>.partial`. If the process or the machine dies at any
    moment, either the old file or the new one is left.
    """
    aside = path.with_name(name or f"{path.name}{PARTIAL}")
    with suppress(FileNotFoundError):  # the rest of a write that was killed, or a link to somewhere else
        aside.unlink()
    try:
        yield aside
        sync(aside)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    os.replace(aside, path)


@contextmanager
def written_new(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` when the block ends well and nothing stands there.

    The temporary file has a random name and is made by this call alone. DataError where something else got the name
    `path` meanwhile; the same bytes are taken for what is to be written.
    """
    aside = partial_of(path)
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        yield aside
        sync(aside)
        _place(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """A name beside `path` that nobody can foresee, for what becomes it when it is whole."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}{PARTIAL}")


def _place(aside: Path, path: Path) -> None:
    """Give the file its name; a name is taken at once or not at all."""
    try:
        os.link(aside, path, follow_symlinks=False)
    except FileExistsError as error:
        if path.is_symlink() or not path.is_file() or sha256_of(path) != sha256_of(aside):
            raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _exists(path) from error
        os.rename(aside, path)


_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EACCES)


def _exists(path: Path) -> DataError:
    return DataError(f"{path} exists already and was not overwritten: remove it, or choose another name.")


@waits_for_room
def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """The text as the file's content; `private`: nobody else may read it."""
    mode = 0o600 if private else 0o666
    with written_aside(path) as aside:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def append_whole(stream: BinaryIO, data: bytes) -> None:
    """Put the data behind what an unbuffered stream has, whole; what a full disk cut short is taken away before it is
    written again."""
    at = stream.seek(0, os.SEEK_END)

    def write() -> None:
        stream.seek(at)
        stream.truncate()
        left = memoryview(data)
        while left:
            left = left[stream.write(left) :]

    when_room(write, needs=len(data))


def sha256_of(file: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(file, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """A file or folder is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
