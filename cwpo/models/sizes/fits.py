"""In which ways a stage could be computed, and which of them is the first that fits a card. No torch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cwpo.bounds import most
from cwpo.models import memory_estimate
from cwpo.models.memory_estimate import Need
from cwpo.models.shape import Shape
from cwpo.models.sizes.weights import Kept
from cwpo.stages.kinds import kind_of
from cwpo.stages.online import OnlineSettings
from cwpo.stages.settings import PreferenceSettings, ReferenceSettings, SampleSettings, Settings

GIGABYTE = 1_000_000_000
CARDS = (24, 48, 80, 141)  # GB, as cards are sold; what they have is a little more
CONTEXT = GIGABYTE  # what CUDA itself takes of a card, and gaps between tensors
COUNTS = (1, 2, 4, 8)  # of cards at once
AS_IT_IS = "as it is"
CACHE_STEP = 0.1  # GB of evaluation.cache_gb that are told apart


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to compute a stage, with the bytes that it takes of each card and of the host's memory."""

    checkpointing: bool = False
    four_bits: bool = False  # model.quantization: nf4
    cards: int = 1
    bytes: int
    host: int


def ways(
    settings: Settings,
    shape: Shape,
    *,
    tokens: int,
    models: int = 1,
    asked: bool | None = None,
    adapted: bool = False,
    counts: Sequence[int] = COUNTS,
) -> list[Way]:
    """From the fastest on: all kept, activations made again, weights in 4 bits, several cards.

    asked: execution.gradient_checkpointing, which leaves one of two where it is set. adapted: the run trains an
    adapter, so that the policy's weights may be in 4 bits. counts: of cards; what trains whole is split over them.
    """
    trains = kind_of(settings).trains
    whole = trains and memory_estimate.lora_of(settings) is None
    again = (False, True) if trains and asked is None else (bool(trains and asked),)
    found = []
    for cards in counts if whole else (1,):
        for kept in _kept(settings, adapted=adapted):
            need = memory_estimate.of_stage(settings, shape, tokens=tokens, models=models, cards=cards, kept=kept)
            if need is not None:
                four_bits = kept == "nf4" and memory_estimate.kept_of(settings) != "nf4"
                found += [_way(need, checkpointing, four_bits, cards) for checkpointing in again]
    return found


def first_that_fits(found: Sequence[Way], gigabytes: float) -> Way | None:
    """The first way that leaves room for CUDA itself on a card of so many GB."""
    return next((way for way in found if way.bytes + CONTEXT <= gigabytes * GIGABYTE), None)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What the keys and values of a batch of answers take, where a run may choose how much. ones: bytes of each way
    with evaluation.cache_gb 1; each: bytes that another GB adds."""

    ones: tuple[int, ...]
    each: int

    def largest(self, gigabytes: float, way: int | None) -> tuple[float, int] | None:
        """The largest evaluation.cache_gb with which a card of so many GB is large enough, rounded down, and the way.

        way: the number of one; None: the first in which any would do. None: nothing would.
        """
        room = gigabytes * GIGABYTE - CONTEXT
        for number in range(len(self.ones)) if way is None else (way,):
            steps = math.floor((1 + (room - self.ones[number]) / self.each) / CACHE_STEP)
            if steps > 0:
                return min(round(steps * CACHE_STEP, 1), most.FACTOR), number
        return None


def cache_of(settings: Settings, possible: Callable[[Settings], Sequence[Way]]) -> Cache | None:
    """Of a stage that samples in bf16 by itself. possible: its ways with such settings."""
    if not isinstance(settings, SampleSettings | OnlineSettings) or settings.batches is None:
        return None
    batches = settings.batches
    one, two = (
        [way.bytes for way in possible(replace(settings, batches=replace(batches, cache_gb=size)))] for size in (1, 2)
    )
    return Cache(ones=tuple(one), each=two[0] - one[0]) if one else None


def words_of(way: Way) -> str:
    """What has to be chosen for it: "on 4 cards, with gradient checkpointing"."""
    parts = [
        f"on {way.cards} cards" if way.cards > 1 else "",
        "in 4 bits" if way.four_bits else "",
        "with gradient checkpointing" if way.checkpointing else "",
    ]
    return ", ".join(part for part in parts if part) or AS_IT_IS


def _way(need: Need, checkpointing: bool, four_bits: bool, cards: int) -> Way:
    taken = need.total_checkpointed if checkpointing else need.total
    return Way(checkpointing=checkpointing, four_bits=four_bits, cards=cards, bytes=taken, host=need.host)


def _kept(settings: Settings, *, adapted: bool) -> Iterator[Kept | None]:
    """How frozen weights may be kept: as the settings say, and in 4 bits where the policy lies under adapters."""
    yield None
    policy = isinstance(settings, PreferenceSettings | ReferenceSettings | SampleSettings)
    if adapted and policy and memory_estimate.kept_of(settings) != "nf4":
        yield "nf4"


def has_to_split(
    settings: Settings, shape: Shape, *, tokens: int, cards: int, card_bytes: int, asked: bool | None = None
) -> bool:
    """Whether a stage over several cards has to split its model, because a copy of it does not fit one of them."""
    possible = ways(settings, shape, tokens=tokens, asked=asked, counts=(1, cards))
    copies = [way.bytes for way in possible if way.cards == 1]
    return cards > 1 and len(possible) > len(copies) and min(copies) + CONTEXT > card_bytes
