"""Drafts of New run, and the runs that a form would make again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DraftRow:
    """A form as it was left. `name` is empty where nobody gave it one."""

    id: str
    name: str
    content: Mapping[str, Any]
    revision: int
    created_at: datetime
    updated_at: datetime
    queued_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class RunLike:
    """A run that has a certain configuration already."""

    run_id: int
    status: str
    archived: bool
