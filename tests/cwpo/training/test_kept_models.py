"""Models kept along an alignment that somebody damages before it ends: said, set aside, kept again, never stored."""

import random
import shutil
from pathlib import Path

import pytest

from cwpo.errors import Cancelled, Damaged
from cwpo.sealed import ASIDE, SEAL
from cwpo.training.align import run_align
from cwpo.training.finishing import ALONG, kept_models
from tests.cwpo.stage import context
from tests.cwpo.test_damage import damage
from tests.cwpo.training import test_align

ADAPTER = "adapter.safetensors"
inputs = test_align.inputs


def keeping(folder: Path, inputs, **options):
    """Six steps with adapters kept after two and four; checkpoints behind every step."""
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": None}
    config = test_align.stage_config(lora=lora, kept=3)
    return context(folder, inputs=inputs, config=config, checkpoint_seconds=0.0, **options)


def files_of(folder: Path) -> dict[str, bytes]:
    """Of the final model and of all that were kept."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def test_a_damaged_kept_model_is_made_again_from_a_checkpoint_before_it(tmp_path: Path, inputs) -> None:
    """Stopped behind step 4: the one after four steps again from step 3, the one after two from the start."""
    whole = keeping(tmp_path / "whole", inputs)
    run_align(whole)
    expected = files_of(whole.out)
    assert [step for step, _ in kept_models(whole.out)] == [2, 4]
    assert not [name for name in expected if name.endswith(SEAL)]
    cut = tmp_path / "cut" / "checkpoints"
    with pytest.raises(Cancelled):
        run_align(keeping(tmp_path / "cut", inputs, should_stop=(cut / ALONG / "step-0000004").is_dir))
    for step, name, way, first in (
        (4, ADAPTER, "flipped", 3), (4, ADAPTER, "cut", 3), (4, ADAPTER, "missing", 3), (2, ADAPTER, "flipped", 0),
        (4, SEAL, "missing", 3),  # as of a version before checksums
    ):  # fmt: skip
        place = tmp_path / f"{step}-{name}-{way}"
        shutil.copytree(cut, place / "checkpoints")
        along = place / "checkpoints" / ALONG
        damage(along / f"step-{step:07d}" / name, way, random.Random(way))
        ctx = keeping(place, inputs)
        assert run_align(ctx)["first_step"] == first
        assert files_of(ctx.out) == expected
        assert f"after step 4 (of the model kept after step {step}, " in ctx.reporter.notes[0]
        assert len(list((along / ASIDE).iterdir())) == 1


def test_a_model_damaged_behind_the_last_look_is_not_put_into_the_artifact(
    tmp_path: Path, inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = keeping(tmp_path / "late", inputs)
    kept = ctx.checkpoints / ALONG / "step-0000002"
    with monkeypatch.context() as patch:
        patch.setattr(
            "cwpo.training.align.save_policy",
            lambda policy, ctx, *, also: (damage(kept / ADAPTER, "flipped", random.Random(0)), also(ctx.out)),
        )
        with pytest.raises(Damaged, match=r"kept after step 2 was damaged \(adapter.*retry the run"):
            run_align(ctx)
    shutil.rmtree(ctx.out)
    again = keeping(tmp_path / "late", inputs)
    assert run_align(again)["first_step"] == 0
    assert [step for step, _ in kept_models(again.out)] == [2, 4]
