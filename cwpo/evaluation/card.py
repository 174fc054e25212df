"""The judge card's stage: how often a judge chooses the response that people chose, on pairs it never learned from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cwpo.data.filtering import content_hash
from cwpo.data.pairs import load_pairs
from cwpo.errors import DataError, GoldRewardError
from cwpo.evaluation.gold import is_held_out, kept_whole, scores_of
from cwpo.evaluation.judges.stage import ask, duel_of
from cwpo.full_disk import when_room
from cwpo.records import CandidatePair, Prompt, Sample
from cwpo.stages.context import StageContext
from cwpo.stages.settings import CardSettings
from cwpo.statistics import intervals

CARD_FILE = "card.parquet"
FEWEST = 10  # pairs
MOST_SOURCES = 8
TERCILES = ("short", "middle", "long")


def run_card(ctx: StageContext[CardSettings]) -> dict[str, Any]:
    """Write card.parquet, one row per pair; the summary is what the card says of the judge."""
    pairs = tried_on(load_pairs(ctx.inputs["data"]), ctx.settings)
    if len(pairs) < FEWEST:
        raise DataError(
            f"A judge is tried on pairs with human labels, and the data have {len(pairs)} that it did not learn from: "
            f"at least {FEWEST} are needed."
        )
    votes, gaps, said = _votes(ctx, pairs)
    rows = pd.DataFrame(
        {
            "pair_id": [pair.pair_id for pair in pairs],
            "unit": [kept_whole(pair, ctx.settings.by) for pair in pairs],
            "source": pd.array([pair.source for pair in pairs], dtype="string"),
            "characters": [(len(pair.response_a) + len(pair.response_b)) / 2 for pair in pairs],
            "longer": [_longer(pair) for pair in pairs],
            "agrees": [vote if pair.human_label == "a" else 1 - vote for vote, pair in zip(votes, pairs, strict=True)],
            "chose_longer": [_side(vote, pair) for vote, pair in zip(votes, pairs, strict=True)],
            "people_longer": [_side(float(pair.human_label == "a"), pair) for pair in pairs],
            "gap": gaps,
        }
    )
    when_room(lambda: rows.to_parquet(ctx.out / CARD_FILE, index=False))
    ctx.reporter.progress(len(pairs), len(pairs), "pairs")
    return {**said, **card_of(rows), "held_out": ctx.settings.heldout is not None}


def tried_on(pairs: Sequence[CandidatePair], settings: CardSettings) -> list[CandidatePair]:
    """Whole prompts, or clusters of them, in a seeded order until there are enough pairs; of a gold reward trained here
    those alone that its twin was trained without."""
    labeled = [(pair, kept_whole(pair, settings.by)) for pair in pairs if pair.human_label is not None]
    if settings.heldout is not None:
        labeled = [(pair, unit) for pair, unit in labeled if is_held_out(unit, settings.heldout)]
    order = {unit: content_hash("card", settings.seed, unit) for _, unit in labeled}
    ranked = sorted(labeled, key=lambda item: (order[item[1]], item[0].pair_id))
    return [pair for pair, _ in ranked[: settings.pairs]]


def card_of(rows: pd.DataFrame) -> dict[str, Any]:
    """What the card says: agreement q with its interval over prompts, by length and by source; ties, gaps, length."""
    ranks = rows["characters"].rank(method="first").to_numpy()
    terciles = np.minimum((ranks - 1) * 3 // len(rows), 2).astype(int)
    by_length = [
        {"name": name, **_agreement(own), "most": float(own["characters"].max())}
        for place, name in enumerate(TERCILES)
        for own in (rows[terciles == place],)
    ]
    sources = rows["source"].dropna().value_counts().head(MOST_SOURCES)
    by_source = [{"name": str(name), **_agreement(rows[rows["source"] == name])} for name in sources.index]
    gaps = rows["gap"].dropna().abs().to_numpy()
    return {
        **_agreement(rows),
        "ties": float((rows["agrees"] == 0.5).mean()),
        "by_length": by_length,
        "by_source": by_source if len(by_source) > 1 else [],
        "gaps": [float(value) for value in np.quantile(gaps, (0.1, 0.25, 0.5, 0.75, 0.9))] if gaps.size else [],
        "chose_longer": _mean(rows["chose_longer"]),
        "people_longer": _mean(rows["people_longer"]),
    }


def _votes(
    ctx: StageContext[CardSettings], pairs: Sequence[CandidatePair]
) -> tuple[list[float], NDArray[np.float64], Mapping[str, Any]]:
    """For each pair 1 where the judge chose a, 0 where b, ½ for a tie; the gap of scores in SD, NaN without scores."""
    settings = ctx.settings
    if settings.judge is not None:
        judge = settings.judge
        duels = [
            duel_of(_prompt(pair), judge, name=pair.pair_id, first=pair.response_a, second=pair.response_b)
            for pair in pairs
        ]
        found, said, _ = ask(ctx, judge, duels)
        return found.outcomes.tolist(), np.full(len(pairs), np.nan), said
    gold = settings.gold_reward
    if gold is None:
        raise GoldRewardError("The card names no judge; submit it again.")
    samples = [
        Sample(prompt_id=pair.pair_id, sample=side, text=text, tokens=0, finished=True, logp=0.0)
        for pair in pairs
        for side, text in enumerate((pair.response_a, pair.response_b))
    ]
    prompts = {pair.pair_id: _prompt(pair) for pair in pairs}
    scores = scores_of(ctx, gold, settings.precision, samples, prompts).reshape(-1, 2)
    difference, spread = scores[:, 0] - scores[:, 1], float(scores.std())
    gaps = difference / spread if spread > 0 else difference
    return np.where(difference == 0, 0.5, (difference > 0).astype(float)).tolist(), gaps, {"judge": gold.name}


def _prompt(pair: CandidatePair) -> Prompt:
    return Prompt(prompt_id=pair.pair_id, prompt=pair.prompt, messages=pair.messages)


def _agreement(rows: pd.DataFrame) -> dict[str, Any]:
    """Share of pairs on which the judge agrees with people, ties half, with its interval over prompts or clusters."""
    found = intervals.crossed([rows["agrees"].to_numpy(dtype=np.float64)], rows["unit"].to_numpy())
    return {"pairs": len(rows), "q": found.estimate, "q_low": found.low, "q_high": found.high}


def _longer(pair: CandidatePair) -> str | None:
    """The side with more characters."""
    a, b = len(pair.response_a), len(pair.response_b)
    return None if a == b else "a" if a > b else "b"


def _side(vote: float, pair: CandidatePair) -> float:
    """The vote for the longer response; NaN where none is longer."""
    longer = _longer(pair)
    return float("nan") if longer is None else vote if longer == "a" else 1 - vote


def _mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None
