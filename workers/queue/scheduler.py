"""Who is rung: as many idle workers as there are ready stages for their kind of device."""

from redis.exceptions import RedisError

from db.repositories import leases, stages
from workers.machine.database import reading
from workers.queue import doorbell

DEVICES = ("gpu", "cpu")


def ring_idle() -> bool:
    """Ring once per ready stage, at most once per idle worker. False when Redis is down: the reaper rings later."""
    rings = rings_needed()
    try:
        for device, number in rings.items():
            doorbell.ring(device, number)
    except RedisError:
        return False
    return True


def rings_needed() -> dict[str, int]:
    """How many idle workers of each kind of device could start a stage now."""
    with reading() as session:
        idle = leases.idle_devices(session)
        if not idle:
            return {}
        needed = {
            device: min(idle.count(device), stages.ready_count(session, device)) for device in DEVICES if device in idle
        }
    return {device: number for device, number in needed.items() if number}
