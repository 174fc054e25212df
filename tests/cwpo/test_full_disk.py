"""A disk that is full: what is written again, for how long, what is said, and what ends the waiting."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cwpo import full_disk
from cwpo.annotation import label_file
from cwpo.artifacts import ArtifactStore
from cwpo.errors import ArtifactError, Cancelled, NoRoom, is_disk_full
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.verdicts import Reply
from cwpo.files import append_whole
from cwpo.full_disk import at_once, waiting, when_room
from cwpo.object_store import ObjectStore
from cwpo.sealed import damage_of, sealed_folder
from cwpo.training.checkpoints import whole_checkpoints
from tests.cwpo.annotation.test_label_file import candidates, labeled, write
from tests.cwpo.full_disks import FullDisk, full
from tests.cwpo.recording import RecordingReporter
from tests.cwpo.training.test_saving import saver_of, stored, training

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "FIRST", 0.001)
    monkeypatch.setattr(full_disk, "LONGEST", 0.01)


class Disk:
    """Full for so many writes; `said`: what was said while it was waited."""

    def __init__(self, times: int) -> None:
        self.times, self.tries, self.stop = times, 0, False
        self.said: list[str] = []

    def write(self) -> str:
        self.tries += 1
        if self.tries <= self.times:
            raise full("x")
        return "written"

    def waited(self, folder: Path, seconds: float | None = None) -> Any:
        return waiting(folder, self.said.append, lambda: self.stop, seconds=seconds)


def test_what_is_written_is_written_again_until_there_is_room_and_it_is_said_once(tmp_path: Path) -> None:
    disk = Disk(5)
    with disk.waited(tmp_path):
        assert when_room(disk.write, needs=2_340_000_000) == "written"
    assert disk.tries == 6
    begin, end = disk.said
    assert begin.startswith(f"The disk is full: waiting until 2.4 GB are free under {tmp_path};")
    assert end == "The disk has room again, after 0 s."


def test_who_has_no_patience_and_other_errors_get_them_at_once(tmp_path: Path) -> None:
    disk = Disk(1)
    with pytest.raises(OSError, match="No space left"):
        when_room(disk.write)
    with disk.waited(tmp_path), pytest.raises(PermissionError):
        when_room(lambda: _raise(PermissionError(13, "Permission denied")))
    assert (disk.tries, disk.said) == (1, [])


def test_a_patience_that_is_over_gives_the_error_and_nothing_waits_again(tmp_path: Path) -> None:
    disk = Disk(10**9)
    with disk.waited(tmp_path, 0.1):
        began = time.monotonic()
        with pytest.raises(OSError, match="No space left"):
            when_room(lambda: when_room(disk.write))  # the outer one does not begin anew
        assert time.monotonic() - began >= 0.1
        tries = disk.tries
        with pytest.raises(OSError, match="No space left"):
            when_room(disk.write)
        assert disk.tries == tries + 1
    assert len(disk.said) == 1


def test_to_cancel_ends_the_waiting(tmp_path: Path) -> None:
    disk = Disk(10**9)
    with disk.waited(tmp_path):
        threading.Timer(0.1, lambda: setattr(disk, "stop", True)).start()
        with pytest.raises(Cancelled, match="while the disk was full"):
            when_room(disk.write)


def test_a_stage_that_would_fit_on_the_disk_waits_for_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried before so much is free; one that is larger than the disk is refused at once."""
    free, disk = iter([10, 10, 10, *[90] * 9]), Disk(0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free), total=100))

    def check() -> int:
        disk.tries += 1
        if disk.tries == 1:
            raise NoRoom("too little", needs=80)
        return disk.tries

    with disk.waited(tmp_path):
        assert when_room(check) == 2
        assert next(free) == 90  # three looks found 10
        with pytest.raises(NoRoom):
            when_room(lambda: _raise(NoRoom("never")))
    assert not is_disk_full(ArtifactError("No space left on device"))  # a sentence of ours is final


