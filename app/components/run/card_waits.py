"""Runs that wait for a card that no worker has."""

from collections.abc import Sequence

from app.components.frame import layout
from app.reads import results
from cwpo.report.waiting import waiting_sentence
from cwpo.stages.graph import slot_name
from db import queries

SHOWN = 5


def show_card_waits(run_ids: Sequence[int]) -> None:
    """One sentence for each of the first few; nothing where no run waits for a card."""
    if not run_ids:
        return
    with results.reading() as session:
        waits = queries.card_waits(session, run_ids)
    for wait in waits[:SHOWN]:
        said = waiting_sentence(
            slot_name(wait.slot), cards=wait.cards, card_bytes=wait.card_bytes, largest=wait.largest,
            together=wait.together, host_bytes=wait.host_bytes, largest_host=wait.largest_host,
        )  # fmt: skip
        layout.note(f"Run {wait.run_id}: {said}")
    if len(waits) > SHOWN:
        layout.note(f"{len(waits) - SHOWN} more runs wait for a card or for memory.")
