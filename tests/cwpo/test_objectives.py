"""Losses by hand. Policy 2 and -1 nats above the reference: h = 3."""

import math

import pytest
import torch

from cwpo.catalog import OBJECTIVES as ROWS
from cwpo.logps import LogPs
from cwpo.objectives import OBJECTIVES, dpo, ipo, objective, rdpo


def logps(chosen: float, rejected: float, lengths=(4, 2)) -> LogPs:
    values = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (chosen, rejected)]
    tokens = [torch.tensor([length]) for length in lengths]
    return LogPs(chosen=values[0], rejected=values[1], chosen_tokens=tokens[0], rejected_tokens=tokens[1])


POLICY, REFERENCE = logps(-8.0, -6.0), logps(-10.0, -5.0)


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


def test_catalog_and_functions_name_the_same_objectives_and_fields():
    assert set(OBJECTIVES) == set(ROWS)
    for name, row in ROWS.items():
        values = {"beta": 0.5, "label_noise": 0.1, "ipo_reduction": "sum"}
        settings = {"name": name, **{field: values[field] for field in row.fields}}
        assert objective(settings)(POLICY, REFERENCE).shape == (1,)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(KeyError, match="dpo, ipo, rdpo"):
        objective({"name": "kto"})
    with pytest.raises(KeyError, match="mean, sum"):
        ipo(POLICY, REFERENCE, beta=1.0, ipo_reduction="max")
