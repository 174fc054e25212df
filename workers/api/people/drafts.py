"""Drafts of New run are kept, named, marked as queued and deleted."""

from collections.abc import Mapping
from typing import Any

from db.repositories.people import drafts
from workers.machine import patience
from workers.machine.database import writing


@patience.patient()
def save_draft(draft_id: str, *, name: str, content: Mapping[str, Any], revision: int) -> int:
    """Keep a form as it is; its new revision. ChangedDraft where another window has written since `revision`."""
    with writing() as session:
        return drafts.save(session, draft_id, name=name, content=content, revision=revision)


@patience.patient()
def mark_draft_queued(draft_id: str) -> None:
    """Runs were queued from it: it stays, and its list says so."""
    with writing() as session:
        drafts.mark_queued(session, draft_id)


@patience.patient()
def delete_draft(draft_id: str) -> None:
    """Remove a draft for good."""
    with writing() as session:
        drafts.delete(session, draft_id)
