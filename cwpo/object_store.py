"""The store that several machines share, behind any URL that fsspec knows. Free of torch.

`<url>/<fingerprint>/manifest.json` names the files with size and sha256, and the folder beside it that holds them,
`<url>/<fingerprint>/<attempt>/`. The manifest is written last and only where there is none: what has no manifest is not
there, and of two publishers of a fingerprint the first one stands.
"""

import errno
import functools
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from cwpo.errors import (
    ArtifactError,
    Cancelled,
    ConfigError,
    CwpoError,
    StoreError,
    StoreUnreachable,
    brief,
    is_disk_full,
)
from cwpo.files import sha256_of
from cwpo.full_disk import when_room

log = logging.getLogger(__name__)

T = TypeVar("T")

VARIABLE = "CWPO_STORE"
MANIFEST = "manifest.json"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0  # seconds between two tries
_OWN_FIELDS = ("data", "sizes")  # what the shared manifest says beyond the local one
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError", "ProfileNotFound")
# of S3: a host that is cut off is noticed in seconds, not in minutes
_S3_TIMES = {"connect_timeout": 3, "read_timeout": 30, "retries": {"max_attempts": 1}}
_S3_TRIES = 2
_TURNS = 3  # of what is begun again where another one does the same at the same moment

Manifest = Mapping[str, Any]


