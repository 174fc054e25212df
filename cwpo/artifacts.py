"""The artifact store: finished stage results, written atomically and verified by checksum. Free of torch.

Layout under the root: `<fp[:2]>/<fp>/` holds the files and `manifest.json` with the sha256 of each. A result is built
in a temporary directory of the same file system, fsynced, and renamed into place; `checkpoints/<fp>/` survives a kill.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from cwpo.errors import ArtifactError

MANIFEST = "manifest.json"
TOKENS = "tokens"  # a store of its own under the root: token ids of pairs, which any stage can make again
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ArtifactInfo:
    """What the manifest says of one artifact."""

    fingerprint: str
    path: Path
    bytes: int
    files: Mapping[str, str]  # relative name -> sha256
    sha256: str  # of the manifest's file table
    meta: Mapping[str, Any]


class ArtifactStore:
    """Directories of finished stages, addressed by fingerprint."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, fingerprint: str) -> Path:
        """Where the artifact is, or would be."""
        _check_fingerprint(fingerprint)
        return self.root / fingerprint[:2] / fingerprint

    def find(self, fingerprint: str, *, verify: bool = True) -> Path | None:
        """The artifact's directory, its files checked against the manifest; None when there is none.

        Each process hashes an artifact's files once, and again only when a file's inode, size or modification time has
        changed. A damaged artifact is moved aside, so that the stage is computed again.
        """
        path = self.path(fingerprint)
        if not (path / MANIFEST).is_file():
            return None
        if not verify:
            return path
        seen = _stamps(path)
        if _WHOLE.get(path) != seen:
            if damage := self.damage(fingerprint):
                self._set_aside(path, damage)
                return None
            _WHOLE[path] = seen
        return path

    def info(self, fingerprint: str) -> ArtifactInfo:
        """The manifest of an artifact; ArtifactError when there is none."""
        path = self.path(fingerprint)
        try:
            manifest = json.loads((path / MANIFEST).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise ArtifactError(f"Artifact {fingerprint[:12]} is missing; retry the run to recompute it.") from error
        return ArtifactInfo(
            fingerprint=fingerprint,
            path=path,
            bytes=manifest["bytes"],
            files=manifest["files"],
            sha256=manifest["sha256"],
            meta=manifest["meta"],
        )

    def damage(self, fingerprint: str) -> str | None:
        """What is wrong with the artifact's files; None when all match the manifest."""
        try:
            info = self.info(fingerprint)
        except ArtifactError as error:
            return str(error)
        for name, expected in info.files.items():
            file = info.path / name
            if not file.is_file():
                return f"{name} is missing"
            if sha256_of(file) != expected:
                return f"{name} has changed"
        return None

    @contextmanager
    def build(self, fingerprint: str, meta: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """A temporary directory that becomes the artifact when the block ends without an exception."""
        target = self.path(fingerprint)
        work = self.root / "tmp" / f"{fingerprint[:16]}-{uuid.uuid4().hex[:8]}"
        work.mkdir(parents=True)
        try:
            yield work
            _write_manifest(work, fingerprint, meta or {})
            _sync_tree(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():  # an equal artifact was published meanwhile
                return
            try:
                os.rename(work, target)
            except OSError:
                if not (target / MANIFEST).is_file():
                    raise
            _sync(target.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def checkpoints(self, fingerprint: str) -> Path:
        """The directory in which an unfinished stage keeps what it needs to resume."""
        _check_fingerprint(fingerprint)
        path = self.root / "checkpoints" / fingerprint
        path.mkdir(parents=True, exist_ok=True)
        return path

    def drop_checkpoints(self, fingerprint: str) -> None:
        """Forget the checkpoints of a finished stage."""
        shutil.rmtree(self.root / "checkpoints" / fingerprint, ignore_errors=True)

    def lock(self, fingerprint: str) -> FileLock:
        """Held while a stage is computed, so that two processes of one host never compute it twice."""
        _check_fingerprint(fingerprint)
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(str(folder / f"{fingerprint}.lock"))

    def delete(self, fingerprint: str) -> None:
        """Remove an artifact and its checkpoints."""
        shutil.rmtree(self.path(fingerprint), ignore_errors=True)
        self.drop_checkpoints(fingerprint)

    def fingerprints(self) -> Iterator[str]:
        """All artifacts in the store."""
        for manifest in self.root.glob(f"??/*/{MANIFEST}"):
            yield manifest.parent.name

    def _set_aside(self, path: Path, damage: str) -> None:
        aside = self.root / "damaged" / f"{path.name}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, aside)
        (aside / "DAMAGE").write_text(damage + "\n")


# Directories whose files this process has checked, and what they looked like then.
_WHOLE: dict[Path, tuple[tuple[str, int, int, int], ...]] = {}


def _stamps(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Path, inode, size in bytes and modification time (ns) of every file."""
    files = ((file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    return tuple((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns) for file, stat in files)


def sha256_of(file: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(file, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """`sha256:…` of a file, or of all files of a folder with their names; how local data and models are pinned."""
    if path.is_file():
        return f"sha256:{sha256_of(path)}"
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and ".cache" not in p.parts):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _write_manifest(folder: Path, fingerprint: str, meta: Mapping[str, Any]) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    table = {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}
    manifest = {
        "fingerprint": fingerprint,
        "bytes": sum(p.stat().st_size for p in files),
        "files": table,
        "sha256": hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest(),
        "meta": dict(meta),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_fingerprint(fingerprint: str) -> None:
    if len(fingerprint) != 64 or not set(fingerprint) <= set("0123456789abcdef"):
        raise ArtifactError(f"{fingerprint[:80]!r} is not a fingerprint.")
