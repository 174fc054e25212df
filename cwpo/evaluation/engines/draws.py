"""One token per row from logits and noise. Noise depends on (evaluation seed, prompt id, sample, position) alone."""

import torch

from cwpo import seeded
from cwpo.models.memory_estimate import DRAWN


def row_key(evaluation_seed: int, prompt_id: str, sample: int) -> int:
    """64 bits that name a row's noise."""
    return seeded.place(f"{evaluation_seed}:{prompt_id}:{sample}")


def draw(
    logits: torch.Tensor, uniform: torch.Tensor, *, temperature: float, top_p: float, border: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse-CDF sampling in float64: (tokens, too close to a border to trust), both (rows,); logits (rows, V).

    Some rows at a time, so that the copies in float64 stay small.
    """
    rows = max(1, DRAWN // logits.shape[1])
    parts = zip(logits.split(rows), uniform.split(rows), strict=True)
    found = [_draw(part, noise, temperature, top_p, border) for part, noise in parts]
    return torch.cat([tokens for tokens, _ in found]), torch.cat([doubtful for _, doubtful in found])


def _draw(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float, border: float
) -> tuple[torch.Tensor, torch.Tensor]:
    shares = (logits.double() / temperature).softmax(dim=-1)
    slack = torch.full_like(uniform, border)
    if top_p < 1:
        shares, cutoff = _nucleus(shares, top_p)
        slack = slack + cutoff
    edges = shares.cumsum(dim=-1)
    target = uniform * edges[:, -1]
    tokens = torch.searchsorted(edges, target[:, None], right=True).clamp_(max=edges.shape[1] - 1)
    above = edges.gather(1, tokens).squeeze(1) - target
    below = target - (edges - shares).gather(1, tokens).squeeze(1)
    return tokens.squeeze(1), torch.minimum(above, below) < slack


def _nucleus(shares: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares outside the smallest set that reaches `top_p` set to 0; and the share at the cut, which may flip sides."""
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    inside = ordered.cumsum(dim=-1) - ordered < top_p
    last = inside.sum(dim=-1, keepdim=True) - 1
    keep = torch.zeros_like(inside).scatter_(1, order, inside)
    return shares * keep, ordered.gather(1, last).squeeze(1)