class ObjectStore:
    """Artifacts behind a URL. What fails for a moment is tried again for `patience` seconds, then StoreUnreachable."""

    def __init__(self, url: str, *, patience: float = 0.0, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        self._should_stop = should_stop

    def manifest(self, fingerprint: str) -> Manifest | None:
        """What the artifact's manifest says; None where there is no such artifact."""
        try:
            found = json.loads(self._do(lambda: self._files.cat_file(self._manifest_path(fingerprint))))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ArtifactError(f"The manifest of {fingerprint[:12]} in {self.url} cannot be read.") from error
        if not isinstance(found, dict) or found.get("fingerprint") != fingerprint:
            raise ArtifactError(f"The manifest of {fingerprint[:12]} in {self.url} is of something else.")
        return found

    def push(self, fingerprint: str, folder: Path) -> bool:
        """Publish the artifact that lies in `folder`, manifest last. False where another one stands there already;
        what an earlier, interrupted attempt left is removed."""
        own = json.loads((folder / MANIFEST).read_text())
        lost: OSError = FileExistsError(errno.EEXIST, MANIFEST)
        left = _TURNS
        while (known := self.manifest(fingerprint)) is None:
            if not left:
                raise self._taken_away(lost) from lost
            left -= 1
            attempt = uuid.uuid4().hex
            try:
                self._upload(fingerprint, folder, own, attempt)
                if self._publish(fingerprint, folder, own, attempt):
                    self._sweep(fingerprint, keep=attempt)
                    return True
            except (FileNotFoundError, FileExistsError) as error:  # swept away: another one was published meanwhile
                lost = error
            self._remove(f"{self._place(fingerprint)}/{attempt}")
        return bool(known["sha256"] == own["sha256"])

    def fetch(self, manifest: Manifest, folder: Path) -> None:
        """Download the artifact's files and its manifest into `folder`; ArtifactError where they are not as the
        manifest says."""
        source = f"{self._place(manifest['fingerprint'])}/{manifest['data']}"
        for name, sha in manifest["files"].items():
            target = _inside(folder, name)
            when_room(functools.partial(target.parent.mkdir, parents=True, exist_ok=True))
            self._fetch_file(f"{source}/{name}", target, sha)
        local = {key: value for key, value in manifest.items() if key not in _OWN_FIELDS}
        when_room(lambda: (folder / MANIFEST).write_text(json.dumps(local, indent=1, sort_keys=True)))

    def read(self, manifest: Manifest, name: str) -> bytes:
        """One small file of an artifact."""
        path = f"{self._place(manifest['fingerprint'])}/{manifest['data']}/{name}"
        try:
            return bytes(self._do(lambda: self._files.cat_file(path)))
        except FileNotFoundError as error:
            raise ArtifactError(f"{name} of {manifest['fingerprint'][:12]} is missing in {self.url}.") from error

    def withdraw(self, damaged: Manifest) -> None:
        """Take the manifest of a damaged artifact away, so that the stage is computed again."""
        fingerprint = damaged["fingerprint"]
        now = self.manifest(fingerprint)
        if now is not None and now["data"] == damaged["data"]:
            self._remove(self._manifest_path(fingerprint))

    def delete(self, fingerprint: str) -> None:
        """Remove the artifact: the manifest first, so that nobody sees half of it."""
        self._remove(self._manifest_path(fingerprint))
        self._remove(self._place(fingerprint))

    def check(self) -> None:
        """Write, read and delete a small file; StoreError with the sentence when one of them fails."""
        path = f"{self._root}/check-{uuid.uuid4().hex}"
        try:
            self._do(lambda: self._files.pipe_file(path, b"cwpo"))
            said = self._do(lambda: self._files.cat_file(path))
            self._do(lambda: self._files.rm(path))
        except FileNotFoundError as error:
            raise self._not_there(error) from error
        if said != b"cwpo":
            raise StoreError(f"{self.url} does not give back what was written to it: correct {VARIABLE}.")

    def _not_there(self, error: Exception) -> StoreError:
        return StoreError(f"{self.url} is not there ({brief(error)}): make the bucket, or correct {VARIABLE}.")

    def _taken_away(self, lost: OSError) -> StoreError:
        """Why nothing that is put there stays, though nobody published it."""
        if isinstance(lost, FileNotFoundError):
            return self._not_there(lost)
        return StoreUnreachable(
            f"What is put into {self.url} is taken away by others ({brief(lost)}): the stage is tried again."
        )

    @functools.cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the path of the URL in it."""
        return _open(self.url)

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1].rstrip("/")

    def _place(self, fingerprint: str) -> str:
        return f"{self._root}/{fingerprint}"

    def _manifest_path(self, fingerprint: str) -> str:
        return f"{self._place(fingerprint)}/{MANIFEST}"

    def _upload(self, fingerprint: str, folder: Path, own: Manifest, attempt: str) -> None:
        """The files of an artifact, which nobody sees before its manifest is there. FileNotFoundError or
        FileExistsError where they are swept away meanwhile: a folder that goes while it is made raises either."""
        place = f"{self._place(fingerprint)}/{attempt}"
        try:
            for name in own["files"]:
                self._do(functools.partial(self._files.put_file, str(folder / name), f"{place}/{name}"))
        except (StoreUnreachable, FileNotFoundError, FileExistsError):
            raise
        except BaseException:
            self._remove(place)
            raise

    def _publish(self, fingerprint: str, folder: Path, own: Manifest, attempt: str) -> bool:
        """Write the manifest of what was uploaded; whether it is ours that stands there now."""
        sizes = {name: (folder / name).stat().st_size for name in own["files"]}
        text = json.dumps({**own, "data": attempt, "sizes": sizes}, indent=1, sort_keys=True)
        try:
            self._do(lambda: _write_new(self._files, self._manifest_path(fingerprint), text.encode()))
        except FileExistsError:  # somebody's, or ours where the answer to an earlier try was lost
            known = self.manifest(fingerprint)
            return known is not None and known["data"] == attempt
        return True

    def _fetch_file(self, source: str, target: Path, sha: str) -> None:
        for _ in range(2):  # a connection may break in a way that nobody noticed
            try:
                self._do(lambda: _download(self._files, source, target))
            except FileNotFoundError as error:
                raise ArtifactError(f"{target.name} is missing in {self.url}") from error
            if sha256_of(target) == sha:
                return
        raise ArtifactError(f"{target.name} has changed in {self.url}")

    def _sweep(self, fingerprint: str, *, keep: str) -> None:
        """What interrupted attempts left: their manifest can never be written any more."""
        try:
            listed = self._do(lambda: self._files.ls(self._place(fingerprint), detail=False))
        except (FileNotFoundError, StoreError):
            return
        for path in listed:
            if PurePosixPath(path).name not in (keep, MANIFEST):
                self._remove(path)

    def _remove(self, path: str) -> None:
        """Remove a file or folder if it can be done now; what stays costs space and nothing else. A folder that another
        one fills or removes at the same moment is looked at again."""
        failed: Exception
        for _ in range(_TURNS):
            try:
                self._files.rm(path, recursive=True)
                return
            except FileNotFoundError as error:
                failed = error
                if not self._stands(path):
                    return
            except Exception as error:
                failed = error
                if not (isinstance(error, OSError) and error.errno == errno.ENOTEMPTY):
                    break
        log.warning("%s could not be removed from %s: %s", path, self.url, brief(failed))

    def _stands(self, path: str) -> bool:
        try:
            return bool(self._files.exists(path))
        except Exception:  # it does not answer now: what stays costs space and nothing else
            return False

    def _do(self, work: Callable[[], T]) -> T:
        """The answer of the store, asked again while it is away; Cancelled when the stage is to stop meanwhile."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return when_room(work)
            except (FileNotFoundError, FileExistsError, IsADirectoryError, MemoryError):
                raise
            except Exception as error:
                self._judge(error)
                if time.monotonic() + pause > deadline:
                    raise StoreUnreachable(
                        f"The artifact store {self.url} cannot be reached ({brief(error)}): the stage is tried again; "
                        f"check the network and {VARIABLE} when it stays so."
                    ) from error
                log.warning("%s does not answer, asked again in %.0f s: %s", self.url, pause, brief(error))
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _judge(self, error: Exception) -> None:
        """Raise what waiting does not mend."""
        if is_disk_full(error):
            raise error
        if isinstance(error, PermissionError) or type(error).__name__ in _NO_KEYS:
            raise StoreError(
                f"The artifact store {self.url} refuses ({brief(error)}): give its credentials, which must allow to "
                "list, read, write and delete."
            ) from error
        if isinstance(error, CwpoError | TypeError | AttributeError):
            raise error

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._should_stop():
                raise Cancelled("Stopped while the artifact store did not answer.")
            time.sleep(min(left, 0.2))


@functools.lru_cache(maxsize=4)
def _open(url: str) -> tuple[Any, str]:
    """The file system behind a URL and the path in it; what the URL or the installation lacks is a ConfigError."""
    import fsspec
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0] if "://" in url else "file"
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol == "file":
        options["auto_mkdir"] = True
    if protocol in ("s3", "s3a") and "config_kwargs" not in fsspec.config.conf.get("s3", {}):
        options["config_kwargs"] = _S3_TIMES
    try:
        files, path = url_to_fs(url, **options)
    except ImportError as error:
        missing = "pip install s3fs" if protocol in ("s3", "s3a") else brief(error)
        raise ConfigError(VARIABLE, f"{protocol}:// needs a package that is not installed: {missing}.") from error
    except ValueError as error:
        raise ConfigError(
            VARIABLE, f"{url!r} is no address of a store ({brief(error)}); give s3://bucket/prefix."
        ) from (error)
    if protocol in ("s3", "s3a"):
        files.retries = _S3_TRIES
    return files, str(path)


def _download(files: Any, source: str, target: Path) -> None:
    """Copy a file of the store to this machine. All readers of a file of fsspec's memory share one position in it, so
    that two at once would get parts of it: there it is read in one piece."""
    if "memory" in files.protocol:
        target.write_bytes(files.cat_file(source))
    else:
        files.get_file(source, str(target))


def _write_new(files: Any, path: str, data: bytes) -> None:
    """Write a file whole, or raise FileExistsError where there is one."""
    if "file" in (files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)):
        _link_new(Path(path), data)
        return
    try:
        files.pipe_file(path, data, mode="create")
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise
        if error.errno == errno.EINVAL and "recondition" in str(error):
            raise FileExistsError(errno.EEXIST, path) from error
        if error.errno != errno.ENOSYS:
            raise
        if files.exists(path):  # a server without conditional writes: the check is all there is
            raise FileExistsError(errno.EEXIST, path) from error
        files.pipe_file(path, data)


def _link_new(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.parent.with_name(f"{path.parent.name}.{uuid.uuid4().hex}")  # beside the folder, which others sweep
    try:
        aside.write_bytes(data)
        os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder; a name that leads out of it is refused."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ArtifactError(f"The manifest names a file {name[:80]!r} outside its artifact.")
    return folder / parts
