"""Weights that do not train, at half their size: what autocast computes over float32 weights, to the bit; and adapters
that stay apart, so that alignment starts exactly from the model it is judged against."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    Gemma2Config,
    ModernBertConfig,
    RobertaConfig,
    T5Config,
)

from cwpo.artifacts import ArtifactStore
from cwpo.config.run import RunConfig
from cwpo.errors import ConfigError
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import native
from cwpo.models.adapters import ADAPTER, LORA_TARGETS
from cwpo.models.load import (
    ModelRef,
    load_annotator,
    load_policy,
    load_reward_model,
    parent_of,
    precision_context,
    save_model,
)
from cwpo.models.logps import forward_path, response_logps, response_scores
from cwpo.models.tokenization import Encoded, pack
from cwpo.report.gra_terms import decoding_of
from cwpo.stages.graph import build
from cwpo.stages.settings import DecodingSettings
from tests.cwpo import stage, tiny

FAMILIES = ["opt", "qwen2", "llama"]
LORA = stage.lora()
ROWS = [
    Encoded(pair_id=str(at), prompt_ids=ids[:3], responses=(ids[3:6], ids[6:]))
    for at, ids in enumerate(torch.randint(3, 40, (6, 12), generator=torch.manual_seed(0)).numpy())
]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "home" / "artifacts")


def policy(ref: ModelRef, store: ArtifactStore, **changes: Any) -> Any:
    settings = {"device": "cpu", "precision": "bf16", "trainable": False, "lora": None, "seed": 0, "parents": "apart"}
    return load_policy(ref, store=store, **(settings | changes)).model


def logps(model: Any) -> torch.Tensor:
    path = forward_path(model, device="cpu", precision="bf16", log=lambda line: None)
    return torch.cat([response_logps(path, batch) for batch in pack(ROWS, 60, range(len(ROWS)))])


def answers(model: Any, family: str) -> list[list[int]]:
    questions = [Question(prompt_id=str(at), sample=0, prompt_ids=[3 + at, 4 + at]) for at in range(16)]
    how = DecodingSettings(temperature=1.0, top_p=1.0, max_new_tokens=12, samples=1)
    engine = native(model, tiny.tokenizer(family), how, 0, precision="bf16", tokens_per_batch=64)
    written = (engine.answers(batch, lambda: False) for batch in engine.batches(questions, frozenset()))
    return [answer.ids for batch in written for answer in batch]


def adapted(ref: ModelRef, store: ArtifactStore, family: str, digit: str, **changes: Any) -> ModelRef:
    """An adapter on `ref` that changes its answers, stored."""
    model = policy(ref, store, trainable=True, lora=LORA, seed=int(digit, 16), **changes)
    torch.manual_seed(int(digit, 16))
    for name, value in model.named_parameters():
        if f"lora_B.{ADAPTER}" in name:
            torch.nn.init.normal_(value.data, std=0.02)
    with store.build(digit * 64) as out:
        save_model(model, tiny.tokenizer(family), out, form="adapter", parent=parent_of(ref))
    return ModelRef(artifact=store.path(digit * 64))


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_are_kept_in_bf16_and_all_else_in_float32(tmp_path: Path, store: ArtifactStore, family: str) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    kept = dict(policy(ref, store, trainable=True, lora=LORA).named_parameters())
    assert {value.dtype for name, value in kept.items() if "lora_" in name} == {torch.float32}
    halves = {name for name, value in kept.items() if value.dtype == torch.bfloat16}
    assert all("proj" in name or "fc" in name or "lm_head" in name for name in halves)
    assert len(halves) >= 2 * 6 + 1
    assert not any(value.dtype == torch.bfloat16 for _, value in policy(ref, store, trainable=True).named_parameters())
    assert not any(value.dtype == torch.bfloat16 for value in policy(ref, store, precision="fp32").parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_halves_compute_what_autocast_computes_over_float32(
    tmp_path: Path, store: ArtifactStore, family: str
) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    whole = load_policy(
        ref, store=store, device="cpu", precision="fp32", trainable=True, lora=None, seed=0
    ).model.eval()
    assert torch.equal(logps(policy(ref, store)), logps(whole).detach())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_over_halves_has_the_gradients_of_one_over_float32(
    tmp_path: Path, store: ArtifactStore, family: str
) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    gradients = []
    for precision in ("bf16", "fp32"):
        model = policy(ref, store, precision=precision, trainable=True, lora=LORA, seed=3)
        logps(model).sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.requires_grad})
    halves, wholes = gradients
    assert halves.keys() == wholes.keys()
    assert all(torch.equal(value, wholes[name]) for name, value in halves.items())
    assert any(value.abs().sum() > 0 for value in halves.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_annotator_that_reads_in_halves_gives_the_same_scores(
    tmp_path: Path, store: ArtifactStore, family: str
) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    scores = []
    for kept in ("fp32", "bf16"):
        model, _ = load_annotator(ref, store=store, device="cpu", seed=5, dropout=0.0, frozen_in=kept)
        path = forward_path(model.eval(), device="cpu", precision="bf16", log=lambda line: None)
        scores.append(torch.cat([response_scores(path, batch) for batch in pack(ROWS, 60, range(len(ROWS)))]))
    assert torch.equal(*scores)


SMALL: dict[str, Any] = {
    "vocab_size": 43, "num_labels": 1, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1, "cls_token_id": 2,
    "sep_token_id": 1, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "d_ff": 64,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "decoder_start_token_id": 0, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64,
}  # fmt: skip
HEADS = [  # a layer, a module of several, layers with functions between them, behind an encoder and a decoder
    BertConfig, RobertaConfig, DistilBertConfig, ModernBertConfig, T5Config, BartConfig, Gemma2Config,
]  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_of_a_reward_model_in_bf16_all_outside_the_body_is_float32(
    tmp_path: Path, store: ArtifactStore, kind: Any
) -> None:
    """Its scores have digits that bf16 has not; in fp32 they are those of the model as transformers reads it."""
    torch.manual_seed(0)
    known = {*kind().to_dict(), "num_labels", "decoder_start_token_id"}
    config = kind(**{name: value for name, value in SMALL.items() if name in known})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "m")
    tiny.tokenizer("qwen2").save_pretrained(tmp_path / "m")
    ids, mask = torch.tensor([[5, 6, 7, 8, 1], [9, 6, 7, 2, 1]]), torch.ones(2, 5, dtype=torch.long)
    scores = {}
    for precision in ("bf16", "fp32"):
        ref = ModelRef(name=str(tmp_path / "m"))
        model, _ = load_reward_model(ref, store=store, device="cpu", precision=precision)
        with torch.no_grad(), precision_context(precision, "cpu"):
            scores[precision] = model(input_ids=ids, attention_mask=mask).logits.squeeze(-1)
        body = model.get_submodule(model.base_model_prefix)
        outside = {id(value) for value in model.parameters()} - {id(value) for value in body.parameters()}
        assert {value.dtype for value in model.parameters() if id(value) in outside} == {torch.float32}
        assert body.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m", attn_implementation="eager").eval()
    with torch.no_grad():
        torch.testing.assert_close(scores["fp32"], plain(input_ids=ids, attention_mask=mask).logits.squeeze(-1))
    torch.testing.assert_close(scores["bf16"], scores["fp32"], rtol=0.05, atol=0.02)
    assert (scores["bf16"] != scores["bf16"].bfloat16().float()).all()


def test_a_new_adapter_is_drawn_as_peft_draws_it_over_float32(tmp_path: Path, store: ArtifactStore) -> None:
    ref = ModelRef(name=str(tiny.save(tmp_path / "m", "qwen2")))
    whole, modules = tiny.causal_lm("qwen2"), list(LORA_TARGETS["qwen2"])
    torch.manual_seed(7)
    theirs = get_peft_model(whole, PeftConfig(r=4, lora_alpha=8, target_modules=modules))
    ours = policy(ref, store, trainable=True, lora=LORA, seed=7)
    expected = {name: value for name, value in theirs.named_parameters() if "lora_" in name}
    own = {name: value for name, value in ours.named_parameters() if "lora_" in name}
    assert own.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in own.items())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adapters", [0, 1, 2])
def test_a_new_adapter_starts_exactly_as_the_model_it_is_judged_against(
    tmp_path: Path, store: ArtifactStore, family: str, adapters: int
) -> None:
    opponent = ModelRef(name=str(tiny.save(tmp_path / "m", family)))
    for digit in "ab"[:adapters]:
        opponent = adapted(opponent, store, family, digit)
    started = policy(opponent, store, trainable=True, lora=stage.lora(dropout=0.05), seed=9).eval()
    judged = policy(opponent, store)
    with torch.no_grad():
        assert torch.equal(logps(started), logps(judged))
    assert answers(started, family) == answers(judged, family)
    trained = {name for name, value in started.named_parameters() if value.requires_grad}
    assert trained
    assert all(f".{ADAPTER}." in name for name in trained)


def test_only_the_adapter_that_trains_is_stored(tmp_path: Path, store: ArtifactStore) -> None:
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "qwen2")))
    first = adapted(base, store, "qwen2", "a")
    second = adapted(first, store, "qwen2", "b")
    sizes = [(ref.artifact / "adapter.safetensors").stat().st_size for ref in (first, second)]  # type: ignore[operator]
    assert sizes[0] == sizes[1]
    model = policy(second, store)
    assert list(model.active_adapters) == ["below0", "below1"]
    off = policy(first, store)
    assert not torch.equal(logps(model), logps(off))


def test_a_small_change_survives_bf16_because_it_is_not_merged(tmp_path: Path, store: ArtifactStore) -> None:
    """B of standard deviation 1e-4: merged into bf16 weights nearly all of it would be rounded away."""
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "llama")))
    model = policy(base, store, trainable=True, lora=LORA)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value.data, std=1e-4)
    weight = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    assert weight.base_layer.weight.dtype == torch.bfloat16
    delta = weight.get_delta_weight(ADAPTER)
    merged = (weight.base_layer.weight.float() + delta).to(torch.bfloat16)
    assert (merged == weight.base_layer.weight).float().mean() > 0.5
    with precision_context("bf16", "cpu"), torch.no_grad():
        inputs = torch.randn(64, weight.in_features)
        assert not torch.equal(weight(inputs), weight.base_layer(inputs))


def test_stages_over_adapters_in_bf16_are_other_stages_and_in_fp32_the_same() -> None:
    def settings(precision: str, **model: Any) -> dict[str, Any]:
        config = RunConfig.parse(
            {"method": "cw", "data": {"dataset": "hh"}, "model": {"precision": precision, **model}}
        )
        return {spec.kind: spec.config for spec in build(config).values()}

    assert settings("bf16")["align"]["parents"] == "apart"
    assert settings("bf16")["reference"]["parents"] == "apart"
    assert "parents" not in settings("fp32")["align"]
    assert "parents" not in settings("bf16", lora=None)["align"]
    assert settings("bf16", quantization="nf4")["samples"]["quantization"] == "nf4"
    assert "quantization" not in settings("bf16", quantization="nf4")["annotator"]


def test_weights_in_four_bits_carry_adapters_that_start_exactly_as_the_opponent(
    tmp_path: Path, store: ArtifactStore
) -> None:
    four = {"quantization": "nf4"}
    base = ModelRef(name=str(tiny.save(tmp_path / "m", "llama", width=64)))
    opponent = adapted(base, store, "llama", "a", **four)
    started = policy(opponent, store, trainable=True, lora=LORA, seed=9, **four).eval()
    weights = dict(started.named_parameters())
    packed = {name for name, value in weights.items() if value.dtype == torch.uint8}
    assert len(packed) == 2 * 7
    assert all("base_layer" in name for name in packed)
    assert {value.dtype for value in weights.values() if value.requires_grad} == {torch.float32}
    with torch.no_grad():
        assert torch.equal(logps(started), logps(policy(opponent, store, **four)))
        assert not torch.equal(logps(started), logps(policy(opponent, store)))


def test_gradients_over_four_bits_are_those_over_the_same_weights_unpacked(
    tmp_path: Path, store: ArtifactStore
) -> None:
    from bitsandbytes.functional import dequantize_4bit

    base = ModelRef(name=str(tiny.save(tmp_path / "m", "llama", width=64)))
    gradients = []
    for unpacked in (False, True):
        model = policy(base, store, trainable=True, lora=LORA, seed=9, quantization="nf4")
        for layer in [layer for layer in model.modules() if hasattr(layer, "base_layer") and unpacked]:
            weight = layer.base_layer.weight
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False, dtype=torch.bfloat16)
            plain.weight.data = dequantize_4bit(weight.data, weight.quant_state).to(torch.bfloat16)
            layer.base_layer = plain.requires_grad_(False)
        logps(model).sum().backward()
        gradients.append([value.grad for value in model.parameters() if value.requires_grad])
    assert any(value.abs().sum() > 0 for value in gradients[0])
    for packed, plain in zip(*gradients, strict=True):
        assert (packed - plain).norm() <= 0.05 * plain.norm()


def test_weights_in_four_bits_do_not_train() -> None:
    with pytest.raises(ConfigError, match=r"set model\.lora"):
        RunConfig.parse({"method": "cw", "data": {"dataset": "hh"}, "model": {"lora": None, "quantization": "nf4"}})


def test_weights_in_four_bits_answer_by_our_own_sampler() -> None:
    given = {"method": "cw", "data": {"dataset": "hh"}, "model": {"quantization": "nf4"}}
    with pytest.raises(ConfigError, match=r"vllm would answer with other weights"):
        RunConfig.parse({**given, "evaluation": {"engine": "vllm"}})


def test_a_table_says_that_weights_were_in_four_bits() -> None:
    config = RunConfig.parse({"method": "cw", "data": {"dataset": "hh"}, "model": {"quantization": "nf4"}})
    assert "nf4" in decoding_of(config)
    assert "nf4" not in decoding_of(RunConfig.parse({"method": "cw", "data": {"dataset": "hh"}}))
