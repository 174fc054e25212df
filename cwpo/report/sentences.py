"""What a table supports, in one honest sentence per objective, and what its seeds moved. Pure: rows in, words out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cwpo.compare.configured_run import ONE_SEED
from cwpo.compare.gra import PLANNED, DifferenceRow, GraRow
from cwpo.compare.judges.card import TRUTH, CardRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.compare.two_judges import GoldRow
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.report.numbers import count, interval, number, percent, points, points_interval
from cwpo.statistics.simultaneous import SMALL

FURTHER = 1.1  # KL ratio that counts as moving further where the log-ratios were not paired


def verdict_sentence(
    rows: Sequence[GraRow], differences: Sequence[DifferenceRow], matched: Sequence[MatchedRow] = ()
) -> str:
    """Follows from cw − weak and cw − human, their intervals, the KL of each and, where a sweep over β allows it, the
    difference at matched KL; one sentence per objective."""
    if not rows:
        return "No run of this table has been evaluated yet, so it says nothing."
    objectives = list(dict.fromkeys(row.objective for row in rows))
    sentences = [
        _of_objective(
            [row for row in rows if row.objective == name],
            [d for d in differences if d.objective == name],
            [m for m in matched if m.objective == name and (m.first_method, m.second_method) in PLANNED],
        )
        for name in objectives
    ]
    if len(objectives) == 1:
        return sentences[0]
    return " ".join(
        f"{catalog.objective_label(name)}: {text}" for name, text in zip(objectives, sentences, strict=True)
    )


def _of_objective(rows: Sequence[GraRow], differences: Sequence[DifferenceRow], matched: Sequence[MatchedRow]) -> str:
    methods = {row.method for row in rows}
    if "cw" not in methods:
        return "The table has no evaluated CW setting, so it says nothing about confidence weighting."
    clauses = []
    for first, second in PLANNED:
        found = [d for d in differences if (d.first_method, d.second_method) == (first, second)]
        found += [_turned(d) for d in differences if (d.second_method, d.first_method) == (first, second)]
        if any((m.first_method, m.second_method) == (first, second) for m in matched):
            found = found if len(found) == 1 else []  # at several β the comparison at matched KL is the one that counts
            clauses += [_clause(row, rows) for row in found]
            continue
        several = max(sum(row.method == name for row in rows) for name in (first, second)) > 1
        if len(found) > 1 or (not found and second in methods and several):
            clauses.append(f"CW and {_name(second)} stand here in several settings, so choose the pair to compare")
        elif found:
            clauses.append(_clause(found[0], rows))
    clauses += [matched_clause(row) for row in matched]
    clauses += [interaction_clause(row) for row in differences if row.is_interaction]
    if not clauses:
        return "The table pairs CW with neither uniform weak labels nor human labels, so it says nothing about either."
    text = "; ".join(clauses) + _one_seed(differences) + "."
    return text[0].upper() + text[1:]


def _turned(row: DifferenceRow) -> DifferenceRow:
    """second − first."""
    return replace(
        row,
        first=row.second,
        second=row.first,
        first_label=row.second_label,
        second_label=row.first_label,
        first_method=row.second_method,
        second_method=row.first_method,
        estimate=_minus(row.estimate),
        low=_minus(row.high),
        high=_minus(row.low),
        kl_estimate=_minus(row.kl_estimate),
        kl_low=_minus(row.kl_high),
        kl_high=_minus(row.kl_low),
    )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _clause(row: DifferenceRow, rows: Sequence[GraRow]) -> str:
    """One difference in words; figures are in points with their 95 % interval."""
    cw, other = row.first_label, row.second_label
    if row.estimate is None:
        return f"{cw} and {other} cannot be compared ({row.reason})"
    figures = f"{points(row.estimate)} points, 95 % {points_interval(row.low, row.high)}"
    size = f"{count(row.n_prompts)} prompts × {row.n_seeds} {'seed' if row.n_seeds == 1 else 'seeds'}"
    if row.covers_zero:
        words = f"differ by less than 1.5 points at {size}" if row.told == SMALL else f"cannot be told apart at {size}"
        return f"{cw} and {other} {words} ({figures}{_least(row)}){_distance(row, rows, gained=None)}"
    gained = row.estimate > 0
    side = "above" if gained else "below"
    return f"{cw} is {side} {other} at {size} ({figures}){_distance(row, rows, gained=gained)}"


def interaction_clause(row: DifferenceRow) -> str:
    """What C adds to human labels beside what it adds to weak ones: as much where it finds easy pairs, nothing where it
    finds right labels and the human ones are right anyway."""
    if row.estimate is None:
        return f"what C adds to human and to weak labels cannot be compared ({row.reason})"
    figures = f"{points(row.estimate)} points, 95 % {points_interval(row.low, row.high)}"
    if row.covers_zero:
        return f"whether C adds more to human or to weak labels cannot be told ({figures}{_least(row)})"
    return f"C adds {'more' if row.estimate > 0 else 'less'} to human labels than to weak ones ({figures})"


def matched_clause(row: MatchedRow) -> str:
    """What is left of a difference when both methods have moved equally far."""
    cw, other = row.first_label, row.second_label
    if row.estimate is None:
        return f"{cw} and {other} cannot be compared at matched KL ({row.reason})"
    where = f"at matched KL ({number(row.kl_low)} to {number(row.kl_high)} nats)"
    figures = f"{points(row.estimate)} points, 95 % {points_interval(row.low, row.high)}"
    if row.covers_zero:
        return f"{where} {cw} and {other} cannot be told apart ({figures}{_least(row)})"
    side = "above" if row.estimate > 0 else "below"
    return f"{where} {cw} is {side} {other} ({figures})"


def _least(row: DifferenceRow | MatchedRow) -> str:
    """What such a table could have told apart."""
    return (
        "" if row.detectable is None else f"; smallest detectable difference {number(100 * row.detectable, 1)} points"
    )


def _distance(row: DifferenceRow, rows: Sequence[GraRow], *, gained: bool | None) -> str:
    """Whether the first setting moved further from its reference, and what that means for a gain."""
    kl = {one.group_key: one.kl for one in rows}
    mine, its = kl.get(row.first), kl.get(row.second)
    if mine is None or its is None:
        return ", and KL was not measured, so the gain may be distance alone" if gained else ""
    figures = f"KL {number(mine)} against {number(its)} nats"
    if row.kl_low is not None and row.kl_high is not None:
        further, nearer = row.kl_low > 0, row.kl_high < 0
    else:
        further, nearer = mine > FURTHER * its, its > FURTHER * mine
    if gained and further:
        return f", but it also moved further from its reference ({figures}), so the gain may be distance, not direction"
    if gained:
        return f", without moving {'as far' if nearer else 'measurably further'} from its reference ({figures})"
    if further:
        return f", though it moved further from its reference ({figures})"
    if nearer:
        return f", and it moved less far from its reference ({figures})"
    return f", at {figures}" if gained is False else ""


def _one_seed(differences: Sequence[DifferenceRow]) -> str:
    if any(row.estimate is not None and ONE_SEED in row.note for row in differences):
        return "; with one seed the interval covers prompt uncertainty only, and another seed may turn it around"
    return ""


def _name(method: str) -> str:
    return catalog.METHODS[method].label


def agreement_sentence(rows: Sequence[GoldRow]) -> str:
    """What the two say of each other, before and after alignment."""
    before = [row.rank_baseline for row in rows if row.rank_baseline is not None]
    after = [row.rank_aligned for row in rows if row.rank_aligned is not None]
    if not before or not after:
        return ""
    then, now = (number(sum(values) / len(values)) for values in (before, after))
    return (
        f"Over prompts the two scores rank baseline answers alike at ρ = {then}, aligned answers at {now}. A gain that "
        "only one of them sees, or a ρ that falls with alignment, is what an over-optimised gold reward looks like."
    )


def what_the_seed_moved(configs: Sequence[RunConfig]) -> str:
    """The sentence under a table: what another seed would change, and what it would not."""
    if not configs:
        return "No run, no seed."
    seeds = sorted({config.seed for config in configs})
    moved = [name for name, used in _parts_of(configs).items() if used]
    fixed = [f"{name} ({what})" for name, what in _fixed_parts(configs).items()]
    held = sorted({str(config.evaluation.seed) for config in configs})
    head = "One seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    verb = "would move" if len(seeds) == 1 else "moved"
    text = f"{head}: the seed {verb} {_listed(moved) or 'nothing'}; held-out prompts and sampling noise stay the same"
    text += f" (evaluation.seed {', '.join(held)})"
    return text + (f", and so do {_listed(fixed)}." if fixed else ".")


_PARTS = {
    "split": "the split into labeled and unlabeled pairs",
    "annotator": "the annotator",
    "sft": "SFT",
    "align": "alignment",
}


def _parts_of(configs: Sequence[RunConfig]) -> dict[str, bool]:
    """Each part's name, and whether the seed moves it in at least one run."""
    parts = {
        name: any(_has(config, part) and getattr(config.seeds, part) is None for config in configs)
        for part, name in _PARTS.items()
    }
    noisy = (c for c in configs if _existing(c) and c.annotator.label_dropout)
    return {**parts, "label dropout": any(config.seeds.annotator is None for config in noisy)}


