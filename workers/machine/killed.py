"""How a process of ours ended, in a sentence for the attempt that it computed."""

import os
import signal

from cwpo.parallel.killed import WITHIN, Cause, RecentKills, cause_of, memory_kills

__all__ = ["WITHIN", "Cause", "RecentKills", "cause_of", "memory_kills", "of_status", "of_worker"]

_ON = "the stage goes on from its last checkpoint."


def of_status(status: int | None, *, before: int | None) -> tuple[Cause, str]:
    """Why a child ended that left its stage behind, by what the system said of it (os.waitpid), and in a sentence.

    before: `RecentKills.before` of whoever waited for it.
    """
    number = os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else 0
    cause = cause_of(number, before=before)
    if cause is Cause.OUTSIDE:
        return cause, f"Its process was killed from outside ({_name(number)}), not for memory; {_ON}"
    if number:
        return cause, f"Its process was ended by {_name(number)}; {_ON}"
    code = os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None
    return cause, f"Its process ended{'' if code is None else f' with code {code}'} and left no result; {_ON}"


def of_worker(code: int, *, before: int | None) -> tuple[Cause, str]:
    """The same of a worker process that ended, whose job process ended with it: only for memory is the job to blame.

    code: the exit code that subprocess gives, below 0 for a signal.
    """
    cause = cause_of(-code, before=before)
    if cause is Cause.MEMORY:
        return cause, ""
    how = f"was ended by {_name(-code)}" if code < 0 else f"ended with code {code}"
    return Cause.OUTSIDE, f"Its worker process {how}; {_ON}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
