"""The path of CUDA, on a CPU: the block mask is FlexAttention's own, and one traced function serves every length."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from cwpo.errors import ModelError
from cwpo.models.fused import compiled
from cwpo.models.fused.block_mask import BLOCK, block_mask, padded_length
from cwpo.models.logps import forward_path, response_logps, response_scores
from cwpo.models.tokenization import pack
from tests.cwpo import random_models as tiny
from tests.cwpo.models.test_logps import PACKED

CPU = torch.device("cpu")


def sees(spans, query, key):
    """By the words of the packing: a response sees its prompt and itself, a prompt itself, what is appended itself."""
    lengths = [*spans.ravel().tolist(), padded_length(int(spans.sum())) - int(spans.sum())]
    place = [(at // spans.shape[1], at % spans.shape[1]) for at in range(spans.size)] + [(-1, 0)]
    tokens = [where for where, length in zip(place, lengths, strict=True) for _ in range(length)]
    (pair, part), (other, earlier) = tokens[query], tokens[key]
    return key <= query and pair == other and earlier in (0, part)


def spans_of(kind: str, seed: int):
    rng = np.random.default_rng(seed)
    longest = {"short": 40, "long": 400, "one": 3}[kind]
    count, width = int(rng.integers(1, {"short": 20, "long": 4, "one": 2}[kind])), int(rng.integers(2, 5))
    return rng.integers(1, longest, (count, width))


@pytest.mark.parametrize("kind", ["short", "long", "one"])
@pytest.mark.parametrize("seed", range(4))
def test_the_block_mask_is_the_one_that_looking_at_every_pair_of_tokens_gives(kind, seed):
    """All eight lists of blocks, partial and full, by query and by key."""
    given = block_mask(spans_of(kind, seed), CPU)
    size = given.shape[-1]
    wanted = create_block_mask(given.mask_mod, None, None, size, size, device="cpu")
    assert size % BLOCK == 0
    assert given.shape == wanted.shape
    for name in ("kv", "full_kv", "q", "full_q"):
        for what in ("num_blocks", "indices"):
            assert torch.equal(getattr(given, f"{name}_{what}"), getattr(wanted, f"{name}_{what}")), name
    assert given.kv_num_blocks.any()


def test_blocks_that_are_seen_whole_are_known():
    """A prompt of 300 and a response of 212 tokens: of ten blocks below the diagonal those of the prompt are whole."""
    given = block_mask(np.array([[300, 212]]), CPU)
    assert given.full_kv_num_blocks.flatten().tolist() == [0, 1, 2, 3]
    assert given.kv_num_blocks.flatten().tolist() == [1, 1, 1, 1]


def test_the_mask_says_of_two_tokens_what_the_packing_says():
    spans = spans_of("short", 1)
    given = block_mask(spans, CPU).mask_mod
    size = padded_length(int(spans.sum()))
    rng = np.random.default_rng(0)
    for query, key in [*rng.integers(0, size, (3000, 2)).tolist(), (size - 1, size - 1), (size - 1, 0)]:
        assert bool(given(None, None, torch.tensor(query), torch.tensor(key))) == sees(spans, query, key)


def both_paths(model):
    blocks = forward_path(model, device="cpu", precision="fp32", log=lambda line: None)
    return blocks, replace(blocks, kind="flex")


@pytest.mark.parametrize("architecture", PACKED)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_flex_gives_what_padded_blocks_give(architecture, dtype, bound):
    """Scores too; FlexAttention's softmax is float32 on a CPU whatever comes in."""
    rows = tiny.pairs(9) + tiny.pairs(9, seed=4, longest=20)
    for make, function in ((tiny.policy, response_logps), (tiny.scorer, response_scores)):
        blocks, flex = both_paths(make(architecture, dtype))
        with torch.no_grad():
            for batch in pack(rows, 300):
                wanted = function(blocks, batch)
                assert float(((function(flex, batch) - wanted).abs() / wanted.abs().clamp_min(1.0)).max()) <= bound


def test_one_compiled_function_serves_every_length():
    """Eight lengths of 256 to 1,300 tokens, each with another number of pairs; at most two variants, then none."""
    _, flex = both_paths(tiny.policy("qwen3"))
    before = compiled.variants()
    counts = []
    with torch.no_grad():
        for size in (2, 30, 12, 21, 7, 25, 16, 34):
            batch = pack(tiny.pairs(size, seed=size, longest=30), 100_000)[0]
            response_logps(flex, batch)
            counts.append(compiled.variants() - before)
    assert counts[-1] <= 2
    assert counts[2] == counts[-1]


def test_attention_that_would_run_unfused_is_an_error_in_one_sentence(monkeypatch):
    """Where the compiler gives up, it runs a function as it is; this one refuses."""
    monkeypatch.setattr(compiled, "_compiled", lambda device: compiled._fused)
    _, flex = both_paths(tiny.policy("llama"))
    with pytest.raises(ModelError, match=r"would run unfused, with every \(T, T\) score in memory"):
        response_logps(flex, pack(tiny.pairs(3), 1000)[0])


def test_too_many_variants_are_the_same_error(monkeypatch):
    _, flex = both_paths(tiny.policy("gemma2"))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)
    torch._dynamo.reset_code(compiled._fused.__code__)
    with torch.no_grad():
        response_logps(flex, pack(tiny.pairs(3), 1000)[0])
        with pytest.raises(ModelError, match="compiled it 64 times and gave up"):
            response_logps(both_paths(tiny.policy("opt"))[1], pack(tiny.pairs(3), 1000)[0])
