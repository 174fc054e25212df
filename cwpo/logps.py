"""Response log-probabilities and scores of packed batches: one forward path for training, reference and labeling.

The (positions, V) tensor of logits is never made: only response positions reach the head, tile by tile. For small
vocabularies everything is one tile and its probabilities are kept for the backward pass.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cwpo import attention
from cwpo.errors import ModelError
from cwpo.tokenization import PackedBatch

_KEEP = 1 << 22  # (rows x V) up to which one tile is kept for the backward pass
_TILE = 1 << 25  # elements of one tile of logits
_TILE_ROWS = (64, 512)  # measured on CPUs: larger tiles leave the caches, smaller ones starve the matmul


@dataclass(frozen=True, kw_only=True)
class LogPs:
    """Summed response log-probabilities in nats, (B,) each, float64, and response lengths in tokens."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


@dataclass(frozen=True, kw_only=True)
class ForwardPath:
    """How one model is run on packed batches; decided once per stage by `forward_path`."""

    model: Any
    backbone: nn.Module
    head: nn.Module | None
    packed: bool
    fused: bool
    kind: attention.Kind
    dtype: torch.dtype  # of the arithmetic; float32 weights with bfloat16 here means autocast

    @property
    def autocast(self) -> bool:
        return self.dtype == torch.bfloat16 and next(self.model.parameters()).dtype != torch.bfloat16


