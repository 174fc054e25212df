"""What pages read of judge models: who has judged, win rates, and differences by their verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from app.reads import results
from app.reads.results import Published
from cwpo.compare.gra import DifferenceRow, GraRow, differences, gra_table, pairs_against, setting_keys
from cwpo.compare.judges.card import Card, CardRow, card_rows
from cwpo.compare.judges.models import JudgeRow, judge_table
from cwpo.compare.two_judges import GoldRow
from cwpo.stages.graph import is_judge_slot
from db import queries
from db.records import RescoringRow, RunRow
from db.status import DONE
from workers import related_prompts
from workers.judge_cards import further_cards, judge_cards
from workers.machine.database import database_url


def judge_models(rows: Sequence[RunRow]) -> list[RescoringRow]:
    """Judge models that were asked about these runs' answers, done or not."""
    with results.reading() as session:
        found = queries.rescorings(session, [row.id for row in rows])
    return [one for one in found if is_judge_slot(one.slot)]


def names_of(rows: Sequence[RunRow], keys: Sequence[str]) -> dict[str, str]:
    """What the judge models of these keys are called."""
    summaries = _summaries([row.id for row in rows], keys)
    return {
        key: next((str(one["judge"]) for one in summaries[f"evaluation@{key}"].values() if "judge" in one), key)
        for key in keys
    }


def judge_table_of(rows: Sequence[RunRow], key: str) -> list[JudgeRow]:
    """Win rates by the judge model of that key."""
    return _judge_table(database_url(), _published(rows), key, tuple(rows))


def judge_differences_of(rows: Sequence[RunRow], key: str, reference: str) -> list[DifferenceRow]:
    """Paired differences of win rates, as those of GRA."""
    verdicts = _verdicts([row.id for row in rows], key)
    judged = set(verdicts["run_id"].unique().tolist())
    kept = [row for row in rows if row.id in judged]
    pairs = None
    if reference and any(row.group_key == reference for row in kept):
        pairs = pairs_against(kept, reference)
    configs = results.configs_of(kept)
    return differences(kept, verdicts, pairs=pairs, settings=setting_keys(kept, configs), configs=configs)


def compared_by(rows: Sequence[RunRow], key: str) -> int:
    """How many of these runs the judge model of that key has compared."""
    return int(_verdicts([row.id for row in rows], key)["run_id"].nunique())


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What one judge model says of the runs of one dataset."""

    judge: str
    rows: tuple[RunRow, ...]
    outcomes: pd.DataFrame


def verdicts_of(rows: Sequence[RunRow]) -> list[Verdicts]:
    """For each dataset the judge model that compared most of its runs, the newest of several."""
    asked = [one for one in judge_models(rows) if one.status == DONE]
    found = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        mine = {row.id: row for row in rows if row.dataset == dataset}
        by_key: dict[str, list[int]] = {}
        for one in asked:
            if one.run_id in mine:
                by_key.setdefault(one.key, []).append(one.run_id)
        if by_key:
            key = max(by_key, key=lambda key: (len(by_key[key]), max(by_key[key])))
            kept = tuple(mine[run_id] for run_id in by_key[key])
            name = names_of(kept, [key])[key]
            found.append(Verdicts(judge=name, rows=kept, outcomes=_verdicts([row.id for row in kept], key)))
    return found


@st.cache_data(ttl=results.SECONDS, max_entries=results.MOST_RESULTS, show_spinner=False)
def _judge_table(url: str, published: Published, key: str, _rows: tuple[RunRow, ...]) -> list[JudgeRow]:
    ids = [row.id for row in _rows]
    summaries, cards = (_summaries(ids, [key], slot)[f"{slot}@{key}"] for slot in ("evaluation", "card"))
    return judge_table(
        _rows, results.outcomes_of(ids), _verdicts(ids, key), summaries, configs=results.configs_of(_rows), cards=cards
    )


def cards_of(rows: Sequence[RunRow], further: str = "") -> dict[int, Card]:
    """What is known of the judge that each run's GRA was counted with, by run: tried on demand, or in the sandbox's
    oracle known from the pairs. `further`: of another gold reward than the runs' own, by its key."""
    configs = results.configs_of(rows)
    with results.reading() as session:
        return judge_cards(session, {row.id: configs[row.id] for row in rows if row.id in configs}, further=further)


def further_cards_of(rows: Sequence[RunRow]) -> dict[str, dict[int, Card]]:
    """What is known of all judges that were tried beside the runs' own, by key and run."""
    configs = results.configs_of(rows)
    with results.reading() as session:
        return further_cards(session, {row.id: configs[row.id] for row in rows if row.id in configs})


def card_table_of(rows: Sequence[RunRow], table: Sequence[GraRow], cards: Mapping[int, Card]) -> list[CardRow]:
    """The GRA table with the errors of its judge."""
    return card_rows(table, results.outcomes_of([row.id for row in rows]), cards)


def further_card_table_of(
    rows: Sequence[RunRow], key: str, table: Sequence[GoldRow], cards: Mapping[int, Card]
) -> list[CardRow]:
    """The GRA by a further gold reward, as the `table` of both has it, with the errors of that judge."""
    outcomes = _verdicts([row.id for row in rows], key)
    known = {row.group_key: row for row in table}
    found = [
        replace(row, label=both.label, estimate=both.further, low=both.further_low, high=both.further_high)
        for row in gra_table(rows, outcomes)
        if (both := known.get(row.group_key)) is not None
    ]
    return card_rows(found, outcomes, cards)


def _verdicts(run_ids: Sequence[int], key: str) -> pd.DataFrame:
    with results.reading() as session:
        return related_prompts.outcomes(session, run_ids, slot=f"evaluation@{key}")


def _summaries(run_ids: Sequence[int], keys: Sequence[str], slot: str = "evaluation") -> dict[str, dict[int, Any]]:
    with results.reading() as session:
        return queries.summaries(session, run_ids, [f"{slot}@{key}" for key in keys])


def _published(rows: Sequence[RunRow]) -> Published:
    return tuple((row.id, hash(row.evaluation)) for row in rows)
