"""The tables of the study on real pairs, from its lines: `python -m benchmarks study_real --data FILE… --report`.

Accuracy and C over seeds × pairs, GRA and differences over seeds × prompts, as everywhere (`cwpo.statistics`,
`cwpo.compare.gra`); related pairs and prompts count as one. Intervals are 95 %; those of the differences in GRA of one
file hold at once. What has no interval over pairs stands as its mean over seeds, with the lowest and the highest seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.measure import table
from benchmarks.study_real import KINDS, LABELED, METHODS, Plan, read_lines
from cwpo.compare.configured_run import ConfiguredRun
from cwpo.compare.gra import differences, gra_table
from cwpo.config import catalog
from cwpo.data.related.outcomes import CLUSTER
from cwpo.paper.published import numbers_of
from cwpo.statistics.intervals import covers, crossed, paired_difference

LABELS: Mapping[str, str] = {"weak": "Bradley–Terry", "ws": "implicit reward"}
TOLD = "cw"  # every other method is subtracted from it
FEWEST = 50  # pairs in a tenth by C; with fewer, fifths are shown
PAPER = ("T6", "T12", "T13")  # its tables of accuracy on hidden labels
PAPER_METHODS: Mapping[str, str] = {"cw": "weak", "ws": "ws"}  # how it names the two kinds
NO_SFT = ("sft.data", "none")  # what the paper's ws is without SFT before, as it is here
OBJECTIVE = "dpo"
NONE, NOTHING = "–", "Nothing is computed yet with these settings."
Line = Mapping[str, Any]
Table = NDArray[np.float64]
Words = Callable[[float, float, float], str]


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """One kind of annotator on one file, over its seeds; (seeds, pairs) of 1 for a right label, and of C."""

    name: str
    kind: str
    lines: Sequence[Line]
    right: Table
    sure: Table
    clusters: list[int]

    def each(self, name: str) -> list[float]:
        """A figure of every seed that has it."""
        return [line[name] for line in self.lines if line[name] is not None]

    @property
    def about(self) -> dict[str, Any]:
        """What begins a row."""
        return {"pairs of": self.name, "annotator": LABELS[self.kind], "seeds": len(self.lines)}


# Lines --------------------------------------------------------------------------------------------------------------


def current(name: str, part: str, plan: Plan) -> tuple[list[Line], int]:
    """The lines of a part that belong to one table, by method and seed, and how many others there are: lines of this
    plan that are of the same file, model and pairs as the last one."""
    every = {line["key"]: line for line in read_lines(name) if line["part"] == part}.values()
    mine = [line for line in every if line.get("plan") == asdict(plan)]
    mine = [line for line in mine if (line["revisions"], line["of"]) == (mine[-1]["revisions"], mine[-1]["of"])]
    found = {(line["method"], line["seed"]): line for line in mine}
    return [found[key] for key in sorted(found)], len(every) - len(found)


def labeled(name: str, lines: Sequence[Line]) -> Iterator[Labeled]:
    """By kind of annotator."""
    for kind in KINDS:
        mine = [line for line in lines if line["method"] == kind]
        if mine:
            yield Labeled(
                name=name,
                kind=kind,
                lines=mine,
                right=np.array([[float(digit) for digit in line["right"]] for line in mine]),
                sure=np.array([thousandths(line["sure"]) for line in mine]),
                clusters=clusters_of(len(mine[0]["right"]), mine[0]["together"]),
            )


def thousandths(text: str) -> list[float]:
    """Blocks of three digits."""
    return [int(text[at : at + 3]) / 1000 for at in range(0, len(text), 3)]


def clusters_of(count: int, together: Sequence[Sequence[int]]) -> list[int]:
    """The cluster of each place: the first place of those that belong together."""
    found = list(range(count))
    for places in together:
        for place in places:
            found[place] = places[0]
    return found


# Words --------------------------------------------------------------------------------------------------------------


def percent(estimate: float, low: float, high: float) -> str:
    """ "65.1 [62.0, 68.2]", in percent."""
    return f"{100 * estimate:.1f} [{100 * low:.1f}, {100 * high:.1f}]".replace("-", "−")


def over_cells(cells: Table, clusters: Sequence[int], bounds: tuple[float, float] = (0.0, 1.0)) -> str:
    """Mean over seeds × pairs in percent with its interval, NaN where a pair does not count; without an interval where
    no pair counts under two seeds."""
    there = ~np.isnan(cells).all(axis=0)
    if not there.any():
        return NONE
    try:
        found = crossed(cells[:, there], np.array(clusters)[there], bounds=bounds)
    except ValueError:
        return f"{100 * np.nanmean(cells):.1f}"
    return percent(found.estimate, found.low, found.high)


def spread(values: Sequence[float], scale: float = 100.0) -> str:
    """ "8.1 (7.0 to 9.3)": mean, lowest and highest over seeds."""
    if not values:
        return NONE
    mean, low, high = (scale * float(of(values)) for of in (np.mean, np.min, np.max))
    said = f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ({low:.1f} to {high:.1f})"
    return said.replace("-", "−")


def points(estimate: float, low: float, high: float) -> str:
    """ "+1.2 [−0.3, +2.7]", in points."""
    return "{} [{}, {}]".format(*(f"{100 * value:+.1f}".replace("-", "−") for value in (estimate, low, high)))


def interval(words: Words, estimate: float | None, low: float | None, high: float | None) -> str:
    """In these words; a dash where nothing is known."""
    return NONE if estimate is None or low is None or high is None else words(estimate, low, high)


def known(value: float | None, digits: int = 1, scale: float = 1.0) -> str:
    return NONE if value is None else f"{scale * value:.{digits}f}".replace("-", "−")


# Annotators ---------------------------------------------------------------------------------------------------------


def kept_rows(sets: Mapping[str, Sequence[Line]]) -> Iterator[dict[str, Any]]:
    """What is left of each file, in rows; the labeled pairs are those that the annotator learns from."""
    for name, lines in sets.items():
        data = lines[0]["data"]
        hidden = next((line["hidden"] for line in lines if "hidden" in line), None)
        yield {
            "pairs of": name, "rows": data["rows"], "too long": data["too_long"], "unusable": data["unusable"],
            "held-out prompts": data["prompts"], "their pairs": data["of_test_prompts"], "over --pairs": data["over"],
            "pairs": data["pairs"], "labeled": None if hidden is None else data["pairs"] - hidden, "hidden": hidden,
        }  # fmt: skip


def accuracy_rows(found: Sequence[Labeled]) -> Iterator[dict[str, Any]]:
    """Accuracy on the hidden human labels, beside that of rules that know length alone or words alone; in %."""
    for one in found:
        rivals = one.lines[0]["rivals"]  # the same for all seeds, as the split is
        yield {
            **one.about, "pairs": one.right.shape[1], "clusters": len(set(one.clusters)),
            "accuracy": over_cells(one.right, one.clusters),
            **{f"{rival} alone": percent(*rivals[rival]) if rival in rivals else NONE
               for rival in ("length", "bag of words")},
        }  # fmt: skip


def kind_rows(found: Sequence[Labeled]) -> Iterator[dict[str, Any]]:
    """Between the kinds of annotator of a file: accuracy on the same pairs under the same seeds, in points."""
    first, second = KINDS
    for one in found:
        other = next((each for each in found if (each.name, each.kind) == (one.name, second)), None)
        if one.kind != first or other is None or one.lines[0]["of"] != other.lines[0]["of"]:
            continue
        places = [{line["seed"]: place for place, line in enumerate(each.lines)} for each in (one, other)]
        seeds = sorted(set(places[0]) & set(places[1]))
        if seeds:
            tables = [each.right[[place[seed] for seed in seeds]]
                      for each, place in zip((one, other), places, strict=True)]  # fmt: skip
            gap = paired_difference(tables[1], tables[0], one.clusters)
            yield {
                "pairs of": one.name, "difference": f"{LABELS[second]} − {LABELS[first]}", "seeds": len(seeds),
                "pairs": gap.prompts, "accuracy, points": points(gap.estimate, gap.low, gap.high), "p": f"{gap.p:.3f}",
            }  # fmt: skip


def calibration_rows(found: Sequence[Labeled]) -> Iterator[dict[str, Any]]:
    """C against accuracy, and C and the labels against length; in %."""
    for one in found:
        yield {
            **one.about,
            "mean C": over_cells(one.sure, one.clusters),
            "C − (2 acc − 1)": over_cells(one.sure - 2 * one.right + 1, one.clusters, (-1.0, 2.0)),
            "ECE": spread(one.each("ece")),
            "ECE if C were right": spread(one.each("ece_null_high")),
            "AUROC": spread(one.each("auroc")),
            "C ~ length": spread(one.each("confidence_length")),
            "picks longer": spread(one.each("annotator_longer")),
            "people pick longer": spread(one.each("human_longer")[:1]),
        }


def confidence_rows(found: Sequence[Labeled]) -> Iterator[dict[str, Any]]:
    """Accuracy in each tenth of the pairs by C, the least sure first, pooled over seeds; in fifths where a tenth of a
    file has fewer than 50 pairs; in %."""
    parts = 10 if min((one.right.shape[1] for one in found), default=0) >= 10 * FEWEST else 5
    for one in found:
        pairs = one.right.shape[1]
        part = np.argsort(np.argsort(one.sure, axis=1, kind="stable"), axis=1) * parts // max(pairs, 1)
        cells = (np.where(part == number, one.right, np.nan) for number in range(parts))
        yield {**one.about, "pairs each": pairs // parts,
               **{f"{number} of {parts}": over_cells(cell, one.clusters)
                  for number, cell in enumerate(cells, start=1)}}  # fmt: skip


def paper_dataset(name: str) -> str | None:
    """The dataset of the paper's tables that a file is of, by the beginning of its name; None where none is."""
    words = f"{name.lower().replace('_', '-')}-"
    every = {number.dataset for which in PAPER for number in numbers_of(which) if number.dataset}
    fits = [one for one in every if words.startswith((f"{one}-", f"{one.removeprefix('hh-')}-"))]
    return max(fits, key=len, default=None)


