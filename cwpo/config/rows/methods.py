"""What labels are weighted by, and the methods that are made of it: rows of the catalog. Names and rows only, no torch.

`cwpo.config.catalog` lists them beside everything else that a run can be made of; read them there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LabelSource = Literal["human", "weak", "true"]
Part = Literal["unlabeled", "labeled", "all"]
AnnotatorKind = Literal["bradley_terry", "joint", "implicit"]


@dataclass(frozen=True, kw_only=True)
class WeightingRow:
    """How a pair's margin becomes its weight in the loss."""

    name: str
    label: str
    formula: str
    source: str
    needs_margin: bool = True
    fields: tuple[str, ...] = ()  # of `weighting` that it reads; percent is `top_percent`
    # beside the margin: "keys" (chance by pair); over annotators or passes "spread" (SD) and "agreement" (share of
    # votes); and what the sandbox alone knows: "right" (whether the label is the true one), "gap" (|difference of the
    # answers' true utilities|)
    reads: tuple[str, ...] = ()
    swaps: bool = False  # also weighs the pair the other way round

    @property
    def sandbox_only(self) -> bool:
        """Whether it reads what is known of the sandbox's pairs alone."""
        return not {"right", "gap"}.isdisjoint(self.reads)


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """A name for (labels, pool, weighting), and in one sentence what that means."""

    name: str
    label: str
    says: str
    labels: LabelSource
    pool: Part
    weighting: str
    source: str
    annotator: AnnotatorKind | None = None  # its own kind of annotator; None: the one of the configuration
    sandbox_only: bool = False
    whole_data: bool = False  # may be run with label_fraction 1

    @property
    def needs_annotator(self) -> bool:
        """Whether an annotator labels its pairs: for the labels, or for the margins that weigh other people's."""
        return self.labels == "weak" or WEIGHTINGS[self.weighting].needs_margin

    @property
    def needs_percent(self) -> bool:
        return "percent" in WEIGHTINGS[self.weighting].fields


