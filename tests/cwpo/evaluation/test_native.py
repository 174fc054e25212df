"""Our sampler: fp32 as it always was; in bf16 one pass per token, batches of the settings, a cache allocated once."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoConfig,
    MistralConfig,
    MistralForCausalLM,
)

from benchmarks.concatenated import Concatenated
from cwpo.errors import ConfigError, SettingsError
from cwpo.evaluation.engines import batches, steps
from cwpo.evaluation.engines.cache import PlacedCache, is_placeable
from cwpo.evaluation.engines.contract import Question, Written
from cwpo.evaluation.engines.native import NativeEngine, native
from cwpo.models.adapters import add_adapter
from cwpo.stages.settings import BatchSettings, DecodingSettings
from tests.cwpo import stage, tiny
from tests.cwpo.evaluation.engines_under_test import DECODING, SMALL, bf16_or_not, questions


def every(engine: Any, asked: list[Question] | None = None) -> dict[Any, Written]:
    asked = asked or questions()
    found = [engine.answers(batch, lambda: False) for batch in engine.batches(asked, frozenset())]
    return {answer.key: answer for batch in found for answer in batch}


def sliding(window: int) -> Any:
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=43, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=64, sliding_window=window, initializer_range=0.3,
        eos_token_id=1, bos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return MistralForCausalLM(config)


def gemma() -> Any:
    torch.manual_seed(0)
    config = GemmaConfig(
        vocab_size=43, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.3, eos_token_id=1, bos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return GemmaForCausalLM(config)


MODELS = {
    **{name: (lambda name=name: tiny.causal_lm(name)) for name in ("opt", "qwen2", "llama")},
    **{"mistral": lambda: sliding(8), "gemma": gemma},
}


@pytest.mark.parametrize(("family", "top_p"), [*((name, 1.0) for name in MODELS), ("qwen2", 0.9)])
def test_answers_in_fp32_are_those_of_the_growing_cache(family: str, top_p: float) -> None:
    """Token by token the same as one batch of the sampler that concatenated; a window shorter than the texts too."""
    decoding = DecodingSettings(temperature=1.0, top_p=top_p, max_new_tokens=14, samples=2)
    model, asked = MODELS[family]().eval(), questions(15)
    before = Concatenated(model, decoding, 0, stops=[1], precision="fp32").answers(asked)
    for tokens in (20, 10_000):
        now = every(native(model, tiny.tokenizer("opt"), decoding, 0, tokens_per_batch=tokens), asked)
        assert now == {answer.key: answer for answer in before}


def in_fixed_steps(engine: NativeEngine) -> NativeEngine:
    """As on a card, without a recording."""
    assert engine.placeable
    engine.take_fixed_steps()
    return engine


@pytest.mark.parametrize("family", [name for name in MODELS if name != "mistral"])
def test_steps_of_fixed_size_draw_what_growing_ones_draw(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32, with texts that outgrow a step and rows that leave; one pass per token in bf16."""
    monkeypatch.setattr(steps, "WIDTH", 5)
    decoding = DecodingSettings(temperature=3.0, top_p=1.0, max_new_tokens=30, samples=2)
    model, tokenizer, asked = MODELS[family]().eval(), tiny.tokenizer("opt"), questions(15)
    for tokens in (20, 10_000):
        grown = native(model, tokenizer, decoding, 0, tokens_per_batch=tokens)
        fixed = in_fixed_steps(native(model, tokenizer, decoding, 0, tokens_per_batch=tokens))
        assert every(fixed, asked) == every(grown, asked)
    assert list(fixed.stream(asked[0])) == list(grown.stream(asked[0]))
    rounded = in_fixed_steps(native(model, tokenizer, decoding, 0, precision="bf16", tokens_per_batch=1))
    (batch,) = rounded.batches(asked, frozenset())
    passes = count_passes(model)
    found = rounded.answers(batch, lambda: False)
    assert len(passes) == max(len(answer.ids) for answer in found)
    assert passes[-1] < passes[0]


def test_architectures_that_read_masks_otherwise_take_growing_steps() -> None:
    """GPT-Neo adds its mask to the scores, and Falcon makes its slopes of the mask's shape."""
    sizes: dict[str, Any] = {"vocab_size": 43, "hidden_size": 32, "max_position_embeddings": 64, "eos_token_id": 1}
    neo = GPTNeoConfig(**sizes, num_layers=2, num_heads=4, attention_types=[[["global"], 2]])
    falcon = FalconConfig(**sizes, num_hidden_layers=2, num_attention_heads=4, alibi=True)
    for config in (neo, falcon):
        model = AutoModelForCausalLM.from_config(config).eval()
        engine = native(model, tiny.tokenizer("opt"), DECODING, 0, precision="bf16", tokens_per_batch=1)
        engine.take_fixed_steps()
        assert engine.placeable
        assert not engine.fixed
        assert len(every(engine, questions(3))) == 6


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama"])
def test_a_zero_adapter_answers_as_its_base_in_steps_of_fixed_size(family: str) -> None:
    base, asked = tiny.causal_lm(family).eval().to(torch.bfloat16), questions(16)
    options: dict[str, Any] = {"precision": "bf16", "tokens_per_batch": 1, "fixed": SMALL}
    plain = every(in_fixed_steps(native(base, tiny.tokenizer("opt"), DECODING, 0, **options)), asked)
    tuned = add_adapter(base, stage.lora(), seed=3).eval()
    assert every(in_fixed_steps(native(tuned, tiny.tokenizer("opt"), DECODING, 0, **options)), asked) == plain