def paper_rows(found: Sequence[Labeled]) -> Iterator[dict[str, Any]]:
    """The paper's accuracy with the same share of labels, from other models and far more pairs, beside ours; in %. Its
    ws with SFT before is another quantity than ours without."""
    ours = {(one.name, one.kind): over_cells(one.right, one.clusters) for one in found}
    for name in dict.fromkeys(one.name for one in found):
        dataset = paper_dataset(name)
        for number in (number for which in PAPER for number in numbers_of(which)):
            kind = PAPER_METHODS.get(number.method)
            fits = (number.metric, number.dataset, number.label_fraction) == ("accuracy", dataset, LABELED)
            if not fits or kind is None:
                continue
            after_sft = kind == "ws" and NO_SFT not in number.setting
            yield {
                "pairs of": name, "annotator": f"{LABELS[kind]}{', SFT before' if after_sft else ''}",
                "paper": number.table, "its data": number.dataset, "its model": catalog.short_name(number.annotator),
                "its pairs": number.n, "its accuracy": f"{100 * number.value:.1f}",
                "ours": NONE if after_sft else ours.get((name, kind), NONE),
            }  # fmt: skip


# Policies -----------------------------------------------------------------------------------------------------------


def compared(lines: Sequence[Line]) -> tuple[list[ConfiguredRun], pd.DataFrame]:
    """Runs and outcomes of a file as comparisons read them; prompts are named by their places."""
    runs, frames = [], []
    for number, line in enumerate(lines, start=1):
        method, _, share = line["method"].partition(":")
        label = catalog.method_label(method, float(share) if share else None)
        runs.append(ConfiguredRun(
            id=number, group_key=line["method"], method=method, method_label=label, objective=OBJECTIVE,
            seed=line["seed"], baseline=line["baseline"], judge=line["judge"],
        ))  # fmt: skip
        count = len(line["outcome"])
        frames.append(pd.DataFrame({
            "run_id": number,
            "prompt_id": [str(place) for place in range(count)],
            CLUSTER: [str(place) for place in clusters_of(count, line["together"])],
            **{name: np.array(line[name], dtype=np.float64)
               for name in ("outcome", "logratio", "tokens", "baseline_tokens")},
        }))  # fmt: skip
    return runs, pd.concat(frames, ignore_index=True)


