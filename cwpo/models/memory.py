"""What memory this process can still have."""

import mmap
import resource
import sys
from pathlib import Path

from cwpo.errors import NoRoom

_CGROUP = Path("/sys/fs/cgroup")
# Of address space: of a process with torch in it, and of what libraries take beside the tensors of a stage. Where less
# is left, BLAS tries again without end and threads end the process without a word.
LEAST, LEFT = 3_000_000_000, 500_000_000


def free_memory(device: str) -> int:
    """Bytes that this process can still take on its device, those that torch holds unused among them."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    available = min(int(psutil.virtual_memory().available), _room_in_the_container())
    if (limit := own_limit()) == sys.maxsize:
        return available
    return max(0, min(available, limit - int(psutil.Process().memory_info().vms)))


def whole_memory(device: str) -> int:
    """Bytes that a process can have at most on its device: of the card; of machine, container and its own limit."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[1])
    import psutil

    return min(int(psutil.virtual_memory().total), container_limit(), own_limit())


def own_limit() -> int:
    """Bytes of address space that this process was limited to (`ulimit -v`); sys.maxsize where it was not."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


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


def container_limit() -> int:
    """The container's own limit in bytes; sys.maxsize where there is none."""
    try:
        return int((_CGROUP / "memory.max").read_text())
    except (OSError, ValueError):
        return sys.maxsize


def _room_in_the_container() -> int:
    """What is left of the container's own limit; sys.maxsize where there is none."""
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not a container with cgroups v2, or its limit is the word max
        return sys.maxsize
    return max(0, limit - used + int(kept.get("inactive_file", 0)))  # the kernel reclaims cached file pages on demand