def _fixed_parts(configs: Sequence[RunConfig]) -> dict[str, str]:
    """Parts with a seed of their own, and sandbox pretraining, which always has one."""
    fixed: dict[str, str] = {}
    for part, name in _PARTS.items():
        given = [getattr(config.seeds, part) for config in configs if _has(config, part)]
        own = sorted({seed for seed in given if seed is not None})
        if own:
            everywhere = None not in given
            fixed[name] = f"seeds.{part} {', '.join(map(str, own))}{'' if everywhere else ', in some runs'}"
    existing = sorted({use[:12] for use in map(_existing, configs) if use})
    if existing:
        fixed["the annotator that exists already"] = f"annotator.use {', '.join(existing)}"
    if any(config.is_sandbox for config in configs):
        base = sorted({str(config.seeds.base) for config in configs})
        fixed["the pretrained base models"] = f"seeds.base {', '.join(base)}"
    return fixed


def _has(config: RunConfig, part: str) -> bool:
    if part == "annotator":
        return config.trains_annotator
    return part != "sft" or config.sft.data != "none"


def _existing(config: RunConfig) -> str | None:
    """The annotator that the run labels with and did not train."""
    return config.annotator.use if config.needs_annotator else None


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def believed(row: CardRow) -> str:
    """The answer in one sentence."""
    if row.q is None:
        return "Nobody tried this judge on pairs with human labels yet."
    words = (
        f"{row.judge} agrees with people on {percent(row.q)} of {count(row.pairs)} pairs "
        f"(95 % {interval(row.q_low, row.q_high)})"
    )
    if row.said == TRUTH:
        return f"{words}, which is the noise of the labels; {TRUTH}."
    if row.said:
        return f"{words}. GRA {percent(row.estimate)} corrected for its errors: {row.said}."
    return (
        f"{words}. If its errors do not depend on which model answered and the labels are right, GRA without them is "
        f"{percent(row.true)} in place of {percent(row.estimate)} (95 % {interval(row.true_low, row.true_high)}); "
        "noise in the labels moves that figure too far from 50 %."
    )


