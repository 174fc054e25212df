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

from cwpo.errors import ModelError
from cwpo.models import attention
from cwpo.models.fused import low_rank
from cwpo.models.tokenization import PackedBatch

_KEEP = 1 << 26  # most elements (rows x V) kept for backward: 256 MB in float32, 1,300 rows of OPT's vocabulary
_TILE = 1 << 25  # elements of one tile of logits where they are recomputed in backward
_TILE_ROWS = (64, 512)  # measured on CPUs: larger tiles leave the caches, smaller ones starve the matmul
_CHUNK = 1 << 18  # elements that are exponentiated together on a CPU: 1 MB, the size of a core's cache


@dataclass(frozen=True, kw_only=True)
class LogPs:
    """Summed response log-probabilities in nats, (B,) each, float64, and response lengths in tokens."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    chosen_sharpness: Tensor | None = None  # mean over tokens of log pi(y_t) - log sum_v pi(v)^2, where asked for
    rejected_sharpness: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class ForwardPath:
    """How one model is run on packed batches; decided once per stage by `forward_path`."""

    model: Any
    backbone: nn.Module
    head: nn.Module | None
    packed: bool  # prompts shared and nothing padded; else every response is padded beside its own prompt
    fused: bool  # log-probabilities are computed by `_TiledLogProbs` from the head's weights, without calling the head
    kind: attention.Kind
    dtype: torch.dtype  # of the arithmetic; float32 weights with bfloat16 here means autocast
    window: int | None = None  # pairs with a longer text take the padded path: sliding windows hide a part of them
    softcap: float | None = None  # logits are bent to this size at most (Gemma 2)
    wide: bool = False  # logits of bfloat16 products are float32: rounded, they blur a sum over a response

    @property
    def autocast(self) -> bool:
        return self.dtype == torch.bfloat16 and any(p.dtype != torch.bfloat16 for p in self.model.parameters())


def forward_path(model: Any, *, device: str, precision: str, log: Callable[[str], None]) -> ForwardPath:
    """Choose the packed, prompt-shared path where the architecture allows it, and say so where it does not."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    packed = attention.packable(inner)
    kind = attention.kind_for(device, inner.config)
    window = attention.window_of(inner.config) if packed else None
    if packed:
        attention.use_packed(inner)
    else:
        log(
            f"{inner.config.model_type} has no packed path here: prompts are repeated and padded; same results, slower."
        )
    if window is not None:
        log(f"Layers of this model see {window:,} tokens back: longer texts are padded; same results, slower.")
    fused = packed and type(head) is nn.Linear
    if packed and head is not None and not fused:
        log(f"The output layer is a {type(head).__name__}, not a plain linear layer: its logits are computed unfused.")
    dtype = torch.bfloat16 if precision == "bf16" else next(model.parameters()).dtype
    found = ForwardPath(
        model=inner, backbone=inner.base_model, head=head, packed=packed, fused=fused, kind=kind, dtype=dtype,
        window=window, softcap=getattr(inner.config, "final_logit_softcapping", None), wide=device.startswith("cuda"),
    )  # fmt: skip
    if found.autocast:
        low_rank.fuse(model)
    return found


