"""Per-example losses on log-probabilities. Pure: tensors in, (B,) out; no mean, no weights, no device.

h is the difference of log-ratios, h = log pi(y+)/ref(y+) - log pi(y-)/ref(y-), in nats.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, sigmoid
from torch.nn.functional import logsigmoid

from cwpo.models.logps import LogPs
from cwpo.stages.settings import ObjectiveSettings

Objective = Callable[..., Tensor]


def log_ratio_difference(policy: LogPs, reference: LogPs) -> Tensor:
    """h, (B,)."""
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


def dpo(policy: LogPs, reference: LogPs, *, beta: float) -> Tensor:
    """-log sigma(beta h), (B,) (CW-PO eq. 9)."""
    return -logsigmoid(beta * log_ratio_difference(policy, reference))


def ipo(policy: LogPs, reference: LogPs, *, beta: float, ipo_reduction: str = "mean") -> Tensor:
    """(h - 1 / (2 beta))^2, (B,) (eq. 10). "mean": each log-ratio is averaged over its tokens, as TRL does."""
    if ipo_reduction == "sum":
        difference = log_ratio_difference(policy, reference)
    elif ipo_reduction == "mean":
        chosen = (policy.chosen - reference.chosen) / policy.chosen_tokens
        difference = chosen - (policy.rejected - reference.rejected) / policy.rejected_tokens
    else:
        raise KeyError(f"unknown ipo_reduction {ipo_reduction!r}; choose one of mean, sum")
    return (difference - 1 / (2 * beta)) ** 2


def rdpo(policy: LogPs, reference: LogPs, *, beta: float, label_noise: float) -> Tensor:
    """[-(1 - e) log sigma(beta h) + e log sigma(-beta h)] / (1 - 2 e), (B,), e in [0, 1/2) (eq. 11)."""
    scaled = beta * log_ratio_difference(policy, reference)
    return (-(1 - label_noise) * logsigmoid(scaled) + label_noise * logsigmoid(-scaled)) / (1 - 2 * label_noise)


def cdpo(policy: LogPs, reference: LogPs, *, beta: float, label_noise: float) -> Tensor:
    """-(1 - e) log sigma(beta h) - e log sigma(-beta h), (B,), e in [0, 1/2) (Mitchell 2023, conservative DPO)."""
    scaled = beta * log_ratio_difference(policy, reference)
    return -(1 - label_noise) * logsigmoid(scaled) - label_noise * logsigmoid(-scaled)


def odpo(policy: LogPs, reference: LogPs, *, beta: float, odpo_alpha: float, margin: Tensor) -> Tensor:
    """-log sigma(beta h - alpha log(margin)), (B,) (Amini et al. 2024); a tie, margin 0, teaches nothing.

    margin: the annotator's, (B,), > 0 or 0.
    """
    offset = odpo_alpha * margin.clamp_min(_SMALLEST_MARGIN).log()
    return -logsigmoid(beta * log_ratio_difference(policy, reference) - offset) * (margin > 0)


def simpo(policy: LogPs, reference: LogPs, *, beta: float, simpo_gamma: float) -> Tensor:
    """-log sigma(beta (mean logp chosen - mean logp rejected) - gamma), (B,) (Meng et al. 2024): no reference."""
    difference = policy.chosen / policy.chosen_tokens - policy.rejected / policy.rejected_tokens
    return -logsigmoid(beta * difference - simpo_gamma)


def wpo(policy: LogPs, reference: LogPs, *, beta: float) -> Tensor:
    """min(1, exp(l_w + l_l)) times DPO, (B,) (Zhou et al. 2024).

    l is the mean over tokens of log pi(y_t) - log sum_v pi(v)^2: how likely the policy would write the response
    itself. No gradient passes through the factor.
    """
    if policy.chosen_sharpness is None or policy.rejected_sharpness is None:
        raise KeyError("wpo needs token statistics of the policy: ask response_logps_and_sharpness for them")
    likely = (policy.chosen_sharpness + policy.rejected_sharpness).detach().exp().clamp_max(1.0)
    return likely * dpo(policy, reference, beta=beta)


def bdpo(policy: LogPs, reference: LogPs, *, beta: float, beta_dynamics: float, gap: Tensor) -> Tensor:
    """DPO at the beta of its step, max(0.001, beta (1 + a gap)), (B,) (Wu et al. 2024, batch level).

    gap: how far the mean h of the whole step lies above its running mean, in nats, (); beta carries no gradient.
    """
    used = (beta * (1 + beta_dynamics * gap.detach())).clamp_min(_SMALLEST_BETA)
    return -logsigmoid(used * log_ratio_difference(policy, reference))


def kto(policy: LogPs, reference: LogPs, *, beta: float, kl: Tensor) -> Tensor:
    """Mean of 1 - sigma(beta (r+ - z)) and 1 - sigma(beta (z - r-)), (B,), r the log-ratio (Ethayarajh et al. 2024).

    kl: the mean log-ratio of answers to other prompts over the whole step, in nats, (); z is that, at least 0, without
    gradient. Both sides count alike (lambda_D = lambda_U = 1): there are as many of one as of the other.
    """
    baseline = kl.detach().clamp_min(0.0)
    gained = sigmoid(beta * (policy.chosen - reference.chosen - baseline))
    spared = sigmoid(beta * (baseline - (policy.rejected - reference.rejected)))
    return (1 - gained + 1 - spared) / 2


def orpo(policy: LogPs, reference: LogPs, *, orpo_lambda: float) -> Tensor:
    """-l+ - lambda log sigma(log odds+ - log odds-), (B,), odds e^l / (1 - e^l) (Hong et al. 2024, eq. 6 and 7).

    l is the mean log-probability per response token. No reference.
    """
    chosen = policy.chosen / policy.chosen_tokens
    rejected = policy.rejected / policy.rejected_tokens
    return -chosen - orpo_lambda * logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def _log_odds(mean: Tensor) -> Tensor:
    """log(e^l / (1 - e^l)) of a mean log-probability below 0."""
    return mean - (-torch.expm1(mean.clamp_max(-_SMALLEST_MARGIN))).log()


def gdpo(policy: LogPs, reference: LogPs, *, beta: float, margin: Tensor) -> Tensor:
    """-log sigma(beta (2p - 1) h), (B,), p = sigma(margin), so 2p - 1 is C (Furuta et al. 2024): C inside of the loss.

    margin: the annotator's, (B,), >= 0.
    """
    return -logsigmoid(beta * torch.tanh(margin / 2) * log_ratio_difference(policy, reference))


def fa(policy: LogPs, reference: LogPs, *, beta: float, margin: Tensor) -> Tensor:
    """-log[(1 - e) sigma(beta h) + e sigma(-beta h)], (B,), e = 1 - sigma(margin) (FA-DPO, Xu et al. 2025).

    The likelihood of a label that is flipped with probability e: at most -log e, flat where e = 1/2.
    """
    scaled = beta * log_ratio_difference(policy, reference)
    kept, flipped = logsigmoid(margin) + logsigmoid(scaled), logsigmoid(-margin) + logsigmoid(-scaled)
    return -torch.logaddexp(kept, flipped)


_SMALLEST_MARGIN = 1e-12
_SMALLEST_BETA = 1e-3

OBJECTIVES: Mapping[str, Objective] = {
    "dpo": dpo,
    "ipo": ipo,
    "rdpo": rdpo,
    "cdpo": cdpo,
    "odpo": odpo,
    "simpo": simpo,
    "wpo": wpo,
    "bdpo": bdpo,
    "kto": kto,
    "orpo": orpo,
    "gdpo": gdpo,
    "fa": fa,
}


def objective(settings: ObjectiveSettings) -> Objective:
    """The objective with its hyperparameters bound: call it with (policy, reference), and with margin=, gap= or
    kl= where its row of the catalog needs one.

    Raises KeyError for an unknown name.
    """
    name = settings.name
    if name not in OBJECTIVES:
        raise KeyError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return partial(OBJECTIVES[name], **settings.options)
