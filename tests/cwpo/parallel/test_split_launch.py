"""A training that ranks split, as a job has it computed: by the launcher and its own ranks, from artifact to artifact.

No card is here, and on a CPU no rank splits a model unless it is told to: `Execution.shard` says so.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from cwpo.artifacts import ArtifactStore
from cwpo.errors import RanksLost
from cwpo.parallel.launch import compute_in_ranks
from cwpo.stages.context import Execution
from cwpo.stages.execute import StageResult, execute
from cwpo.training.checkpoints import SHARDS, STEP
from tests.cwpo import small_world, stage
from tests.cwpo.recording import RecordingReporter

BASE, DATA, TRAINED = (letter * 64 for letter in "abc")
SETTINGS = {
    **small_world.MODEL, **small_world.PART, "part": "labeled", "label_source": "human", "lora": None,
    "train": {**stage.TRAIN, "epochs": 6.0},
}  # fmt: skip
CLOSE = 1e-2  # of how far the weights went: float32, where AdamW steps by the rounding of gradients that are truly 0


class KillsOne(RecordingReporter):
    """Kills the last rank when the training has made so many steps."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.killed = step, 0

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if done >= self.step and not self.killed and unit == "steps":
            ranks = [one for one in psutil.Process(os.getpid()).children() if "cwpo.parallel.rank" in one.cmdline()]
            last = max(ranks, key=lambda one: one.pid)
            self.killed = last.pid
            last.kill()


def inputs(root: Path) -> ArtifactStore:
    """A store with a tiny model and pairs."""
    store = ArtifactStore(root)
    with store.build(BASE) as out:
        small_world.policy_artifact(out)
    with store.build(DATA) as out:
        small_world.data_artifact(out, small_world.word_pairs(20))
    return store


def trained(store: ArtifactStore, ranks: int, **options: Any) -> StageResult:
    """The SFT stage on so many ranks that split the model; on one in this process."""
    return execute(
        store=store, fingerprint=TRAINED, settings=stage.settings("sft", **SETTINGS),
        inputs={"base": BASE, "data": DATA}, execution=Execution(shard=ranks > 1, checkpoint_seconds=0.0),
        compute=partial(compute_in_ranks, places=("",) * ranks) if ranks > 1 else None, **options,
    )  # fmt: skip


def moved(store: ArtifactStore) -> np.ndarray:
    """How far all weights went, in one vector."""
    start, end = (load_file(store.path(name) / "model.safetensors") for name in (BASE, TRAINED))
    assert start.keys() == end.keys()
    return np.concatenate([(end[name] - start[name]).numpy().ravel() for name in sorted(end)])


def test_two_split_ranks_of_which_one_is_killed_go_on_as_three_and_store_what_one_process_does(tmp_path: Path) -> None:
    alone = trained(one := inputs(tmp_path / "one"), 1)
    store, kills = inputs(tmp_path / "several"), KillsOne(4)
    with pytest.raises(RanksLost, match=r"^Rank 1 of 2 was ended by SIGKILL"):
        trained(store, 2, reporter=kills)
    assert store.find(TRAINED) is None
    parts = [path for path in store.checkpoints(TRAINED).glob(f"{STEP}*/{SHARDS}") if any(path.iterdir())]
    assert parts, "the ranks did not split the model"

    heard = RecordingReporter()
    done = trained(store, 3, reporter=heard)
    timing = json.loads((done.path / "timing.json").read_text())
    assert (done.computed, timing["ranks"]) == (True, 3)
    steps = [at for at, _, unit in heard.progresses if unit == "steps"]
    assert 0 < steps[0] < steps[-1] == done.summary["steps"] == alone.summary["steps"]
    assert not trained(store, 2).computed
    assert not (tmp_path / "several" / "checkpoints" / TRAINED).exists()
    assert not list((tmp_path / "several" / "tmp").iterdir())

    found, wanted = moved(store), moved(one)
    assert np.linalg.norm(found - wanted) < CLOSE * np.linalg.norm(wanted)
    assert done.summary["final_loss"] == pytest.approx(alone.summary["final_loss"], rel=CLOSE)
