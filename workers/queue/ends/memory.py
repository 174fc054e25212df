"""A stage that ran out of memory: tried once more with less, then failed in a sentence. Free of torch.

With what each attempt was executed that ran out stays on the attempt, so that whoever claims the stage next knows it.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from cwpo.config.parts import ExecutionConfig
from cwpo.errors import is_of_a_card
from cwpo.models.shape import Shape
from cwpo.models.sizes import smaller
from cwpo.models.sizes.again import shape_of_stage
from cwpo.models.sizes.fits import has_to_split
from cwpo.models.sizes.machine import whole_memory
from cwpo.stages.kinds import stored_settings
from cwpo.stages.settings import Settings
from db.repositories import leases, stages
from workers.machine.devices import card_memory, gpu_memory
from workers.machine.paths import home

_BESIDE_A_CARD = (
    "it was the machine's memory and not the card's: close what else uses it, start fewer workers or choose a smaller "
    "model"
)


class Where(StrEnum):
    """Whose memory ran out."""

    CARD = "card"
    MACHINE = "machine"


def where_of(error: BaseException) -> Where:
    """Of the error that said it."""
    return Where.CARD if is_of_a_card(error) else Where.MACHINE


def execution_of(session: Session, stage_id: int, of_stage: Settings) -> ExecutionConfig:
    """With what a stage is executed: as its most urgent run wants it, and with less where that ran out of memory."""
    wished = _wished(session, stage_id)
    least = _least(leases.ran_out(session, stage_id))
    if least is None or wished.tokens_per_batch < least["tokens_per_batch"]:
        return wished
    before = wished.model_copy(update=dict(least))
    return smaller.smaller(of_stage, before, _shape(of_stage)) or before


def said_of(session: Session, stage_id: int, of_stage: Settings, execution: ExecutionConfig) -> str:
    """Why a stage is executed with less than was asked for, in a sentence; empty where it is not."""
    words = smaller.words(of_stage, execution, _shape(of_stage))
    if execution == _wished(session, stage_id) or not words:
        return ""
    return f"An earlier attempt ran out of memory: this one computes with {words}."


def splits(cards: Sequence[str], of_stage: Settings, execution: ExecutionConfig) -> bool | None:
    """Whether the model has to be split over these cards; None where sizes or cards are not known."""
    memory = card_memory()
    sizes = [memory[card].total for card in cards if card in memory]
    shape = _shape(of_stage)
    if shape is None or not sizes:
        return None
    return has_to_split(
        of_stage, shape, tokens=execution.tokens_per_batch, cards=len(cards), card_bytes=min(sizes),
        asked=execution.gradient_checkpointing,
    )  # fmt: skip


def ran_out(
    session: Session,
    stage_id: int,
    token: int,
    of_stage: Settings | None = None,
    *,
    where: Where,
    gpu: bool,
    cards: Sequence[str] = (),
) -> str:
    """The held stage goes back to the queue where it is to be tried with less, else it fails; in a sentence.

    Once with less of what the run asks for; after a retry by a person once with still less. cards: on which it ran.
    """
    own = of_stage or stored_settings(*leases.described(session, stage_id))
    shape = _shape(own)
    used = execution_of(session, stage_id, own)
    less = smaller.smaller(own, used, shape) if used == _wished(session, stage_id) else None
    leases.mark_ran_out(session, stage_id, token, _kept(used))
    tried = (_words(one, own, used, shape) for one in leases.ran_out(session, stage_id)[-2:])
    said = ", and again with ".join(words for words in tried if words)
    with_what = f" with {said}" if said else ""
    if less is not None:
        sentence = f"Out of memory{with_what}: tried once more with {smaller.words(own, less, shape) or 'less'}."
        stages.release(session, stage_id, token, cause=sentence)
        return sentence
    if where is Where.MACHINE and gpu:
        remedy = _BESIDE_A_CARD
    else:
        parts = len(cards) if gpu and len(cards) > 1 and splits(cards, own, used) is not False else 1
        have = gpu_memory() if gpu else whole_memory("cpu")
        remedy = smaller.what_would_fit(own, used, shape, have, cards=parts)
    sentence = f"Out of memory{with_what}; {remedy}, then retry; finished stages are kept."
    stages.fail(session, stage_id, token, error=sentence)
    return sentence


def _wished(session: Session, stage_id: int) -> ExecutionConfig:
    return ExecutionConfig.model_validate(leases.wishes(session, stage_id))


def _kept(execution: ExecutionConfig) -> dict[str, Any]:
    return {
        "tokens_per_batch": execution.tokens_per_batch,
        "gradient_checkpointing": execution.gradient_checkpointing,
    }


def _least(tried: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The least that ran out; of equal ones that with gradient checkpointing."""
    return min(tried, key=lambda one: (one["tokens_per_batch"], not one["gradient_checkpointing"]), default=None)


def _words(kept: Mapping[str, Any], own: Settings, used: ExecutionConfig, shape: Shape | None) -> str:
    return smaller.words(own, used.model_copy(update=dict(kept)), shape)


def _shape(of_stage: Settings) -> Shape | None:
    return shape_of_stage(of_stage, home())
