"""Judge cards out of the database: what is known of the judge that each run's GRA was counted with, and of others."""

from cwpo.compare.configured_run import Configs
from cwpo.compare.judges.card import ORACLE, Card, oracle_card
from cwpo.stages.graph import CARD, gold_key
from db import queries
from db.engine import Session


def judge_cards(session: Session, configs: Configs, *, oracle: bool = True, further: str = "") -> dict[int, Card]:
    """By run: of a judge that was tried on pairs with human labels, and in the sandbox, with `oracle`, of the oracle,
    whose choice among the pairs is known. `further`: the name in slots of another judge than the runs' own."""
    keys = {run_id: further or gold_key(str(config.evaluation.gold_reward)) for run_id, config in configs.items()}
    slots = sorted({f"{CARD}@{key}" for key in keys.values()})
    found = queries.summaries(session, list(keys), [*slots, "data"])
    cards: dict[int, Card] = {}
    for run_id, key in keys.items():
        card = found[f"{CARD}@{key}"].get(run_id)
        if card is None and oracle and key == ORACLE and run_id in found["data"]:
            card = oracle_card(found["data"][run_id])
        if card is not None:
            cards[run_id] = card
    return cards


def further_cards(session: Session, configs: Configs) -> dict[str, dict[int, Card]]:
    """Of all judges that were tried on pairs with human labels beside the runs' own, by their names in slots and by
    run."""
    own = {run_id: f"{CARD}@{gold_key(str(config.evaluation.gold_reward))}" for run_id, config in configs.items()}
    found = queries.summaries_under(session, list(own), f"{CARD}@")
    others = {
        slot.partition("@")[2]: {run_id: card for run_id, card in by_run.items() if slot != own[run_id]}
        for slot, by_run in found.items()
    }
    return {key: cards for key, cards in others.items() if cards}
