"""How much memory this process may have, by the machine, its container and its own limit. No torch of its own."""

import mmap
import resource
import sys
from pathlib import Path

from cwpo.errors import NoRoom

CGROUP = Path("/sys/fs/cgroup")
# Of address space: of a process with torch in it, and of what libraries take beside the tensors of a stage. Where less
# is left, BLAS tries again without end and threads end the process without a word.
LEAST, LEFT = 3_000_000_000, 500_000_000


def whole_memory(device: str) -> int:
    """Bytes that a process can have at most on its device: of the card; of machine, container and its own limit."""
    torch = sys.modules.get("torch")  # it is there where a card was computed on
    if device.startswith("cuda") and torch is not None:
        return int(torch.cuda.mem_get_info(device)[1])
    import psutil

    return min(int(psutil.virtual_memory().total), container_limit(), own_limit())


def own_limit() -> int:
    """Bytes of address space that this process was limited to (`ulimit -v`); sys.maxsize where it was not."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def left_of_own_limit() -> int:
    """What is left of it."""
    if (limit := own_limit()) == sys.maxsize:
        return limit
    import psutil

    return max(0, limit - int(psutil.Process().memory_info().vms))


def container_limit() -> int:
    """The container's own limit in bytes; sys.maxsize where there is none."""
    try:
        return int((CGROUP / "memory.max").read_text())
    except (OSError, ValueError):  # not a container with cgroups v2, or its limit is the word max
        return sys.maxsize


def check_limit() -> None:
    """Raise NoRoom where this process was limited to less address space than any computation needs."""
    if own_limit() < LEAST:
        raise NoRoom(_too_little(f"and computing takes {LEAST / 1e9:.0f} GB at least"))


def check_left(what: str) -> None:
    """Raise NoRoom where a limit leaves this process too little address space to begin `what`."""
    if own_limit() == sys.maxsize:
        return
    try:
        mmap.mmap(-1, LEFT).close()
    except OSError as error:
        raise NoRoom(_too_little(f"and less than {LEFT / 1e9:.1f} GB of it are left for {what}")) from error


def _too_little(why: str) -> str:
    return (
        f"Out of memory: this process may have {own_limit() / 1e9:.1f} GB of address space (`ulimit -v`), {why}: raise "
        "the limit or lift it (`ulimit -v unlimited`), then retry; finished stages are kept."
    )