def test_what_was_appended_by_half_is_taken_away_before_it_is_written_again(tmp_path: Path) -> None:
    file, disk = tmp_path / "lines", Disk(0)
    with file.open("ab", buffering=0) as real, disk.waited(tmp_path):
        append_whole(real, b"first\n")

        class Half:
            """Takes three bytes, then is full; the second time it takes all, three bytes at a time."""

            full = False

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def write(self, data: bytes) -> int:
                if not self.full and real.seek(0, os.SEEK_END) > 6:
                    self.full = True
                    raise full("lines")
                return real.write(data[:3])

        append_whole(Half(), b"second\n")  # type: ignore[arg-type]
    assert file.read_bytes() == b"first\nsecond\n"
    assert len(disk.said) == 2


def test_a_checkpoint_is_written_when_there_is_room_while_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is the state of its step, whatever the model is by then."""
    state, disk = training(), Disk(0)
    with disk.waited(tmp_path):
        saver = saver_of(state, tmp_path)
        with monkeypatch.context() as patch:
            places = FullDisk(tmp_path / "checkpoints", patch)
            with torch.no_grad():
                state.model.weight.fill_(3.0)
            saver.save(1, whole=False)
            with torch.no_grad():
                state.model.weight.fill_(9.0)
            saver.close()
    assert len(places.met) == 9, places.places()
    assert [folder.name for folder in whole_checkpoints(tmp_path / "checkpoints")] == ["step-000000001"]
    done, found = stored(tmp_path)
    assert (done, bool((found.model.weight == 3.0).all())) == (1, True)
    assert sum("waiting until" in line for line in disk.said) == 1


def test_an_artifact_is_placed_whole_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose sync failed are written anew; one of which other bytes are left by then is not taken for it."""
    place, disk = ArtifactStore(tmp_path / "artifacts"), Disk(0)
    with monkeypatch.context() as patch, disk.waited(tmp_path):
        places = FullDisk(place.root, patch, only=lambda where: "numbers" not in where or "sync" in where)
        with place.build(ONE, {"kind": "x"}) as folder:
            (folder / "numbers").write_bytes(bytes(1000))
    assert len(places.met) == 14, places.places()
    assert place.damage(ONE) is None
    real = os.fsync

    def lost(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/numbers"):
            os.truncate(f"/proc/self/fd/{descriptor}", 0)
            raise full("numbers")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", lost)
    with (
        disk.waited(tmp_path),
        pytest.raises(ArtifactError, match="numbers was lost with a full disk"),
        place.build(TWO) as folder,
    ):
        (folder / "numbers").write_bytes(bytes(1000))
    assert place.find(TWO) is None


def test_the_manifest_does_not_name_what_is_left_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full when its file was there and before its text was."""
    place, disk = ArtifactStore(tmp_path / "artifacts"), Disk(0)
    with monkeypatch.context() as patch, disk.waited(tmp_path):
        places = FullDisk(place.root, patch, only=lambda where: where.startswith("open") and "manifest" in where)
        with place.build(ONE) as folder:
            (folder / "numbers").write_bytes(bytes(1000))
    assert list(places.met.values()) == [3], places.met
    assert place.damage(ONE) is None


@pytest.mark.parametrize("named", ["rename", "open"])
def test_a_sealed_folder_is_whole_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Its seal never counts an earlier one; where nobody waits nothing is left."""
    target, disk = tmp_path / "kept" / "step-1", Disk(0)

    def write() -> None:
        with sealed_folder(target) as folder:
            (folder / "numbers").write_bytes(bytes(1000))

    with monkeypatch.context() as patch, disk.waited(tmp_path):
        places = FullDisk(tmp_path, patch, only=lambda where: where.startswith(named) and "numbers" not in where)
        when_room(write)
    assert places.met
    assert damage_of(target) is None
    with monkeypatch.context() as patch:
        FullDisk(tmp_path, patch, only=lambda where: where.startswith("rename"))
        with pytest.raises(OSError, match="No space left"):
            write()
    assert [folder.name for folder in target.parent.iterdir()] == []


def test_to_wait_for_room_is_no_cost_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a training would write the next one hours later."""
    monkeypatch.setattr(full_disk, "FIRST", 0.3)
    monkeypatch.setattr(full_disk, "LONGEST", 0.3)
    disk = Disk(0)
    costs: list[float] = []
    for full_for in (False, True):
        with disk.waited(tmp_path), monkeypatch.context() as patch:
            saver = saver_of(training(), tmp_path / str(full_for))
            patch.setattr(saver, "_has_room", lambda tensors: False)
            patch.setattr(saver, "_cost", costs.append)
            if full_for:
                FullDisk(tmp_path, patch, only=lambda where: where.startswith("mkdir") or "fsync" in where)
            saver.save(1, whole=True)
            waited = full_disk.seconds_waited()
    assert waited > 1.0
    assert max(costs) < waited / 2


def test_what_is_worth_no_waiting_fails_at_once(tmp_path: Path) -> None:
    disk = Disk(1)
    with disk.waited(tmp_path):
        with pytest.raises(OSError, match="No space left"), at_once():
            when_room(disk.write)
        assert disk.said == []
        assert when_room(disk.write) == "written"


def test_who_waits_for_anothers_lock_can_be_stopped(tmp_path: Path) -> None:
    """The other may be waiting for room with the lock in its hand."""
    place, disk = ArtifactStore(tmp_path / "artifacts"), Disk(0)
    held = threading.Event()

    def hold() -> None:
        with ArtifactStore(tmp_path / "artifacts").lock(ONE):
            held.set()
            time.sleep(3.0)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    disk.stop = True
    with disk.waited(tmp_path), pytest.raises(Cancelled, match="another process"), place.lock(ONE):
        pytest.fail("the other still holds it")
    assert thread.is_alive()
    thread.join()


def test_a_download_into_the_store_goes_on_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, disk = ObjectStore(f"file://{tmp_path / 'shared'}"), Disk(0)
    first, second = (ArtifactStore(tmp_path / name, shared) for name in ("first", "second"))
    with first.build(ONE) as folder:
        (folder / "numbers").write_bytes(bytes(1000))
    with monkeypatch.context() as patch, disk.waited(tmp_path):
        up = FullDisk(tmp_path / "shared", patch)
        assert first.share(ONE)
        down = FullDisk(second.root, patch)
        found = second.find(ONE)
    assert found is not None
    assert (found / "numbers").read_bytes() == bytes(1000)
    assert len(up.met) > 3, up.places()
    assert len(down.met) > 10, down.places()


def test_what_was_bought_is_kept_when_there_is_room_though_another_thread_bought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, judge = Disk(0), {"kind": "x"}
    reply = Reply(text="A", verdict="A", prompt_tokens=1, completion_tokens=1)
    with disk.waited(tmp_path):
        ledger = Ledger(tmp_path, judge)
    real, written = os.write, []

    def half(descriptor: int, data: bytes) -> int:
        written.append(data)
        return real(descriptor, data[:5] if len(written) == 1 else data)

    monkeypatch.setattr(os, "write", half)
    errors: list[BaseException] = []
    thread = threading.Thread(target=lambda: _caught(errors, lambda: ledger.add(ledger.key("q", 0, 0), reply)))
    thread.start()
    thread.join()
    assert errors == []
    assert Ledger(tmp_path, judge).get(ledger.key("q", 0, 0)) == reply
    assert len(disk.said) == 2


def test_a_labeling_waits_for_room_and_labels_no_window_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is the one that is written on a disk with room."""
    monkeypatch.setattr(label_file, "WINDOW", 10)
    folder, scored, real = tmp_path / "work", [], label_file.score_pairs
    folder.mkdir()
    rows, reporter = candidates(30), RecordingReporter()
    expected = labeled(write(tmp_path / "pairs.jsonl", rows), tmp_path).out.read_bytes()
    source = write(folder / "pairs.jsonl", rows)

    def score(path: Any, encoded: Any, *rest: Any, **more: Any) -> Any:
        scored.append(len(encoded))
        return real(path, encoded, *rest, **more)

    monkeypatch.setattr(label_file, "score_pairs", score)
    with monkeypatch.context() as patch:
        places = FullDisk(folder, patch)
        done = labeled(source, tmp_path, reporter=reporter)
    assert done.out.read_bytes() == expected
    assert len(scored) == -(-len(rows) // 10)
    assert len(places.met) > 12, places.places()
    assert sum("waiting until" in line for line in reporter.lines) == 1


def _raise(error: Exception) -> Any:
    raise error


def _caught(errors: list[BaseException], do: Callable[[], Any]) -> None:
    try:
        do()
    except BaseException as error:
        errors.append(error)
