"""The paper's published numbers and its tables. Free of torch.

`paper.csv` holds one row per number, as printed: which models, data, objective and method it belongs to, the fields of
a run's configuration that it sets besides (`setting`), and whether it was read in a table or measured off a figure.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

FILE = Path(__file__).with_name("paper.csv")
SHARES = frozenset(
    ("gra", "accuracy", "win_rate", "head_to_head", "disagreement", "below_0.1", "below_0.5", "above_0.9")
)
Read = Literal["table", "figure"]
READ: Mapping[str, str] = {"table": "as printed", "figure": "measured off the figure"}


@dataclass(frozen=True, kw_only=True)
class Number:
    """One published number; shares in [0, 1]. `n`: test prompts or pairs, `sd`: over three parts of the test set."""

    table: str
    annotator: str
    policy: str
    dataset: str
    objective: str
    method: str
    top_percent: float | None
    label_fraction: float | None  # None: does not matter
    setting: tuple[tuple[str, str], ...]  # fields of a run -> values, beyond the columns before
    metric: str
    value: float
    sd: float | None
    n: int | None
    read: Read
    note: str


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a difference; annotator and label fraction only where the two sides differ in them."""

    method: str
    percent: float | None = None
    setting: tuple[tuple[str, str], ...] = ()
    annotator: str = ""
    label_fraction: float | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table or figure: what it asks, which differences answer it, and why no run can, where none can. `aside`: what
    holds for every run that answers it; `asked_on`: the dataset on which runs ask its question and answer no cell;
    `beside`: a table with further sides of its differences."""

    name: str
    label: str
    question: str
    differences: tuple[tuple[Arm, Arm], ...] = ()
    unanswered: str = ""
    aside: str = ""
    asked_on: str = ""
    beside: str = ""


HUMAN, WS, WEAK, CW = (Arm(method=name) for name in ("human", "ws", "weak", "cw"))
TOP30, TOP40 = (Arm(method="top", percent=percent) for percent in (30.0, 40.0))
SIGMA = Arm(method="cw", setting=(("weighting.name", "sigma"),))
CLIPPED, CLIPPED_FIFTH = (
    Arm(method="cw", setting=(("weighting.name", "clipped"), ("weighting.slope", slope))) for slope in ("1", "0.2")
)
JOINT = Arm(method="cw", setting=(("annotator.kind", "joint"),))
WS_ALONE = Arm(method="ws", setting=(("sft.data", "none"),))
SMALL, *LARGER = (Arm(method="cw", annotator=f"Qwen/Qwen2.5-{size}") for size in ("0.5B", "1.5B", "3B", "7B"))
TENTH, *MORE = (Arm(method="cw", label_fraction=share) for share in (0.1, 0.2, 0.3, 0.4, 0.5))
MAIN = ((CW, WS), (CW, HUMAN))
SELECTION = ((TOP30, WEAK), (TOP30, HUMAN), (WEAK, HUMAN))
ONLINE_CW, ONLINE_WS = (Arm(method=name, setting=(("align.online", "on"),)) for name in ("cw", "ws"))
POISONED = (
    "The paper's data are helpful pairs and attacked harmless ones (with large reward gaps, turned around), and a "
    "random 30 % of the harmless pool in the unlabeled part. The preset here has harmless pairs alone, with labels "
    "swapped at random: another experiment."
)
REFRESHED = "The paper does not say how often the pairs of its online runs are refreshed; ours are every 4 steps."

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            name="T1",
            label="Table 1 · main comparison",
            question="Does CW beat human labels and WS-DPO, with three objectives?",
            differences=MAIN,
        ),
        Table(
            name="T2",
            label="Table 2 · student size",
            question="Does the gain hold for students of every size?",
            differences=MAIN,
        ),
        Table(
            name="T3",
            label="Table 3 · 30 % against 100 % human labels",
            question="Does CW with 30 % of the human labels beat DPO on all of them?",
            differences=((CW, Arm(method="human_100")),),
        ),
        Table(
            name="T4",
            label="Table 4 · filtering against weighting",
            question="Is weighting by C better than keeping the pairs of highest C?",
            differences=((CW, TOP30), (CW, TOP40)),
        ),
        Table(
            name="T5",
            label="Table 5 · weight functions",
            question="Which function of the margin is the best weight?",
            differences=((CW, SIGMA), (CW, CLIPPED), (CW, CLIPPED_FIFTH)),
        ),
        Table(
            name="T6",
            label="Table 6 · kinds of annotator",
            question="Which training makes the weak model agree with humans: implicit reward or Bradley–Terry?",
            differences=((CW, WS), (CW, WS_ALONE), (WS, WS_ALONE)),
        ),
        Table(
            name="T10",
            label="Table 10 · top N %, OPT-1.3B",
            question="Is less data better data: do the N % of highest C beat all weak labels?",
            differences=SELECTION,
        ),
        Table(
            name="T11",
            label="Table 11 · top N %, Qwen2.5-7B",
            question="Is less data better data: do the N % of highest C beat all weak labels?",
            differences=SELECTION,
        ),
        Table(
            name="T12",
            label="Table 12 · annotator size",
            question="Does a larger annotator agree with humans more often?",
            differences=tuple((larger, SMALL) for larger in LARGER),
        ),
        Table(
            name="T13",
            label="Table 13 · annotator by label fraction",
            question="How many human labels does the annotator need?",
            differences=tuple((more, TENTH) for more in MORE),
        ),
        Table(
            name="T16",
            label="Table 16 · annotator of another family",
            question="May the annotator come from another model family than the student?",
            differences=MAIN,
        ),
        Table(
            name="T17",
            label="Table 17 · win rate by GPT-4",
            question="Does a language model as judge see the same?",
            differences=MAIN,
            aside="Ours are by the judge model that the runs were given (evaluation.judge), shown both answers in both "
            "orders; the paper names GPT-4 and neither its version nor the orders.",
        ),
        Table(
            name="T20",
            label="Table 20 · Table 1 on three test subsets",
            question="How much does Table 1 vary over parts of the test set?",
            differences=MAIN,
        ),
        Table(
            name="T21",
            label="Table 21 · online",
            question="Does confidence help an online annotator?",
            differences=((ONLINE_CW, ONLINE_WS),),
            aside=f"{REFRESHED} Its Online DPO has a reward model from elsewhere (trl-lib/Qwen2-0.5B-Reward) label, "
            "which no method here does: that column is answered by no run; in the sandbox true labels stand for it.",
        ),
        Table(
            name="T22",
            label="Table 22 · online against offline",
            question="Is online better than offline?",
            differences=((ONLINE_CW, CW),),
            beside="T21",
            aside=f"{REFRESHED} The offline numbers of this table are suspect: Table 2 has others for this model.",
        ),
        Table(
            name="T23",
            label="Table 23 · SHP",
            question="Does it hold on preferences from Reddit votes?",
            differences=MAIN,
            aside="The judge, SteamSHP, reads 512 tokens of post and answer together: a longer post loses its start.",
        ),
        Table(
            name="T24",
            label="Table 24 · unbalanced labels",
            question="What if the labeled part is mostly harmless or mostly helpful prompts?",
            differences=((CW, WS),),
            unanswered="A run with data.mix answers harmless and helpful prompts together, the paper apart: the runs "
            "of its preset answer the question, not the cells, and are compared on the Compare page.",
            asked_on="hh",
        ),
        Table(
            name="T25",
            label="Table 25 · poisoned labels",
            question="What if some of the annotator's human labels are wrong?",
            differences=((CW, WS),),
            unanswered=f"{POISONED} The runs of its preset answer the question, not the cells, and are compared on the "
            "Compare page.",
            asked_on="hh-harmless",
        ),
        Table(
            name="T26",
            label="Table 26 · PairRM annotator",
            question="Is a joint encoder of both answers a better annotator?",
            differences=((CW, JOINT), *MAIN),
        ),
        Table(
            name="F3 left",
            label="Figure 3 left · label fraction, pool fixed",
            question="How many human labels are needed when the unlabeled part stays at one half?",
            differences=((CW, WS),),
        ),
        Table(
            name="F3 right",
            label="Figure 3 right · label fraction, pool is the rest",
            question="Is CW better than training on the labeled part directly?",
            differences=((CW, Arm(method="human_labeled")),),
        ),
        Table(
            name="F4",
            label="Figure 4 · finer top N %",
            question="Where is the best share of pairs to keep?",
            differences=SELECTION,
        ),
        Table(
            name="F5",
            label="Figure 5 · head to head",
            question="How often does CW's answer score above that of human labels?",
        ),
        Table(
            name="F7",
            label="Figure 7 · distribution of C",
            question="How sure is the annotator on each dataset?",
        ),
        Table(
            name="F8",
            label="Figure 8 · disagreement under poison",
            question="How fast does a poisoned annotator lose the humans?",
            unanswered=POISONED,
        ),
    )
}


@lru_cache(maxsize=1)
def numbers() -> tuple[Number, ...]:
    """Every published number, in the order of the file."""
    with FILE.open(newline="", encoding="utf-8") as lines:
        return tuple(_number(row) for row in csv.DictReader(lines))


@lru_cache(maxsize=64)
def numbers_of(table: str) -> tuple[Number, ...]:
    """The numbers of one table."""
    return tuple(number for number in numbers() if number.table == table)


def _number(row: Mapping[str, str]) -> Number:
    scale = 100.0 if row["metric"] in SHARES else 1.0
    read: Read = "figure" if row["read"] == "figure" else "table"
    texts = {name: row[name] for name in ("table", "annotator", "policy", "dataset", "objective", "method", "metric")}
    return Number(
        **texts,
        top_percent=_optional(row["top_percent"]),
        label_fraction=_optional(row["label_fraction"]),
        setting=_setting(row["setting"]),
        value=float(row["value"]) / scale,
        sd=float(row["sd"]) / scale if row["sd"] else None,
        n=int(row["n"]) if row["n"] else None,
        read=read,
        note=row["note"],
    )


def _optional(text: str) -> float | None:
    return float(text) if text else None


def _setting(text: str) -> tuple[tuple[str, str], ...]:
    """ "a.b=1;c=x" -> (("a.b", "1"), ("c", "x"))."""
    pairs = (piece.partition("=") for piece in text.split(";") if piece)
    return tuple((name, value) for name, _, value in pairs)
