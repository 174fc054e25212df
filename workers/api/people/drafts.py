"""Drafts of New run are kept, named, marked as queued and deleted."""

from collections.abc import Mapping
from typing import Any

from db.repositories.people import drafts, who
from workers.access.doing import check_owner, needs, nothing, person, record
from workers.access.roles import Role
from workers.machine import patience
from workers.machine.database import writing


@needs(Role.ANNOTATOR)
@patience.patient()
def save_draft(draft_id: str, *, name: str, content: Mapping[str, Any], revision: int) -> int:
    """Keep a form as it is; its new revision. ChangedDraft where another window has written since `revision`. It is
    written at each change of the form: only its first time is in the log."""
    with writing() as session:
        check_owner(session, who.owner_of_draft(session, draft_id), "This draft")
        saved = drafts.save(session, draft_id, name=name, content=content, revision=revision, owner=person().name)
        if revision == 0:
            record(session, f"draft {draft_id}", after={"name": name})
        else:
            nothing()
    return saved


@needs(Role.RUNNER, told=False)
@patience.patient()
def mark_draft_queued(draft_id: str) -> None:
    """Runs were queued from it: it stays, and its list says so."""
    with writing() as session:
        drafts.mark_queued(session, draft_id)


@needs(Role.ANNOTATOR)
@patience.patient()
def delete_draft(draft_id: str) -> None:
    """Remove a draft for good."""
    with writing() as session:
        check_owner(session, who.owner_of_draft(session, draft_id), "This draft")
        drafts.delete(session, draft_id)
        record(session, f"draft {draft_id}")
