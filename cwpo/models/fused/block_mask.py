"""The block mask of a packed batch, from the lengths of its prompts and responses.

What a token sees is a few rectangles and triangles: its own text up to itself, and the prompt before it. How much of
each of the mask's blocks they cover is a product of small matrices, so no (T, T) mask is ever looked at.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 128  # FlexAttention's own block size
_FEWEST = 2 * BLOCK  # a single block would be compiled as a case of its own

Spans = NDArray[np.int64]


def padded_length(tokens: int) -> int:
    """Tokens of the batch with what is appended, so that its length is a whole number of blocks."""
    return max(_FEWEST, -(-tokens // BLOCK) * BLOCK)


def block_mask(spans: Spans, device: torch.device) -> Any:
    """FlexAttention's mask of the padded batch: pairs apart, responses apart; what is appended sees itself alone.

    spans: (B, 1 + responses) lengths of prompts and responses, in the order of the tokens.
    """
    from torch.nn.attention.flex_attention import BlockMask

    lengths, prompts = _segments(spans)
    segment = np.repeat(np.arange(len(lengths)), lengths)
    partial, full = _covered(lengths, prompts)
    lists: dict[str, Any] = {}
    for name, blocks in (("", partial), ("full_", full)):
        for side, dense in (("kv", blocks), ("q", blocks.T)):
            lists[f"{name}{side}_num_blocks"] = _on(dense.sum(axis=1)[None, None], device)
            order = np.argsort(~dense, axis=1, kind="stable")
            lists[f"{name}{side}_indices"] = _on(order[None, None], device)
    return BlockMask(
        seq_lengths=(len(segment), len(segment)),
        BLOCK_SIZE=(BLOCK, BLOCK),
        mask_mod=_mask_mod(_on(segment, device), _on(prompts[segment], device)),
        **lists,
    )


def _mask_mod(segment: Tensor, prompt: Tensor) -> Any:
    """What one token sees: what is before it in its own segment or in its prompt's; both (T,)."""

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & ((segment[key] == segment[query]) | (segment[key] == prompt[query]))

    return sees


def _segments(spans: Spans) -> tuple[Spans, Spans]:
    """(lengths, place of the prompt) of prompts, responses, and what is appended as the last."""
    flat, width = spans.ravel(), spans.shape[1]
    tokens = int(flat.sum())
    lengths = np.append(flat, padded_length(tokens) - tokens)
    places = np.arange(len(lengths))
    return lengths, np.append(places[:-1] // width * width, places[-1])


def _covered(lengths: Spans, prompts: Spans) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(blocks, blocks) by query and key: where some, and where all of the keys are seen."""
    ends = np.cumsum(lengths)
    edges = np.arange(0, int(ends[-1]) + 1, BLOCK)
    inside = np.minimum(ends[:, None], edges[None, 1:]) - np.maximum((ends - lengths)[:, None], edges[None, :-1])
    shares = np.maximum(inside, 0).astype(np.float64)  # tokens of each segment in each block; exact in float64
    apart = prompts != np.arange(len(lengths))
    seen = np.tril(shares.T @ shares, -1) + np.diag((shares * (shares + 1) / 2).sum(axis=0))
    seen += shares[apart].T @ shares[prompts[apart]]
    full = seen == BLOCK * BLOCK
    return (seen > 0) & ~full, full


def _on(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int32)).to(device, non_blocking=True)
