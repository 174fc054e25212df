"""Reads a reproduce bundle that may come from anybody. Free of torch and of databases.

Nothing in it is executed and nothing is written outside the place given: names are matched against what a bundle may
hold, sizes are counted while reading, configurations are validated, local files are taken by content alone.
"""

import hashlib
import re
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cwpo.artifacts import content_hash
from cwpo.bounds import json_text, streams
from cwpo.bundle.write import LOCK, MANIFEST, PART, README, STAGES, TABLES, names_outside
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.config.stored import as_stored
from cwpo.data.relabels import Relabel, content
from cwpo.errors import ConfigError, DataError
from cwpo.models import hub

MOST_MEMBERS = 20_000
MOST_RUNS = 1_000
MOST_TEXT = 2**20  # bytes of one text, which is also a configuration
MOST_TABLE = 4 * 2**20  # bytes of one table, or of the manifest
MOST_STAGES = 16 * 2**20  # bytes of what is said of all stages
MOST_LABELS = 64 * 2**20  # bytes of one set of labels
MOST_DATA = 64 * 2**30  # bytes of all local files together
SPARE = 2**30  # bytes of the disk that stay free
_CHUNK = 1 << 20
_LONGEST_NAME = 500
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, ValueError, zlib.error)
_TEXTS = frozenset({README, MANIFEST, STAGES, LOCK, *(f"tables/{name}.json" for name in TABLES)})
_RUN = re.compile(r"runs/\d{4}\.json")
_RELABELS = re.compile(r"relabels/([0-9a-f]{64})\.jsonl")
_FILE = re.compile(rf"files/[0-9a-f]{{64}}(?:/{PART}){{1,20}}")
_LOCAL = re.compile(rf"\./files/([0-9a-f]{{64}})/{PART}")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,60})==([A-Za-z0-9_.!-]{1,60})")
_SETTING = re.compile(r"setting-\d{1,4}")

Cell = str | int | float | None
Rows = list[dict[str, Cell]]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleError(DataError):
    """The file is not a bundle, or holds what no bundle holds."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunEntry(_Part):
    """One run of a bundle: its configuration's file, its setting, the fingerprints of its stages by slot."""

    file: str
    setting: str
    stages: dict[str, Sha]


class FileEntry(_Part):
    """A file or folder that configurations name, by content."""

    name: str
    revision: str
    included: bool


class RelabelEntry(_Part):
    """A line of a set of labels."""

    pair_id: str
    prompt_id: str
    prompt: str
    chosen: str
    rejected: str
    chosen_side: Literal["a", "b"]
    source: Literal["human"]
    weight: float
    votes: int
    agreeing: int


class Manifest(_Part):
    """bundle.json."""

    format: Literal[1]
    program: str
    reference: str
    runs: list[RunEntry] = Field(min_length=1, max_length=MOST_RUNS)
    files: list[FileEntry] = Field(max_length=MOST_MEMBERS)
    platform: dict[str, str]
    command: str


