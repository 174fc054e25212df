"""Atomic file writes: a file is written beside its target, synced, and renamed over it; and the hash of a file."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20
PARTIAL = ".partial"  # what the name ends in until the file is whole


@contextmanager
def written_aside(path: Path, name: str | None = None) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    `name`: the temporary file's name, by default `<name of path>.partial`. If the process or the machine dies at any
    moment, either the old file or the new one is left.
    """
    aside = path.with_name(name or f"{path.name}{PARTIAL}")
    try:
        yield aside
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """The text as the file's content; `private`: nobody else may read it."""
    mode = 0o600 if private else 0o666
    with written_aside(path) as aside:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


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
