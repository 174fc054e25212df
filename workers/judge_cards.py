"""Judge cards out of the database: what is known of the judge that each run's GRA was counted with."""

from cwpo.compare.configured_run import Configs
from cwpo.compare.judges.card import Card, oracle_card
from cwpo.stages.graph import CARD, gold_key
from db import queries
from db.engine import Session


def judge_cards(session: Session, configs: Configs, *, oracle: bool = True) -> dict[int, Card]:
    """By run: of a judge that was tried on pairs with human labels, and in the sandbox, with `oracle`, of the oracle,
    whose choice among the pairs is known."""
    keys = {run_id: gold_key(str(config.evaluation.gold_reward)) for run_id, config in configs.items()}
    slots = sorted({f"{CARD}@{key}" for key in keys.values()})
    found = queries.summaries(session, list(keys), [*slots, "data"])
    cards: dict[int, Card] = {}
    for run_id, key in keys.items():
        card = found[f"{CARD}@{key}"].get(run_id)
        if card is None and oracle and configs[run_id].evaluation.gold_reward == "oracle" and run_id in found["data"]:
            card = oracle_card(found["data"][run_id])
        if card is not None:
            cards[run_id] = card
    return cards
