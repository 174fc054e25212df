"""Where the paper disagrees with itself, where its numbers are easily misread, and where CW loses. Free of torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cwpo.paper import names, published
from cwpo.paper.published import Number
from cwpo.report.numbers import number as figure


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A place where the paper disagrees with itself, or a number that is easily misread; `tables` are touched by it."""

    sentence: str
    tables: tuple[str, ...] = ()


STATED: tuple[Conflict, ...] = (
    Conflict(
        sentence='"+5.2 % over WS-DPO" and "+5 % over Human" are relative to the mean of 18 cells of Table 1 (Human '
        "65.81, WS-DPO 65.73, CW 69.10): 3.37 and 3.29 points. So are the 3.3 % of Table 16 (2.17 points) and the "
        "1.4 % of Table 23 (0.79 points).",
        tables=("T1", "T16", "T23"),
    ),
    Conflict(
        sentence="All results are single runs on about 700 prompts: the standard error of one GRA is 1.5 to 1.9 "
        "points, and that of a difference of two runs about 2.6.",
    ),
    Conflict(
        sentence="WS-DPO differs from CW-DPO in two things at once, the annotator and the weights; the clean control "
        'is the "100 %" column of Tables 10 and 11, here called weak labels.',
        tables=("T1", "T2", "T10", "T11", "T16", "T20", "T23", "F3 left"),
    ),
    Conflict(
        sentence="The human baseline of HH with OPT-1.3B is 71.5 in Table 2 and 64.4 in Table 10 and Figure 4; with "
        "Qwen-7B 71.1 and 61.8 (Table 11). So the filtered columns of Table 4 and its CW column may come from "
        "different batches of runs.",
        tables=("T2", "T4", "T10", "T11", "T26", "F4"),
    ),
    Conflict(
        sentence="Table 22's \"offline CW\" for Qwen-3B (61.3 and 56.6) equals Table 1's cells of OPT-13B; Table 2 "
        "gives 73.3 and 62.7.",
        tables=("T1", "T2", "T21", "T22"),
    ),
    Conflict(
        sentence="The annotator's accuracy at 30 % labels differs between tables: OPT-125M 69.1, 64.2, 63.8 in "
        "Table 6 and 67.2, 65.3, 61.9 in Table 13; Qwen-0.5B 65.3, 63.1 in Table 6 and 63.5, 63.2 in Table 12.",
        tables=("T6", "T12", "T13"),
    ),
    Conflict(
        sentence="Means over three disjoint subsets of the test set in Table 20 differ from Table 1 by up to 2.8 "
        "points.",
        tables=("T1", "T20"),
    ),
    Conflict(
        sentence="Table 25 has WS-DPO above CW at 5 % poison, against the sentence that WS-DPO is hit harder.",
        tables=("T25",),
    ),
    Conflict(
        sentence="Section 4.1 says 5 epochs for everything, Table 9 says 3 for SFT; we follow the tables. Length "
        "limits of section 4.1 and appendix E differ. Equation 10 has a sign too many, and appendix B swaps two "
        "ratios of rDPO.",
    ),
    Conflict(
        sentence="Win rates are said to be against the SFT model, while the printed prompt compares with the chosen "
        "answer of the data.",
        tables=("T17",),
    ),
    Conflict(
        sentence="The 4.7 % that the text gives as the mean gain in win rate is neither baseline's: over the 18 cells "
        "of Table 17 CW is 4.3 points above Human (6.4 % relative) and 4.6 above WS-DPO (7.0 %).",
        tables=("T17",),
    ),
    Conflict(
        sentence="Confidence read off Figure 7 averages about 0.66 on harmless pairs; a calibrated annotator of that "
        "accuracy would average 0.34 to 0.38.",
        tables=("F7", "T6"),
    ),
)

RIVALS = ("human", "human_100", "human_labeled", "ws", "online_dpo")
ONLINE = "align.online"  # every arm of Table 21 is; the file says it of those that a run here can have
USUAL_FRACTION = 0.3  # of labels
COMPARED: Mapping[str, int] = {"gra": 1, "win_rate": 1, "accuracy": 1, "disagreement": -1}  # 1: the higher, the better


@lru_cache(maxsize=1)
def conflicts() -> tuple[Conflict, ...]:
    """What is written down here, then the cells of each table where the numbers have CW below a baseline."""
    return (*STATED, *_losses())


def losses(table: str) -> dict[str, list[tuple[Number, Number]]]:
    """By baseline: CW's number and the better one of the baseline, for every cell where it is better; of online CW the
    offline one is a baseline too, also where it stands in another table."""
    others = published.numbers_of(table)
    mine = [one for one in (*others, *published.numbers_of(published.TABLES[table].beside)) if one.method == "cw"]
    found: dict[str, list[tuple[Number, Number]]] = {}
    for own in mine:
        for other in others:
            if _is_rival(own, other) and _same_cell(own, other) and _is_better(other, own):
                found.setdefault(other.method, []).append((own, other))
    return found


def _is_rival(own: Number, other: Number) -> bool:
    return other.method in RIVALS or (other.method == "cw" and _is_online(own) and not _is_online(other))


def _is_online(number: Number) -> bool:
    return any(path == ONLINE for path, _ in number.setting)


def _is_better(one: Number, other: Number) -> bool:
    return one.metric in COMPARED and (one.value - other.value) * COMPARED[one.metric] > 0


def _losses() -> Iterator[Conflict]:
    for table in published.TABLES:
        if by_rival := losses(table):
            told = [f"{_worse(*cells[0])} at {'; '.join(map(_cell, cells))}" for cells in by_rival.values()]
            yield Conflict(
                sentence=f"CW does not win everywhere in {published.TABLES[table].label.partition(' · ')[0]}: it is "
                f"{', and '.join(told)}.",
                tables=(table,),
            )


def _worse(own: Number, other: Number) -> str:
    """Than what CW is worse, and by what."""
    if own.method == other.method:
        return "below its own offline figure"
    if own.metric == "disagreement":
        return f"more often at odds with people than the {_name(other)}"
    return f"below {_name(other)}"


def _same_cell(one: Number, other: Number) -> bool:
    """The same models, data, objective and setting; the label fraction too, where both say one and it is no arm."""
    first, second = (
        (cell.annotator, cell.policy, cell.dataset, cell.objective, cell.metric,
         tuple(pair for pair in cell.setting if pair[0] != ONLINE))
        for cell in (one, other)
    )  # fmt: skip
    fraction = other.method == "human_100" or one.label_fraction == other.label_fraction
    return fraction and first == second


def _name(number: Number) -> str:
    return names.method_name(number)


def _cell(cell: tuple[Number, Number]) -> str:
    """HH, OPT 125M → 1.3B, DPO (69.9 against 71.5)."""
    own, other = cell
    place = ", ".join(filter(None, (
        names.DATASETS.get(own.dataset, own.dataset), names.models(own), names.objective(own), names.about(own),
        names.labels(own) if own.label_fraction != USUAL_FRACTION else "",
    )))  # fmt: skip
    return f"{place} ({figure(100 * own.value, 1)} against {figure(100 * other.value, 1)})"
