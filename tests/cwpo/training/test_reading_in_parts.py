"""Ranks that split a model read it in parts: the same bits as of the whole model, and no rank reads more than its own.

Three ranks, in processes of their own, read every stored model whole and in parts.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from transformers import core_model_loading
from transformers.distributed.sharding_utils import DtensorShardOperation

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ModelError
from cwpo.models.load import ModelRef, load_annotator, load_policy, save_model
from cwpo.models.weights.parts import in_parts, part_like
from cwpo.parallel.group import Group
from cwpo.parallel.ranks import Ranks
from cwpo.training.root import Root, is_laid_out, loading, local, put_together
from tests.cwpo import random_models as tiny
from tests.cwpo import small_world
from tests.cwpo.export import chains
from tests.cwpo.stage import TRAIN, context
from tests.cwpo.training.ranked import ended

RANKS = 3
FAMILIES = ("opt", "qwen2", "llama", "gpt2", "gemma2")
CASES = (
    *FAMILIES, "half", "files", "new head", "stored head", "reward head", "adapter", "adapters", "adapter of gpt2",
)  # fmt: skip
_CONFIG = {"train": TRAIN, "precision": "fp32", "seed": 0, "lora": None}
Stored = dict[str, tuple[ModelRef, ArtifactStore]]


def stored(folder: Path) -> Stored:
    """A model for each case: families with tied and untied embeddings, in bf16, in many files; heads; adapters."""
    found: dict[str, Any] = {family: tiny.policy(family) for family in FAMILIES}
    found |= {"half": tiny.policy("qwen2", torch.bfloat16), "files": tiny.policy("llama"), "new head": found["opt"]}
    found |= {"stored head": tiny.scorer("opt"), "reward head": tiny.scorer("qwen2")}
    refs: Stored = {}
    for name, model in found.items():
        form = {"stored head": "annotator", "reward head": "reward"}.get(name, "full")
        save_model(model, small_world.word_tokenizer(), folder / name, form=form, parent=None)
        refs[name] = ModelRef(artifact=folder / name), ArtifactStore(folder / "store")
    (folder / "files" / "model.safetensors").unlink()
    found["files"].save_pretrained(folder / "files", max_shard_size="20KB")
    assert len(list((folder / "files").glob("*.safetensors"))) > 2
    refs["adapter"] = chains.chain(folder / "one", "llama", 1)
    refs["adapters"] = chains.chain(folder / "two", "qwen2", 2)
    store = chains.store_in(folder / "conv")
    gpt2 = ModelRef(name=str(folder / "gpt2"))
    refs["adapter of gpt2"] = chains.on_top(gpt2, store, "a", seed=3, target_modules=("c_attn", "c_fc")), store
    return refs


def load(case: str, ref: ModelRef, store: ArtifactStore, **how: Any) -> Any:
    """The model that trains whole."""
    if case.endswith("head"):
        return load_annotator(ref, store=store, seed=7, dropout=None, **how)[0]
    return load_policy(ref, store=store, precision="fp32", trainable=True, lora=None, seed=0, **how).model


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of every tensor that is made of what a safetensors file holds."""
    sizes: list[int] = []

    def counting(inner: Any) -> Any:
        def read(*args: Any, **options: Any) -> Any:
            tensor = inner(*args, **options)
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        return read

    with monkeypatch.context() as patch:
        patch.setattr(DtensorShardOperation, "shard_tensor", counting(DtensorShardOperation.shard_tensor))
        patch.setattr(core_model_loading, "_materialize_copy", counting(core_model_loading._materialize_copy))
        yield sizes


