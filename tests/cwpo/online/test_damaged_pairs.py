"""Fresh pairs that an unfinished online alignment keeps and somebody damages: said, set aside, and the same result."""

import random
import shutil
from pathlib import Path

import pytest

from cwpo.errors import Cancelled, Damaged
from cwpo.online.stage import Online, run_online
from cwpo.sealed import ASIDE, read_sealed
from tests.cwpo.online.test_online import config, inputs, points_of, rows_of, same, weights_of
from tests.cwpo.stage import context
from tests.cwpo.test_damage import damage

__all__ = ["inputs"]  # the fixture of that name


def online(folder: Path, inputs, **options):
    """Eight steps, refreshed every third; checkpoints behind every step."""
    return context(
        folder, "online", inputs=inputs, config=config(), tokens_per_batch=200, checkpoint_seconds=0.0, **options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, inputs):
    ctx = online(tmp_path_factory.mktemp("undisturbed"), inputs)
    run_online(ctx)
    return ctx


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, inputs) -> Path:
    """Stopped behind step 6, for which the third pairs were sampled: checkpoints after 5 and 6."""
    folder = tmp_path_factory.mktemp("stopped")
    third = folder / "checkpoints" / "fresh-000002.sealed"
    with pytest.raises(Cancelled):
        run_online(online(folder, inputs, should_stop=third.is_file))
    assert [path.name for path in sorted(third.parent.glob("step-*"))] == ["step-000000005", "step-000000006"]
    return folder


@pytest.mark.parametrize(
    ("way", "number", "first"), [("flipped", 2, 5), ("cut", 2, 5), ("missing", 2, 5), ("flipped", 0, 0), ("cut", 1, 0)]
)
def test_damaged_fresh_pairs_are_sampled_again_from_a_checkpoint_before_them(
    tmp_path: Path, inputs, whole, stopped: Path, way: str, number: int, first: int
) -> None:
    """Those of the last refresh: from the checkpoint before it. Those of earlier ones: from the start."""
    shutil.copytree(stopped / "checkpoints", tmp_path / "checkpoints")
    file = tmp_path / "checkpoints" / f"fresh-{number:06d}.sealed"
    damage(file, way, random.Random(way))
    ctx = online(tmp_path, inputs)
    assert run_online(ctx)["first_step"] == first
    assert same(weights_of(ctx), weights_of(whole))
    assert rows_of(ctx) == rows_of(whole)
    assert points_of(ctx) == points_of(whole)
    (note,) = ctx.reporter.notes
    assert "after step 6 (fresh-" in note
    assert note.endswith(f"from {f'the checkpoint after step {first}' if first else 'the start'}.")
    aside = [path.name.partition(".")[0] for path in (tmp_path / "checkpoints" / ASIDE).glob("fresh-*")]
    assert aside == [file.name.partition(".")[0]] * (way != "missing")


def test_fresh_pairs_of_a_version_before_checksums_are_sampled_again(tmp_path: Path, inputs, whole, stopped) -> None:
    shutil.copytree(stopped / "checkpoints", tmp_path / "checkpoints")
    for file in (tmp_path / "checkpoints").glob("fresh-*.sealed"):
        file.with_suffix(".parquet").write_bytes(read_sealed(file))
        file.unlink()
    ctx = online(tmp_path, inputs)
    assert run_online(ctx)["first_step"] == 0
    assert same(weights_of(ctx), weights_of(whole))
    assert "fresh-000000.parquet of an earlier version has no checksum" in ctx.reporter.notes[0]
    assert not list((tmp_path / "checkpoints").glob("fresh-*.parquet"))


def test_pairs_damaged_while_the_stage_runs_are_never_written_out(
    tmp_path: Path, inputs, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between their sampling and the end: a sentence, and the retry makes them again."""
    write = Online.write

    def damaged(self: Online, folder: Path) -> None:
        damage(self.ctx.checkpoints / "fresh-000001.sealed", "flipped", random.Random(0))
        write(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Online, "write", damaged)
        with pytest.raises(Damaged, match=r"Fresh pairs were damaged \(fresh-000001\.sealed.*retry the run"):
            run_online(online(tmp_path, inputs))
    shutil.rmtree(tmp_path / "out")
    again = online(tmp_path, inputs)
    run_online(again)
    assert same(weights_of(again), weights_of(whole))
    assert rows_of(again) == rows_of(whole)
