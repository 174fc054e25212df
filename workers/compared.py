"""Runs of the database as a comparison: the rows, differences and verdict that a report is made of."""

from collections.abc import Sequence

from cwpo.compare.alignment_end import END_METRICS, alignment_ends
from cwpo.compare.gra import differences, gra_table, pairs_against, planned_interactions, setting_keys
from cwpo.compare.judges.card import card_rows
from cwpo.compare.matched_kl import frontiers, matched_differences
from cwpo.compare.reference import usual_reference
from cwpo.config.stored import read_stored
from cwpo.errors import ConfigError
from cwpo.report.document.contents import Compared
from cwpo.report.judges.cards import cards_in_words
from cwpo.report.under_table import under_table
from cwpo.report.verdict import verdict
from db import queries
from workers import related_prompts
from workers.judge_cards import judge_cards
from workers.machine.database import reading

MOST_SIBLINGS = 500  # other runs of the same settings that are counted


def compared_in_database(run_ids: Sequence[int], *, reference: int | None = None) -> Compared:
    """These runs beside each other; `reference`: a run of the setting that the others are held against."""
    wanted = list(dict.fromkeys(run_ids))
    with reading() as session:
        every = queries.compared_runs(session, run_ids=wanted, siblings=True, limit=len(wanted) + MOST_SIBLINGS)
        outcomes = related_prompts.outcomes(session, wanted)
        stored = read_stored(queries.configs(session, wanted))
        ends = alignment_ends(stored.configs, queries.final_metrics(session, wanted, "align", END_METRICS))
        runs, others = ([run for run in every if (run.id in wanted) == asked] for asked in (True, False))
        evaluated = [run.id for run in runs if run.evaluation is not None]
        cards = judge_cards(session, {run: stored.configs[run] for run in evaluated if run in stored.configs})
    known = {run.id: run for run in runs}
    gone = [run_id for run_id in wanted if run_id not in known]
    if gone:
        raise ConfigError("run", f"there is no run {gone[0]}; look the number up with `cwpo status`.")
    table = gra_table(runs, outcomes, configs=stored.configs, ends=ends)
    if not table:
        raise ConfigError("run", "none of these runs is evaluated yet; a report needs one that is.")
    pinned = known.get(reference) if reference is not None else None
    if reference is not None and (pinned is None or pinned.group_key not in {row.group_key for row in table}):
        raise ConfigError("--reference", f"{reference} is not among these runs, or not evaluated; name one that is.")
    against = pinned.group_key if pinned else usual_reference(table)
    asked = planned_interactions(runs, settings=setting_keys(runs, stored.configs))
    pairs = [*pairs_against(runs, against), *asked] if against else []
    found = differences(runs, outcomes, pairs=pairs, configs=stored.configs)
    matched = matched_differences(frontiers(runs, outcomes, stored.configs), reference=against)
    waiting = [run for run in runs if run.evaluation is None]
    said = [f"Run {run.id} is {run.status} and has no result." for run in waiting]
    return Compared(
        runs=runs, configs=stored.configs, table=table, differences=found, matched=matched,
        verdict=verdict(table, found, against, matched), reference=against,
        left_out=[*said, *stored.unreadable.values()], cards=card_rows(table, outcomes, cards),
        of_cards=cards_in_words(cards, {run.id: run.seed for run in runs}),
        under=under_table(runs, others, sum(row.estimate is not None for row in found)),
    )  # fmt: skip
