"""Losses by hand. Policy 2 and -1 nats above the reference: h = 3."""

import math

import pytest
import torch

from cwpo.config.catalog import OBJECTIVES as ROWS
from cwpo.models.logps import LogPs
from cwpo.training.objectives import OBJECTIVES, cdpo, dpo, ipo, objective, odpo, rdpo, simpo, wpo
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


def given(row) -> dict[str, torch.Tensor]:
    """What an objective needs of the method: a margin of 2."""
    return {"margin": torch.tensor([2.0], dtype=torch.float64)} if "margin" in row.needs else {}


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


@pytest.mark.parametrize(
    ("name", "loss", "slope"),
    [
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
        objective(of_objective({"name": "kto"}))
    with pytest.raises(KeyError, match="mean, sum"):
        ipo(POLICY, REFERENCE, beta=1.0, ipo_reduction="max")
