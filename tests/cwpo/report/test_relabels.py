"""What labels brought, in a sentence, with numbers by hand."""

from dataclasses import dataclass

from cwpo.report.labels.relabels import figure, gain_sentence
from cwpo.statistics.raters import Figure


@dataclass(frozen=True)
class Found:
    """A paired difference of GRA."""

    estimate: float | None
    low: float | None
    high: float | None
    n_seeds: int = 2
    n_prompts: int = 400

    @property
    def covers_zero(self) -> bool:
        return self.low is None or self.high is None or self.low <= 0 <= self.high


def test_forty_labels_are_scaled_to_a_hundred() -> None:
    said = gain_sentence(Found(0.012, -0.004, 0.028), 40)
    assert "these 40 labels minus without: +1.2 points, 95 % −0.4 to +2.8" in said
    assert "2 seeds and 400 prompts" in said
    assert "+3.0 points per 100 labels (−1.0 to +7.0), which could be none" in said


def test_a_gain_that_is_real_does_not_say_none() -> None:
    assert "none" not in gain_sentence(Found(0.02, 0.01, 0.03), 50)


def test_what_is_not_known_is_said() -> None:
    assert "not known" in gain_sentence(Found(None, None, None), 50)
    assert "not known" in gain_sentence(Found(0.1, 0.0, 0.2), 0)


def test_figures_have_their_interval_where_they_have_one() -> None:
    assert figure(Figure(value=0.5, low=0.25, high=-0.125), percent=True) == "50.0 % (25.0 – −12.5)"
    assert figure(Figure(value=-0.1, low=None, high=None)) == "−0.10"
    assert figure(None) == "–"