def count_passes(model: Any) -> list[int]:
    """Rows of every forward pass from now on."""
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["input_ids"].shape[0]), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float32])
def test_bf16_takes_one_pass_per_token(weights: torch.dtype) -> None:
    """With weights in bf16, and with float32 ones under autocast. Flat choices, where doubt would be everywhere."""
    model = tiny.causal_lm("llama").eval().to(weights)
    flat = DecodingSettings(temperature=3.0, top_p=1.0, max_new_tokens=12, samples=2)
    engine = native(model, tiny.tokenizer("opt"), flat, 0, precision="bf16", tokens_per_batch=1)
    (batch,) = engine.batches(questions(), frozenset())
    passes = count_passes(model)
    found = engine.answers(batch, lambda: False)
    assert len(passes) == max(len(answer.ids) for answer in found)
    assert passes[0] == 60
    assert passes == sorted(passes, reverse=True)
    assert passes[-1] < 60  # finished rows have left


def test_prompts_are_read_in_parts_that_change_nothing_in_fp32() -> None:
    model = tiny.causal_lm("qwen2").eval()
    sizes = batches.Batching(tokens=10_000, prompt_tokens=25, together=False)
    engine = NativeEngine(
        model, tiny.tokenizer("opt"), DECODING, 0, device="cpu", precision="fp32", batching=sizes
    )  # fmt: skip
    passes = count_passes(model)
    (batch,) = engine.batches(questions(), frozenset())
    found = engine.answers(batch, lambda: False)
    longest = max(len(item.prompt_ids) for item in batch)
    assert max(passes) <= 60
    assert passes[: 60 // (25 // longest)] == [25 // longest] * (60 // (25 // longest))
    assert {answer.key: answer for answer in found} == every(bf16_or_not(model, "fp32"))


def test_batches_in_bf16_follow_from_prompts_model_and_settings_alone() -> None:
    """Not from tokens_per_batch, the order of the prompts, or what is done; and no half of a batch is left out."""
    model, asked = tiny.causal_lm("opt"), questions()
    found = bf16_or_not(model, "bf16").batches(asked, frozenset())
    assert len(found) > 5
    assert bf16_or_not(model, "bf16", tokens_per_batch=9).batches(asked[::-1], frozenset()) == found
    half = frozenset(item.key for item in found[1][::2])
    assert bf16_or_not(model, "bf16").batches(asked, half) == found
    whole = frozenset(item.key for item in found[1])
    assert bf16_or_not(model, "bf16").batches(asked, whole) == [found[0], *found[2:]]
    larger = BatchSettings(rule=2, cache_gb=1.0)
    assert len(bf16_or_not(model, "bf16", fixed=larger).batches(asked, frozenset())) == 1


@pytest.mark.parametrize("family", ["opt", "qwen2", "llama"])
def test_a_zero_adapter_in_bf16_answers_as_its_base(family: str) -> None:
    """The adapter stands unmerged in float32 on weights in bf16; B is zero, and every answer is the base's."""
    base, asked = tiny.causal_lm(family).eval().to(torch.bfloat16), questions(16)
    plain = every(bf16_or_not(base, "bf16"), asked)
    tuned = add_adapter(base, stage.lora(), seed=3).eval()
    engine = native(tuned, tiny.tokenizer("opt"), DECODING, 0, precision="bf16", tokens_per_batch=1, fixed=SMALL)
    assert engine.batches(asked, frozenset()) == bf16_or_not(base, "bf16").batches(asked, frozenset())
    assert every(engine, asked) == plain
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(value.data, 0.3)
    assert every(engine, asked) != plain


def test_keys_and_values_are_allocated_once_and_of_the_size_that_is_counted() -> None:
    """The storage never moves while tokens are added and rows leave, and holds what bytes_per_token says."""
    model = tiny.causal_lm("qwen2").eval().to(torch.bfloat16)
    cache = PlacedCache(model.config, 3, 10, torch.bfloat16)
    ids = torch.randint(3, 43, (3, 4), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model(input_ids=ids, past_key_values=cache, use_cache=True)
        places = [layer.keys.data_ptr() for layer in cache.layers]
        model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
        cache.batch_select_indices(torch.tensor([0, 2]))
        kept = model(input_ids=ids[[0, 2], :1], past_key_values=cache, use_cache=True).logits
        plain = model(input_ids=torch.cat([ids, ids[:, :1], ids[:, :1]], dim=1)[[0, 2]]).logits
    assert [layer.keys.data_ptr() for layer in cache.layers] == places
    size = sum(tensor.untyped_storage().nbytes() for layer in cache.layers for tensor in (layer.keys, layer.values))
    assert size == 3 * 10 * batches.bytes_per_token(model.config, "bf16")
    torch.testing.assert_close(kept[:, -1], plain[:, -1], atol=0.05, rtol=0.05)
    assert cache.get_seq_length() == 6


def test_only_caches_that_keep_everything_are_placed() -> None:
    assert all(is_placeable(MODELS[family]().config) for family in ("opt", "qwen2", "llama", "gemma"))
    assert not is_placeable(sliding(8).config)


def test_batches_in_fp32_fit_into_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card's batch is as large as its memory, a CPU's as execution.tokens_per_batch says where that is less."""
    config = tiny.causal_lm("opt").config
    per_token = 2 * 2 * 32 * 4  # keys and values, layers, width, bytes
    assert batches.bytes_per_token(config, "fp32") == per_token
    monkeypatch.setattr(batches, "free_memory", lambda device: 100_000 * per_token)
    assert batches.by_memory(config, device="cuda", tokens_per_batch=5).tokens == 50_000
    assert batches.by_memory(config, device="cpu", tokens_per_batch=5).tokens == 40
    monkeypatch.setattr(batches, "free_memory", lambda device: 10 * per_token)
    assert batches.by_memory(config, device="cpu", tokens_per_batch=5).tokens == 5


def test_batches_by_a_rule_of_another_version_are_a_sentence() -> None:
    with pytest.raises(SettingsError, match="The answers of this run go by rule 1, and this program computes them by"):
        bf16_or_not(tiny.causal_lm("opt"), "bf16", fixed=BatchSettings(rule=1, cache_gb=None))


@pytest.mark.gpu
@pytest.mark.parametrize("family", MODELS)
def test_the_promises_hold_on_a_card(family: str) -> None:
    """fp32: the growing cache's answers in any batch. bf16: twice the same, and a zero adapter's are its base's."""
    tokenizer, asked = tiny.tokenizer("opt"), questions(15)
    model = MODELS[family]().eval().to("cuda")
    before = Concatenated(model, DECODING, 0, stops=[1], precision="fp32", device="cuda").answers(asked)
    for tokens in (20, 10_000):
        now = native(model, tokenizer, DECODING, 0, device="cuda", tokens_per_batch=tokens)
        assert every(now, asked) == {answer.key: answer for answer in before}
    rounded = model.to(torch.bfloat16)
    options: dict[str, Any] = {"device": "cuda", "precision": "bf16", "tokens_per_batch": 1, "fixed": SMALL}
    plain = every(native(rounded, tokenizer, DECODING, 0, **options), asked)
    assert every(native(rounded, tokenizer, DECODING, 0, **options), asked[::-1]) == plain
    launched = native(rounded, tokenizer, DECODING, 0, **options)
    launched.recorded = False  # the same kernels, launched one by one
    assert every(launched, asked) == plain
    tuned = add_adapter(rounded, stage.lora(), seed=3).eval()
    assert every(native(tuned, tokenizer, DECODING, 0, **options), asked) == plain


@pytest.mark.gpu
def test_steps_on_a_card_are_recorded_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is called a few times for each size, not once per token; in a chat too."""
    monkeypatch.setattr(steps, "WIDTH", 16)
    model = tiny.causal_lm("qwen2").eval().to("cuda")
    decoding = DecodingSettings(temperature=1.0, top_p=1.0, max_new_tokens=40, samples=1)
    engine = native(model, tiny.tokenizer("opt"), decoding, 0, device="cuda", precision="bf16", tokens_per_batch=1)
    asked = questions(1)[:1]
    passes = count_passes(model)
    answer = list(engine.stream(asked[0]))
    assert engine.recorded
    assert len(passes) <= 1 + 2 * (1 + (len(asked[0].prompt_ids) + len(answer)) // 16)
    (again,) = engine.answers(asked, lambda: False)
    assert again.ids == answer


def test_a_batch_of_bf16_that_does_not_fit_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda device: 1000)
    engine = bf16_or_not(tiny.causal_lm("opt"), "bf16")
    batch = engine.batches(questions(), frozenset())[0]
    with pytest.raises(ConfigError, match=r"evaluation\.cache_gb: a batch of answers needs .* GB on cpu"):
        engine.answers(batch, lambda: False)