def card_sentences(card: Mapping[str, Any] | None) -> list[str]:
    """By length and source, and what length alone does."""
    if card is None:
        return []
    said = []
    if card.get("held_out"):
        said.append("None of these pairs was learned from; a gold reward trained here was trained again without them."
                    if card.get("judge") != "oracle" else "The oracle learns from no pair.")  # fmt: skip
    for name in ("by_length", "by_source"):
        parts = [f"{one['name']} {percent(one['q'])} ({interval(one['q_low'], one['q_high'])})"
                 for one in card.get(name) or ()]  # fmt: skip
        if parts:
            said.append(f"Agreement {name.replace('_', ' ')}: {', '.join(parts)}.")
    if card.get("chose_longer") is not None and card.get("people_longer") is not None:
        said.append(
            f"It chose the longer response of {percent(card['chose_longer'])} of these pairs, people of "
            f"{percent(card['people_longer'])}; it ties {percent(card.get('ties'))}."
        )
    elif card.get("ties") is not None:
        said.append(f"It ties {percent(card['ties'])} of these pairs.")
    if card.get("gaps"):
        low, quarter, middle, three, high = (number(value) for value in card["gaps"])
        said.append(
            f"Gaps between its scores of both responses, in SD of all scores: median {middle}, half of them {quarter} "
            f"to {three}, four in five {low} to {high}."
        )
    return said
