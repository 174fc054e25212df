"""What nobody needs is found by kind and size, and deleted; what a stage needs that waits or runs anywhere never is."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from db.engine import make_engines, session_scope
from db.models import Artifact, Stage
from tests.db.make import new_run, submit
from workers.cli.main import main
from workers.machine.database import reading
from workers.machine.disk import leftovers
from workers.queue import reaper

DAYS = 24 * 3600.0
OLD = time.time() - 100 * DAYS


def named(letter: str) -> str:
    return letter * 64


STAGES = {
    "queued": named("a"),
    "running": named("b"),
    "failed": named("c"),
    "cancelled": named("d"),
    "done": named("e"),
}
GONE, ALONE = named("1"), named("2")


def write(folder: Path, size: int = 1000, at: float = OLD) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * size)
    for path in (folder / "file", folder):
        os.utime(path, (at, at))
    return folder


@pytest.fixture
def store(sqlite_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """A stage of every status, each with a checkpoint; an artifact of a deleted run, and one that no row names."""
    home = tmp_path / "home"
    monkeypatch.setenv("DATABASE_URL", sqlite_address)
    monkeypatch.setenv("CWPO_HOME", str(home))
    engines = make_engines(sqlite_address)
    submit(engines, run=new_run())
    with session_scope(engines) as session:
        example = session.query(Stage).first()
        assert example is not None
        for status, fingerprint in STAGES.items():
            session.add(Stage(fingerprint=fingerprint, status=status, kind="align", version=1, config={}, device="any",
                              created_at=example.created_at))  # fmt: skip
        for fingerprint in (STAGES["done"], GONE):
            session.add(Artifact(fingerprint=fingerprint, bytes=1, files=1, sha256="0" * 64,
                                 created_at=example.created_at,
                                 deleted_at=example.created_at if fingerprint == GONE else None))  # fmt: skip
    engines.dispose()
    place = ArtifactStore(home / "artifacts")
    for fingerprint in STAGES.values():
        write(place.root / "checkpoints" / fingerprint)
    for fingerprint in (STAGES["done"], GONE, ALONE):
        folder = write(place.path(fingerprint))
        (folder / "manifest.json").write_text("{}")
        for path in (folder, *folder.iterdir()):
            os.utime(path, (OLD, OLD))
    return place


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*")}


def test_checkpoints_of_stages_that_wait_or_run_stay_whatever_their_age(store: ArtifactStore) -> None:
    assert main(["gc", "--delete", "--days", "0"]) == 0
    assert left(store.root / "checkpoints") == {STAGES["queued"], STAGES["running"]}


def test_a_dry_run_says_sizes_and_deletes_nothing(store: ArtifactStore, capsys: pytest.CaptureFixture[str]) -> None:
    write(store.root / "checkpoints" / named("f"), at=time.time())
    before = sorted(store.root.rglob("*"))
    assert main(["gc"]) == 0
    said = capsys.readouterr().out
    assert sorted(store.root.rglob("*")) == before
    sums = {one.kind: (one.number, one.bytes, one.held) for one in leftovers.sums(leftovers.find())}
    assert sums == {"checkpoints": (3, 3000, 3), "deleted": (1, 1002, 0), "unnamed": (1, 1002, 0)}
    assert "Nothing was deleted: `cwpo gc --delete` deletes 4 folders and frees 4.0 kB." in said
    assert "1 unnamed artifacts (1.0 kB) go only with --unnamed." in said


def test_artifacts_that_only_cwpo_run_knows_go_when_they_are_asked_for(store: ArtifactStore) -> None:
    """And those that a stage of the database has never."""
    assert main(["gc", "--delete"]) == 0
    assert set(store.fingerprints()) == {STAGES["done"], ALONE}
    assert main(["gc", "--delete", "--unnamed", "--days", "0"]) == 0
    assert set(store.fingerprints()) == {STAGES["done"]}
    assert left(store.root / "tmp") == set()


def test_a_stage_that_is_queued_after_the_look_keeps_what_was_found(store: ArtifactStore) -> None:
    found = leftovers.find()
    with reading() as session:
        url = str(session.get_bind().engine.url)
    engines = make_engines(url)
    with session_scope(engines) as session:
        for stage in session.query(Stage).where(Stage.status == "cancelled"):
            stage.status = "queued"
    engines.dispose()
    gone = leftovers.remove(found)
    assert STAGES["cancelled"] not in {one.path.name for one in gone}
    assert (store.root / "checkpoints" / STAGES["cancelled"] / "file").is_file()


def test_what_a_process_of_this_machine_has_locked_stays(store: ArtifactStore) -> None:
    """A run by `cwpo run`, which no row knows."""
    write(store.root / "checkpoints" / ALONE)
    write(store.root / "tmp" / f"{ALONE[:16]}-00000000")
    with store.lock(ALONE):
        main(["gc", "--delete", "--unnamed", "--days", "0"])
        assert ALONE in left(store.root / "checkpoints")
        assert left(store.root / "tmp") == {f"{ALONE[:16]}-00000000"}
        assert store.path(ALONE).is_dir()
    main(["gc", "--delete", "--unnamed", "--days", "0"])
    assert ALONE not in left(store.root / "checkpoints")
    assert left(store.root / "tmp") == set()


def test_the_reaper_deletes_only_what_a_setting_names(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported: Any = write(tmp_path / "home" / "exports" / "run-1-align-merged-fp32")
    reaper.remove_abandoned()
    assert len(left(store.root / "checkpoints")) == 5
    monkeypatch.setenv("CWPO_KEEP_CHECKPOINTS", "30")
    reaper.remove_abandoned()
    assert left(store.root / "checkpoints") == {STAGES["queued"], STAGES["running"]}
    assert exported.is_dir()
    monkeypatch.setenv("CWPO_KEEP_EXPORTS", "101")
    reaper.remove_abandoned()
    assert exported.is_dir()
    monkeypatch.setenv("CWPO_KEEP_EXPORTS", "99")
    reaper.remove_abandoned()
    assert not exported.exists()


HALF_MADE = (
    "tmp/0123456789abcdef0123456789abcdef",  # files of a bundle
    "reproduced/0123456789ab/tmp/0123456789abcdef0123456789abcdef",
    "restore.partial",
    "exports/.run-1-align-merged-fp32.0123456789abcdef.partial",
    "converted/.model@0123-01234567",
    "models/.small-01234567",
    "models/.downloads/small/tmp0123",
)
WHOLE = (
    "exports/run-1-align-merged-fp32", "converted/model@0123", "models/small", "reproduced/0123456789ab",
    "tmp/of-somebody", "models/.of-somebody",
)  # fmt: skip


@pytest.mark.parametrize("name", HALF_MADE)
def test_what_a_kill_left_half_made_anywhere_is_found_and_goes_after_a_day(
    store: ArtifactStore, tmp_path: Path, name: str
) -> None:
    """One that is being written stays, whatever age somebody wants; and so does what is whole."""
    home = tmp_path / "home"
    for whole in WHOLE:
        write(home / whole, at=OLD if "somebody" in whole else time.time())
    folder = write(home / name, 5000, at=time.time() - 0.9 * DAYS)
    found = leftovers.find(["unfinished"], days=0)
    assert [(one.path, one.bytes, one.held) for one in found] == [(folder, 5000, "young")]
    assert leftovers.remove(found) == []
    for path in (folder / "file", folder):
        os.utime(path, (OLD, OLD))
    assert [one.path for one in leftovers.find(["exports", "reruns"]) if one.path == folder] == []
    assert [one.path for one in leftovers.find(["unfinished"], days=101) if not one.held] == []
    assert main(["gc", "--delete"]) == 0
    assert not folder.exists()
    assert all((home / whole / "file").is_file() for whole in WHOLE)


def test_an_export_that_is_being_written_stays_where_exports_go_at_once(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CWPO_KEEP_EXPORTS", "0")
    folder = write(tmp_path / "home" / HALF_MADE[3], at=time.time() - 60)
    leftovers.remove_by_setting()
    assert (folder / "file").is_file()
