"""Attention over packed pairs: a response sees its prompt and itself, nothing else.

On the CPU, pairs are laid side by side in padded blocks for one SDPA call per block; the rest of the network stays
unpadded. Measured on the sandbox's models (32 pairs, 1,750 tokens, one thread): 4 to 5 times faster per step than one
(T, T) mask. On CUDA, FlexAttention skips the empty blocks of the (T, T) mask by itself (`cwpo/models/fused`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._triton import has_triton
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cwpo.models.fused.block_mask import block_mask, padded_length
from cwpo.models.fused.compiled import attend
from cwpo.models.tokenization import PackedBatch

Kind = Literal["blocks", "flex"]

NAME = "cwpo_packed"
# They read explicit position ids and hand keyword arguments to attention.
PACKED_ARCHITECTURES = ("opt", "qwen2", "llama", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text")
_POSITION_BOUND_ROPE = ("dynamic", "longrope")  # change with the longest position of a batch
_LAYER_TYPES = {"full_attention", "sliding_attention"}
_SMALLEST_HEAD = 16  # of FlexAttention's kernels
_BLOCK_RATIO = 0.7  # rows shorter than this share of a block's longest row open another block
_MIN_BLOCK_TOKENS = 512  # smaller blocks cost more in calls than they save in padding


@dataclass(frozen=True, kw_only=True)
class Block:
    """Neighbouring pairs of a packed batch, laid out as (rows, longest)."""

    begin: int  # first token in the packed batch
    end: int
    rows: int
    longest: int
    slots: Tensor  # (rows * longest,) token of each slot, counted from `begin`; empty slots repeat token 0
    places: Tensor  # (end - begin,) slot of each token
    filled: Tensor  # (rows * longest, 1) 1 where a slot holds a token, else 0
    mask: Tensor  # (rows, 1, longest, longest) additive


class _Spread(torch.autograd.Function):
    """Tokens to slots. The gradient is read back from the slots, which is cheaper than a scatter-add."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, block: Block) -> Tensor:
        ctx.block = block
        return tokens.index_select(0, block.slots)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.block.places), None


class _Collect(torch.autograd.Function):
    """Slots to tokens; empty slots get no gradient."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, block: Block) -> Tensor:
        ctx.block = block
        return slots.index_select(0, block.places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].index_select(0, ctx.block.slots) * ctx.block.filled, None


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    blocks: tuple[Block, ...] | None = None,
    flex: Any = None,
    one_token: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function registered with transformers: packed with `blocks` or a block mask `flex`, else plain.

    one_token: every row asks for its last position alone, as when answers are sampled.
    """
    if flex is not None:
        return attend(query, key, value, flex, scale=scaling, softcap=softcap).transpose(1, 2), None
    groups = getattr(module, "num_key_value_groups", 1)
    if one_token and groups > 1 and softcap is None:
        return _of_one_token(query, key, value, attention_mask, scaling), None
    if blocks is None and softcap is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if blocks is None:
        heads = query, repeat_kv(key, groups), repeat_kv(value, groups)
        return _mixed(*heads, attention_mask, dropout, scaling, softcap).transpose(1, 2), None
    tokens = [_rows_of(part) for part in (query, key, value)]
    sizes = [part.shape[1] for part in (query, key, value)]
    outputs = []
    for block in blocks:
        laid = [_lay_out(part.to(value.dtype), heads, block) for part, heads in zip(tokens, sizes, strict=True)]
        heads = laid[0], repeat_kv(laid[1], groups), repeat_kv(laid[2], groups)
        mixed = _mixed(*heads, block.mask.to(value.dtype), dropout, scaling, softcap)
        flat = mixed.transpose(1, 2).reshape(block.rows * block.longest, -1)
        outputs.append(_Collect.apply(flat, block))
    joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return joined.view(1, joined.shape[0], sizes[0], -1), None


def _mixed(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float | None,
    softcap: float | None,
) -> Tensor:  # fmt: skip
    """Attention under an additive or boolean mask, causal without one; SDPA knows no softcap."""
    if softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * scale / softcap)
    if mask is None and query.shape[2] > 1:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min  # not infinite: a row of padding may see nothing
        scores = scores.masked_fill(~mask, lowest) if mask.dtype == torch.bool else scores + mask
    shares = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return torch.nn.functional.dropout(shares, dropout) @ value


