"""Saved views of the list of runs."""

from collections.abc import Mapping
from typing import Any

from db.repositories.lists import saved_views
from workers.machine import patience
from workers.machine.database import writing


@patience.patient()
def save_view(name: str, params: Mapping[str, Any]) -> int:
    """Keep a list under a new name; the view's number."""
    with writing() as session:
        return saved_views.save(session, name, params)


@patience.patient()
def replace_view(view_id: int, params: Mapping[str, Any]) -> None:
    """Let a view show what is looked at now."""
    with writing() as session:
        saved_views.replace(session, view_id, params)


@patience.patient()
def rename_view(view_id: int, name: str) -> None:
    """Give a view another name."""
    with writing() as session:
        saved_views.rename(session, view_id, name)


@patience.patient()
def delete_view(view_id: int) -> None:
    """Forget a view."""
    with writing() as session:
        saved_views.delete(session, view_id)


@patience.patient()
def set_default_view(view_id: int | None) -> None:
    """What Runs opens with; None: all runs."""
    with writing() as session:
        saved_views.set_default(session, view_id)
