"""The judge card beside a GRA: can the judge be believed, and what is left of the GRA when it is counted? Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.gra import GraRow
from cwpo.config import catalog
from cwpo.statistics import intervals
from cwpo.statistics.judge_error import Corrected, corrected, error_of

IMPOSSIBLE = "impossible, the judge's errors are not independent or the labels are noisy"
SILENT = "nothing: the judge cannot be told from a coin"
ORACLE = "oracle"  # the sandbox's judge that knows the truth
TRUTH = "the oracle is the truth: nothing to correct"
Card = Mapping[str, Any]  # what a card stage says


@dataclass(frozen=True, kw_only=True)
class CardRow:
    """One setting with its judge's errors counted. Shares in [0, 1]; None where nobody tried the judge."""

    group_key: str
    label: str
    method: str
    estimate: float  # GRA
    low: float
    high: float
    judge: str
    pairs: int  # with human labels, that the judge was tried on
    q: float | None
    q_low: float | None
    q_high: float | None
    true: float | None  # GRA with the judge's errors taken out, if the human labels are right; none of the oracle
    true_low: float | None
    true_high: float | None
    said: str  # in place of that, where there is none
    ties: float  # share of prompts that tie
    gap: float | None  # median of the gaps between the two scores, in SD of the baseline's scores
    longer_won: float | None  # share of prompts on which the longer answer won, ties half


def card_rows(table: Sequence[GraRow], outcomes: pd.DataFrame, cards: Mapping[int, Card]) -> list[CardRow]:
    """One row per setting of a GRA table; `cards` by run, of the judge that counted."""
    found = []
    for row in table:
        mine = outcomes[outcomes["run_id"].isin(row.run_ids)]
        known = [cards[run] for run in row.run_ids if run in cards]
        found.append(
            CardRow(
                group_key=row.group_key, label=row.label, method=row.method, estimate=row.estimate, low=row.low,
                high=row.high, ties=float((mine["outcome"] == 0.5).mean()), gap=_gap(mine), longer_won=longer_won(mine),
                **_believed(row, known),
            )
        )  # fmt: skip
    return found


def _believed(row: GraRow, cards: Sequence[Card]) -> dict[str, Any]:
    if not cards:
        return dict.fromkeys(("q", "q_low", "q_high", "true", "true_low", "true_high")) | {
            "judge": "", "pairs": 0, "said": "",
        }  # fmt: skip
    q, error = pooled(cards)
    found = corrected(row.estimate, error_of(row.low, row.high), q, error)
    said = TRUTH if cards[0].get("judge") == ORACLE else said_of(found)
    nothing = bool(said)
    return {
        "judge": judge_of(cards[0]),
        "pairs": sum(int(card["pairs"]) for card in distinct(cards)),
        "q": q,
        "q_low": max(0.0, q - 1.96 * error),
        "q_high": min(1.0, q + 1.96 * error),
        "true": None if nothing else found.estimate,
        "true_low": None if nothing else found.low,
        "true_high": None if nothing else found.high,
        "said": said,
    }


def said_of(found: Corrected) -> str:
    """Why there is no corrected figure; "" where there is one."""
    if found.silent:
        return SILENT
    if not found.outside:
        return ""
    return IMPOSSIBLE if found.impossible else f"{IMPOSSIBLE}, or chance"


def pooled(cards: Sequence[Card]) -> tuple[float, float]:
    """q over the seeds of a setting and its standard error; a card that several seeds share counts once. Held-out pairs
    are chosen by a fixed hash and may be the same for several twins, so that their errors do not average out."""
    own = distinct(cards)
    errors = [error_of(card["q_low"], card["q_high"]) for card in own]
    return float(np.mean([card["q"] for card in own])), float(np.mean(errors))


def distinct(cards: Sequence[Card]) -> list[Card]:
    """Each card once, however many runs share it."""
    return list({repr(sorted(card.items())): card for card in cards}.values())


def judge_of(card: Card) -> str:
    """What its judge is called; of one in a folder the last piece."""
    return catalog.model_name(str(card.get("judge", "")))


def is_whole(card: Card | None) -> bool:
    """Whether the judge was tried: what is known of the oracle without it has no lengths, sources and gaps."""
    return card is not None and bool(card.get("by_length"))


def oracle_card(data: Mapping[str, Any]) -> Card | None:
    """Of the sandbox's oracle, whose choice among the pairs is known: what the data stage says of the human labels."""
    share, kept = data.get("human_accuracy"), int(data.get("kept") or 0)
    if share is None or not kept:
        return None
    agreed = round(float(share) * kept)
    found = intervals.single_run_interval([1.0] * agreed + [0.0] * (kept - agreed))
    return {
        "judge": ORACLE, "pairs": kept, "q": float(share), "q_low": found.low, "q_high": found.high, "held_out": True,
        "people_longer": data.get("longer_wins"),
    }  # fmt: skip


def longer_won(outcomes: pd.DataFrame) -> float | None:
    """Share of prompts on which the longer answer won, ties half; None where no lengths differ."""
    difference = outcomes["tokens"] - outcomes["baseline_tokens"]
    known = outcomes[difference.notna() & (difference != 0)]
    won = np.where(difference[known.index] > 0, known["outcome"], 1 - known["outcome"])
    return float(won.mean()) if len(known) else None


def gaps_of(outcomes: pd.DataFrame) -> list[float]:
    """Deciles 1, quarters and decile 9 of the gaps between both scores, in SD of the baseline's; [] without scores."""
    spread = float(outcomes["baseline_score"].std())
    gaps = (outcomes["score"] - outcomes["baseline_score"]).abs().dropna().to_numpy(dtype=np.float64)
    if not gaps.size or not math.isfinite(spread) or spread <= 0:
        return []
    return [float(value) / spread for value in np.quantile(gaps, (0.1, 0.25, 0.5, 0.75, 0.9))]


def _gap(outcomes: pd.DataFrame) -> float | None:
    found = gaps_of(outcomes)
    return found[2] if found else None
