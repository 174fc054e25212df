"""Per-example losses on log-probabilities. Pure: tensors in, (B,) out; no mean, no weights, no device.

h is the difference of log-ratios, h = log pi(y+)/ref(y+) - log pi(y-)/ref(y-), in nats.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from cwpo.logps import LogPs

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


OBJECTIVES: Mapping[str, Objective] = {"dpo": dpo, "ipo": ipo, "rdpo": rdpo}


def objective(settings: Mapping[str, Any]) -> Callable[[LogPs, LogPs], Tensor]:
    """The objective of {"name": …, its own hyperparameters}, ready to be called on (policy, reference)."""
    name = settings["name"]
    if name not in OBJECTIVES:
        raise KeyError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    options = {key: value for key, value in settings.items() if key != "name"}
    return lambda policy, reference: OBJECTIVES[name](policy, reference, **options)
