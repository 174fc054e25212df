"""A backup holds everything, comes back on either kind of database, and is refused where it is not whole."""

import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from cwpo.artifacts import ArtifactStore
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.verdicts import Reply
from db.engine import Engines, make_engines, session_scope, upgrade
from db.errors import DatabaseUnavailable
from tests.db.filled import empty_ones, fill, last_numbers, rows_of
from tests.db.make import submit
from workers.cli.main import main
from workers.machine.disk import backup, restore

FINGERPRINT, DAMAGED = "ab" * 32, "cd" * 32


@contextmanager
def installation(home: Path, address: str) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CWPO_HOME", str(home))
        patch.setenv("DATABASE_URL", address)
        yield home


def files_of(home: Path) -> dict[str, bytes]:
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for folder in ("artifacts", "uploads")
        for path in (home / folder).rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def used_home(home: Path) -> None:
    """Artifacts, an upload, and what does not belong into a backup."""
    store = ArtifactStore(home / "artifacts")
    for fingerprint in (FINGERPRINT, DAMAGED):
        with store.build(fingerprint) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "pairs.parquet").write_bytes(bytes(range(256)) * 40)
            (folder / "summary.json").write_text("{}")
    (home / "uploads" / "1234").mkdir(parents=True)
    (home / "uploads" / "1234" / "päirs.jsonl").write_text("{}\n")
    (store.checkpoints(FINGERPRINT) / "checkpoint.safetensors").write_bytes(b"half")
    (home / "stack.json").write_text("{}")


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_every_row_and_file_comes_back_from_either_database_to_the_other(
    source: str, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """And new rows get numbers that no row ever had."""
    address = request.getfixturevalue(f"{source}_address")
    fill(address)
    used_home(tmp_path / "old")
    with installation(tmp_path / "old", address):
        written = backup.write(tmp_path / "all.backup")
    before, files = rows_of(address), files_of(tmp_path / "old")
    assert not empty_ones(before)
    assert (written.rows, written.artifacts) == (sum(map(len, before.values())), 2)
    other = request.getfixturevalue(f"{target}_address")
    with installation(tmp_path / "new", other) as home:
        restore.restore(tmp_path / "all.backup")
        assert rows_of(other) == before
        assert {name: files[name] for name in files if "checkpoints" not in name} == files_of(home)
    last = last_numbers(other)
    engines = make_engines(other)
    assert submit(engines).run_id > last["runs"]
    engines.dispose()


def test_the_number_of_a_deleted_run_is_not_given_again(sqlite_address: str, tmp_path: Path) -> None:
    engines = make_engines(sqlite_address)
    run_id = submit(engines).run_id
    with session_scope(engines) as session:
        session.connection().exec_driver_sql("DELETE FROM runs")
    engines.dispose()
    with installation(tmp_path / "old", sqlite_address):
        backup.write(tmp_path / "one.backup")
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    with installation(tmp_path / "new", other):
        restore.restore(tmp_path / "one.backup")
    engines = make_engines(other)
    assert submit(engines).run_id > run_id
    engines.dispose()


def test_a_backup_holds_one_moment_while_others_write(database_address: str, tmp_path: Path) -> None:
    """Each of the runs that are submitted meanwhile is in it with all of its stages, or not at all."""
    engines = make_engines(database_address)
    submit(engines)
    begun, end = threading.Event(), threading.Event()

    def go_on() -> None:
        while not end.wait(0.002):
            submit(engines, align=uuid4().hex)
            begun.set()

    writer = threading.Thread(target=go_on)
    writer.start()
    assert begun.wait(120)
    with installation(tmp_path / "old", database_address):
        for number in range(2):
            backup.write(tmp_path / f"{number}.backup")
    end.set()
    writer.join()
    engines.dispose()
    counts = []
    for number in range(2):
        address = f"sqlite:///{tmp_path / str(number)}.sqlite"
        with installation(tmp_path / f"new-{number}", address):
            restore.restore(tmp_path / f"{number}.backup")
        rows = rows_of(address)
        counts.append(len(rows["runs"]))
        assert len(rows["run_stages"]) == 6 * len(rows["runs"])
        assert {row["stage_id"] for row in rows["run_stages"]} == {row["id"] for row in rows["stages"]}
    assert counts == sorted(counts)
    assert counts[-1] > 1


@pytest.fixture
def made(sqlite_address: str, tmp_path: Path) -> Path:
    """A small backup."""
    used_home(tmp_path / "old")
    with installation(tmp_path / "old", sqlite_address):
        backup.write(tmp_path / "small.backup")
    return tmp_path / "small.backup"


def test_a_home_or_database_that_is_not_empty_is_refused_and_stays(
    made: Path, sqlite_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = f"sqlite:///{tmp_path / 'fresh.sqlite'}"
    with installation(tmp_path / "old", fresh):
        before = files_of(tmp_path / "old")
        assert main(["restore", str(made)]) == 2
        assert "is not empty (" in capsys.readouterr().err
        assert files_of(tmp_path / "old") == before
    fill(sqlite_address, 1)
    with installation(tmp_path / "new", sqlite_address) as home:
        assert main(["restore", str(made)]) == 2
        assert "DATABASE_URL: the database is not empty (table " in capsys.readouterr().err
        assert not home.exists()
    with installation(tmp_path / "old", sqlite_address):
        assert main(["backup", str(made)]) == 2
    assert "exists: give a name that is free." in capsys.readouterr().err


def test_what_was_bought_from_a_judge_is_not_bought_again_after_a_restore(
    made: Path, sqlite_address: str, tmp_path: Path
) -> None:
    judge = {"model": "a judge"}
    bought = Reply(text="A is better.", verdict="A", prompt_tokens=90, completion_tokens=4)
    ledger = Ledger(tmp_path / "old" / "artifacts", judge)
    ledger.add(ledger.key("Which?", 0, 0), bought)
    with installation(tmp_path / "old", sqlite_address):
        backup.write(tmp_path / "paid.backup")
    for name, expected in (("paid.backup", bought), (made.name, None)):  # the second as earlier versions wrote them
        with installation(tmp_path / f"of-{name}", f"sqlite:///{tmp_path / name}.sqlite") as home:
            assert restore.restore(tmp_path / name).artifacts == 2
            assert Ledger(home / "artifacts", judge).get(ledger.key("Which?", 0, 0)) == expected


@contextmanager
def commit_that(does: Callable[[Session], None]) -> Iterator[None]:
    """The transaction of a restore, and what happens when it is to be committed."""

    @contextmanager
    def scope(engines: Engines) -> Iterator[Session]:
        with session_scope(engines) as session:
            event.listen(session, "before_commit", does)
            yield session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "session_scope", scope)
        yield


@pytest.fixture
def filled(sqlite_address: str, tmp_path: Path) -> Path:
    """A backup of rows and files."""
    fill(sqlite_address, 1)
    used_home(tmp_path / "old")
    with installation(tmp_path / "old", sqlite_address):
        backup.write(tmp_path / "filled.backup")
    return tmp_path / "filled.backup"


def files_below(home: Path) -> list[str]:
    return [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]


def test_rows_that_cannot_be_committed_leave_no_file_and_the_restore_can_be_tried_again(
    filled: Path, sqlite_address: str, tmp_path: Path
) -> None:
    placed: list[str] = []

    def fails(session: Session) -> None:
        placed.extend(files_below(home))
        raise DatabaseUnavailable("The disk is full.")

    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    with installation(tmp_path / "new", other) as home:
        with commit_that(fails), pytest.raises(DatabaseUnavailable, match="full"):
            restore.restore(filled)
        assert any(name.endswith("manifest.json") for name in placed)
        assert files_below(home) == []
        restore.restore(filled)
        assert rows_of(other) == rows_of(sqlite_address)
        assert not list(home.glob("restore*"))


def test_a_restore_that_was_killed_before_its_rows_counted_can_be_started_again(
    filled: Path, sqlite_address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is taken away that somebody wrote since."""

    def dies(session: Session) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for used in (False, True):
        other = f"sqlite:///{tmp_path / f'other-{used}.sqlite'}"
        with installation(tmp_path / f"new-{used}", other) as home:
            if (child := os.fork()) == 0:
                try:
                    with commit_that(dies):
                        restore.restore(filled)
                finally:
                    os._exit(1)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
            placed = files_below(home)
            assert any(name.startswith("uploads/") for name in placed)
            if used:
                (home / "uploads" / "new.jsonl").write_text("{}")
                later = time.time() + 1  # the clocks of file systems are coarse
                os.utime(home / "uploads" / "new.jsonl", (later, later))
            assert main(["restore", str(filled)]) == (2 if used else 0)
            if used:
                assert "is not empty (" in capsys.readouterr().err
                assert {name for name in placed if name.startswith(("artifacts", "uploads"))} <= {*files_below(home)}
            else:
                assert rows_of(other)["runs"] == rows_of(sqlite_address)["runs"]
                undisturbed = files_of(tmp_path / "old").items()
                assert files_of(home) == {name: one for name, one in undisturbed if "checkpoints" not in name}


def test_a_damaged_artifact_is_left_out_by_name(made: Path, sqlite_address: str, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "old" / "artifacts")
    (store.path(DAMAGED) / "manifest.json").write_text("{")
    with installation(tmp_path / "old", sqlite_address):
        assert backup.write(tmp_path / "first.backup").left_out == [DAMAGED]
    (store.path(DAMAGED) / "deep" / "pairs.parquet").write_bytes(b"other")
    with installation(tmp_path / "old", sqlite_address):
        assert backup.write(tmp_path / "second.backup").left_out == [DAMAGED]
    with installation(tmp_path / "new", f"sqlite:///{tmp_path / 'other.sqlite'}") as home:
        restore.restore(tmp_path / "second.backup")
        assert list(ArtifactStore(home / "artifacts").fingerprints()) == [FINGERPRINT]


def test_a_changed_bit_or_a_missing_end_is_refused_and_leaves_nothing(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = made.read_bytes()
    with tarfile.open(made) as tar:
        spots = [(member.offset_data, member.size) for member in tar]
    changed = [(start + size // 2, whole[start + size // 2]) for start, size in spots]
    broken = [whole[:at] + bytes([byte ^ 1]) + whole[at + 1 :] for at, byte in changed]
    broken += [whole[: len(whole) * part // 8] for part in range(8)]
    database = tmp_path / "other.sqlite"
    for content in broken:
        made.write_bytes(content)
        assert main(["restore", str(made), "--check"]) == 2
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert "no whole backup" in said
    upgrade(f"sqlite:///{database}")
    for content in (broken[1], broken[-1]):
        made.write_bytes(content)
        with installation(tmp_path / "new", f"sqlite:///{database}") as home:
            assert main(["restore", str(made)]) == 2
            assert not [path for path in home.rglob("*") if path.is_file()]
    made.write_bytes(whole)
    with installation(tmp_path / "new", f"sqlite:///{database}"):
        assert main(["restore", str(made)]) == 0


@pytest.mark.parametrize(
    "name",
    [
        "home/uploads/../out",
        "/etc/out",
        "home/uploads//out",
        "elsewhere",
        "database/runs/../x.jsonl.gz",
        "home/cwpo.sqlite",
        "home/stack.json/x",
        "home/uploads",
    ],
)
def test_a_name_that_no_backup_has_is_refused(name: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its checksums say."""
    other = made.with_name("other.backup")
    with tarfile.open(made) as tar, tarfile.open(other, "w") as target:
        for member in tar:
            if member.name == "end.json":
                target.addfile(tarfile.TarInfo(name))
            target.addfile(member, tar.extractfile(member))
    assert main(["restore", str(other), "--check"]) == 2
    assert "leads out of the home" in capsys.readouterr().err
