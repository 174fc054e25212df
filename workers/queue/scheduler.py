"""Who is rung: as many idle workers of a kind of device as could start a stage now."""

import logging

from redis.exceptions import RedisError

from db.repositories import cards
from workers.machine import patience
from workers.machine.database import reading
from workers.queue import doorbell

log = logging.getLogger(__name__)


def ring_idle() -> bool:
    """Ring once per stage that an idle worker could start. False when Redis is down: the reaper rings later."""
    rings = rings_needed()
    try:
        for device, number in rings.items():
            doorbell.ring(device, number)
    except RedisError as error:
        if not patience.passes(error):
            log.warning("Redis refuses: %s", error)
        return False
    if rings:
        patience.answered(patience.REDIS)
    return True


def rings_needed() -> dict[str, int]:
    """How many idle workers of each kind of device could start a stage now."""
    with reading() as session:
        return cards.startable_by_device(session)