def forward_path(model: Any, *, device: str, precision: str, log: Callable[[str], None]) -> ForwardPath:
    """Choose the packed, prompt-shared path where the architecture allows it, and say so where it does not."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    packed = attention.packable(inner)
    kind = attention.kind_for(device, inner.config)
    if packed:
        attention.use_packed(inner, kind)
    else:
        log(
            f"{inner.config.model_type} has no packed path here: prompts are repeated and padded; same results, slower."
        )
    fused = packed and type(head) is nn.Linear
    if packed and head is not None and not fused:
        log(f"The output layer is a {type(head).__name__}, not a plain linear layer: its logits are computed unfused.")
    dtype = torch.bfloat16 if precision == "bf16" else next(model.parameters()).dtype
    return ForwardPath(
        model=inner, backbone=inner.base_model, head=head, packed=packed, fused=fused, kind=kind, dtype=dtype
    )


def response_logps(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """Log-probability of each response given its prompt: (S,) float64 sums over its tokens, end-of-text included."""
    if path.packed:
        hidden = _packed_hidden(path, batch).index_select(0, batch.predictors)
        tokens = _token_logps(path, hidden, batch.targets)
    else:
        tokens = _padded_token_logps(path, batch)
    totals = torch.zeros(len(batch.lengths), dtype=torch.float64, device=tokens.device)
    return totals.index_add(0, batch.sequence, tokens.double())


def response_scores(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """The scalar head on the last token of each response: (S,). The head sees S rows, not T."""
    score = getattr(path.model, "score", None)
    if score is None:
        kind = path.model.config.model_type
        raise ModelError(f"{kind} has no scalar head named 'score'; choose another annotator in model.annotator.")
    if path.packed:
        rows = _packed_hidden(path, batch).index_select(0, batch.ends)
    else:
        ids, mask, _ = _concatenated(batch)
        with _autocast(path, batch):
            hidden = path.backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        rows = hidden[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]
    scores: Tensor = score(rows.to(score.weight.dtype)).squeeze(-1)
    return scores


def _packed_hidden(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """Last hidden states, (T, H)."""
    inputs = attention.attention_inputs(batch, path.kind, path.dtype)
    with _autocast(path, batch):
        output = path.backbone(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, **inputs)
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def _autocast(path: ForwardPath, batch: PackedBatch) -> AbstractContextManager[Any]:
    if not path.autocast:
        return nullcontext()
    return torch.autocast(batch.input_ids.device.type, dtype=torch.bfloat16)


def _token_logps(path: ForwardPath, hidden: Tensor, targets: Tensor) -> Tensor:
    head = path.head
    if path.fused and isinstance(head, nn.Linear):
        logps: Tensor = _TiledLogProbs.apply(
            hidden, head.weight, head.bias, targets, path.dtype, torch.is_grad_enabled()
        )
        return logps
    if head is None:
        raise ModelError(f"{path.model.config.model_type} has no output layer; choose a causal language model.")
    tiles = zip(hidden.split(_TILE_ROWS[1]), targets.split(_TILE_ROWS[1]), strict=True)
    return torch.cat([_gathered(head(rows), wanted) for rows, wanted in tiles])


def _gathered(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    return logits.log_softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)


class _TiledLogProbs(torch.autograd.Function):
    """log softmax(hidden @ weight.T + bias)[target] per row, without the (R, V) tensor when it is large."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype, graph: bool
    ) -> Tensor:
        rows, vocabulary = len(hidden), len(weight)
        keep = graph and rows * vocabulary <= _KEEP
        step = max(rows, 1) if rows * vocabulary <= _KEEP else _tile_rows(vocabulary)
        small = weight.to(dtype)
        logps = torch.empty(rows, dtype=_accumulator(dtype), device=hidden.device)
        logsum = torch.empty_like(logps)
        probabilities = None
        for begin in range(0, rows, step):
            cut = slice(begin, begin + step)
            logits = _logits(hidden[cut].to(dtype), small, bias)
            picked = logits.gather(1, targets[cut, None]).squeeze(1)
            top = logits.amax(dim=1)
            total = logits.sub_(top[:, None]).exp_().sum(dim=1)
            logsum[cut] = top + total.log()
            logps[cut] = (picked - top) - total.log()
            if keep:
                probabilities = logits.div_(total[:, None])
        ctx.save_for_backward(hidden, weight, bias, targets, logsum, probabilities)
        ctx.dtype, ctx.step = dtype, step
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        hidden, weight, bias, targets, logsum, kept = ctx.saved_tensors
        small = weight.to(ctx.dtype)
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = torch.zeros_like(weight) if need_weight else None
        grad_bias = torch.zeros_like(bias) if need_bias else None
        for begin in range(0, len(hidden), ctx.step):
            cut = slice(begin, begin + ctx.step)
            rows = hidden[cut].to(ctx.dtype)
            shares = kept if kept is not None else _logits(rows, small, bias).sub_(logsum[cut, None]).exp_()
            slope = grads[0][cut, None]
            delta = shares * -slope if kept is not None else shares.mul_(-slope)
            delta.scatter_add_(1, targets[cut, None], slope.to(delta.dtype))
            if grad_bias is not None:
                grad_bias += delta.sum(dim=0).to(grad_bias.dtype)
            delta = delta.to(ctx.dtype)
            if grad_hidden is not None:
                grad_hidden[cut] = delta @ small
            if grad_weight is not None and delta.dtype == grad_weight.dtype:
                grad_weight.addmm_(delta.T, rows)
            elif grad_weight is not None:
                grad_weight += delta.T @ rows
        return grad_hidden, grad_weight, grad_bias, None, None, None


def _logits(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = rows @ weight.T
    logits = logits.to(_accumulator(logits.dtype))
    return logits if bias is None else logits + bias


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _tile_rows(vocabulary: int) -> int:
    low, high = _TILE_ROWS
    return max(low, min(high, _TILE // vocabulary))


def _padded_token_logps(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """The path for any architecture: prompt and response concatenated, right-padded, the model's own logits."""
    ids, mask, prompts = _concatenated(batch)
    with _autocast(path, batch):
        logits = path.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    row = batch.sequence
    column = torch.arange(len(row), device=row.device) - (batch.lengths.cumsum(0) - batch.lengths)[row]
    return _gathered(logits[row, prompts[row] + column - 1], batch.targets)


def _concatenated(batch: PackedBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (S, longest), attention mask, and prompt lengths (S,) of the unpacked batch."""
    flat = batch.input_ids[0].cpu()
    rows, prompts, at = [], [], 0
    for spans in batch.spans.tolist():
        prompt, at = flat[at : at + spans[0]], at + spans[0]
        for length in spans[1:]:
            rows.append(torch.cat([prompt, flat[at : at + length]]))
            prompts.append(spans[0])
            at += length
    lengths = torch.tensor([len(row) for row in rows])
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    device = batch.input_ids.device
    return ids.to(device), mask.to(device), torch.tensor(prompts, device=device)
