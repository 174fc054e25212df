"""Where the models of a chat can be: whether this machine has their files, and which card holds them. Free of torch.

A card is taken only where no stage computes and the models fit into what is free; else a sentence says what to do.
"""

import socket

from cwpo.config.run import RunConfig
from cwpo.errors import CwpoError
from cwpo.models.memory import free_memory
from cwpo.models.shape import known_config, shape_of
from cwpo.models.sizes.fits import CONTEXT, GIGABYTE
from cwpo.models.sizes.weights import frozen_bytes, kept_in
from cwpo.report.numbers import size
from db import queries
from db.records import WorkerRow
from db.status import DONE, WORKER_IDLE
from workers.machine.database import reading
from workers.machine.devices import card_memory, visible_gpus
from workers.machine.paths import home, store

MODELS = ("align", "sft")  # slots of a run whose files a chat needs
_ROOM = 1.2  # beside weights stand keys, values and what is computed


class NoRoom(CwpoError):
    """The models of a chat fit nowhere now."""


def has_files(run_id: int) -> bool:
    """Whether this machine can have the models that the run has trained."""
    with reading() as session:
        stages = queries.run_stages(session, run_id)
    here = store()
    return all(here.holds(stage.fingerprint) for stage in stages if stage.slot in MODELS and stage.status == DONE)


def place_for(run_id: int, wish: str) -> str:
    """The card whose free memory holds the models, by its name; "" for the CPU. NoRoom with the reason."""
    with reading() as session:
        config = RunConfig.stored(queries.get_run(session, run_id).config)
        workers = queries.workers(session)
    if wish == "cpu" or not visible_gpus():
        need, have = needed(config, card=False), free_memory("cpu")
        if need > have:
            raise NoRoom(f"The models take about {size(need)} of memory, and {size(have)} are free on this machine.")
        return ""
    return card_for(
        needed(config, card=True) + CONTEXT, workers, {name: one.free for name, one in card_memory().items()}
    )


def card_for(need: int, workers: list[WorkerRow], free: dict[str, int]) -> str:
    """The card with the most free memory among those of this host's workers that compute nothing."""
    here = socket.gethostname()
    idle = [one.card for one in workers if one.alive and one.host == here and one.state == WORKER_IDLE and one.card]
    if not idle:
        raise NoRoom("Stages compute on every card of this machine: wait for one to end, or chat on the CPU.")
    best = max(idle, key=lambda card: free.get(card, 0))
    if need > free.get(best, need):
        raise NoRoom(
            f"The models take about {size(need)} of a card, and the idle one with the most room has "
            f"{size(free.get(best))} free: wait for stages to end, or chat on the CPU."
        )
    return best


def needed(config: RunConfig, *, card: bool) -> int:
    """Bytes of all models of a chat: one set of weights under adapters, else one for each; 0 where nobody knows."""
    model = config.model
    known = known_config(model.policy, model.policy_revision, home())
    shape = None if known is None else shape_of(known)
    if shape is None:
        return GIGABYTE if card else 0
    kept = kept_in(model.precision, model.quantization if card else "none", frozen=True)
    copies = 1 if model.lora is not None else 2 + (config.sft.data != "none")
    return round(_ROOM * copies * frozen_bytes(shape, kept, scalar=False))