def gra_rows(sets: Mapping[str, Sequence[Line]]) -> Iterator[dict[str, Any]]:
    """GRA over seeds and prompts, with distance and length; in %."""
    for name, lines in sets.items():
        for row in gra_table(*compared(lines)):
            yield {
                "pairs of": name, "method": row.label, "seeds": row.n_seeds, "prompts": row.n_prompts,
                "GRA": percent(row.estimate, row.low, row.high),
                "at equal length": interval(percent, row.length_controlled, row.length_low, row.length_high),
                "KL, nats": known(row.kl, 2), "tokens": known(row.tokens), "before": known(row.baseline_tokens),
            }  # fmt: skip


def difference_rows(sets: Mapping[str, Sequence[Line]]) -> Iterator[dict[str, Any]]:
    """CW minus each other method in points, on the same prompts under the same seeds; those of a file hold at once."""
    for name, lines in sets.items():
        methods = {line["method"] for line in lines}
        others = [method for method in METHODS if method in methods - {TOLD}]
        runs, outcomes = compared(lines)
        for row in differences(runs, outcomes, pairs=[(TOLD, other) for other in others] if TOLD in methods else ()):
            yield {
                "pairs of": name, "difference": row.label, "seeds": row.n_seeds,
                "points": interval(points, row.estimate, row.low, row.high),
                "p, corrected": known(row.p_corrected, 3), "detectable, points": known(row.detectable, 1, 100.0),
                "KL difference": known(row.kl_estimate, 2), "said": row.reason or row.told,
            }  # fmt: skip


