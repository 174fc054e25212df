"""Runs as somebody keeps them: tags, notes, pins; their places in the queue; messages about their ends; mirrors."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class KeptRun:
    """What can be done to a run, and what somebody said of it."""

    id: int
    name: str
    status: str
    pinned: bool
    paused: bool
    archived: bool
    tags: tuple[str, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class TagCount:
    """A tag, and how many runs have it."""

    tag: str
    runs: int


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What deleting runs would free, and which of their artifacts others hold; `named`: annotators that stay because
    they have a name."""

    artifacts: int
    bytes: int
    kept: int
    named: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QueuedRun:
    """A run in the queue, in the order in which workers look at runs."""

    place: int  # from 1
    id: int
    name: str
    method_label: str
    objective: str
    seed: int
    status: str  # queued | running
    paused: bool
    priority: int
    stages: int
    stages_left: int
    running: tuple[str, ...]  # slots that are computed now
    next_slot: str | None  # ready, and not started yet
    waits_for: str | None  # a slot that another run's worker computes, where nothing of this run is ready


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """The first runs of the queue."""

    rows: tuple[QueuedRun, ...]
    total: int
    paused: bool  # as a whole


@dataclass(frozen=True, kw_only=True)
class LatelyDeleted:
    """A deleted run that can still be brought back."""

    id: int
    name: str
    method_label: str
    objective: str
    seed: int
    owner: str | None
    deleted_at: datetime


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """A run that ended, with what a message about it says."""

    id: int
    name: str
    method_label: str
    objective: str
    seed: int
    sweep: str | None
    status: str  # done | failed | cancelled
    error: str | None
    finished_at: datetime
    gra: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class DueNotice:
    """A message that somebody is about to send. `target`: the hash of the address that it is for."""

    id: int
    target: str
    body: Mapping[str, Any]
    tries: int  # this one included


@dataclass(frozen=True, kw_only=True)
class NoticeCounts:
    """Messages of the last day to one target."""

    sent: int
    waiting: int
    given_up: int
    error: str | None  # of the newest that did not arrive


@dataclass(frozen=True, kw_only=True)
class MirrorTurn:
    """The right to bring a mirror up to date for a while."""

    again: bool  # nobody else had it since this one had it last
    at: datetime
    since: datetime | None  # every run that ended before is there; None: nobody keeps this mirror up to date yet


@dataclass(frozen=True, kw_only=True)
class MirroredRun:
    """A run that a mirror may lack something of."""

    id: int
    ended_at: datetime | None  # None while it is live
