"""Base models: ordinary folders that any process loads with their own tokenizer; a cancellation changes nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from cwpo.artifacts import ArtifactStore
from cwpo.config.catalog import SANDBOX_MODELS
from cwpo.errors import Cancelled
from cwpo.models.load import ModelRef, load_annotator, load_policy, read_form
from cwpo.models.sandbox_tokenizer import build
from cwpo.sandbox import world
from cwpo.stages.context import StageContext
from cwpo.stages.settings import ArchitectureSettings
from cwpo.training import sandbox_base
from tests.cwpo.stage import context

NAMES = ("sandbox/opt-64", "sandbox/qwen2-64")
LOAD_CODE = """
import sys
from pathlib import Path
from cwpo.artifacts import ArtifactStore
from cwpo.models.load import ModelRef, load_policy
for folder in sys.argv[2:]:
    policy = load_policy(ModelRef(artifact=Path(folder)), store=ArtifactStore(Path(folder)), device="cpu",
                         precision="fp32", trainable=False, lora=None, seed=0)
    ids = policy.tokenizer(sys.argv[1], return_tensors="pt")["input_ids"]
    print(policy.model(input_ids=ids).logits.double().sum().item(), ids[0].tolist())
"""


@pytest.fixture(autouse=True)
def _small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_base, "CORPUS_TEXTS", 64)


def config(name: str) -> dict[str, Any]:
    return {"model": name, "architecture": SANDBOX_MODELS[name].architecture, "world_version": 1, "seed": 0}


def built(folder: Path, name: str) -> StageContext[Any]:
    ctx = context(folder, "base", config=config(name))
    sandbox_base.run_base(ctx)
    return ctx


def test_another_process_loads_them_with_the_same_tokenizer(tmp_path: Path) -> None:
    prompt = next(world.make_corpus(1, 0))[0]
    folders = [str(built(tmp_path / str(number), name).out) for number, name in enumerate(NAMES)]
    code = [sys.executable, "-c", LOAD_CODE, prompt, *folders]
    there = subprocess.run(code, capture_output=True, text=True, check=True, env={"OMP_NUM_THREADS": "1"})
    for folder, name, line in zip(folders, NAMES, there.stdout.splitlines(), strict=True):
        policy = load_policy(
            ModelRef(artifact=Path(folder)),
            store=ArtifactStore(tmp_path),
            device="cpu",
            precision="fp32",
            trainable=False,
            lora=None,
            seed=0,
        )
        ids = policy.tokenizer(prompt, return_tensors="pt")["input_ids"]
        assert ids[0].tolist() == build(SANDBOX_MODELS[name].family).encode(prompt).ids
        total, shown = line.split(" ", 1)
        assert shown == str(ids[0].tolist())
        assert float(total) == pytest.approx(policy.model(input_ids=ids).logits.double().sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_serves_as_annotator_backbone(name: str, tmp_path: Path) -> None:
    """The loss starts near ln V = ln 232 = 5.4 nats; every weight of the annotator but its head comes from the file."""
    ctx = context(tmp_path, "base", config=config(name))
    summary = sandbox_base.run_base(ctx)
    assert summary["final_loss"] < 4.5
    assert summary["steps"] == 4 * SANDBOX_MODELS[name].epochs  # 64 texts, 16 per step
    assert read_form(ctx.out) == {"form": "full", "parent": None}
    model, _ = load_annotator(ModelRef(artifact=ctx.out), store=ctx.store, device="cpu", seed=0, dropout=None)
    assert model.score.out_features == 1


def test_cancelled_and_resumed_equals_undisturbed(tmp_path: Path) -> None:
    """Bit for bit on CPU."""
    whole = built(tmp_path / "whole", NAMES[0])
    calls = iter(range(1000))
    broken = context(tmp_path / "broken", "base", config=config(NAMES[0]), should_stop=lambda: next(calls) == 5)
    with pytest.raises(Cancelled):
        sandbox_base.run_base(broken)
    resumed = context(tmp_path / "broken", "base", config=config(NAMES[0]))
    sandbox_base.run_base(resumed)
    first, second = (load_file(ctx.out / "model.safetensors") for ctx in (whole, resumed))
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)


def test_seeds_and_sizes(tmp_path: Path) -> None:
    """Pairs of models: the annotator's backbone is the smaller one."""
    sizes = {}
    for name, row in SANDBOX_MODELS.items():
        model = sandbox_base.build_model(ArchitectureSettings(**row.architecture), seed=0)
        sizes[name] = sum(parameter.numel() for parameter in model.parameters())
    assert sizes["sandbox/opt-48"] < 0.7 * sizes["sandbox/opt-64"]
    assert sizes["sandbox/qwen2-48"] < 0.7 * sizes["sandbox/qwen2-64"]
    shape = ArchitectureSettings(**SANDBOX_MODELS[NAMES[0]].architecture)
    first, again, other = (sandbox_base.build_model(shape, seed=seed) for seed in (0, 0, 1))
    weights = [model.get_input_embeddings().weight for model in (first, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])
