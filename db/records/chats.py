"""Chats as pages and their process see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

WAITING, LOADING, OPEN, ENDED = "waiting", "loading", "open", "ended"  # of a chat
ANSWERING, ANSWERED, STOPPED, FAILED = "answering", "done", "stopped", "failed"  # of a turn, which waits at first
SILENT_SECONDS = 30.0  # without a sign of its process a chat is over
GONE_SECONDS = 90.0  # without a look of a page nobody is there to read
LIVE_CHAT, LIVE_TURN = (WAITING, LOADING, OPEN), (WAITING, ANSWERING)


@dataclass(frozen=True, kw_only=True)
class TurnRow:
    """One prompt and what the models answered so far, by their names."""

    id: int
    number: int
    prompt: str
    temperature: float
    max_new_tokens: int
    seed: int
    plain: bool
    state: str
    said: str
    answers: Mapping[str, str]

    @property
    def is_live(self) -> bool:
        """Whether it is still to be answered, or being answered."""
        return self.state in LIVE_TURN


@dataclass(frozen=True, kw_only=True)
class ChatRow:
    """A chat with its newest turns, oldest first. `silent`: its process has not been heard of for too long."""

    id: int
    run_id: int
    models: tuple[str, ...]
    state: str
    wish: str
    device: str | None
    host: str | None
    pid: int | None
    template: bool
    said: str
    created_at: datetime
    silent: bool
    unclaimed: bool  # it waits, and nobody has taken it for longer than a moment
    turns: tuple[TurnRow, ...]

    @property
    def is_live(self) -> bool:
        """Whether it can be asked, now or in a moment."""
        return self.state in LIVE_CHAT and not self.silent

    @property
    def answers(self) -> bool:
        """Whether a turn is being answered."""
        return self.is_live and any(turn.is_live for turn in self.turns)


@dataclass(frozen=True, kw_only=True)
class LifeSign:
    """What its process asks about a chat; seconds since a page looked, and since somebody asked or was answered."""

    state: str
    unseen: float
    unasked: float
