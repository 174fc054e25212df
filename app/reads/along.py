"""What pages read of over-optimisation, and of the order of settings under every judge at hand."""

from collections.abc import Sequence

import pandas as pd

from app.reads import judges, results
from cwpo.compare.judges.along import AlongRow, along_rows, best_of_rows
from cwpo.compare.judges.order import OrderRow, order_rows
from cwpo.stages.along.planned import ALONG, BEST_OF
from cwpo.stages.graph import is_judge_slot
from db import queries
from db.records import RunRow
from db.status import DONE
from workers import related_prompts


def along_of(rows: Sequence[RunRow]) -> list[AlongRow]:
    """The curves of these settings and the best of n of their baselines; empty, and nothing is read, where no run was
    asked for them."""
    configs = results.configs_of(rows)
    asked = [row.id for row in rows if row.id in configs and configs[row.id].evaluation.along is not None]
    if not asked:
        return []
    with results.reading() as session:
        found = queries.summaries(session, asked, (ALONG, BEST_OF))
    curves = along_rows(rows, found[ALONG], configs=configs) if found[ALONG] else []
    return [*curves, *best_of_rows(found[BEST_OF].values())]


def golds_of(rows: Sequence[RunRow]) -> list[str]:
    """The gold rewards that these runs were evaluated with."""
    return sorted({str(config.evaluation.gold_reward) for config in results.configs_of(rows).values()})


def orders_of(rows: Sequence[RunRow]) -> list[OrderRow]:
    """The order of these settings under their own gold reward, and under every further judge that has judged them."""
    ids = [row.id for row in rows]
    configs, own = results.configs_of(rows), golds_of(rows)
    if len(own) != 1:
        return []
    judged: dict[str, pd.DataFrame] = {own[0]: results.outcomes_of(ids)}
    with results.reading() as session:
        done = [one for one in queries.rescorings(session, ids) if one.status == DONE]
        keys = list(dict.fromkeys(one.key for one in done))
        tables = {key: related_prompts.outcomes(session, ids, slot=f"evaluation@{key}") for key in keys}
    models = [one.key for one in done if is_judge_slot(one.slot)]
    names = judges.names_of(rows, models) if models else {}
    for key, table in tables.items():
        judged[f"{names[key]} · {key[-6:]}" if key in names else key] = table
    return order_rows(rows, judged, configs=configs)