def read(case: str, ref: ModelRef, store: ArtifactStore, folder: Path) -> dict[str, Any]:
    """What one rank says of a case."""
    ctx = context(folder, "sft", config=_CONFIG, ranks=Group.current(), shard=True)
    monkeypatch = pytest.MonkeyPatch()
    with counted(monkeypatch) as whole_sizes:
        whole = load(case, ref, store, device="cpu")
    with counted(monkeypatch) as sizes:
        model = load(case, ref, store, **loading(ctx))
    parts = dict(model.named_parameters())
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    expected = dict(whole.named_parameters())
    found = {
        "names": list(parts) == list(expected)
        and names == [name for name, _ in whole.named_parameters(remove_duplicate=False)],
        "parts": is_laid_out(model) and all(in_parts(value) for value in parts.values()),
        "trains": all(value.requires_grad for value in parts.values()),
        "read": sizes, "read whole": whole_sizes,
        "held": sum(local(value).numel() * 4 for value in parts.values()),
        "bytes": sum(value.numel() * 4 for value in expected.values()),
        "same parts": all(
            in_parts(part) and torch.equal(local(part), local(part_like(expected[name].detach(), part)))
            for name, part in parts.items()
        ),
        "same buffers": all(
            torch.equal(one, other) for one, other in zip(model.buffers(), whole.buffers(), strict=True)
        ),
        "class": type(model) is type(whole),
    }  # fmt: skip
    root = Root(model, ctx.execution.ranks, device="cpu", split=True)
    rows = torch.tensor([[1, 5, 9, 20, 7, 33]])
    whole.eval(), model.eval()
    with torch.no_grad():
        own = root.reading(lambda: model(input_ids=rows, use_cache=False).logits.clone())
        found["same logits"] = torch.equal(own, whole(input_ids=rows, use_cache=False).logits)
    put_together(model, keep=True)
    together = dict(model.named_parameters())
    found["same whole"] = all(torch.equal(value, together[name]) for name, value in expected.items())
    found["tied"] = len(together) == len(expected)
    return found


def _rank(rank: int, refs: Stored, folder: str) -> None:
    torch.set_num_threads(1)
    where = Path(folder)
    distributed.init_process_group("gloo", init_method=f"file://{where / 'meeting'}", rank=rank, world_size=RANKS)
    said = {case: read(case, *refs[case], where / str(rank)) for case in CASES}
    (where / f"said-{rank}.json").write_text(json.dumps(said))
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """By rank: case -> what it says."""
    folder = tmp_path_factory.mktemp("parts")
    refs = stored(folder)
    ended(_rank, RANKS, refs, str(folder))
    return [json.loads((folder / f"said-{rank}.json").read_text()) for rank in range(RANKS)]


@pytest.mark.parametrize("case", CASES)
def test_every_rank_holds_its_part_of_the_same_bits(said: list[dict[str, Any]], case: str) -> None:
    """Also what is in no file: the head of a new annotator is drawn as without parts."""
    for one in (rank[case] for rank in said):
        wrong = [name for name, value in one.items() if value is False]
        assert not wrong


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_together_read_and_hold_one_model(said: list[dict[str, Any]], case: str) -> None:
    """Whole weights were read by each of them before: three models on one host."""
    ranks = [rank[case] for rank in said]
    whole = ranks[0]["bytes"]
    assert sum(one["held"] for one in ranks) == whole
    assert all(one["held"] <= whole / RANKS + 4 * 64 * len(one["read"]) for one in ranks)
    assert sum(ranks[0]["read whole"]) >= sum(sum(one["read"]) for one in ranks) > 0
    assert max(max(one["read"]) for one in ranks) < 0.4 * max(ranks[0]["read whole"])


def test_quantized_weights_are_not_split() -> None:
    model = tiny.policy("opt")
    model.model.decoder.layers[1].fc1.weight = nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ModelError, match=r"layers\.1\.fc1\.weight is quantized and cannot be split over cards"):
        Root(model, Ranks(size=2), device="cpu", split=True)


def test_an_adapter_that_stays_apart_is_not_split(tmp_path: Path) -> None:
    """Its base would be frozen, which is repeated on every card instead."""
    ref, store = chains.chain(tmp_path, "opt", 1)
    with pytest.raises(
        ModelError, match=r"is under an adapter and cannot be split over cards: set execution\.gpus to 1"
    ):
        load("adapter", ref, store, device="cpu", lay_out=lambda model: None, parents="apart")