def _of_one_token(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Heads that share keys are laid out as positions of one head, so that keys and values are not repeated."""
    rows, heads, _, size = query.shape
    stored = key.shape[1]
    grouped = query.reshape(rows, stored, heads // stored, size)
    mixed = scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return mixed.reshape(rows, 1, heads, size)


ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])  # returns a 4D mask as it is


def packable(model: Any) -> bool:
    """Whether this architecture gives the same results packed; others take the padded path."""
    config = model.config
    known = config.model_type in PACKED_ARCHITECTURES and not getattr(config, "use_bidirectional_attention", None)
    return known and set(_layer_types(config)) <= _LAYER_TYPES and not _bound_to_positions(config)


def _layer_types(config: Any) -> tuple[str, ...]:
    return tuple(getattr(config, "layer_types", None) or ())


def _bound_to_positions(config: Any) -> bool:
    """Whether rotary angles change with the longest position of a batch; Gemma 3 has settings for each layer type."""
    rope = getattr(config, "rope_parameters", None) or {}
    each = [rope, *rope.values()] if isinstance(rope, dict) else []
    return any(isinstance(one, dict) and one.get("rope_type") in _POSITION_BOUND_ROPE for one in each)


def window_of(config: Any) -> int | None:
    """Tokens that a layer with a sliding window sees, itself included; None where all layers see the whole text."""
    types = _layer_types(config)
    return getattr(config, "sliding_window", None) if not types or "sliding_attention" in types else None


def within(batch: PackedBatch, window: int | None) -> bool:
    """Whether a window hides nothing: no prompt with its response is longer."""
    return window is None or int((batch.spans[:, 0] + batch.spans[:, 1:].max(axis=1)).max()) <= window


def kind_for(device: str, config: Any) -> Kind:
    """FlexAttention needs CUDA, Triton and heads of 16, and knows no dropout; padded blocks work everywhere."""
    dropout = getattr(config, "attention_dropout", 0.0)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    usable = head >= _SMALLEST_HEAD and not dropout and has_triton()
    return "flex" if device.startswith("cuda") and usable else "blocks"


def use_packed(model: Any) -> None:
    """Set the attention that packed batches need; plain calls of the model keep working."""
    model.set_attn_implementation(NAME)


def attention_inputs(batch: PackedBatch, kind: Kind, dtype: torch.dtype) -> dict[str, Any]:
    """The keyword arguments of the model's forward that keep the pairs of a packed batch apart.

    transformers hands a mask of four dimensions on as it is; packed attention looks at the other argument.
    """
    device = batch.input_ids.device
    if kind == "flex":
        return {"attention_mask": torch.zeros((1, 1, 1, 1), device=device), "flex": block_mask(batch.spans, device)}
    blocks = lay_out_blocks(batch.spans, device, dtype)
    return {"attention_mask": blocks[0].mask, "blocks": blocks}


def appended(batch: PackedBatch, kind: Kind) -> tuple[Tensor, Tensor]:
    """Token and position ids, (1, T) each; FlexAttention reads whole blocks, so zeros that nobody sees follow."""
    ids = batch.input_ids, batch.position_ids
    more = padded_length(batch.tokens) - batch.tokens if kind == "flex" else 0
    return (torch.nn.functional.pad(ids[0], (0, more)), torch.nn.functional.pad(ids[1], (0, more))) if more else ids


def lay_out_blocks(spans: NDArray[np.int64], device: torch.device, dtype: torch.dtype) -> tuple[Block, ...]:
    """Blocks of neighbouring pairs of like length. Pairs are expected shortest first, as `pack` leaves them."""
    totals = spans.sum(axis=1)
    ends = np.cumsum(totals)
    blocks, high = [], len(totals)
    while high:
        low, filled = high - 1, int(totals[high - 1])
        while low and (filled < _MIN_BLOCK_TOKENS or totals[low - 1] >= _BLOCK_RATIO * totals[high - 1]):
            low -= 1
            filled += int(totals[low])
        if ends[low] - totals[low] < _MIN_BLOCK_TOKENS:
            low = 0
        blocks.append(_block(spans[low:high], int(ends[low] - totals[low]), device, dtype))
        high = low
    return tuple(reversed(blocks))


def _block(spans: NDArray[np.int64], begin: int, device: torch.device, dtype: torch.dtype) -> Block:
    rows, totals = len(spans), spans.sum(axis=1)
    longest, starts = int(totals.max()), np.cumsum(totals) - totals
    column = np.arange(longest)
    filled = column[None] < totals[:, None]
    slots = np.where(filled, starts[:, None] + column[None], 0)
    bounds = np.cumsum(spans, axis=1)
    part = (column[None, :, None] >= bounds[:, None, :]).sum(axis=2)  # 0 prompt, 1.. responses, then empty
    sees = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
    sees &= column[None, None, :] <= column[None, :, None]
    mask = torch.zeros((rows, 1, longest, longest), dtype=dtype)
    mask.masked_fill_(torch.from_numpy(~sees)[:, None], float("-inf"))
    return Block(
        begin=begin,
        end=begin + int(totals.sum()),
        rows=rows,
        longest=longest,
        slots=torch.from_numpy(slots.ravel()).to(device),
        places=torch.from_numpy(np.flatnonzero(filled)).to(device),
        filled=torch.from_numpy(filled.reshape(-1, 1)).to(device=device, dtype=dtype),
        mask=mask.to(device),
    )


def _rows_of(states: Tensor) -> Tensor:
    """(1, heads, T, size) as (T, heads * size), without a copy when the memory already lies so."""
    return states.transpose(1, 2).reshape(states.shape[2], -1)


def _lay_out(tokens: Tensor, heads: int, block: Block) -> Tensor:
    """(T, heads * size) as (rows, heads, longest, size)."""
    spread = _Spread.apply(tokens[block.begin : block.end], block)
    return spread.view(block.rows, block.longest, heads, -1).transpose(1, 2)
