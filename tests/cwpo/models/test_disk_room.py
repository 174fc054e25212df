"""A training that would fill the disk says so before it computes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cwpo.artifacts import ArtifactStore
from cwpo.errors import NoRoom
from cwpo.models.sizes import disk
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Computed, execute
from cwpo.stages.settings import Settings
from tests.cwpo import stage

FINGERPRINT = "ab" * 32


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
    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["q_proj"]}
    align = of("align", tmp_path, model="facebook/opt-125m", lora=lora)
    assert disk.bytes_written(align) == 28 * 12 * 4 * 2 * 768
    assert disk.bytes_written(of("data", tmp_path)) is None


def test_nothing_is_computed_where_the_disk_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Settings = stage.settings("annotator", model="facebook/opt-125m")
    place, computed = ArtifactStore(tmp_path / "artifacts"), []

    def never(context: StageContext[Any]) -> Computed:
        computed.append(context)
        return Computed(summary={}, threads=None)

    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000_000))
    with pytest.raises(NoRoom, match=r"annotator writes up to 3\.5 GB .* has 3\.0 GB free: .*`cwpo gc`.*, then retry"):
        execute(
            store=place, fingerprint=FINGERPRINT, settings=settings, inputs={}, compute=disk.in_room(computed.append)
        )  # type: ignore[arg-type]
    assert computed == []
    assert list((place.root / "tmp").glob("*")) == []
