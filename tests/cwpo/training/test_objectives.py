"""Losses by hand. Policy 2 and -1 nats above the reference: h = 3."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from cwpo.config.catalog import OBJECTIVES as ROWS
from cwpo.models.logps import LogPs
from cwpo.training.objectives import (
    OBJECTIVES,
    bdpo,
    cdpo,
    dpo,
    fa,
    gdpo,
    ipo,
    kto,
    objective,
    odpo,
    orpo,
    rdpo,
    simpo,
    wpo,
)
from cwpo.training.weighting import confidence, soft, unbiased, uniform
from tests.cwpo.stage import of_objective


def logps(chosen: float, rejected: float, lengths=(4, 2)) -> LogPs:
    values = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (chosen, rejected)]
    tokens = [torch.tensor([length]) for length in lengths]
    sharp = [torch.tensor([value], dtype=torch.float64) for value in (-0.25, -0.75)]
    return LogPs(
        chosen=values[0], rejected=values[1], chosen_tokens=tokens[0], rejected_tokens=tokens[1],
        chosen_sharpness=sharp[0], rejected_sharpness=sharp[1],
    )  # fmt: skip


POLICY, REFERENCE = logps(-8.0, -6.0), logps(-10.0, -5.0)
VALUES = {"beta": 0.5, "label_noise": 0.1, "ipo_reduction": "sum", "odpo_alpha": 1.0, "simpo_gamma": 0.5}
VALUES |= {"beta_dynamics": 0.6, "orpo_lambda": 0.1}


def of(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def given(row) -> dict[str, torch.Tensor]:
    """What an objective needs of the method, a margin of 2, and of the step, in which nothing has moved."""
    known = {"margin": of(2.0).view(1), "gap": of(0.0), "kl": of(0.0)}
    return {name: value for name, value in known.items() if name in row.needs}


def test_dpo_by_hand():
    """beta h = 1.5; -log(1 / (1 + e^-1.5)) = log(1 + e^-1.5) = 0.201413."""
    assert dpo(POLICY, REFERENCE, beta=0.5).item() == pytest.approx(math.log1p(math.exp(-1.5)), rel=1e-12)


def test_ipo_by_hand():
    """Means: 2/4 - (-1)/2 = 1, target 1/(2 * .5) = 1, so 0. Sums: (3 - 1)^2 = 4."""
    assert ipo(POLICY, REFERENCE, beta=0.5).item() == pytest.approx(0.0, abs=1e-15)
    assert ipo(POLICY, REFERENCE, beta=0.5, ipo_reduction="sum").item() == pytest.approx(4.0)


def test_rdpo_by_hand():
    """e = .1: [.9 * 0.201413 - .1 * 1.701413] / .8 = 0.013913."""
    clean, flipped = math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))
    assert rdpo(POLICY, REFERENCE, beta=0.5, label_noise=0.1).item() == pytest.approx(
        (0.9 * clean - 0.1 * flipped) / 0.8, rel=1e-12
    )
    assert rdpo(POLICY, REFERENCE, beta=0.5, label_noise=0.0).item() == dpo(POLICY, REFERENCE, beta=0.5).item()


def test_policy_equal_to_reference_is_the_first_step_of_every_run():
    """dpo and rdpo: log 2 with slope -beta / 2; ipo: 1 / (4 beta^2)."""
    policy = logps(-10.0, -5.0)
    loss = dpo(policy, REFERENCE, beta=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert policy.chosen.grad.item() == pytest.approx(-0.15)
    assert rdpo(policy, REFERENCE, beta=0.3, label_noise=0.3).item() == pytest.approx(math.log(2))
    assert ipo(policy, REFERENCE, beta=0.1).item() == pytest.approx(25.0)


def test_cdpo_by_hand():
    """e = .1: .9 * 0.201413 + .1 * 1.701413 = 0.351413; as soft labels it is the swapped pair counted e times."""
    assert cdpo(POLICY, REFERENCE, beta=0.5, label_noise=0.1).item() == pytest.approx(0.351413, abs=1e-6)
    swapped = dpo(logps(-6.0, -8.0), logps(-5.0, -10.0), beta=0.5)
    expected = 0.9 * dpo(POLICY, REFERENCE, beta=0.5) + 0.1 * swapped
    assert cdpo(POLICY, REFERENCE, beta=0.5, label_noise=0.1).item() == pytest.approx(expected.item())


def test_odpo_by_hand():
    """beta h - log 2 = 0.806853; log(1 + e^-0.806853) = 0.368825. A tie teaches nothing; margin 1 is DPO."""

    def loss(margin: float) -> float:
        return odpo(POLICY, REFERENCE, beta=0.5, odpo_alpha=1.0, margin=torch.tensor([margin]).double()).item()

    assert loss(2.0) == pytest.approx(math.log1p(math.exp(-(1.5 - math.log(2)))), rel=1e-12)
    assert loss(1.0) == dpo(POLICY, REFERENCE, beta=0.5).item()
    assert loss(0.0) == 0.0
    policy = logps(-3.0, -8.0)
    tie = odpo(policy, REFERENCE, beta=0.5, odpo_alpha=0.1, margin=torch.zeros(1))
    tie.sum().backward()
    assert policy.chosen.grad is not None
    assert (tie.item(), policy.chosen.grad.item()) == (0.0, 0.0)


def test_simpo_by_hand():
    """Means -8/4 = -2 and -6/2 = -3: 0.5 * 1 - 0.5 = 0, so log 2; the reference plays no part."""
    assert simpo(POLICY, REFERENCE, beta=0.5, simpo_gamma=0.5).item() == pytest.approx(math.log(2))
    assert simpo(POLICY, logps(0.0, 0.0), beta=0.5, simpo_gamma=0.5).item() == pytest.approx(math.log(2))


def test_wpo_by_hand():
    """Likelihood factor exp(-.25 - .75) = e^-1 times DPO, also in the slope."""
    policy = logps(-8.0, -6.0)
    loss = wpo(policy, REFERENCE, beta=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(math.exp(-1) * math.log1p(math.exp(-1.5)))
    assert policy.chosen.grad.item() == pytest.approx(-math.exp(-1) * 0.5 / (1 + math.exp(1.5)))


def test_bdpo_by_hand():
    """A mean 2 nats above the usual: beta .5 (1 + .6 * 2) = 1.1, and -log sigma(3.3). 5 below it: beta is .001."""
    assert bdpo(POLICY, REFERENCE, beta=0.5, beta_dynamics=0.6, gap=of(2.0)).item() == pytest.approx(
        math.log1p(math.exp(-3.3)), rel=1e-12
    )
    low = bdpo(POLICY, REFERENCE, beta=0.5, beta_dynamics=0.6, gap=of(-5.0))
    assert low.item() == pytest.approx(math.log1p(math.exp(-0.003)), rel=1e-12)
    still = bdpo(POLICY, REFERENCE, beta=0.5, beta_dynamics=0.0, gap=of(2.0))
    assert still.item() == dpo(POLICY, REFERENCE, beta=0.5).item()


def test_kto_by_hand():
    """r = 2 and -1. z = .5: both sides are 1 - sigma(.75) = .320821. z below 0 is 0: (.268941 + .377541) / 2."""
    assert kto(POLICY, REFERENCE, beta=0.5, kl=of(0.5)).item() == pytest.approx(1 / (1 + math.exp(0.75)), rel=1e-12)
    assert kto(POLICY, REFERENCE, beta=0.5, kl=of(-3.0)).item() == pytest.approx(0.323241, abs=1e-6)
    baseline = of(0.5).requires_grad_()
    kto(logps(-8.0, -6.0), REFERENCE, beta=0.5, kl=baseline).backward()
    assert baseline.grad is None


def test_orpo_by_hand():
    """Means -2 and -3: odds e^-2 / (1 - e^-2) = .156518 and .052396, of ratio 2.987199; 2 + .1 log(1 + 1/2.987199)."""
    loss = orpo(POLICY, REFERENCE, orpo_lambda=0.1)
    assert loss.item() == pytest.approx(2 + 0.1 * math.log1p(math.expm1(2) / math.expm1(3)), rel=1e-12)
    assert orpo(POLICY, logps(0.0, 0.0), orpo_lambda=0.1).item() == loss.item()
    assert orpo(POLICY, REFERENCE, orpo_lambda=0.0).item() == pytest.approx(2.0)
    certain = orpo(logps(0.0, -6.0), REFERENCE, orpo_lambda=0.1)
    assert math.isfinite(certain.item())


def test_orpo_s_slope_by_hand():
    """By l+: -1 - lambda sigma(-log odds ratio) / (1 - e^l+); a fourth of it by the sum over four tokens."""
    policy = logps(-8.0, -6.0)
    orpo(policy, REFERENCE, orpo_lambda=0.1).backward()
    against = 1 / (1 + math.expm1(3) / math.expm1(2))
    assert policy.chosen.grad.item() == pytest.approx((-1 - 0.1 * against / (1 - math.exp(-2))) / 4, rel=1e-9)


def test_gdpo_by_hand():
    """Margin log 3: p = 3/4, 2p - 1 = 1/2, so -log sigma(.75); a tie teaches nothing, certainty is DPO."""
    assert gdpo(POLICY, REFERENCE, beta=0.5, margin=of(math.log(3))).item() == pytest.approx(
        math.log1p(math.exp(-0.75)), rel=1e-12
    )
    policy = logps(-8.0, -6.0)
    gdpo(policy, REFERENCE, beta=0.5, margin=of(0.0)).backward()
    assert policy.chosen.grad.item() == 0.0
    assert gdpo(POLICY, REFERENCE, beta=0.5, margin=of(99.0)).item() == dpo(POLICY, REFERENCE, beta=0.5).item()


def test_fa_by_hand():
    """Margin log 3: e = 1/4, and .75 * .817574 + .25 * .182426 = .658787. A tie is flat; e bounds it from above."""
    kept = 1 / (1 + math.exp(-1.5))
    assert fa(POLICY, REFERENCE, beta=0.5, margin=of(math.log(3))).item() == pytest.approx(
        -math.log(0.75 * kept + 0.25 * (1 - kept)), rel=1e-12
    )
    policy = logps(-8.0, -6.0)
    tie = fa(policy, REFERENCE, beta=0.5, margin=of(0.0))
    tie.backward()
    assert (tie.item(), policy.chosen.grad.item()) == pytest.approx((math.log(2), 0.0))
    assert fa(logps(-900.0, 0.0), REFERENCE, beta=0.5, margin=of(math.log(3))).item() == pytest.approx(math.log(4))
    assert fa(POLICY, REFERENCE, beta=0.5, margin=of(99.0)).item() == pytest.approx(
        dpo(POLICY, REFERENCE, beta=0.5).item(), rel=1e-12
    )


def test_at_the_start_four_ways_to_use_the_confidence_pull_alike_and_rdpo_per_pair_pulls_as_dpo():
    """C = 1/2 and beta = 1/2: CW, soft labels, GDPO and FA have slope -beta C / 2; (p, p - 1) has -beta / 2."""
    margin = np.array([math.log(3)])

    def slope(loss_of, weights) -> float:
        policy = logps(-10.0, -5.0)
        flipped = [
            replace(one, chosen=one.rejected, rejected=one.chosen, chosen_tokens=one.rejected_tokens,
                    rejected_tokens=one.chosen_tokens) for one in (policy, REFERENCE)
        ]  # fmt: skip
        loss = of(weights.w[0]) * loss_of(policy, REFERENCE) + of(weights.w_swapped[0]) * loss_of(*flipped)
        loss.backward()
        return policy.chosen.grad.item()

    plain = partial(dpo, beta=0.5)
    assert slope(plain, confidence(margin)) == pytest.approx(-0.125)
    assert slope(plain, soft(margin)) == pytest.approx(-0.125)
    assert slope(partial(gdpo, beta=0.5, margin=of(margin[0])), uniform(margin)) == pytest.approx(-0.125)
    assert slope(partial(fa, beta=0.5, margin=of(margin[0])), uniform(margin)) == pytest.approx(-0.125)
    assert slope(plain, unbiased(margin)) == pytest.approx(-0.25)


def test_rdpo_per_pair_times_c_is_rdpo_of_that_pair_s_rate_times_its_confidence():
    """Margin log 3: e = 1/4, C = 1/2. .75 * .201413 - .25 * 1.701413 = -.274293, as rDPO(.25) / 2."""
    weights = unbiased(np.array([math.log(3)]))
    clean, flipped = math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))
    found = weights.w[0] * clean + weights.w_swapped[0] * flipped
    assert found == pytest.approx(0.5 * rdpo(POLICY, REFERENCE, beta=0.5, label_noise=0.25).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "loss", "slope"),
    [
        ("bdpo", math.log(2), -0.25),
        ("kto", 0.5, -0.0625),  # -beta / 4 on half of the pair
        ("gdpo", math.log(2), -0.25 * math.tanh(1)),
        ("fa", math.log(2), -0.25 * math.tanh(1)),
        ("dpo", math.log(2), -0.25),
        ("rdpo", math.log(2), -0.3125),  # -beta / 2 / (1 - 2e)
        ("cdpo", math.log(2), -0.2),  # beta (1/2 - e)
        ("ipo", 1.0, -2.0),  # sums: 1 / (2 beta) = 1, slope -2
        ("odpo", math.log(3), -1 / 3),  # sigma(-log 2) = 1/3; slope -beta * 2/3
        ("wpo", math.log(2) / math.e, -0.25 / math.e),
    ],
)
def test_where_every_run_starts(name, loss, slope):
    """Policy equal to the reference, beta 1/2: the loss and its slope by the chosen log-probability."""
    policy = logps(-10.0, -5.0)
    row = ROWS[name]
    found = objective(of_objective({"name": name, **{field: VALUES[field] for field in row.fields}}))(
        policy, REFERENCE, **given(row)
    )
    found.backward()
    assert found.item() == pytest.approx(loss)
    assert policy.chosen.grad.item() == pytest.approx(slope)


def test_simpo_starts_where_the_reference_is_not_asked():
    """Means -10/4 = -2.5 and -5/2 = -2.5: z = -gamma = -.5; slope -beta / 4 * sigma(.5)."""
    policy = logps(-10.0, -5.0)
    loss = simpo(policy, REFERENCE, beta=0.5, simpo_gamma=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.5)))
    assert policy.chosen.grad.item() == pytest.approx(-0.125 / (1 + math.exp(-0.5)))


def test_catalog_and_functions_name_the_same_objectives_and_fields():
    assert set(OBJECTIVES) == set(ROWS)
    for name, row in ROWS.items():
        settings = {"name": name, **{field: VALUES[field] for field in row.fields}}
        assert objective(of_objective(settings))(POLICY, REFERENCE, **given(row)).shape == (1,)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(KeyError, match="dpo, ipo, rdpo"):
        objective(of_objective({"name": "nosuch"}))
    with pytest.raises(KeyError, match="mean, sum"):
        ipo(POLICY, REFERENCE, beta=1.0, ipo_reduction="max")
