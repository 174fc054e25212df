"""Saved views of the list of runs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from db.repositories.lists import saved_views
from db.repositories.people import who
from workers.access.doing import check_owner, needs, person, record
from workers.access.roles import Role
from workers.machine import patience
from workers.machine.database import writing


@needs(Role.ANNOTATOR)
@patience.patient()
def save_view(name: str, params: Mapping[str, Any]) -> int:
    """Keep a list under a new name; the view's number."""
    with writing() as session:
        view_id = saved_views.save(session, name, params, owner=person().name)
        record(session, f"view {view_id}", after={"name": name, **params})
    return view_id


@needs(Role.ANNOTATOR)
@patience.patient()
def replace_view(view_id: int, params: Mapping[str, Any]) -> None:
    """Let a view show what is looked at now."""
    with writing() as session:
        _check(session, view_id)
        saved_views.replace(session, view_id, params)
        record(session, f"view {view_id}", after=params)


@needs(Role.ANNOTATOR)
@patience.patient()
def rename_view(view_id: int, name: str) -> None:
    """Give a view another name."""
    with writing() as session:
        _check(session, view_id)
        saved_views.rename(session, view_id, name)
        record(session, f"view {view_id}", after={"name": name})


@needs(Role.ANNOTATOR)
@patience.patient()
def delete_view(view_id: int) -> None:
    """Forget a view."""
    with writing() as session:
        _check(session, view_id)
        saved_views.delete(session, view_id)
        record(session, f"view {view_id}")


@needs(Role.RUNNER)
@patience.patient()
def set_default_view(view_id: int | None) -> None:
    """What Runs opens with; None: all runs."""
    with writing() as session:
        saved_views.set_default(session, view_id)
        record(session, "all views" if view_id is None else f"view {view_id}")


def _check(session: Session, view_id: int) -> None:
    check_owner(session, who.owner_of_view(session, view_id), "This view")
