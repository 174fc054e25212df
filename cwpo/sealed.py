"""Files that tell when they were damaged: a checksum over every byte, written with them and checked when they are read.

A sealed file begins with the sha256 of what follows its first line end. A sealed folder holds a sealed manifest with
size and sha256 of its other files. A sealed line begins with a part of the sha256 of its text. Free of torch.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cwpo.errors import Damaged
from cwpo.files import PARTIAL, sha256_of, sync, written_aside
from cwpo.full_disk import waits_for_room, when_room

SEAL = "manifest.sealed"
STEP = "step-"  # how the names of folders begin that belong to a step of a training
ASIDE = "damaged"  # the folder beside damaged things that they are moved to
_DIGEST, _SHORT = 64, 16  # characters of a checksum: of files, of lines
_HASHING = 4  # files of a folder at once


def sealed(payload: bytes) -> bytes:
    """The payload behind its checksum."""
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def opened(data: bytes) -> bytes:
    """The payload of what `sealed` made; Damaged where any byte has changed or is missing."""
    digest, payload = data[: _DIGEST + 1], data[_DIGEST + 1 :]
    if digest != hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise Damaged("its checksum does not match")
    return payload


@waits_for_room
def write_sealed(path: Path, payload: bytes) -> None:
    """Write a sealed file whole; a kill at any moment leaves the old one or the new one."""
    with written_aside(path) as aside:
        aside.write_bytes(sealed(payload))


def read_sealed(path: Path) -> bytes:
    """The payload of a sealed file; Damaged, with what is wrong, where it is not as it was written."""
    try:
        return opened(path.read_bytes())
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    except Damaged as error:
        raise Damaged(f"{path.name}: {error}") from error


def sealed_line(text: str) -> str:
    """A line, with its end, that tells when it was damaged. `text` has no line end."""
    return f"{_short(text.encode())} {text}\n"


def opened_line(line: bytes) -> str | None:
    """The text of a sealed line without its end; None where it is damaged."""
    digest, _, text = line.partition(b" ")
    return text.decode() if digest == _short(text).encode() else None


@contextmanager
def sealed_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write files to: synced, read back and sealed, it gets that name when the block ends
    well. Whoever finds a folder of that name finds all of its files, or `damage_of` says what is wrong."""
    aside = folder.with_name(f"{folder.name}{PARTIAL}")
    when_room(lambda: aside.mkdir(parents=True, exist_ok=True))
    try:
        yield aside
        files = [file for file in _files(aside) if file != aside / SEAL]
        for file in files:
            sync(file)
        table = {name: {"bytes": file.stat().st_size, "sha256": sha} for name, file, sha in _hashed(aside, files)}
        write_sealed(aside / SEAL, json.dumps(table, sort_keys=True).encode())
        sync(aside)
        if folder.exists():
            shutil.rmtree(folder)
        when_room(lambda: os.rename(aside, folder))
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    when_room(lambda: sync(folder.parent))


def damage_of(folder: Path) -> str | None:
    """What is wrong with a sealed folder, in a few words; None where every byte is as it was written."""
    try:
        table = json.loads(read_sealed(folder / SEAL))
        for name, said in table.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if (size := file.stat().st_size) != said["bytes"]:
                return f"{name} has {size:,} of {said['bytes']:,} bytes"
        for name, _, sha in _hashed(folder, [folder / name for name in table]):
            if sha != table[name]["sha256"]:
                return f"{name} has changed since it was written"
    except Damaged as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None


def steps_in(directory: Path) -> list[Path]:
    """The folders of a training's steps in a directory, the earliest first, without those that a kill cut short;
    whether every byte is as it was written says `damage_of`."""
    return sorted(folder for folder in directory.glob(f"{STEP}*") if not folder.name.endswith(PARTIAL))


def set_aside(path: Path) -> Path:
    """Move a damaged file or folder away, into the folder "damaged" beside it; where it is then."""
    folder = path.parent / ASIDE
    when_room(lambda: folder.mkdir(exist_ok=True))
    where = folder / f"{path.name}-{uuid.uuid4().hex[:8]}"
    when_room(lambda: os.rename(path, where))
    return where


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _hashed(folder: Path, files: list[Path]) -> Iterator[tuple[str, Path, str]]:
    """Name in the folder, path and sha256 of each file. Several are read at once: hashing holds no lock of Python."""
    with ThreadPoolExecutor(_HASHING) as pool:
        shas = pool.map(sha256_of, files) if len(files) > 1 else map(sha256_of, files)  # one: by the thread that asks
        for file, sha in zip(files, shas, strict=True):
            yield file.relative_to(folder).as_posix(), file, sha


def _short(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:_SHORT]
