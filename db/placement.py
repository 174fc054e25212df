"""Which worker starts which stage, and with whose cards. Pure: rows in, a choice out.

A stage may want several cards of one host at once. The first such stage in order of urgency that cannot start yet
reserves the idle cards of the host where it will start: less urgent stages get only what it does not need there. So it
waits no longer than the stages that run there, and cards of other hosts are nobody's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from db.status import device_kind, stages_for


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A stage that is ready, and what it needs."""

    stage_id: int
    device: str  # any | cpu | gpu
    cards: int = 1
    card_bytes: int | None = None
    host_bytes: int | None = None  # of the machine, for all of its processes


@dataclass(frozen=True, kw_only=True)
class Card:
    """A living worker with the card that it computes on. `free`: it computes nothing and is not lent. host_bytes: the
    memory of its machine."""

    worker_id: int
    host: str
    device: str
    name: str | None = None
    bytes: int | None = None
    host_bytes: int | None = None
    free: bool = True

    @property
    def place(self) -> tuple[str, str]:
        """Where cards are that can compute together."""
        return self.host, device_kind(self.device)

    def fits(self, stage: Wanted) -> bool:
        """Whether one of the stage's parts can be computed here; what is unknown fits."""
        large_enough = _within(stage.card_bytes, self.bytes) and _within(stage.host_bytes, self.host_bytes)
        return large_enough and stage.device in stages_for(self.device)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A stage with the cards that it gets, that of its own worker first."""

    stage: Wanted
    cards: tuple[Card, ...]


def choose(ready: Iterable[Wanted], cards: Sequence[Card], worker_id: int) -> Start | None:
    """What this worker, which is free, starts now: of the ready stages, most urgent first, one that fits its card and
    leaves alone what more urgent ones wait for. None: nothing."""
    me = next((card for card in cards if card.worker_id == worker_id), None)
    if me is None:
        return None
    held: set[int] = set()  # workers whose cards a more urgent stage gets
    waiting = False
    for stage in ready:
        if stage.cards > 1:
            others = _spare(cards, stage, held, me.place, but=worker_id)
            if worker_id not in held and me.fits(stage) and len(others) >= stage.cards - 1:
                return Start(stage=stage, cards=(me, *others[: stage.cards - 1]))
            spare = _set_aside(cards, stage, held, me)
            if spare is not None:
                enough = len(spare) == stage.cards
                held |= spare if enough or not waiting else set()
                waiting |= not enough
        elif worker_id not in held and me.fits(stage):
            return Start(stage=stage, cards=(me,))
        if worker_id in held:
            return None
    return None


def startable(ready: Sequence[Wanted], cards: Sequence[Card]) -> list[Start]:
    """All that the free workers would start now, one after the other."""
    left, now = list(ready), list(cards)
    starts: list[Start] = []
    for card in cards:
        if not any(one.worker_id == card.worker_id and one.free for one in now):
            continue
        start = choose(left, now, card.worker_id)
        if start is not None:
            starts.append(start)
            left.remove(start.stage)
            taken = {one.worker_id for one in start.cards}
            now = [_busy(one) if one.worker_id in taken else one for one in now]
    return starts


def most_together(stage: Wanted, cards: Iterable[Card]) -> int:
    """How many cards that are large enough for the stage one host has, free or not."""
    return max(_places_for(stage, cards).values(), default=0)


def _set_aside(cards: Sequence[Card], stage: Wanted, held: set[int], me: Card) -> set[int] | None:
    """Workers whose cards are spare for a stage that somebody else starts, at most as many as it needs, at the place
    that has most of them; None where no place is large enough. `me` counts as free, whatever its row says."""
    able = _places_for(stage, cards)
    spare: dict[tuple[str, str], list[int]] = {place: [] for place, number in able.items() if number >= stage.cards}
    if not spare:
        return None
    for card in cards:
        if card.place in spare and card.fits(stage) and (card.free or card is me) and card.worker_id not in held:
            spare[card.place].append(card.worker_id)
    _, most = min(spare.items(), key=lambda found: (-len(found[1]), found[0]))
    return set(most[: stage.cards])


def _places_for(stage: Wanted, cards: Iterable[Card]) -> dict[tuple[str, str], int]:
    """How many cards that are large enough for the stage each place has, free or not."""
    counts: dict[tuple[str, str], int] = {}
    for card in cards:
        if card.fits(stage):
            counts[card.place] = counts.get(card.place, 0) + 1
    return counts


def _spare(cards: Sequence[Card], stage: Wanted, held: set[int], place: tuple[str, str], but: int) -> list[Card]:
    """Free cards of a place that fit and that nobody more urgent gets, the smallest first."""
    found = [
        card for card in cards
        if card.free and card.place == place and card.worker_id not in held | {but} and card.fits(stage)
    ]  # fmt: skip
    return sorted(found, key=lambda card: (card.bytes or 0, card.worker_id))


def _within(needed: int | None, there: int | None) -> bool:
    return needed is None or there is None or needed <= there


def _busy(card: Card) -> Card:
    return replace(card, free=False)
