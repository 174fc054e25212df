"""What is counted exactly: parameters of the real models, how weights are kept, and what several cards take."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from cwpo.config import catalog
from cwpo.models import memory_estimate
from cwpo.models.adapters import add_adapter
from cwpo.models.shape import Shape, shape_of
from cwpo.models.sizes import fits
from cwpo.models.sizes.configurations import CONFIGURATIONS
from cwpo.models.sizes.host import PROCESS
from cwpo.models.sizes.weights import FLOAT, frozen_bytes
from cwpo.stages.plain import to_plain
from tests.cwpo import stage

# As their config.json files have them, and the number of parameters that their cards give.
OPT = {"vocab_size": 50272, "max_position_embeddings": 2048, "do_layer_norm_before": True}
QWEN = {"tie_word_embeddings": False, "vocab_size": 152064, "max_position_embeddings": 131072}
REAL = {
    "facebook/opt-1.3b": ({**OPT, "model_type": "opt", "hidden_size": 2048, "num_hidden_layers": 24,
                           "num_attention_heads": 32, "ffn_dim": 8192, "word_embed_proj_dim": 2048}, 1_315_758_080),
    "facebook/opt-6.7b": ({**OPT, "model_type": "opt", "hidden_size": 4096, "num_hidden_layers": 32,
                           "num_attention_heads": 32, "ffn_dim": 16384, "word_embed_proj_dim": 4096}, 6_658_473_984),
    "facebook/opt-13b": ({**OPT, "model_type": "opt", "hidden_size": 5120, "num_hidden_layers": 40,
                          "num_attention_heads": 40, "ffn_dim": 20480, "word_embed_proj_dim": 5120}, 12_853_473_280),
    "Qwen/Qwen2.5-1.5B": ({**QWEN, "model_type": "qwen2", "hidden_size": 1536, "num_hidden_layers": 28,
                           "num_attention_heads": 12, "num_key_value_heads": 2, "intermediate_size": 8960,
                           "vocab_size": 151936, "tie_word_embeddings": True}, 1_543_714_304),
    "Qwen/Qwen2.5-7B": ({**QWEN, "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28,
                         "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944},
                        7_615_616_512),
    "Qwen/Qwen2.5-14B": ({**QWEN, "model_type": "qwen2", "hidden_size": 5120, "num_hidden_layers": 48,
                          "num_attention_heads": 40, "num_key_value_heads": 8, "intermediate_size": 13824},
                         14_770_033_664),
    "meta-llama/Llama-3.1-8B-Instruct": ({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
                                          "num_attention_heads": 32, "num_key_value_heads": 8,
                                          "intermediate_size": 14336, "vocab_size": 128256,
                                          "tie_word_embeddings": False}, 8_030_261_248),
}  # fmt: skip
LORA = stage.lora(r=8)


def shape(name: str) -> Shape:
    found = shape_of(CONFIGURATIONS[name])
    assert found is not None
    return found


def on_meta(values, kind=AutoModelForCausalLM):
    config = AutoConfig.for_model(**values)
    config.num_labels = 1
    with torch.device("meta"):
        return kind.from_config(config)


def size(model: nn.Module) -> int:
    """Bytes of distinct parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


@pytest.mark.parametrize("name", list(REAL))
def test_weights_gradients_and_moments_are_those_of_the_real_models(name: str) -> None:
    """Counted on the meta device: the whole model, an adapter, and what AdamW keeps of either."""
    values, published = REAL[name]
    known, model = shape(name), on_meta(values)
    assert shape_of(values) == known
    assert known.causal == sum(parameter.numel() for parameter in model.parameters()) == published
    training = {"tokens": 1, "precision": "fp32", "scalar": False}
    whole = memory_estimate.training(known, lora=None, **training)
    assert whole.weights == size(model)
    assert whole.optimizer == 2 * size(model)
    assert whole.gradients == size(model) + FLOAT * known.embedding * (2 if known.tied else 1)
    adapted = add_adapter(model, LORA, seed=0)
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    adapter = memory_estimate.training(known, lora=LORA, **training)
    assert (adapter.weights, adapter.gradients, adapter.optimizer) == (size(adapted), 4 * trained, 8 * trained)


T5 = {"stanfordnlp/SteamSHP-flan-t5-large": 783_150_080, "stanfordnlp/SteamSHP-flan-t5-xl": 2_849_757_184}


@pytest.mark.parametrize("name", list(T5))
def test_a_judge_that_writes_has_encoder_decoder_and_a_head_of_its_own(name: str) -> None:
    """As Flan-T5's cards count. A class without weights ties the head, which the files hold apart."""
    model, known = on_meta(dict(CONFIGURATIONS[name]), AutoModelForSeq2SeqLM), shape(name)
    assert known.scorer == known.causal == T5[name]
    assert T5[name] - known.embedding == sum(parameter.numel() for parameter in model.parameters())
    assert shape_of({**CONFIGURATIONS[name], "feed_forward_proj": "relu"}) is None


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_gemma_has_its_parameters_also_where_a_file_leaves_out_what_is_usual(family: str) -> None:
    few = {"model_type": family, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96}
    few["num_attention_heads"] = 16 if family == "gemma" else 8
    for values in (few, {**few, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 99}):
        known = shape_of(values)
        assert known is not None
        assert known.causal == sum(parameter.numel() for parameter in on_meta(values).parameters())
        scorer = on_meta(values, AutoModelForSequenceClassification)
        assert known.scorer == sum(parameter.numel() for parameter in scorer.parameters())


