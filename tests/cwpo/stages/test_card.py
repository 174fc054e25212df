"""On a CUDA card: a whole run with an adapter, in bf16 and in 4 bits, stopped in the middle of each training."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig, merged
from cwpo.errors import Cancelled
from cwpo.stages.context import Execution, never
from cwpo.stages.execute import StageResult, execute
from cwpo.stages.graph import StageSpec, build
from tests.cwpo import recorded, tiny
from tests.cwpo.recording import RecordingReporter

TRAINED = ("annotator", "sft", "align")


def run_config(folder: Path, quantization: str) -> RunConfig:
    """Models whose heads are wide enough for the kernels of a card."""
    folder.mkdir()
    model = {
        "annotator": str(tiny.save(folder / "wide-annotator", "qwen2", width=64)),
        "policy": str(tiny.save(folder / "wide-policy", "opt", width=64)),
        "precision": "bf16", "quantization": quantization,
    }  # fmt: skip
    plain: dict[str, Any] = {"evaluation": {"along": None, "card": False, "judge": None}, "model": model}
    plain |= {part: {"batch_size": 4} for part in TRAINED}
    return RunConfig.parse(merged(recorded.config(folder).canonical(), plain))


def computed(
    spec: StageSpec, store: ArtifactStore, reporter: RecordingReporter, should_stop: Callable[[], bool] = never
) -> StageResult:
    return execute(
        store=store, fingerprint=spec.fingerprint, settings=spec.settings, inputs=spec.input_fingerprints,
        execution=Execution(device="cuda:0"), reporter=reporter, should_stop=should_stop,
    )  # fmt: skip


def whole(specs: Mapping[str, StageSpec], store: ArtifactStore, *, cut: bool) -> dict[str, Any]:
    """Slot -> summary; with `cut` every training is stopped after two steps and computed again."""
    found: dict[str, Any] = {}
    for slot, spec in specs.items():
        if cut and slot in TRAINED:
            asked = iter(range(1_000))
            with pytest.raises(Cancelled, match="after step"):
                computed(spec, store, RecordingReporter(), lambda asked=asked: next(asked) >= 2)
        heard = RecordingReporter()
        found[slot] = computed(spec, store, heard).summary
        assert not cut or slot not in TRAINED or heard.began_after[0] >= 1
    return found


@pytest.mark.gpu
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_run_that_is_stopped_in_every_training_ends_as_one_that_is_not(tmp_path: Path, quantization: str) -> None:
    specs = build(run_config(tmp_path / "models", quantization))
    torch.cuda.reset_peak_memory_stats()
    plain = whole(specs, ArtifactStore(tmp_path / "plain"), cut=False)
    assert torch.cuda.max_memory_allocated() > 100_000
    again = whole(specs, ArtifactStore(tmp_path / "cut"), cut=True)
    assert math.isfinite(plain["align"]["final_loss"])
    assert again["align"]["final_loss"] == pytest.approx(plain["align"]["final_loss"], rel=0.01)
    assert 0 <= plain["evaluation"]["gra"] <= 1
    assert abs(again["evaluation"]["gra"] - plain["evaluation"]["gra"]) <= 0.2