def card_rows(sets: Mapping[str, Sequence[Line]]) -> Iterator[dict[str, Any]]:
    """How often the gold reward, trained without these pairs, chooses what people chose; in %."""
    for name, lines in sets.items():
        card = lines[-1]["card"]
        yield {
            "pairs of": name, "held-out pairs": card["pairs"],
            "agrees with people": percent(card["q"], card["q_low"], card["q_high"]),
            "said": "cannot be told from a coin" if covers(card["q_low"], card["q_high"], 0.5) else "",
            "ties": known(card["ties"], 1, 100.0), "picks longer": known(card["chose_longer"], 1, 100.0),
            "people pick longer": known(card["people_longer"], 1, 100.0),
        }  # fmt: skip


# All ----------------------------------------------------------------------------------------------------------------


def report(names: Sequence[str], plan: Plan) -> str:
    """Every table that has rows, and how many lines belong to none."""
    found = {part: {name: current(name, part, plan) for name in names} for part in ("annotators", "policies")}
    lines = {part: {name: mine for name, (mine, _) in sets.items() if mine} for part, sets in found.items()}
    every = {name: [line for sets in lines.values() for line in sets.get(name, ())] for name in names}
    kinds = [one for name, mine in lines["annotators"].items() for one in labeled(name, mine)]
    of_lines: Sequence[tuple[str, Callable[..., Iterator[dict[str, Any]]], Any]] = (
        ("What is kept, in rows", kept_rows, {name: mine for name, mine in every.items() if mine}),
        ("Accuracy on hidden labels, %", accuracy_rows, kinds),
        ("Kinds of annotator on the same pairs", kind_rows, kinds),
        ("Calibration and length, %", calibration_rows, kinds),
        ("Accuracy by C, the least sure first, %", confidence_rows, kinds),
        (f"The paper's accuracy at {100 * LABELED:.0f} % labels, %", paper_rows, kinds),
        ("GRA, %", gra_rows, lines["policies"]),
        ("CW minus the others; of a file all at once", difference_rows, lines["policies"]),
        ("The gold reward on held-out human labels, %", card_rows, lines["policies"]),
    )
    made = [(title, list(rows(given))) for title, rows, given in of_lines]
    texts = [f"{title}\n\n{table(rows)}\n" for title, rows in made if rows] or [NOTHING]
    apart = sum(others for sets in found.values() for _, others in sets.values())
    texts += [f"Lines of other settings, files or models, which are in no table: {apart}."] if apart else []
    return "\n".join(texts)