WEIGHTINGS: Mapping[str, WeightingRow] = {
    row.name: row
    for row in (
        WeightingRow(name="uniform", label="1", formula="w = 1", source="unweighted loss", needs_margin=False),
        WeightingRow(name="confidence", label="C", formula="w = 2(σ(Δ) − ½)", source="CW-PO eq. 7 and 8"),
        WeightingRow(
            name="top",
            label="top N %",
            formula="w = 1 for the N % of pairs with the largest Δ; the rest is dropped",
            source="CW-PO Table 4, 10, 11",
            fields=("percent",),
        ),
        WeightingRow(
            name="bottom",
            label="lowest N %",
            formula="w = 1 for the N % of pairs with the smallest Δ; the rest is dropped",
            source="control: what unsure labels teach",
            fields=("percent",),
        ),
        WeightingRow(
            name="random",
            label="random N %",
            formula="w = 1 for N % of the pairs by chance; the rest is dropped",
            source="control for top N %",
            needs_margin=False,
            fields=("percent",),
            reads=("keys",),
        ),
        WeightingRow(
            name="threshold",
            label="C ≥ t",
            formula="w = 1 where C ≥ t; the rest is dropped",
            source="hard filter at a confidence",
            fields=("threshold",),
        ),
        WeightingRow(name="sigma", label="σ(Δ)", formula="w = σ(Δ)", source="CW-PO Table 5, C2"),
        WeightingRow(
            name="clipped",
            label="min(aΔ, 1)",
            formula="w = min(aΔ, 1)",
            source="CW-PO Table 5, C3 (a = 1) and C4 (a = 0.2)",
            fields=("slope",),
        ),
        WeightingRow(name="power", label="C^γ", formula="w = C^γ", source="a harsher or milder C", fields=("gamma",)),
        WeightingRow(
            name="temperature",
            label="C at temperature T",
            formula="w = tanh(Δ / 2T)",
            source="Guo et al. 2017; T fitted on held-out labeled pairs",
            fields=("temperature",),
        ),
        WeightingRow(
            name="uncertainty",
            label="C less its uncertainty",
            formula="w = tanh(Δ / 2√(1 + πs²/8))",
            source="MacKay 1992; s: SD of Δ over annotators or passes",
            reads=("spread",),
        ),
        WeightingRow(
            name="shuffled", label="C shuffled", formula="w = C of another pair", source="control", reads=("keys",)
        ),
        WeightingRow(name="normalised", label="C / mean C", formula="w = C / mean C over the pool", source="control"),
        WeightingRow(
            name="soft",
            label="(p, 1 − p)",
            formula="w = σ(Δ), and 1 − σ(Δ) the other way round",
            source="soft labels; cDPO with ε = 1 − p per pair",
            swaps=True,
        ),
        WeightingRow(
            name="unbiased",
            label="(p, p − 1)",
            formula="w = σ(Δ), and −(1 − σ(Δ)) the other way round",
            source="Natarajan et al. 2013; rDPO with ε = 1 − p per pair, times C",
            swaps=True,
        ),
        WeightingRow(
            name="committee",
            label="unanimous",
            formula="w = 1 where all annotators or passes choose the same answer; the rest is dropped",
            source="Yeh & Li 2025: pairs that are voted against are removed",
            reads=("agreement",),
        ),
        WeightingRow(
            name="madpo",
            label="σ(cΔ)/σ(Δ)",
            formula="w = σ(cΔ)/σ(Δ), c falling from 2 to ½ with Δ",
            source="Rho 2025: more weight on close pairs, less on clear ones",
        ),
        WeightingRow(
            name="correct",
            label="right labels",
            formula="w = 1 where the label is the true one; the rest is dropped",
            source="the upper bound of all filters; the sandbox knows",
            needs_margin=False,
            reads=("right",),
        ),
        WeightingRow(
            name="top_true",
            label="top N % by true gap",
            formula="w = 1 for the N % of pairs with the largest |ΔU|; the rest is dropped",
            source="top N % by an annotator that knows; the sandbox knows",
            needs_margin=False,
            fields=("percent",),
            reads=("gap",),
        ),
    )
}

