"""Per-example losses on log-probabilities. Pure: tensors in, (B,) out; no mean, no weights, no device.

h is the difference of log-ratios, h = log pi(y+)/ref(y+) - log pi(y-)/ref(y-), in nats.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor
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


_SMALLEST_MARGIN = 1e-12

OBJECTIVES: Mapping[str, Objective] = {
    "dpo": dpo,
    "ipo": ipo,
    "rdpo": rdpo,
    "cdpo": cdpo,
    "odpo": odpo,
    "simpo": simpo,
    "wpo": wpo,
}


def objective(settings: ObjectiveSettings) -> Objective:
    """The objective with its hyperparameters bound: call it with (policy, reference), for odpo also margin=.

    Raises KeyError for an unknown name.
    """
    name = settings.name
    if name not in OBJECTIVES:
        raise KeyError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return partial(OBJECTIVES[name], **settings.options)
