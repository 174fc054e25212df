"""What nobody needs any more under CWPO_HOME, by kind, and its removal. Free of torch.

Nothing of a stage that waits or is computed anywhere goes, whatever its age: the database says so while it is renamed
away, in a transaction that holds the graph, so that nobody can queue it at that moment. What a process of this machine
has locked stays, and so does what was written lately, for processes that no row knows (`cwpo run` on another machine).
"""

import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cwpo.artifacts import ArtifactStore
from cwpo.config.environment import settings
from cwpo.files import PARTIAL
from db.repositories.keeping.needed import Needed, needed
from workers.machine import paths, patience
from workers.machine.database import reading, writing

DAY = 24 * 3600.0
_AT_ONCE = 100  # folders that are renamed away in one transaction
CHECKPOINTS, UNFINISHED, DAMAGED, DELETED, UNNAMED, EXPORTS, RERUNS = (
    "checkpoints", "unfinished", "damaged", "deleted", "unnamed", "exports", "reruns",
)  # fmt: skip
# What each kind is, as people read it.
MEANINGS: Mapping[str, str] = {
    CHECKPOINTS: "checkpoints of stages that ended or were cancelled",
    UNFINISHED: "results, exports, models and bundles that a killed process left half-made",
    DAMAGED: "damaged artifacts that were set aside",
    DELETED: "artifacts of deleted runs",
    UNNAMED: "artifacts that no run of the database names, those of `cwpo run` among them",
    EXPORTS: "exported models",
    RERUNS: "bundles that were run again",
}
# Where else under CWPO_HOME processes build what has no lock: files of a bundle, a backup that is brought back, models.
# Whole names, because a home may be a folder in which people keep other things.
_HEX = "[0-9a-f]"
_HALF_MADE = (
    f"tmp/{_HEX * 32}", f"reproduced/*/tmp/{_HEX * 32}", f"restore{PARTIAL}", f"exports/.*.{_HEX * 16}{PARTIAL}",
    f"converted/.*-{_HEX * 8}", f"models/.*-{_HEX * 8}", "models/.downloads/*/tmp*",
)  # fmt: skip
CHECKPOINT_DAYS, EXPORT_DAYS = 7, 30
_DAYS: Mapping[str, int] = {UNFINISHED: 1, DAMAGED: 7, DELETED: 1, UNNAMED: 7}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One folder. `held`: why it stays; empty where it may go."""

    kind: str
    path: Path
    bytes: int
    held: str


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One kind: what may go, and what stays because it is in use or young."""

    kind: str
    number: int
    bytes: int
    held: int
    held_bytes: int


def days_of(kind: str) -> int:
    """Days without a change after which a kind may go, as CWPO_KEEP_CHECKPOINTS and CWPO_KEEP_EXPORTS say."""
    if kind == CHECKPOINTS:
        return CHECKPOINT_DAYS if settings.keep_checkpoints is None else settings.keep_checkpoints
    if kind in (EXPORTS, RERUNS):
        return EXPORT_DAYS if settings.keep_exports is None else settings.keep_exports
    return _DAYS[kind]


def find(kinds: Collection[str] = tuple(MEANINGS), *, days: int | None = None) -> list[Leftover]:
    """Everything of these kinds, with its size and whether it may go. `days`: for all kinds, in place of their own."""
    with reading() as session:
        now = needed(session)
    place = paths.store()
    found = []
    for kind in kinds:
        for folder in _folders(kind, place, now):
            size, newest = _measured(folder)
            young = time.time() - newest < DAY * _days(kind, folder, place, days)
            used = _is_needed(kind, folder, now) or _is_locked(kind, folder, place)
            found.append(
                Leftover(kind=kind, path=folder, bytes=size, held="in use" if used else "young" if young else "")
            )
    return found


def _days(kind: str, folder: Path, place: ArtifactStore, days: int | None) -> int:
    """Days without a change after which a folder may go; what no lock protects stays its day, whatever is said."""
    wanted = days_of(kind) if days is None else days
    return max(wanted, _DAYS[kind]) if kind == UNFINISHED and folder.parent != place.root / "tmp" else wanted


