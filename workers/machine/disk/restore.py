"""`cwpo restore`: a backup becomes database and home again, all of it or nothing.

Rows go into one transaction and files beside their place; both count only when the last member was read and every
checksum is right. Files get their place just before the rows are committed, and a marker says so: where the rows never
count they are taken away again, at once, or by the next restore after a kill. A backup of an earlier schema fills
tables of that schema, which are then brought up to date.
"""

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ConfigError, DataError
from cwpo.files import PARTIAL, write_whole
from db import copies
from db.engine import downgrade, head_revision, make_engines, session_scope, upgrade
from db.errors import DatabaseError
from workers.machine import paths
from workers.machine.database import database_url
from workers.machine.disk import form
from workers.machine.disk.form import Damaged

_ASIDE = f"restore{PARTIAL}"
_MARKER = f"{_ASIDE}.json"  # which folders get their place while the rows do not count yet
_OWN_FILES = ("cwpo.sqlite", _ASIDE)  # names that a home may hold and count as empty; the database is looked at itself


@dataclass(kw_only=True)
class Restored:
    """What a backup held."""

    rows: int = 0
    artifacts: int = 0
    made_at: str = ""
    left_out: list[str] = field(default_factory=list)


def check(file: Path) -> Restored:
    """Read all of it and compare the checksums; nothing is written."""
    done = Restored()
    _read(file, _header_of(file), done, lambda table, rows: None, None)
    return done


def restore(file: Path) -> Restored:
    """Bring everything back into an empty home and an empty database."""
    header = _header_of(file)
    home, url = paths.home(), database_url()
    _take_back(home, url)
    check_empty(home, url)
    _check_room(file, home)
    aside = home / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    done = Restored()
    try:
        _make_tables(url, header["revision"])
        engines = make_engines(url)
        try:
            with session_scope(engines) as session:
                filling = copies.Filling(session.connection(), header["tables"])
                _read(file, header, done, filling.add, aside)
                filling.set_counters(header["counters"])
                _place(aside, home, done)
        except BaseException:
            with suppress(DatabaseError):  # away: the next restore does it
                _take_back(home, url)
            raise
        finally:
            engines.dispose()
        (home / _MARKER).unlink(missing_ok=True)
        upgrade(url)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return done


def check_empty(home: Path, url: str) -> None:
    """Refuse to write over anything that somebody has."""
    own = copies.file_of(url) or home / _OWN_FILES[0]
    for path in home.rglob("*") if home.is_dir() else ():
        ours = path.relative_to(home).parts[0].startswith(_OWN_FILES) or str(path).startswith(str(own))
        if path.is_file() and path.suffix != ".lock" and not ours:
            raise ConfigError("CWPO_HOME", f"{home} is not empty ({path.relative_to(home)}): name another folder.")
    if table := copies.used_table(url):
        raise ConfigError("DATABASE_URL", f"the database is not empty (table {table}): name another one.")


def _make_tables(url: str, revision: str) -> None:
    """Empty tables of the backup's schema; a newer one that is empty is taken back."""
    upgrade(url)
    if revision != head_revision():
        downgrade(url, "base")
        upgrade(url, revision)


def _header_of(file: Path) -> dict[str, Any]:
    """What the file says that it is."""
    try:
        with file.open("rb") as opened, tarfile.open(fileobj=opened, mode="r|") as tar:
            first = tar.next()
            stream = tar.extractfile(first) if first is not None and first.name == form.HEADER else None
            if first is None or stream is None or first.size > form.MOST_OF_A_LIST:
                raise Damaged(file, "it does not begin as one")
            found = json.load(stream)
            form.field(found, "tables", dict)
            form.field(found, "counters", dict)
            number, revision = form.field(found, "format", int), form.field(found, "revision", str)
            form.field(found, "made_at", str)
    except OSError as error:
        raise ConfigError("FILE", f"{file} cannot be read ({error.strerror or error}).") from error
    except (tarfile.TarError, ValueError) as error:
        raise Damaged(file, "it does not begin as one") from error
    if number > form.FORMAT or revision > head_revision():
        raise DataError(f"{file} was made by a newer program ({found.get('program')}): restore it with that one.")
    return dict(found)


