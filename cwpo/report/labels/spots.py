"""The tables of blind spots and of transfer between sources, and what blind spots say in one sentence."""

from collections.abc import Sequence

from cwpo.compare.questions.spots import WHOLE, SpotRow
from cwpo.report.columns import Column
from cwpo.report.numbers import count, interval, number, percent

_MARKS = {
    "blind": "confident and wrong", "confident": "policy confident", "policy_wrong": "policy wrong",
    "weak_wrong": "weak label wrong", "reference_wrong": "wrong before",
}  # fmt: skip


def _share(value: float) -> str:
    return percent(value).removesuffix(" %")


def _known_share(value: float | None) -> str:
    return percent(value).removesuffix(" %")


def _thousandths(value: float | None) -> str:
    return number(value, 3)


SPOTS: tuple[Column, ...] = (
    Column(name="part", heading="tenth by C", words=True),
    Column(name="n", heading="pairs in it", format=count, muted=True),
    Column(name="mean_confidence", heading="its mean C", format=number),
    *(
        Column(name=name, heading=heading, unit="%", format=_share, lead=name == "blind")
        for name, heading in _MARKS.items()
    ),
    Column(name="blind_interval", heading="95 %", fields=("blind_low", "blind_high"), format=interval, muted=True),
)


TRANSFER: tuple[Column, ...] = (
    Column(name="learned", heading="learned from", words=True),
    Column(name="labels", heading="labels pairs of", words=True),
    Column(name="accuracy", heading="labels met", unit="%", format=_known_share, lead=True),
    Column(name="auroc", heading="AUROC", format=_thousandths),
    Column(name="ece", heading="ECE", format=_thousandths),
    Column(name="mean_confidence", heading="mean C", format=number),
    Column(name="borne_out", heading="C borne out", format=number),
    Column(name="n_seeds", heading="seeds", format=count, muted=True),
)


def spots_in_words(rows: Sequence[SpotRow]) -> str:
    """Where it is confident and wrong: among the pairs that the annotator was least and most sure of, and of all."""
    tenths = [row for row in rows if row.part != WHOLE]
    whole = [row for row in rows if row.part == WHOLE]
    if not tenths or not whole:
        return "No pair has a human label to hold the policy against."
    least, most = tenths[0], tenths[-1]
    return (
        f"The policy is confident and wrong on {percent(least.blind)} of the tenth of pairs that the annotator was "
        f"least sure of (95 % {interval(least.blind_low, least.blind_high)}), on {percent(most.blind)} of the tenth "
        f"that it was most sure of ({interval(most.blind_low, most.blind_high)}), and on {percent(whole[0].blind)} of "
        "all."
    )