def test_every_judge_of_the_catalog_has_sizes() -> None:
    judges = {row.model for row in catalog.GOLD_REWARDS.values() if row.model}
    assert judges <= CONFIGURATIONS.keys()
    assert shape("Skywork/Skywork-Reward-V2-Qwen3-0.6B").scorer == 596_050_944


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name not in T5])
def test_every_model_of_the_catalog_has_its_parameters(name: str) -> None:
    values = dict(CONFIGURATIONS[name])
    if values["model_type"] == "deberta-v2":
        values |= {"relative_attention": True, "pos_att_type": "p2c|c2p", "share_att_key": True, "type_vocab_size": 0,
                   "norm_rel_ebd": "layer_norm", "position_biased_input": False}  # fmt: skip
    scorer = on_meta(values, AutoModelForSequenceClassification)
    assert shape(name).scorer == sum(parameter.numel() for parameter in scorer.parameters())


@pytest.mark.parametrize("name", ["facebook/opt-1.3b", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B"])
@pytest.mark.parametrize("scalar", [False, True])
def test_frozen_weights_in_bf16_are_linear_layers_and_a_copy_of_a_tied_head(name: str, scalar: bool) -> None:
    """Linear layers at half their size, what else there is in float32; 4 bits for the matrices of layers."""
    model = on_meta(REAL[name][0], AutoModelForSequenceClassification if scalar else AutoModelForCausalLM)
    head = model.score if scalar else model.lm_head
    halves = 0
    for module in model.modules():
        if isinstance(module, nn.Linear) and module is not head:
            halves += size(module) // 2
    rest = size(model) - 2 * halves
    if not scalar:
        rest += -size(head) * (not shape(name).tied) + size(head) // 2
    assert frozen_bytes(shape(name), "bf16", scalar=scalar) == halves + rest
    four = frozen_bytes(shape(name), "nf4", scalar=scalar)
    assert four == pytest.approx(halves + rest - shape(name).matrices * (2 - 0.516), rel=1e-3)


def test_four_bits_are_half_a_byte_and_the_scales_of_blocks() -> None:
    """64 weights share a scale of one byte, 256 scales one of four."""
    known = replace(shape("facebook/opt-125m"), layers=1, vocabulary=0, positions=0)
    less = frozen_bytes(known, "bf16", scalar=False) - frozen_bytes(known, "nf4", scalar=False)
    assert math.isclose(less / known.matrices, 2 - (0.5 + 1 / 64 + 1 / 4096), rel_tol=1e-6)


@pytest.mark.parametrize("cards", [2, 4, 8])
def test_a_whole_model_is_split_over_cards_and_an_adapter_is_repeated(cards: int) -> None:
    known, asked = shape("facebook/opt-13b"), {"tokens": 2048, "cards": cards}
    whole = memory_estimate.of_stage(stage.settings("align", lora=None), known, **asked)
    one = memory_estimate.of_stage(stage.settings("align", lora=None), known, tokens=2048)
    assert whole.weights + whole.optimizer == pytest.approx((one.weights + one.optimizer) / cards, rel=1e-6)
    assert whole.activations == one.activations
    assert whole.gathered > FLOAT * known.embedding
    adapter = stage.settings("align", lora=to_plain(LORA))
    adapted, alone = (memory_estimate.of_stage(adapter, known, **many) for many in (asked, {"tokens": 2048}))
    assert adapted.total == alone.total
    assert adapted.host - alone.host == (cards - 1) * PROCESS  # its file is mapped once
    assert whole.host - one.host == (cards - 1) * PROCESS  # together they read the model once


def test_a_model_is_split_where_a_copy_does_not_fit_and_an_adapter_never_is() -> None:
    """Training all of OPT 1.3B takes 16 bytes a parameter, 21 GB and activations."""
    known, asked = shape("facebook/opt-1.3b"), {"tokens": 2048, "cards": 4}
    whole = stage.settings("align", lora=None)
    assert fits.has_to_split(whole, known, **asked, card_bytes=20 * fits.GIGABYTE)
    assert not fits.has_to_split(whole, known, **asked, card_bytes=48 * fits.GIGABYTE)
    assert not fits.has_to_split(whole, known, tokens=2048, cards=1, card_bytes=20 * fits.GIGABYTE)
    adapter = stage.settings("align", lora=to_plain(LORA))
    assert not fits.has_to_split(adapter, known, **asked, card_bytes=fits.GIGABYTE)


def test_a_way_is_said_in_words_that_can_be_chosen() -> None:
    way = fits.Way(checkpointing=True, four_bits=True, cards=4, bytes=0, host=0)
    assert fits.words_of(way) == "on 4 cards, in 4 bits, with gradient checkpointing"
    assert fits.words_of(fits.Way(bytes=0, host=0)) == "as it is"
