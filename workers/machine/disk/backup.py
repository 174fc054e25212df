"""`cwpo backup`: the database as it is at one moment, then the files that it names; workers go on meanwhile.

Artifacts never change and are there before a row names them, so files that are read after the rows belong to them. An
artifact that is deleted meanwhile, or is damaged, is left out by name: its stage is computed again when it is needed.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError, ConfigError, DataError
from cwpo.files import PARTIAL, written_aside
from cwpo.object_store import MANIFEST
from db import copies
from workers.machine import paths
from workers.machine.database import reading
from workers.machine.disk import form

_PART_BYTES = 4 << 20  # of rows in one member
_SPARE = 64 << 20  # bytes that must be free beside the files' own


@dataclass(kw_only=True)
class Written:
    """What a backup holds. `elsewhere`: artifacts of the database that lie in a shared store alone."""

    rows: int = 0
    artifacts: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    elsewhere: int = 0


class _Tar:
    """A tar that remembers what it was given."""

    def __init__(self, target: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.sums: dict[str, str] = {}

    def add(self, name: str, source: BinaryIO, size: int) -> str:
        """A member of exactly so many bytes; its sha256."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o644
        hashing = _Hashing(source)
        self._tar.addfile(entry, hashing)
        self.sums[name] = hashing.digest.hexdigest()
        return self.sums[name]

    def add_bytes(self, name: str, content: bytes) -> None:
        self.add(name, io.BytesIO(content), len(content))

    def close(self) -> None:
        self._tar.close()


class _Hashing:
    """What is read of a file, hashed on its way."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self.digest = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


def write(target: Path, *, models: bool = False) -> Written:
    """Write the backup; the file gets its name when it is whole."""
    if target.exists():
        raise ConfigError("FILE", f"{target} exists: give a name that is free.")
    if not target.absolute().parent.is_dir():
        raise ConfigError("FILE", f"{target} cannot be written; give a file in a folder that exists.")
    target = target.absolute()
    folders = (form.PURCHASES, *form.FOLDERS, *(form.MODELS if models else ()))
    _check_room(target, folders)
    done = Written()
    with written_aside(target, f".{target.name}.{uuid.uuid4().hex[:8]}") as aside, aside.open("xb") as file:
        os.chmod(aside, 0o600)  # what people wrote and voted is in it
        tar = _Tar(file)
        named = _add_database(tar, done)
        _add_artifacts(tar, paths.store(), named, done)
        for folder in folders:
            _add_folder(tar, paths.home(), folder)
        end = {"sums": tar.sums, "rows": done.rows, "left_out": done.left_out}
        tar.add_bytes(form.END, json.dumps(end).encode())
        tar.close()
    done.bytes = target.stat().st_size
    return done


def _add_database(tar: _Tar, done: Written) -> set[str]:
    """Every row of one moment; fingerprints of the artifacts that it names."""
    named: set[str] = set()
    tables = copies.columns()
    name, gone = (tables["artifacts"].index(column) for column in ("fingerprint", "deleted_at"))
    with reading() as session:
        header = {
            "format": form.FORMAT, "program": version("cwpo"), "revision": copies.check_current(session),
            "made_at": datetime.now(UTC).isoformat(), "tables": tables, "counters": copies.counters(session),
        }  # fmt: skip
        tar.add_bytes(form.HEADER, json.dumps(header).encode())
        parts = _Parts(tar)
        for table, rows in copies.rows(session):
            for row in rows:
                parts.add(table, row)
                if table == "artifacts" and row[gone] is None:
                    named.add(row[name])
            done.rows += len(rows)
        parts.flush()
    return named


class _Parts:
    """Rows on their way into members of a few megabytes."""

    def __init__(self, tar: _Tar) -> None:
        self._tar, self._table, self._number = tar, "", 0
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, table: str, row: list[Any]) -> None:
        if table != self._table or self._bytes > _PART_BYTES:
            self.flush()
            self._table = table
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
        self._lines.append(line)
        self._bytes += len(line)

    def flush(self) -> None:
        if self._lines:
            self._number += 1
            name = f"{form.DATABASE}/{self._table}/{self._number:06d}.jsonl.gz"
            self._tar.add_bytes(name, gzip.compress(b"\n".join(self._lines), compresslevel=4, mtime=0))
        self._lines, self._bytes = [], 0


def _add_artifacts(tar: _Tar, place: ArtifactStore, named: set[str], done: Written) -> None:
    here = set()
    for fingerprint in sorted(place.fingerprints()):
        here.add(fingerprint)
        if _add_artifact(tar, place, fingerprint):
            done.artifacts += 1
        else:
            done.left_out.append(fingerprint)
    if place.shared is not None:
        done.elsewhere = len(named - here)


def _add_artifact(tar: _Tar, place: ArtifactStore, fingerprint: str) -> bool:
    """Its files, the manifest last; False where it went meanwhile, or is not as its manifest says."""
    folder = place.path(fingerprint)
    inside = f"{form.HOME}/artifacts/{fingerprint[:2]}/{fingerprint}"
    try:
        expected = place.info(fingerprint).files
        for name, sha in expected.items():
            with (folder / name).open("rb") as file:
                if tar.add(f"{inside}/{name}", file, os.fstat(file.fileno()).st_size) != sha:
                    return False
        tar.add_bytes(f"{inside}/{MANIFEST}", (folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ArtifactError):
        return False
    return True


def _add_folder(tar: _Tar, home: Path, name: str) -> None:
    """The files of a folder of the home; what is appended to one meanwhile is not in it."""
    for file in _files(home / name):
        try:
            with file.open("rb") as source:
                size = os.fstat(source.fileno()).st_size
                tar.add(f"{form.HOME}/{file.relative_to(home).as_posix()}", source, size)
        except FileNotFoundError:
            continue


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder).parts
        if file.is_file() and not file.is_symlink() and not any(part.endswith((PARTIAL, ".lock")) for part in inside):
            yield file


def _check_room(target: Path, folders: tuple[str, ...]) -> None:
    """Before hours of copying, not after them."""
    place, home = paths.store(), paths.home()
    wanted = _SPARE + sum(_bytes(place, fingerprint) for fingerprint in place.fingerprints())
    wanted += sum(file.stat().st_size for folder in folders for file in _files(home / folder))
    free = shutil.disk_usage(target.parent).free
    if wanted > free:
        raise DataError(
            f"The backup takes {wanted / 1e9:.1f} GB and {target.parent} has {free / 1e9:.1f} GB free: give a file on "
            "another disk."
        )


def _bytes(place: ArtifactStore, fingerprint: str) -> int:
    with suppress(ArtifactError):  # a manifest that cannot be read
        return place.info(fingerprint).bytes
    return 0
