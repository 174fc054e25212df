"""What a stage that ran out of memory is tried with once more, and what would fit by the estimate. No torch.

Only what enters no fingerprint is made smaller: the tokens of one forward pass, while the batch of a step stays what it
is, and the activations that are kept.
"""

from typing import Any

from cwpo.config.parts import ExecutionConfig
from cwpo.models import memory_estimate
from cwpo.models.shape import Shape
from cwpo.models.sizes.fits import CARDS, CONTEXT, GIGABYTE, first_that_fits, ways
from cwpo.stages.kinds import kind_of
from cwpo.stages.settings import SampleSettings, ScorerSettings, Settings

_ROOM = (
    "by the estimate that fits: close what else uses the memory, lower execution.tokens_per_batch or choose a smaller "
    "model"
)
LEAST_TOKENS = 128  # fewer hold no row of most data, and a row always stands whole


def fixes_tokens(settings: Settings, shape: Shape | None) -> bool:
    """Whether the token budget does not matter to the stage, so that half of it would help nothing."""
    if kind_of(settings).light:
        return True
    if shape is None and isinstance(settings, ScorerSettings):
        return bool(settings.dropout)
    return memory_estimate.fixes_tokens(settings, shape) if shape is not None else _known_fixed(settings)


def _known_fixed(settings: Settings) -> bool:
    """The same of a model whose sizes are not known."""
    if isinstance(settings, SampleSettings):
        return settings.batches is not None
    lora = memory_estimate.lora_of(settings)
    return bool(getattr(settings, "label_dropout", 0.0) or (lora and lora.dropout))


def smaller(settings: Settings, tried: ExecutionConfig, shape: Shape | None) -> ExecutionConfig | None:
    """Half the token budget, and activations made again where it trains; None where nothing of it can be less."""
    tokens = tried.tokens_per_batch
    if not fixes_tokens(settings, shape) and tokens // 2 >= LEAST_TOKENS:
        tokens //= 2
    again = tried.gradient_checkpointing
    if kind_of(settings).trains and again is None:
        again = True
    if (tokens, again) == (tried.tokens_per_batch, tried.gradient_checkpointing):
        return None
    return tried.model_copy(update={"tokens_per_batch": tokens, "gradient_checkpointing": again})


def words(settings: Settings, execution: ExecutionConfig, shape: Shape | None) -> str:
    """With what a stage is executed: "2,048 tokens at once and gradient checkpointing"; empty where nothing of that
    matters to it."""
    parts = [] if fixes_tokens(settings, shape) else [f"{execution.tokens_per_batch:,} tokens at once"]
    if kind_of(settings).trains and execution.gradient_checkpointing is not None:
        parts.append("gradient checkpointing" if execution.gradient_checkpointing else "all activations kept")
    return " and ".join(parts)


def what_would_fit(
    settings: Settings, execution: ExecutionConfig, shape: Shape | None, have: int | None, *, cards: int = 1
) -> str:
    """What to change, in words that end a sentence. have: bytes of each card, or of the machine's memory. cards: that
    the model was split over."""
    if isinstance(settings, SampleSettings) and settings.batches is not None:
        return "answers in bf16 belong to their batch: lower evaluation.cache_gb, or sample in fp32"
    if kind_of(settings).light or shape is None:
        return "close what else uses memory, lower execution.tokens_per_batch or choose a smaller model"
    now = _bytes(settings, shape, execution.tokens_per_batch, cards)
    if now is None or (have is not None and now + CONTEXT <= memory_estimate.SAFE * have):
        return _ROOM
    if have is not None and (tokens := _tokens_that_fit(settings, execution, shape, have, cards)) is not None:
        return f"by the estimate execution.tokens_per_batch: {tokens} fits into {have / GIGABYTE:.1f} GB"
    least = min(execution.tokens_per_batch, LEAST_TOKENS)
    taken = _bytes(settings, shape, least, cards)
    if taken is None or (have is not None and taken + CONTEXT <= memory_estimate.SAFE * have):
        return _ROOM
    return _larger(settings, shape, least, have, taken, cards)


def _larger(settings: Settings, shape: Shape, least: int, have: int | None, taken: int, cards: int) -> str:
    """Which cards would do for the fewest tokens, as many as there were, or what else can be changed."""
    whole = kind_of(settings).trains and memory_estimate.lora_of(settings) is None
    cards = cards if whole else 1
    possible = ways(settings, shape, tokens=least, asked=None, counts=(cards,))
    larger = (size for size in CARDS if have is None or size * GIGABYTE > 1.05 * have)
    found = ((size, first_that_fits(possible, memory_estimate.SAFE * size)) for size in larger)
    size, way = next(((size, way) for size, way in found if way is not None), (0, None))
    how = "" if way is None or way.four_bits or not way.checkpointing else " with gradient checkpointing"
    which, such = ("a card", "such a one") if cards == 1 else (f"{cards} cards", "such cards")
    fits = f", which fits {which} of {size} GB{how}: use {such}" if way is not None else ":"
    each = "" if cards == 1 else f" of each of {cards} cards"
    adapter = ", set model.lora" if whole else ""
    told = f"by the estimate it takes {(taken + CONTEXT) / GIGABYTE:.1f} GB{each} at least{fits}{adapter}"
    return f"{told} or choose a smaller model".replace(":, ", ": ").replace(": or ", ": ")


def _tokens_that_fit(
    settings: Settings, execution: ExecutionConfig, shape: Shape, have: int, cards: int
) -> int | None:  # fmt: skip
    """The largest half of a half … of what was tried that the estimate has room for."""
    tokens = execution.tokens_per_batch // 2
    while tokens >= LEAST_TOKENS and not fixes_tokens(settings, shape):
        taken = _bytes(settings, shape, tokens, cards)
        if taken is not None and taken + CONTEXT <= memory_estimate.SAFE * have:
            return tokens
        tokens //= 2
    return None


def _bytes(settings: Settings, shape: Shape, tokens: int, cards: int) -> int | None:
    """Of each card, with activations made again where it trains."""
    need: Any = memory_estimate.of_stage(settings, shape, tokens=tokens, cards=cards)
    if need is None:
        return None
    return int(need.total_checkpointed if kind_of(settings).trains else need.total)
