"""The estimate against counted parameters, the tensors that autograd saves, and the peaks stored by `make bench`."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
)

from benchmarks import workload
from cwpo.config import catalog
from cwpo.config.parts import DROPOUT_TOKENS
from cwpo.models import memory_estimate
from cwpo.models import shape as model_shape
from cwpo.models.adapters import add_adapter
from cwpo.models.logps import forward_path, response_logps
from cwpo.models.tokenization import pack
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import ArchitectureSettings
from cwpo.training.sandbox_base import build_model
from tests.cwpo import stage, tiny

STORED = Path(__file__).parents[3] / "benchmarks" / "results" / "memory.json"
LORA = stage.lora(dropout=0.1)


def shape(config) -> model_shape.Shape:
    found = model_shape.shape_of(config.to_dict())
    assert found is not None
    return found


def count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama"])
def test_parameters_are_those_of_the_model(family, tmp_path):
    """From config.json as it is saved: the causal LM, its scalar twin and a LoRA adapter."""
    folder = tiny.save(tmp_path, family)
    config = model_shape.known_config(str(folder), None, tmp_path)
    found = model_shape.shape_of(config)
    model = tiny.causal_lm(family)
    assert found.causal == count(model)
    settings = model.config
    settings.num_labels = 1
    assert found.scorer == count(AutoModelForSequenceClassification.from_config(settings))
    adapted = add_adapter(model, LORA, seed=0)
    assert found.adapter(LORA) == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_parameters_of_a_narrow_embedding_without_a_last_norm():
    """OPT 350M's form."""
    config = OPTConfig(vocab_size=50, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
                       word_embed_proj_dim=16, do_layer_norm_before=False, max_position_embeddings=30)  # fmt: skip
    assert shape(config).causal == count(OPTForCausalLM(config))


@pytest.mark.parametrize("name", list(catalog.SANDBOX_MODELS))
def test_parameters_of_the_sandbox_need_no_file(name, tmp_path):
    config = model_shape.known_config(name, None, tmp_path)
    built = build_model(ArchitectureSettings(**catalog.SANDBOX_MODELS[name].architecture), seed=0)
    assert model_shape.shape_of(config).causal == count(built)


def test_other_families_and_absent_models_are_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert model_shape.shape_of({"model_type": "gpt2", "hidden_size": 8}) is None
    assert model_shape.shape_of({"model_type": "opt", "hidden_size": 8}) is None
    assert model_shape.known_config("nobody/nothing-here", None, tmp_path) is None
    assert model_shape.known_config(str(tmp_path), None, tmp_path) is None
    (tmp_path / "config.json").write_text("[]")
    assert model_shape.known_config(str(tmp_path), None, tmp_path) is None


CONFIGS = {
    "opt": OPTConfig(ffn_dim=512, word_embed_proj_dim=128, dropout=0.0, attention_dropout=0.0, vocab_size=512,
                     hidden_size=128, num_hidden_layers=3, num_attention_heads=4),
    "qwen2": Qwen2Config(intermediate_size=384, num_key_value_heads=2, tie_word_embeddings=True, vocab_size=512,
                         hidden_size=128, num_hidden_layers=3, num_attention_heads=4),
    "llama": LlamaConfig(intermediate_size=384, num_key_value_heads=2, vocab_size=512, hidden_size=128,
                         num_hidden_layers=3, num_attention_heads=4),
    "gemma": GemmaConfig(intermediate_size=384, num_key_value_heads=2, vocab_size=512, hidden_size=128,
                         num_hidden_layers=3, num_attention_heads=4, head_dim=32),
    "gemma3_text": Gemma3TextConfig(intermediate_size=384, num_key_value_heads=2, vocab_size=512, hidden_size=128,
                                    num_hidden_layers=3, num_attention_heads=4, head_dim=32),
}  # fmt: skip


def saved_bytes(model, batch, precision) -> int:
    """Bytes of distinct tensors that one packed forward pass keeps for its backward pass, parameters left out."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    path = forward_path(model, device="cpu", precision=precision, log=lambda words: None)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logps = response_logps(path, batch)
    assert torch.isfinite(logps).all()
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "lora"])
@pytest.mark.parametrize("family", list(CONFIGS))
def test_activations_are_what_autograd_saves(family, lora, precision):
    """Twelve pairs of real lengths, three layers. With checkpointing each layer's input stays, and what is made again
    must fit beside it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family])
    batch = pack(workload.encoded(workload.lengths()[100:112], 512), 10_000)[0]
    found = shape(CONFIGS[family])
    need = memory_estimate.training(found, tokens=batch.tokens, precision=precision, lora=lora, scalar=False)
    model = (add_adapter(model, lora, seed=0) if lora else model).train()
    kept = (need.activations + need.head) * 3 / 4  # the estimate has a fourth layer for what backward makes
    assert 0.75 < saved_bytes(model, batch, precision) / kept < 1.33
    model.gradient_checkpointing_enable({"use_reentrant": False})
    inputs = 3 * batch.tokens * found.hidden * 4
    assert inputs < saved_bytes(model, batch, precision) < need.checkpointed


STORED_CELLS = [
    row
    for what in ("token budget", "vocabulary", "pairs in a batch")
    for row in json.loads(STORED.read_text())["summary"][what]
]


@pytest.mark.parametrize("row", STORED_CELLS, ids=lambda row: "{budget}-{vocabulary}-{pairs}".format(**row))
def test_the_estimate_is_near_the_stored_peaks(row):
    """Growth over weights and optimizer in `make bench`: gradients, activations and head, within a factor of 1.5."""
    config = workload.config(
        workload.Shape(family="opt", hidden=128, layers=4, heads=4, vocabulary=row["vocabulary"], inner=512)
    )
    need = memory_estimate.training(shape(config), tokens=row["budget"], precision="fp32", lora=None, scalar=False)
    estimated = (need.gradients + need.activations + need.head) / 2**20
    assert 1 / 1.5 < estimated / row["growth_mb"] < 1.5


@pytest.mark.parametrize(
    ("kind", "on", "off"),
    [
        ("align", {"lora": to_plain(LORA)}, {"lora": to_plain(stage.lora())}),
        ("annotator", {"dropout": 0.1}, {"dropout": 0.0}),
        ("labels", {"label_dropout": 0.1}, {"label_dropout": 0.0}),
    ],
)
def test_dropout_fixes_what_is_packed_whatever_is_asked_for(kind, on, off):
    """As the stages do it: 2,048 tokens with dropout, the budget without."""
    found = shape(CONFIGS["opt"])
    needs = {
        (name, tokens): memory_estimate.of_stage(stage.settings(kind, **config), found, tokens=tokens).total
        for name, config in (("on", on), ("off", off))
        for tokens in (512, DROPOUT_TOKENS, 8192)
    }
    assert needs["on", 512] == needs["on", DROPOUT_TOKENS] == needs["on", 8192]
    assert needs["off", 512] < needs["off", DROPOUT_TOKENS] < needs["off", 8192]


def test_an_online_alignment_also_holds_its_reference_and_the_answers_that_it_samples():
    """4 bytes for each weight of the frozen model, and keys and values of a batch of answers."""
    found = shape(CONFIGS["opt"])
    offline, online = (
        memory_estimate.of_stage(stage.settings(kind), found, tokens=2048) for kind in ("align", "online")
    )
    assert online.weights - offline.weights == 4 * found.causal
    assert online.cache > offline.cache == 0
    assert online.total > offline.total
