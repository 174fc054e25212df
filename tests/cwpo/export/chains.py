"""Models with chains of adapters in a store, as runs leave them: adapters that do something, on tiny bases."""

from pathlib import Path
from typing import Any

import torch

from cwpo.artifacts import ArtifactStore
from cwpo.models.load import ModelRef, load_policy, parent_of, save_model
from tests.cwpo import stage, tiny

OPTIONS: dict[str, Any] = {"device": "cpu", "precision": "fp32", "seed": 0}


def store_in(folder: Path) -> ArtifactStore:
    return ArtifactStore(folder / "home" / "artifacts")


def fingerprint(digit: str) -> str:
    return digit * 64


def chain(folder: Path, family: str, adapters: int, **lora: Any) -> tuple[ModelRef, ArtifactStore]:
    """A base in a folder, and as many adapters in the store, one on another; the topmost."""
    store = store_in(folder)
    ref = ModelRef(name=str(tiny.save(folder / "base", family)))
    for place in range(adapters):
        ref = on_top(ref, store, "abcdef"[place], seed=place, **lora)
    return ref, store


def on_top(ref: ModelRef, store: ArtifactStore, digit: str, *, seed: int, **lora: Any) -> ModelRef:
    """One more adapter, drawn at random with both factors."""
    wanted = stage.lora(**{"r": 3 + seed, "alpha": 8 + seed, **lora})
    options = {**OPTIONS, "trainable": True, "lora": wanted, "parents": "apart"}
    policy = load_policy(ref, store=store, **{**options, "seed": seed})
    torch.manual_seed(seed)
    for name, parameter in policy.model.named_parameters():
        if parameter.requires_grad and "lora_" in name:
            parameter.data.normal_(0.0, 0.3)
    with store.build(fingerprint(digit)) as out:
        save_model(policy.model, policy.tokenizer, out, form="adapter", parent=parent_of(ref))
    return ModelRef(artifact=store.path(fingerprint(digit)))


def unmerged(ref: ModelRef, store: ArtifactStore) -> Any:
    """The model as it was trained, adapters apart."""
    return load_policy(ref, store=store, **OPTIONS, trainable=False, lora=None, parents="apart")


def logits(model: Any) -> torch.Tensor:
    rows = torch.tensor([[1, 5, 9, 20, 7, 33], [1, 4, 4, 30, 12, 6]])
    with torch.no_grad():
        return model(input_ids=rows).logits.float()