METHODS: Mapping[str, MethodRow] = {
    row.name: row
    for row in (
        MethodRow(
            name="human",
            label="Human",
            says="Human labels on the pairs that an annotator labels for the other methods, all weighted alike.",
            labels="human",
            pool="unlabeled",
            weighting="uniform",
            source='the paper\'s "Human": human labels on the part that the annotator labels for the others',
        ),
        MethodRow(
            name="human_cw",
            label="Human, C",
            says="Human labels on the unlabeled part, each weighted by how sure the annotator is of its own.",
            labels="human",
            pool="unlabeled",
            weighting="confidence",
            source="CW-PO eq. 8 beside accurate labels: does C find right labels, or easy pairs?",
        ),
        MethodRow(
            name="human_100",
            label="Human 100 %",
            says="Human labels on every pair, all weighted alike: what labeling everything would reach.",
            labels="human",
            pool="all",
            weighting="uniform",
            source="CW-PO Table 3",
            whole_data=True,
        ),
        MethodRow(
            name="human_labeled",
            label="Human, labeled part",
            says="Human labels on the labeled part alone: what the few labels reach without an annotator.",
            labels="human",
            pool="labeled",
            weighting="uniform",
            source="CW-PO Figure 3, right",
            whole_data=True,
        ),
        MethodRow(
            name="oracle",
            label="Oracle labels",
            says="The sandbox's true labels on the unlabeled part: the most that labels of these pairs can reach.",
            labels="true",
            pool="unlabeled",
            weighting="uniform",
            source="true labels, known in the sandbox only",
            sandbox_only=True,
        ),
        MethodRow(
            name="ws",
            label="WS",
            says="A weak model labels by its implicit reward after SFT and DPO; all pairs are weighted alike.",
            labels="weak",
            pool="unlabeled",
            weighting="uniform",
            annotator="implicit",
            source="Tao & Li 2025: labels by the implicit reward of a weak model after SFT and DPO",
        ),
        MethodRow(
            name="weak",
            label="Weak labels",
            says="The annotator labels the unlabeled part, and every pair weighs the same.",
            labels="weak",
            pool="unlabeled",
            weighting="uniform",
            source="the 100 % column of CW-PO Tables 10 and 11: the clean control for CW",
        ),
        MethodRow(
            name="cw",
            label="CW",
            says="The annotator labels the unlabeled part, and every pair is weighted by its confidence C.",
            labels="weak",
            pool="unlabeled",
            weighting="confidence",
            source="CW-PO eq. 7",
        ),
        MethodRow(
            name="top",
            label="Top N %",
            says="Only the N % of pairs of which the annotator is most confident are kept.",
            labels="weak",
            pool="unlabeled",
            weighting="top",
            source="CW-PO Tables 4, 10, 11",
        ),
        MethodRow(
            name="random",
            label="Random N %",
            says="As many pairs as Top N % keeps, by chance: a control for having fewer pairs.",
            labels="weak",
            pool="unlabeled",
            weighting="random",
            source="control for Top N %: as many pairs, by chance",
        ),
        MethodRow(
            name="bottom",
            label="Lowest N %",
            says="Only the N % of pairs of which the annotator is least confident: a control.",
            labels="weak",
            pool="unlabeled",
            weighting="bottom",
            source="control: what the least confident labels teach alone",
        ),
        MethodRow(
            name="shuffled",
            label="Shuffled C",
            says="CW with the weights dealt out to other pairs: a control for what the weights know.",
            labels="weak",
            pool="unlabeled",
            weighting="shuffled",
            source="control for CW: the same weights, without their information",
        ),
        MethodRow(
            name="normalised",
            label="C / mean C",
            says="CW with weights of mean 1: a control for the smaller loss.",
            labels="weak",
            pool="unlabeled",
            weighting="normalised",
            source="control for CW: the same information, without the smaller loss",
        ),
        MethodRow(
            name="soft",
            label="Soft labels",
            says="Every pair counts both ways, by the annotator's probability of each.",
            labels="weak",
            pool="unlabeled",
            weighting="soft",
            source="each pair both ways, by the annotator's probability",
        ),
        MethodRow(
            name="unbiased",
            label="rDPO per pair × C",
            says="Each pair's loss is corrected for the annotator's own chance of being wrong, times its confidence C.",
            labels="weak",
            pool="unlabeled",
            weighting="unbiased",
            source="rDPO (CW-PO eq. 11) with ε = 1 − σ(Δ) per pair, times C",
        ),
        MethodRow(
            name="committee",
            label="Committee",
            says="Several annotators label, and only pairs on which all of them choose the same answer are kept.",
            labels="weak",
            pool="unlabeled",
            weighting="committee",
            source="Yeh & Li 2025: removal of pairs by votes",
        ),
        MethodRow(
            name="madpo",
            label="MADPO",
            says="Close pairs weigh up to a fifth more than clear ones, by their margin: a contrast to CW.",
            labels="weak",
            pool="unlabeled",
            weighting="madpo",
            source="Rho 2025",
        ),
        MethodRow(
            name="correct",
            label="Right weak labels",
            says="Only the pairs whose weak label is the true one: the most that leaving labels out can reach.",
            labels="weak",
            pool="unlabeled",
            weighting="correct",
            source="weights by true correctness, known in the sandbox only",
            sandbox_only=True,
        ),
        MethodRow(
            name="top_true",
            label="Top N % by true gap",
            says="The N % of pairs whose answers truly differ most, with weak labels: Top N % by one who knows.",
            labels="weak",
            pool="unlabeled",
            weighting="top_true",
            source="top N % by the gap of the true utilities, known in the sandbox only",
            sandbox_only=True,
        ),
    )
}
