"""The artifact store: finished stage results, written atomically and verified by checksum. Free of torch.

Layout under the root: `<fp[:2]>/<fp>/` holds the files and `manifest.json` with the sha256 of each. A result is built
in a temporary directory of the same file system, fsynced, and renamed into place; `checkpoints/<fp>/` survives a kill.
With an `ObjectStore` that several machines share, the root is this machine's copy of what it needed: what is not here
is downloaded, and what was built here is shared.
"""

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cwpo.errors import ArtifactError, Cancelled, StoreError, is_disk_full
from cwpo.files import sha256_of, sync, written_aside
from cwpo.full_disk import asked_to_stop, when_room
from cwpo.object_store import MANIFEST, Manifest, ObjectStore

log = logging.getLogger(__name__)
TOKENS = "tokens"  # a store of its own under the root: token ids of pairs, which any stage can make again
SEAL = "seal"  # in a manifest: the checksum of the rest of it
_FIELDS = frozenset(("fingerprint", "bytes", "files", "sha256", "meta"))
_PREFIX = 16  # characters of a fingerprint in the name of the directory that it is built in


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
    """Directories of finished stages, addressed by fingerprint. `shared`: what other machines see of it, too."""

    def __init__(self, root: Path, shared: ObjectStore | None = None) -> None:
        self.root = Path(root)
        self.shared = shared

    def path(self, fingerprint: str) -> Path:
        """Where the artifact is, or would be."""
        _check_fingerprint(fingerprint)
        return self.root / fingerprint[:2] / fingerprint

    def find(self, fingerprint: str, *, verify: bool = True) -> Path | None:
        """The artifact's directory, its files checked against the manifest; None when there is none.

        Each process hashes an artifact's files once, and again only when a file's inode, size or modification time has
        changed. A damaged artifact is moved aside, so that it is downloaded from the shared store or computed again.
        """
        path = self.path(fingerprint)
        if not (path / MANIFEST).is_file():
            return self._downloaded(fingerprint)
        if not verify:
            return path
        seen = _stamps(path)
        if _WHOLE.get(path) != seen:
            if damage := self.damage(fingerprint):
                self._set_aside(path, damage)
                return self._downloaded(fingerprint)
            _WHOLE[path] = seen
        return path

    def holds(self, fingerprint: str) -> bool:
        """Whether there is such an artifact, here or in the shared store; nothing is downloaded or read."""
        here = (self.path(fingerprint) / MANIFEST).is_file()
        return here or (self.shared is not None and self.shared.manifest(fingerprint) is not None)

    def info(self, fingerprint: str) -> ArtifactInfo:
        """The manifest of an artifact, from here or from the shared store; ArtifactError when there is none."""
        path = self.path(fingerprint)
        manifest = self._manifest(path)
        if manifest is None and self.shared is not None:
            manifest = self.shared.manifest(fingerprint)
        if manifest is None:
            raise ArtifactError(f"Artifact {fingerprint[:12]} is missing; retry the run to recompute it.")
        return ArtifactInfo(
            fingerprint=fingerprint,
            path=path,
            bytes=manifest["bytes"],
            files=manifest["files"],
            sha256=manifest["sha256"],
            meta=manifest["meta"],
        )

    def read_text(self, fingerprint: str, name: str) -> str:
        """A small file of an artifact, without the others; ArtifactError when it is neither here nor shared."""
        file = self.path(fingerprint) / name
        if file.is_file():
            return file.read_text()
        manifest = self.shared.manifest(fingerprint) if self.shared is not None else None
        if self.shared is None or manifest is None:
            raise ArtifactError(f"Artifact {fingerprint[:12]} is missing; retry the run to recompute it.")
        return self.shared.read(manifest, name).decode()

    def share(self, fingerprint: str) -> bool:
        """Put an artifact that lies here into the shared store, unless it is there. False: another machine's was first,
        and has taken the place of ours."""
        if self.shared is None or self.shared.push(fingerprint, self.path(fingerprint)):
            return True
        with self._work(fingerprint) as away:
            os.rename(self.path(fingerprint), away / "replaced")
        self._downloaded(fingerprint)
        return False

    def damage(self, fingerprint: str) -> str | None:
        """What is wrong with the artifact's files here; None when all match the manifest."""
        path = self.path(fingerprint)
        manifest = self._manifest(path)
        if manifest is None:
            return f"Artifact {fingerprint[:12]} is missing; retry the run to recompute it."
        for name, expected in manifest["files"].items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            if sha256_of(file) != expected:
                return f"{name} has changed"
        return None

    @contextmanager
    def build(self, fingerprint: str, meta: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """A temporary directory that becomes the artifact when the block ends without an exception."""
        with self._work(fingerprint) as work:
            yield work
            when_room(lambda: _write_manifest(work, fingerprint, meta or {}))
            self._place(work, self.path(fingerprint))

    @contextmanager
    def _work(self, fingerprint: str) -> Iterator[Path]:
        _check_fingerprint(fingerprint)
        work = self.root / "tmp" / f"{fingerprint[:_PREFIX]}-{uuid.uuid4().hex[:8]}"
        when_room(lambda: work.mkdir(parents=True, exist_ok=True))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _place(self, work: Path, target: Path) -> None:
        """Rename a complete directory into place, unless an equal artifact was published meanwhile."""
        _sync_tree(work)
        when_room(lambda: target.parent.mkdir(parents=True, exist_ok=True))
        if target.exists():
            return
        when_room(lambda: _renamed(work, target))
        when_room(lambda: sync(target.parent))

    def _downloaded(self, fingerprint: str) -> Path | None:
        """The artifact's directory, filled from the shared store; None when it has no whole one."""
        if self.shared is None:
            return None
        path = self.path(fingerprint)
        with self._lock(f"{fingerprint}.download"):
            if (path / MANIFEST).is_file():  # by another process, meanwhile
                return path
            manifest = self.shared.manifest(fingerprint)
            if manifest is None:
                return None
            with self._work(fingerprint) as work:
                try:
                    self.shared.fetch(manifest, work)
                except StoreError:
                    raise
                except ArtifactError as error:
                    log.warning("%s is computed again: %s", fingerprint[:12], error)
                    self.shared.withdraw(manifest)
                    return None
                self._place(work, path)
        _WHOLE[path] = _stamps(path)
        return path

    def checkpoints(self, fingerprint: str) -> Path:
        """The directory in which an unfinished stage keeps what it needs to resume."""
        _check_fingerprint(fingerprint)
        path = self.root / "checkpoints" / fingerprint
        when_room(lambda: path.mkdir(parents=True, exist_ok=True))
        return path

    def drop_checkpoints(self, fingerprint: str) -> None:
        """Forget the checkpoints of a finished stage."""
        shutil.rmtree(self.root / "checkpoints" / fingerprint, ignore_errors=True)

    def lock(self, fingerprint: str) -> FileLock:
        """Held while a stage is computed, so that two processes of one host never compute it twice."""
        _check_fingerprint(fingerprint)
        return self._lock(fingerprint)

    def _lock(self, name: str) -> FileLock:
        folder = self.root / "locks"
        when_room(lambda: folder.mkdir(parents=True, exist_ok=True))
        return _Lock(str(folder / f"{name}.lock"))

    def delete(self, fingerprint: str) -> None:
        """Remove an artifact and its checkpoints, here and from the shared store; copies of other machines stay."""
        shutil.rmtree(self.path(fingerprint), ignore_errors=True)
        self.drop_checkpoints(fingerprint)
        if self.shared is not None:
            self.shared.delete(fingerprint)

    def remove_abandoned(self, *, older_than: float, held: Collection[str] = ()) -> list[Path]:
        """Delete unfinished directories that a killed process left: nothing in them was written since `older_than`
        (Unix time), no process of this machine holds the stage's lock, and its fingerprint is not among `held`."""
        working = {fingerprint[:_PREFIX] for fingerprint in held}
        removed = []
        for folder in (self.root / "tmp").glob("*"):
            prefix = folder.name.partition("-")[0]
            if prefix not in working and _newest(folder) < older_than and not self.is_locked(prefix):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
        return removed

    def is_locked(self, prefix: str) -> bool:
        """Whether a stage whose fingerprint begins so is computed or downloaded at this moment."""
        for file in (self.root / "locks").glob(f"{prefix}*.lock"):
            try:
                with FileLock(str(file), timeout=0):
                    pass
            except Timeout:
                return True
        return False

    def fingerprints(self) -> Iterator[str]:
        """All artifacts in the store."""
        for manifest in self.root.glob(f"??/*/{MANIFEST}"):
            yield manifest.parent.name

    @staticmethod
    def _manifest(folder: Path) -> Manifest | None:
        """The manifest in a directory of this machine; None where there is none that is whole."""
        try:
            found: Manifest = json.loads((folder / MANIFEST).read_text())
        except (OSError, ValueError):
            return None
        return found if _is_whole(found) else None

    def _set_aside(self, path: Path, damage: str) -> None:
        aside = self.root / "damaged" / f"{path.name}-{uuid.uuid4().hex[:8]}"
        when_room(lambda: aside.parent.mkdir(parents=True, exist_ok=True))
        when_room(lambda: os.rename(path, aside))
        when_room(lambda: (aside / "DAMAGE").write_text(damage + "\n"))


class _Lock(FileLock):
    """Its file is made when it is taken. A stage that waits for who has it can be stopped."""

    def acquire(self, *args: Any, **values: Any) -> Any:
        values.setdefault("cancel_check", asked_to_stop)
        try:
            return when_room(lambda: super(_Lock, self).acquire(*args, **values))
        except Timeout as error:
            if not asked_to_stop():
                raise
            raise Cancelled("Stopped while another process computed or fetched the same.") from error


# Directories whose files this process has checked, and what they looked like then.
_WHOLE: dict[Path, tuple[tuple[str, int, int, int], ...]] = {}


def _stamps(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Path, inode, size in bytes and modification time (ns) of every file."""
    files = ((file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file())
    return tuple((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns) for file, stat in files)


def content_hash(path: Path, hashed: Callable[[Path], str] = sha256_of) -> str:
    """`sha256:…` of a file, or of all files of a folder with their names; how local data and models are pinned."""
    if path.is_file():
        return f"sha256:{hashed(path)}"
    digest = hashlib.sha256()
    for file in content_files(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{hashed(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def content_files(folder: Path) -> list[Path]:
    """The files that are a folder's content; what a downloader keeps in a `.cache` inside it is none of it. OSError
    where a folder in it cannot be read: its files would be missing from the hash, and nobody would know."""

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name != ".cache"]
        found += [Path(place, name) for name in names if name != ".cache"]
    return sorted(file for file in found if file.is_file())


def _write_manifest(folder: Path, fingerprint: str, meta: Mapping[str, Any]) -> None:
    place = folder / MANIFEST  # where a write that met a full disk may have left the beginning of one
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != place)
    table = {p.relative_to(folder).as_posix(): sha256_of(p) for p in files}
    manifest = {
        "fingerprint": fingerprint,
        "bytes": sum(p.stat().st_size for p in files),
        "files": table,
        "sha256": hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest(),
        "meta": dict(meta),
    }
    manifest[SEAL] = _seal(manifest)
    place.write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _is_whole(manifest: Any) -> bool:
    """Whether it says what it was written with; those of versions without a seal are taken at their word."""
    if not isinstance(manifest, dict) or not _FIELDS <= manifest.keys() <= {*_FIELDS, SEAL}:
        return False
    return SEAL not in manifest or manifest[SEAL] == _seal(manifest)


def _seal(manifest: Manifest) -> str:
    """sha256 of all that a manifest says but for this."""
    said = {key: value for key, value in manifest.items() if key != SEAL}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _newest(folder: Path) -> float:
    """When something in the directory was written last (Unix time)."""
    times = []
    for file in (folder, *folder.rglob("*")):
        with suppress(OSError):  # it may be renamed at this moment
            times.append(file.stat().st_mtime)
    return max(times, default=time.time())


def _renamed(work: Path, target: Path) -> None:
    try:
        os.rename(work, target)
    except OSError:
        if not (target / MANIFEST).is_file():  # else another's, published meanwhile
            raise


def _sync_tree(folder: Path) -> None:
    table = json.loads((folder / MANIFEST).read_text())["files"]
    for path in sorted(folder.rglob("*")):
        try:
            sync(path)
        except OSError as error:
            if not is_disk_full(error):
                raise
            _synced_again(path, table.get(path.relative_to(folder).as_posix()))
    when_room(lambda: sync(folder))


def _synced_again(path: Path, sha: str | None) -> None:
    """After a sync that failed the system may take for written what is not: a file is written anew from what can still
    be read of it, if that is as the manifest says."""
    if path.is_dir():
        when_room(lambda: sync(path))
        return

    def copy() -> None:
        with written_aside(path) as aside:
            shutil.copyfile(path, aside)
            if sha is not None and sha256_of(aside) != sha:
                raise ArtifactError(f"{path.name} was lost with a full disk; retry the run.")

    when_room(copy, needs=path.stat().st_size)


def _check_fingerprint(fingerprint: str) -> None:
    if len(fingerprint) != 64 or not set(fingerprint) <= set("0123456789abcdef"):
        raise ArtifactError(f"{fingerprint[:80]!r} is not a fingerprint.")