def sums(found: Sequence[Leftover]) -> list[Sum]:
    """By kind, in the order of `MEANINGS`, those of which there is something."""
    made = []
    for kind in MEANINGS:
        own = [one for one in found if one.kind == kind]
        goes, stays = [one for one in own if not one.held], [one for one in own if one.held]
        if own:
            made.append(
                Sum(
                    kind=kind, number=len(goes), bytes=sum(one.bytes for one in goes),
                    held=len(stays), held_bytes=sum(one.bytes for one in stays),
                )
            )  # fmt: skip
    return made


def remove(found: Sequence[Leftover]) -> list[Leftover]:
    """Delete what may go and still may at this moment; what was deleted."""
    place = paths.store()
    going = [one for one in found if not one.held]
    gone = []
    for start in range(0, len(going), _AT_ONCE):
        bin_ = place.root / "tmp" / f"removed-{uuid.uuid4().hex}"
        bin_.mkdir(parents=True)
        try:
            gone += _move_away(going[start : start + _AT_ONCE], bin_, place)
        finally:
            shutil.rmtree(bin_, ignore_errors=True)
    return gone


def remove_by_setting() -> list[Leftover]:
    """What CWPO_KEEP_CHECKPOINTS and CWPO_KEEP_EXPORTS say is to go by itself; nothing where they are not set."""
    kinds = [CHECKPOINTS] if settings.keep_checkpoints is not None else []
    kinds += [EXPORTS, RERUNS] if settings.keep_exports is not None else []
    return remove(find(kinds)) if kinds else []


@patience.patient()
def _move_away(going: Sequence[Leftover], bin_: Path, place: ArtifactStore) -> list[Leftover]:
    """Those that still may go, renamed into the bin while nobody can queue their stages."""
    with writing() as session:
        now = needed(session, hold=True)
        return [one for one in going if _moved(one, bin_, place, now)]


def _moved(one: Leftover, bin_: Path, place: ArtifactStore, now: Needed) -> bool:
    if _is_needed(one.kind, one.path, now) or _is_locked(one.kind, one.path, place):
        return False
    with suppress(OSError):  # somebody else removed it, or it is on another disk
        one.path.rename(bin_ / f"{one.kind}-{one.path.name}")
        return True
    if one.path.exists():
        shutil.rmtree(one.path, ignore_errors=True)
        return not one.path.exists()
    return False


def _folders(kind: str, place: ArtifactStore, now: Needed) -> Iterator[Path]:
    if kind in (DELETED, UNNAMED):
        wanted: Callable[[str], bool] = (
            now.deleted.__contains__ if kind == DELETED else lambda name: name not in now.named | now.deleted
        )
        yield from (place.path(name) for name in place.fingerprints() if wanted(name))
        return
    home = paths.home()
    places = {
        CHECKPOINTS: [(place.root / "checkpoints", "*")],
        UNFINISHED: [(place.root / "tmp", "*"), *((home, pattern) for pattern in _HALF_MADE)],
        DAMAGED: [(place.root / "damaged", "*")],
        EXPORTS: [(paths.exports(home), "[!.]*")],
        RERUNS: [(paths.reproduced(home), "*")],
    }[kind]
    found = {folder for base, pattern in places for folder in base.glob(pattern)}
    yield from (folder for folder in sorted(found) if folder.is_dir() and not folder.is_symlink())


def _is_needed(kind: str, folder: Path, now: Needed) -> bool:
    if kind == CHECKPOINTS:
        return folder.name in now.live
    if kind == UNFINISHED:
        prefix = folder.name.partition("-")[0]
        return any(fingerprint.startswith(prefix) for fingerprint in now.live)
    if kind in (DELETED, UNNAMED):
        return folder.name in now.named
    return False


def _is_locked(kind: str, folder: Path, place: ArtifactStore) -> bool:
    """Whether a process of this machine computes or downloads it."""
    if kind not in (CHECKPOINTS, UNFINISHED, DELETED, UNNAMED):
        return False
    return place.is_locked(folder.name.partition("-")[0])


def _measured(folder: Path) -> tuple[int, float]:
    """Bytes of its files, and when something in it was written last (Unix time)."""
    size, newest = 0, 0.0
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):  # it goes at this moment
            stat = path.lstat()
            newest = max(newest, stat.st_mtime)
            size += 0 if path.is_dir() else stat.st_size
    return size, newest or time.time()
