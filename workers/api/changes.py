"""What commands have in common: the ring after a commit, and files that nothing uses any more."""

from collections.abc import Sequence

from redis.exceptions import RedisError

from cwpo.redaction import without_secrets
from db.errors import DatabaseUnavailable
from workers.access.doing import part, reads
from workers.machine.paths import store
from workers.queue import doorbell, scheduler


@part
def delete_artifacts(fingerprints: Sequence[str]) -> None:
    """The files of these artifacts, which nothing uses any more."""
    place = store()
    for fingerprint in fingerprints:
        place.delete(fingerprint)


@part
def announce() -> bool:
    """Ring for idle workers. False when Redis is down, whether or not anybody had to be rung."""
    try:
        rung = scheduler.ring_idle()
    except DatabaseUnavailable:  # what was to be written is written; the reaper rings when it can look again
        rung = True
    return rung and doorbell.answers()


@reads
def redis_health() -> tuple[bool, str]:
    """Whether Redis answers, and one sentence about it."""
    try:
        remark = doorbell.remark()
    except RedisError as error:
        return False, f"Redis does not answer ({without_secrets(str(error))}): queued runs start when it is back."
    return True, f"Redis answers. {remark}".rstrip()
