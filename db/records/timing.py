"""What expected times are made of: the live stages, how far they are, who computes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PACE, PACE_PARTS = "pace", 1_000  # the curve that keeps it, whose steps are thousandths of the work
Pace = tuple[tuple[float, float], ...]  # (share of the work that was done, seconds since the attempt began), in order


@dataclass(frozen=True, kw_only=True)
class LiveStage:
    """A queued or running stage that live runs wait for."""

    stage_id: int
    fingerprint: str
    kind: str
    model: str  # "" where it has none
    device: str  # any | cpu | gpu
    cards: int
    priority: int
    running_on: str | None  # the device of its worker; None while it is queued
    elapsed: float | None  # seconds since it was claimed
    pace: Pace  # of the running attempt
    inputs: tuple[int, ...]  # stages whose results it reads
    runs: tuple[int, ...]  # live ones, oldest first
    data_pairs: int | None  # of its runs' data stage, where that is done


@dataclass(frozen=True, kw_only=True)
class QueueNow:
    """The live stages in the order in which workers take them, running ones first; at most so many."""

    at: datetime
    stages: tuple[LiveStage, ...]
    workers: Mapping[str, int]  # alive, by kind of device
    cut: bool  # there are more than are listed


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """What decides how much a stage has to do. `config`: of a run that it belongs to."""

    stage_id: int
    stage_config: Mapping[str, Any]
    config: Mapping[str, Any]