class StageEntry(_Part):
    """A stage of stages.json; `threads` of the CPU, `files`: sha256 by name, empty where they were not known."""

    kind: str
    seconds: float | None
    threads: int | None = Field(ge=1, le=1024)
    summary: dict[str, Any] | None
    files: dict[str, Sha]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was read and found to be one."""

    path: Path
    manifest: Manifest
    configs: tuple[RunConfig, ...]
    stages: Mapping[str, StageEntry]
    tables: Mapping[str, Rows]
    packages: Mapping[str, str]
    relabels: Mapping[str, tuple[Relabel, ...]]  # sets of labels that people gave later, by fingerprint

    @property
    def settings(self) -> list[str]:
        """The setting of each run."""
        return [entry.setting for entry in self.manifest.runs]


def read(path: Path) -> Bundle:
    """The bundle in a file; BundleError with one sentence for anything else."""
    with _opened(path) as archive:
        names = _names(archive)
        manifest: Manifest = _checked(TypeAdapter(Manifest), _values(archive, MANIFEST), MANIFEST)
        _check_manifest(manifest, names)
        configs = tuple(_config(archive, entry.file) for entry in manifest.runs)
        stages = _checked(TypeAdapter(dict[Sha, StageEntry]), _values(archive, STAGES), STAGES)
        tables = {}
        for name in TABLES:
            member = f"tables/{name}.json"
            tables[name] = _checked(TypeAdapter(Rows), _values(archive, member), member)
        pins = (_PIN.match(line.strip()) for line in _text(archive, LOCK).splitlines())
        packages = {pin[1]: pin[2] for pin in pins if pin}
        relabels = {own[1]: _relabels(archive, own) for name in sorted(names) if (own := _RELABELS.fullmatch(name))}
    stated = {file.name for file in manifest.files}
    for config, entry in zip(configs, manifest.runs, strict=True):
        _check_names(config, stated, entry.file)
        if config.data.relabels and config.data.relabels not in relabels:
            raise BundleError(f"{entry.file}: data.relabels names a set of labels that is not in the bundle.")
    return Bundle(
        path=path, manifest=manifest, configs=configs, stages=stages, tables=tables, packages=packages,
        relabels=relabels,
    )  # fmt: skip


def place_files(bundle: Bundle, home: Path) -> dict[str, str]:
    """Every local file of the bundle on this machine: kept before, included, or beside the bundle. By content."""
    places = {file.name: _found(bundle, file, home) for file in bundle.manifest.files}
    left = _room(bundle, [name for name, place in places.items() if place is None], home)
    try:
        for file in bundle.manifest.files:
            if places[file.name] is None:
                places[file.name], left = _unpacked(bundle, file, home, left)
    except OSError as error:
        raise BundleError(
            f"The files of {bundle.path.name} cannot be unpacked ({error.strerror or error}): look at CWPO_HOME."
        ) from error
    return {name: str(place) for name, place in places.items()}


def _room(bundle: Bundle, names: Sequence[str], home: Path) -> int:
    """Bytes that these files take, as is declared; a sentence before anything is written where the disk has less."""
    bases = tuple(f"{name.removeprefix('./')}/" for name in names)
    with _opened(bundle.path) as archive:
        _names(archive)  # the file may have been another one when it was read
        need = sum(info.file_size for info in archive.infolist() if f"{info.filename}/".startswith(bases))
    if need > MOST_DATA:
        raise _not_a_bundle(bundle.path, f"its files are larger than {MOST_DATA:,} bytes")
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if need and need + SPARE > free:
        raise BundleError(
            f"The files of {bundle.path.name} take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free at {there}: "
            "make room, or set CWPO_HOME to another disk."
        )
    return need


def missing_files(bundle: Bundle, home: Path) -> list[str]:
    """Names of local files that are neither included nor found."""
    return [
        Path(file.name).name
        for file in bundle.manifest.files
        if not file.included and _found(bundle, file, home) is None
    ]


def _found(bundle: Bundle, file: FileEntry, home: Path) -> Path | None:
    own = Path(file.name).name
    for path in (home / file.name, bundle.path.parent / own):
        with suppress(OSError):  # a name that is too long here, or a place where nobody may look
            if path.exists() and content_hash(path) == file.revision:
                return path.resolve()
    return None


def _unpacked(bundle: Bundle, file: FileEntry, home: Path, left: int) -> tuple[Path, int]:
    """Where an included file now lies, and how many bytes all others may still have."""
    own = Path(file.name).name
    if not file.included:
        raise BundleError(f"{own!r} is needed and not in the bundle: put it beside {bundle.path.name}, unchanged.")
    target = (home / file.name).resolve()
    work = home / "tmp" / uuid.uuid4().hex
    try:
        left = _unpack(bundle.path, file.name.removeprefix("./"), work / own, left)
        if content_hash(work / own) != file.revision:
            raise _not_a_bundle(bundle.path, f"the content of {own!r} is not what its name says")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (work / own).replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target, left


def _unpack(path: Path, base: str, target: Path, left: int) -> int:
    """The members under `base`, written below `target` as plain files; their names were checked when it was read.

    At most `left` bytes are written; what remains of them is returned.
    """
    with _opened(path) as archive:
        for info in archive.infolist():
            if info.filename != base and not info.filename.startswith(f"{base}/"):
                continue
            place = target / info.filename.removeprefix(base).lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, place.open("wb") as written:
                while piece := source.read(_CHUNK):
                    left -= len(piece)
                    if left < 0:
                        raise _not_a_bundle(path, "its files are larger than it says")
                    written.write(piece)
    if not target.exists():
        raise _not_a_bundle(path, f"{base.rpartition('/')[2]!r} is said to be included and is not")
    return left


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip, with every way in which it may be broken turned into a sentence."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror or error}); give the path of a bundle.") from error
    except _BROKEN as error:
        raise _not_a_bundle(path, "it is damaged or no zip") from error
    with archive:
        try:
            yield archive
        except _BROKEN as error:
            raise _not_a_bundle(path, "it is damaged or no zip") from error
        except RuntimeError as error:
            raise _not_a_bundle(path, "it is encrypted") from error


def _names(archive: zipfile.ZipFile) -> set[str]:
    """Names of all members; one that a bundle has no place for is refused, and so is a name that comes twice."""
    infos = archive.infolist()
    path = Path(str(archive.filename))
    if len(infos) > MOST_MEMBERS:
        raise _not_a_bundle(path, f"it holds more than {MOST_MEMBERS:,} files")
    names: set[str] = set()
    for info in infos:
        name = info.filename
        if name not in _TEXTS and not any(known.fullmatch(name) for known in (_RUN, _FILE, _RELABELS)):
            raise _not_a_bundle(path, f"it holds {name[:80]!r}, which has no place there")
        if name in names:
            raise _not_a_bundle(path, f"it holds {name[:80]!r} twice")
        if info.file_size > streams.allowance(info.compress_size):
            raise _not_a_bundle(path, f"{name[:80]!r} unpacks to more than {streams.MOST_GROWTH} times its size")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _not_a_bundle(path, f"{name[:80]!r} is compressed in a way that no bundle is")
        names.add(name)
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise _not_a_bundle(path, "its files overlap")
    both = next((name for name in names if not names.isdisjoint(map(str, PurePosixPath(name).parents))), "")
    if both:
        raise _not_a_bundle(path, f"it holds a file and a folder of one name, with {both[:80]!r}")
    missing = sorted(_TEXTS - names)
    if missing:
        raise _not_a_bundle(path, f"{missing[0]} is missing")
    return names


def _text(archive: zipfile.ZipFile, name: str) -> str:
    path = Path(str(archive.filename))
    most = _most(name)
    with archive.open(name) as source:
        data = source.read(most + 1)  # what the directory says of its size is not believed
    if len(data) > most:
        raise _not_a_bundle(path, f"{name} is larger than {most:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _not_a_bundle(path, f"{name} is not UTF-8") from error


def _most(name: str) -> int:
    """Bytes of a member that is read whole."""
    if _RELABELS.fullmatch(name) or name == STAGES:
        return MOST_LABELS if name != STAGES else MOST_STAGES
    return MOST_TABLE if name == MANIFEST or name.startswith("tables/") else MOST_TEXT


def _values(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json_text.parsed(_text(archive, name))
    except json_text.JsonError as error:
        raise _not_a_bundle(Path(str(archive.filename)), f"{name} {error}") from error


def _relabels(archive: zipfile.ZipFile, member: re.Match[str]) -> tuple[Relabel, ...]:
    """A set of labels: lines of which each is one, and that have the hash which names the file."""
    name, text = member[0], _text(archive, member[0])
    if hashlib.sha256(text.encode()).hexdigest() != member[1]:
        raise _not_a_bundle(Path(str(archive.filename)), f"the content of {name} is not what its name says")
    lines: TypeAdapter[RelabelEntry] = TypeAdapter(RelabelEntry)
    try:
        values = [json_text.parsed(line) for line in text.split("\n") if line]
    except json_text.JsonError as error:
        raise _not_a_bundle(Path(str(archive.filename)), f"{name} {error}") from error
    rows = tuple(Relabel.of_row(_checked(lines, value, name).model_dump()) for value in values)
    if content(rows) != text:
        raise _not_a_bundle(Path(str(archive.filename)), f"{name} is no set of labels")
    return rows


def _checked(kind: TypeAdapter[Any], values: Any, name: str) -> Any:
    try:
        return kind.validate_python(values, strict=True)
    except ValidationError as error:
        item = error.errors()[0]
        field = ".".join(map(str, item["loc"]))[:80]
        raise BundleError(f"This is not a reproduce bundle: {name}: {field!r}: {item['msg'][:120]}.") from error


def _check_manifest(manifest: Manifest, names: set[str]) -> None:
    files = [entry.file for entry in manifest.runs]
    settings = {entry.setting for entry in manifest.runs}
    wrong = (
        next((f"{name[:80]!r} is not there" for name in files if name not in names or not _RUN.fullmatch(name)), "")
        or ("a run is named twice" if len(set(files)) < len(files) else "")
        or next((f"{name[:80]!r} is not a setting" for name in settings if not _SETTING.fullmatch(name)), "")
        or (
            "the reference is none of its settings" if manifest.reference and manifest.reference not in settings else ""
        )
        or next((f"{file.name[:80]!r} is not the place of a file" for file in manifest.files if not _fits(file)), "")
    )
    if wrong:
        raise BundleError(f"This is not a reproduce bundle: {MANIFEST}: {wrong}.")


def _fits(file: FileEntry) -> bool:
    found = _LOCAL.fullmatch(file.name)
    return found is not None and file.revision == f"sha256:{found.group(1)}"


def _config(archive: zipfile.ZipFile, name: str) -> RunConfig:
    values = _values(archive, name)
    if not isinstance(values, dict):
        raise _not_a_bundle(Path(str(archive.filename)), f"{name} is not a configuration")
    try:
        config = RunConfig.parse(as_stored(values))
    except (ConfigError, RecursionError) as error:
        raise BundleError(f"{name}: {str(error)[:300]}") from error
    if config.annotator.use:
        raise BundleError(f"{name}: annotator.use names an annotator that is not in the bundle; it cannot be run.")
    return config


def _check_names(config: RunConfig, stated: set[str], where: str) -> None:
    """A configuration may name files of the bundle; other paths of this machine are not touched."""
    rows = {*catalog.DATASETS, *catalog.GOLD_REWARDS, *catalog.SANDBOX_MODELS}
    for field, name, pin in names_outside(config):
        if name in rows or (len(name) <= _LONGEST_NAME and not hub.is_local(name)):
            continue
        found = _LOCAL.fullmatch(name)
        if found is None or name not in stated or (pin and pin != f"sha256:{found.group(1)}"):
            raise BundleError(f"{where}: {field} names {name[:80]!r}, a file of this machine; it is not run.")


def _not_a_bundle(path: Path, why: str) -> BundleError:
    return BundleError(f"{path.name} is not a reproduce bundle: {why}.")
