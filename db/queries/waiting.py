"""Which stages no living worker is large enough for."""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import status
from db.models import RunStage, Stage
from db.placement import Card, Wanted, most_together
from db.readiness import NEEDS, asks_for_room, inputs_missing, living_cards, wanted_by
from db.records import CardWait


def card_waits(session: Session, run_ids: Collection[int]) -> list[CardWait]:
    """Ready stages of these runs that want more or larger cards than any host has, or more memory; one for each run.
    Where no worker lives that could serve them at all, nothing is said of cards."""
    rows = session.execute(
        select(RunStage.run_id, RunStage.slot, *NEEDS)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), Stage.status == status.QUEUED, asks_for_room(), ~inputs_missing())
        .order_by(RunStage.run_id, Stage.id)
    ).all()
    if not rows:
        return []
    cards = living_cards(session)
    found: dict[int, CardWait] = {}
    for row in rows:
        stage = wanted_by(row)
        able = [card for card in cards if stage.device in status.stages_for(card.device)]
        if able and row.run_id not in found and most_together(stage, able) < stage.cards:
            found[row.run_id] = _wait(row.run_id, row.slot, stage, able)
    return list(found.values())


def _wait(run_id: int, slot: str, stage: Wanted, cards: Collection[Card]) -> CardWait:
    sizes = [card.bytes for card in cards if card.bytes is not None]
    hosts = [card.host_bytes for card in cards if card.host_bytes is not None]
    return CardWait(
        run_id=run_id, slot=slot, cards=stage.cards, card_bytes=stage.card_bytes, largest=max(sizes, default=None),
        together=most_together(replace(stage, host_bytes=None), cards),
        host_bytes=stage.host_bytes, largest_host=max(hosts, default=None),
    )  # fmt: skip
