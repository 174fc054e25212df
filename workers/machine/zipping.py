"""A folder as a zip that is written while it is read: of files of any size, nothing is held but the part under way."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

_PART = 1 << 20  # bytes that are read at once
_FIXED = (1980, 1, 1, 0, 0, 0)
_PLAIN = (1 << 31) - 1  # bytes up to which the entries of a zip have the same form wherever they lie in it


class _Waiting:
    """What the zip is written into; whoever hands it on takes what has come since. It can be sought in by nobody."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def zipped(folder: Path) -> Iterator[bytes]:
    """The zip, part by part. Nothing is pressed: weights hold nothing that could be."""
    out = _Waiting()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for file in _files(folder):
            with archive.open(_entry(folder, file), "w", force_zip64=True) as target, file.open("rb") as source:
                while part := source.read(_PART):
                    target.write(part)
                    yield out.take()
    yield out.take()


def zipped_bytes(folder: Path) -> int | None:
    """How long it will be; None for one that is too large to say."""
    files, out = _files(folder), _Waiting()
    whole = sum(file.stat().st_size for file in files)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.open(_entry(folder, file), "w", force_zip64=True).close()
    frame = len(out.take())
    return whole + frame if whole + frame <= _PLAIN else None


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _entry(folder: Path, file: Path) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{folder.name}/{file.relative_to(folder).as_posix()}", date_time=_FIXED)
    entry.external_attr = 0o644 << 16
    return entry