def response_logps(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """Log-probability of each response given its prompt: (S,) float64 sums over its tokens, end-of-text included."""
    return _sums(batch, _response_tokens(path, batch)[0])


def response_logps_and_sharpness(path: ForwardPath, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """(S,) log-probabilities, and (S,) means over tokens of log pi(y_t) - log sum_v pi(v)^2, without gradient (WPO)."""
    tokens, squares = _response_tokens(path, batch, squares=True)
    return _sums(batch, tokens), _sums(batch, tokens.detach() - squares) / batch.lengths


def _response_tokens(path: ForwardPath, batch: PackedBatch, *, squares: bool = False) -> tuple[Tensor, Tensor]:
    """(R,) log-probability of each response token, and log sum_v pi(v)^2 of its distribution where asked for."""
    if _packs(path, batch):
        hidden = _packed_hidden(path, batch).index_select(0, batch.predictors)
        return _token_logps(path, hidden, batch.targets, squares)
    return _padded_token_logps(path, batch, squares)


def _packs(path: ForwardPath, batch: PackedBatch) -> bool:
    return path.packed and attention.within(batch, path.window)


def _sums(batch: PackedBatch, tokens: Tensor) -> Tensor:
    totals = torch.zeros(len(batch.lengths), dtype=torch.float64, device=tokens.device)
    return totals.index_add(0, batch.sequence, tokens.double())


def response_scores(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """Scores: the scalar head on the last token of each response, (S,), in the head's dtype.

    Raises ModelError when the model has no head named `score`.
    """
    score = getattr(path.model, "score", None)
    if score is None:
        kind = path.model.config.model_type
        raise ModelError(f"{kind} has no scalar head named 'score'; choose another annotator in model.annotator.")
    if _packs(path, batch):
        rows = _packed_hidden(path, batch).index_select(0, batch.ends)
    else:
        ids, mask, _ = _concatenated(batch)
        with _autocast(path, batch):
            hidden = path.backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        rows = hidden[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]
    scores: Tensor = score(rows.to(score.weight.dtype)).squeeze(-1)
    return scores


def _packed_hidden(path: ForwardPath, batch: PackedBatch) -> Tensor:
    """Last hidden states, (T, H), those of appended tokens behind them."""
    inputs = attention.attention_inputs(batch, path.kind, path.dtype)
    ids, positions = attention.appended(batch, path.kind)
    with _autocast(path, batch):
        output = path.backbone(input_ids=ids, position_ids=positions, use_cache=False, **inputs)
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def _autocast(path: ForwardPath, batch: PackedBatch) -> AbstractContextManager[Any]:
    """bfloat16 arithmetic over float32 weights, each rounded where it is used.

    Autocast's cache would hold the rounded copies of all weights until the forward pass ends, also of layers that are
    made again and of weights that are split over cards. A forward pass uses each weight once: no value depends on it.
    """
    if not path.autocast:
        return nullcontext()
    return torch.autocast(batch.input_ids.device.type, dtype=torch.bfloat16, cache_enabled=False)


def _token_logps(path: ForwardPath, hidden: Tensor, targets: Tensor, squares: bool) -> tuple[Tensor, Tensor]:
    head = path.head
    if path.fused and isinstance(head, nn.Linear):
        found: tuple[Tensor, Tensor] = _TiledLogProbs.apply(
            hidden,
            head.weight,
            head.bias,
            targets,
            path.dtype,
            torch.is_grad_enabled(),
            squares,
            path.softcap,
            path.wide,
        )
        return found
    if head is None:
        raise ModelError(f"{path.model.config.model_type} has no output layer; choose a causal language model.")
    tiles = zip(hidden.split(_TILE_ROWS[1]), targets.split(_TILE_ROWS[1]), strict=True)
    parts = [_gathered(_capped(head(rows), path.softcap), wanted, squares) for rows, wanted in tiles]
    return torch.cat([logps for logps, _ in parts]), torch.cat([square for _, square in parts])


def _gathered(logits: Tensor, targets: Tensor, squares: bool) -> tuple[Tensor, Tensor]:
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    every = logits.log_softmax(dim=-1)
    square = (2 * every.detach()).logsumexp(dim=-1) if squares else every.new_zeros(len(targets))
    return every.gather(1, targets[:, None]).squeeze(1), square


class _TiledLogProbs(torch.autograd.Function):
    """log softmax(hidden @ weight.T + bias)[target] per row, without the (R, V) tensor when it is large.

    The gradient of a row's log-probability by its logits, onehot - softmax, overwrites the logits. It is kept when all
    rows fit in `_KEEP`, so that backward is two matmuls; otherwise logits are recomputed tile by tile. These slopes are
    in the dtype of the arithmetic also where the logits are wider: what bfloat16 rounds of them is no larger than what
    it rounds of the gradients below.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        dtype: torch.dtype,
        graph: bool,
        squares: bool,
        softcap: float | None = None,
        wide: bool = False,
    ) -> tuple[Tensor, Tensor]:
        vocabulary = len(weight)
        keep = graph and len(hidden) * vocabulary <= _KEEP
        ctx.step = max(len(hidden), 1) if keep else _tile_rows(vocabulary)
        ctx.dtype, ctx.softcap, ctx.wide = dtype, softcap, wide
        small, kept = weight.to(dtype), None
        logps = torch.empty(len(hidden), dtype=_accumulator(dtype), device=hidden.device)
        square = torch.zeros_like(logps)
        for begin in range(0, len(hidden), ctx.step):
            cut = slice(begin, begin + ctx.step)
            logits = _logits(hidden[cut].to(dtype), small, bias, wide)
            logps[cut], square[cut] = _normalise(logits, targets[cut], slopes=keep, squares=squares, softcap=softcap)
            kept = logits.to(dtype) if keep else None
        ctx.save_for_backward(hidden, weight, bias, targets, kept)
        ctx.mark_non_differentiable(square)
        return logps, square

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, kept = ctx.saved_tensors
        small = weight.to(ctx.dtype)
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = grad_bias = None
        for begin in range(0, len(hidden), ctx.step):
            cut = slice(begin, begin + ctx.step)
            gain = grads[0][cut, None]
            slopes = kept
            if slopes is None:
                logits = _logits(hidden[cut].to(ctx.dtype), small, bias, ctx.wide)
                _normalise(logits, targets[cut], slopes=True, softcap=ctx.softcap)
                slopes = logits.to(ctx.dtype)
            if grad_hidden is not None:
                grad_hidden[cut] = (slopes @ small) * gain
            if need_weight:
                grad_weight = _add(grad_weight, slopes.T @ (hidden[cut] * gain).to(ctx.dtype), weight.dtype)
            if need_bias:
                grad_bias = _add(grad_bias, (slopes.T @ gain.to(ctx.dtype)).squeeze(1), weight.dtype)
        return grad_hidden, grad_weight, grad_bias, None, None, None, None, None, None


def _normalise(
    logits: Tensor, targets: Tensor, *, slopes: bool, squares: bool = False, softcap: float | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of the target per row, and log sum softmax^2 with `squares`. Overwrites `logits`.

    With `slopes` onehot - softmax, times the cap's slope, is left in their place.

    A few rows at a time: they stay in the cache between the passes, and bfloat16 logits are never all in float32.
    """
    size = max(1, _CHUNK // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(logits))
    logps, square = [], []
    for rows, wanted in zip(logits.split(size), targets[:, None].split(size), strict=True):
        values = rows.to(_accumulator(rows.dtype))
        bent = None
        if softcap is not None:
            tanh = values.div_(softcap).tanh_()
            bent = 1 - tanh.square() if slopes else None
            values = tanh.mul_(softcap)
        shifted = values.sub_(values.amax(dim=1, keepdim=True))
        picked = shifted.gather(1, wanted)
        total = shifted.exp_().sum(dim=1, keepdim=True)
        logp = picked - total.log()
        if squares:
            square.append(shifted.square().sum(dim=1).log() - 2 * total.squeeze(1).log())
        if slopes:
            slope = shifted.mul_(-1 / total).scatter_(1, wanted, -torch.expm1(logp))
            rows.copy_(slope if bent is None else slope.mul_(bent))
        logps.append(logp.squeeze(1))
    found = torch.cat(logps) if logps else logits.new_empty(0)
    return found, torch.cat(square) if square else torch.zeros_like(found)


def _add(sum_: Tensor | None, part: Tensor, dtype: torch.dtype) -> Tensor:
    return part.to(dtype) if sum_ is None else sum_.add_(part)


def _logits(rows: Tensor, weight: Tensor, bias: Tensor | None, wide: bool) -> Tensor:
    logits = _wide_product(rows, weight) if wide and rows.dtype == torch.bfloat16 else rows @ weight.T
    return logits if bias is None else logits + bias.to(logits.dtype)


def _wide_product(rows: Tensor, weight: Tensor) -> Tensor:
    """rows @ weight.T of bfloat16 as float32; CPUs have no such product, there its inputs are widened first."""
    if rows.is_cuda:
        return torch.mm(rows, weight.T, out_dtype=torch.float32)
    return rows.float() @ weight.float().T


def _capped(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _tile_rows(vocabulary: int) -> int:
    low, high = _TILE_ROWS
    return max(low, min(high, _TILE // vocabulary))


def _padded_token_logps(path: ForwardPath, batch: PackedBatch, squares: bool) -> tuple[Tensor, Tensor]:
    """The path for any architecture: prompt and response concatenated, right-padded, the model's own logits.

    A batch that is too long for the packed path of its model shares the packed path's head.
    """
    ids, mask, prompts = _concatenated(batch)
    row = batch.sequence
    column = torch.arange(len(row), device=row.device) - (batch.lengths.cumsum(0) - batch.lengths)[row]
    places = row, prompts[row] + column - 1
    with _autocast(path, batch):
        if path.packed:
            hidden = path.backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        else:
            logits = path.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    if path.packed:
        return _token_logps(path, hidden[places], batch.targets, squares)
    return _gathered(logits[places], batch.targets, squares)


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