def _read(
    file: Path, header: Mapping[str, Any], done: Restored, add: Callable[[str, list[Any]], None], aside: Path | None
) -> None:
    """Every member once: rows to `add`, files below `aside`; the checksums are compared at the end."""
    sums: dict[str, str] = {}
    end: dict[str, Any] | None = None
    done.made_at = header["made_at"]
    try:
        for name, size, stream in _members(file):
            if end is not None:
                raise Damaged(file, "something follows its end")
            if name in sums:
                raise Damaged(file, f"{name[:80]!r} is in it twice")
            source = _Hashing(stream)
            if name in (form.HEADER, form.END):
                content = source.read(_bounded(file, size, form.MOST_OF_A_LIST))
                end = json.loads(content) if name == form.END else None
            elif match := form.PART.fullmatch(name):
                rows = _rows(file, source, size)
                done.rows += len(rows)
                add(match[1], rows)
            else:
                _keep(file, name, source, aside)
                done.artifacts += name.startswith(f"{form.HOME}/artifacts/") and name.endswith("/manifest.json")
            if name != form.END:
                sums[name] = source.digest.hexdigest()
        if end is None:
            raise Damaged(file, "its end is missing")
        _compare(file, sums, form.field(end, "sums", dict))
        done.left_out = [str(one) for one in form.field(end, "left_out", list)]
    except (tarfile.TarError, ValueError, KeyError, EOFError, zlib.error) as error:
        raise Damaged(file, "it cannot be read to its end") from error


def _compare(file: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, sha in found.items():
        if expected.get(name) != sha:
            raise Damaged(file, f"{name[:80]} has changed")
    if missing := [name for name in expected if name not in found]:
        raise Damaged(file, f"{str(missing[0])[:80]} is missing")


def _members(file: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with file.open("rb") as opened, tarfile.open(fileobj=opened, mode="r|") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise Damaged(file, f"{member.name[:80]!r} is not a plain file")
            yield member.name, member.size, stream


def _rows(file: Path, source: "_Hashing", size: int) -> list[Any]:
    packed = source.read(_bounded(file, size, form.MOST_OF_A_PART))
    unpacking = zlib.decompressobj(wbits=31)
    lines = unpacking.decompress(packed, form.MOST_OF_A_PART)
    if not unpacking.eof:
        raise Damaged(file, "a part of it is too large")
    return [json.loads(line) for line in lines.splitlines()] if lines else []


def _keep(file: Path, name: str, source: "_Hashing", aside: Path | None) -> None:
    if not form.is_plain(name):
        raise Damaged(file, f"{name[:80]!r} leads out of the home")
    if aside is None:
        while source.read(form.CHUNK):
            pass
        return
    target = aside / name.removeprefix(f"{form.HOME}/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        while chunk := source.read(form.CHUNK):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def _bounded(file: Path, size: int, most: int) -> int:
    if size > most:
        raise Damaged(file, "a part of it is too large")
    return size


def _place(aside: Path, home: Path, done: Restored) -> None:
    """Every folder into its place, without artifacts that were damaged or half gone when they were copied."""
    for fingerprint in done.left_out:
        shutil.rmtree(ArtifactStore(aside / "artifacts").path(fingerprint), ignore_errors=True)
    folders = sorted(aside.iterdir())
    write_whole(home / _MARKER, json.dumps([folder.name for folder in folders]))
    for folder in folders:
        target = home / folder.name
        if target.is_dir():  # empty, as was seen
            shutil.rmtree(target)
        folder.rename(target)


def _take_back(home: Path, url: str) -> None:
    """Remove what a restore placed whose rows do not count; nothing where they do, or where somebody used it since."""
    marker = home / _MARKER
    try:
        named, at = json.loads(marker.read_text()), marker.stat().st_mtime_ns
    except (OSError, ValueError):
        return
    placed = [home / name for name in named if name in (form.ARTIFACTS, *form.FOLDERS, *form.MODELS)]
    if copies.used_table(url) is None and not any(_written_since(at, folder) for folder in placed):
        for folder in placed:
            shutil.rmtree(folder, ignore_errors=True)
    marker.unlink()


def _written_since(at: int, folder: Path) -> bool:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return any(path.stat().st_mtime_ns > at for path in files)


def _check_room(file: Path, home: Path) -> None:
    folder = home
    while not folder.exists():
        folder = folder.parent
    size, free = file.stat().st_size, shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"The backup holds {size / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: set CWPO_HOME to another "
            "disk."
        )


class _Hashing:
    """What is read of a member, hashed on its way."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self.digest = source, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data
