"""A training that would fill the disk says so before it computes."""

import errno
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.errors import NoRoom
from cwpo.files import PARTIAL
from cwpo.full_disk import waiting
from cwpo.models.sizes import disk, machine
from cwpo.sealed import sealed_folder
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Computed, execute
from cwpo.stages.settings import Settings
from tests.cwpo import stage

FINGERPRINT = "ab" * 32
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["q_proj"]}
WEIGHTS = 12 * 4 * 2 * 768  # of that adapter of OPT 125M


def of(kind: str, folder: Path, **values: Any) -> StageContext[Any]:
    place = ArtifactStore(folder / "artifacts")
    return StageContext(
        kind=kind, settings=stage.settings(kind, **values), inputs={}, out=folder,
        checkpoints=place.checkpoints(FINGERPRINT), store=place,
    )  # fmt: skip


def test_bytes_are_two_checkpoints_and_the_weights_of_what_trains(tmp_path: Path) -> None:
    """OPT 125M has 125,239,296 parameters; a checkpoint has 12 bytes of each, the result 4."""
    annotator = of("annotator", tmp_path, model="facebook/opt-125m")
    assert disk.bytes_written(annotator) == 28 * (125_239_296 + 768)
    align = of("align", tmp_path, model="facebook/opt-125m", lora=LORA)
    assert disk.bytes_written(align) == 28 * WEIGHTS
    assert disk.bytes_written(of("data", tmp_path)) is None


def test_nothing_is_computed_where_the_disk_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Settings = stage.settings("annotator", model="facebook/opt-125m")
    place, computed = ArtifactStore(tmp_path / "artifacts"), []

    def never(context: StageContext[Any]) -> Computed:
        computed.append(context)
        return Computed(summary={}, threads=None)

    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000_000, total=4_000_000_000)
    )
    with pytest.raises(NoRoom, match=r"annotator writes up to 3\.5 GB .* has 3\.0 GB free: .*`cwpo gc`.*, then retry"):
        execute(
            store=place, fingerprint=FINGERPRINT, settings=settings, inputs={}, compute=disk.in_room(computed.append)
        )  # type: ignore[arg-type]
    assert computed == []
    assert list((place.root / "tmp").glob("*")) == []


def test_nothing_is_computed_where_the_process_may_have_too_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "own_limit", lambda: 1)
    monkeypatch.setattr(machine.mmap, "mmap", no_memory)
    computed: list[object] = []
    with pytest.raises(NoRoom, match=r"of address space \(`ulimit -v`\).* left for data"):
        disk.in_room(computed.append)(of("data", tmp_path))  # type: ignore[arg-type]
    assert computed == []


def no_memory(*_: Any) -> None:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_a_stage_that_the_disk_could_hold_waits_for_its_room_and_is_computed_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator, said = of("annotator", tmp_path, model="facebook/opt-125m"), list[str]()
    disk_of = {"free": 3_000_000_000, "total": 4_000_000_000}
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(**disk_of))
    compute = disk.in_room(lambda context: Computed(summary={"at": disk_of["free"]}, threads=None))
    freed = threading.Timer(0.3, lambda: disk_of.update(free=3_600_000_000))
    with waiting(tmp_path, said.append, lambda: False, seconds=20):
        freed.start()
        assert compute(annotator).summary == {"at": 3_600_000_000}
        assert [line.partition(" under ")[0] for line in said[:1]] == [
            "The disk is full: waiting until 3.6 GB are free"
        ]
        disk_of |= {"free": 3_000_000_000, "total": 3_200_000_000}
        with pytest.raises(NoRoom):  # however much is freed, it can never hold so much
            compute(annotator)


def test_a_stage_that_goes_on_needs_less_by_the_checkpoints_that_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that holds 28 bytes per weight: a fresh start fits, a killed training goes on at any moment of it. A
    damaged checkpoint is set aside and stays, so that nothing is counted of it."""
    align = of("align", tmp_path, model="facebook/opt-125m", lora=LORA)
    disk_of: dict[str, int] = {}
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=disk_of["free"], total=1_000_000_000)
    )

    def refused(free: int) -> bool:
        disk_of["free"] = free
        try:
            disk.check_room(align)
        except NoRoom:
            return True
        return False

    def write(step: int) -> None:
        with sealed_folder(align.checkpoints / f"step-{step:09d}") as folder:
            (folder / "checkpoint.safetensors").write_bytes(bytes(12 * WEIGHTS))

    assert (refused(28 * WEIGHTS), refused(28 * WEIGHTS - 1)) == (False, True)
    write(5)
    assert (refused(16 * WEIGHTS), refused(16 * WEIGHTS - 1000)) == (False, True)
    partial = align.checkpoints / f"step-000000006{PARTIAL}"
    partial.mkdir()
    (partial / "checkpoint.safetensors").write_bytes(bytes(6 * WEIGHTS))
    assert (refused(10 * WEIGHTS), refused(10 * WEIGHTS - 1000)) == (False, True)
    write(6)
    write(7)  # more than two are never there: the result needs its room in any case
    assert (refused(4 * WEIGHTS), refused(4 * WEIGHTS - 1)) == (False, True)
    for step in (6, 7):
        (align.checkpoints / f"step-{step:09d}" / "checkpoint.safetensors").write_bytes(bytes(12 * WEIGHTS - 1))
    assert (refused(16 * WEIGHTS), refused(16 * WEIGHTS - 1000)) == (False, True)
