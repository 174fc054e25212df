"""Why ranks did not finish: the first error that is a cause, a wish to stop, or that processes were lost."""

import signal
from collections.abc import Sequence
from typing import Any

from cwpo import errors
from cwpo.parallel.killed import Cause, cause_of
from cwpo.parallel.process import Rank

_NAMED = {kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type)}
_BACK = "all ranks were ended, and the stage goes on from its last checkpoint."


def error_of(ranks: Sequence[Rank]) -> errors.CwpoError | None:
    """The error that came first, as the type it had; what follows from another rank's end is none."""
    causes = [
        (rank.error["at"], number, rank.error)
        for number, rank in enumerate(ranks)
        if rank.error is not None and not rank.error["of_the_group"] and not _is_cancelled(rank.error)
    ]
    if causes:
        _, number, told = min(causes)
        error = rebuilt(told)
        error.add_note(f"In {ranks[number].name}:\n{told['trace']}")
        error.add_note(ranks[number].last_words())
        return error
    for rank in ranks:
        if not rank.killed and rank.error is None and rank.done is None and (rank.code or 0) > 0:
            error = errors.RankError(f"{rank.name} ended with code {rank.code} and no word; the log has its output.")
            error.add_note(rank.last_words())
            return error
    return None


def cancelled(ranks: Sequence[Rank]) -> str | None:
    """The sentence of a rank that stopped because it was asked to."""
    return next((str(rank.error["sentence"]) for rank in ranks if rank.error and _is_cancelled(rank.error)), None)


def lost(ranks: Sequence[Rank], why: str | None, memory_kills: int | None) -> errors.CwpoError:
    """What happened to ranks that ended without an error of their own; why: they were ended by us, in a sentence.

    memory_kills: `cwpo.parallel.killed.RecentKills.before` of whoever waited for them.
    """
    died = next((rank for rank in ranks if not rank.killed and (rank.code or 0) < 0), None)
    if why is not None or died is None:
        told = next((rank for rank in ranks if rank.error is not None), None)
        heard = "A rank ended without a result" if told is None or told.error is None else (
            f"{told.name} lost the others ({told.error['sentence'][:200]})"
        )  # fmt: skip
        return errors.RanksLost(why or f"{heard}; {_BACK}")
    number = -(died.code or 0)
    cause = cause_of(number, before=memory_kills)
    name = f"{died.name} was ended by {signal.Signals(number).name}"
    if cause is Cause.MEMORY:
        return errors.OutOfMemory(f"{name}, because the machine had no memory left.")
    hint = ", as the system does where memory is short" if number == signal.SIGKILL and memory_kills is None else ""
    return errors.RanksLost(f"{name}{hint}; {_BACK}", outside=cause is Cause.OUTSIDE)


def rebuilt(told: dict[str, Any]) -> errors.CwpoError:
    """The exception of a rank; one whose type has no sentence of its own becomes a RankError with its sentence."""
    sentence = str(told["sentence"])
    if told.get("out_of_memory"):
        return errors.OutOfMemory(sentence, card=bool(told["card"]))
    if told.get("disk_full"):
        return errors.NoRoom(sentence, needs=1)  # worth another try when there is room
    kind = next((_NAMED[name] for name in told["classes"] if name in _NAMED), errors.CwpoError)
    if kind is errors.ConfigError:
        return errors.ConfigError(told["field"], sentence.removeprefix(f"{told['field']}: "))
    return errors.RankError(sentence) if kind is errors.CwpoError else kind(sentence)


def _is_cancelled(told: dict[str, Any]) -> bool:
    return errors.Cancelled.__name__ in told["classes"]
