"""What memory this process can still have."""

import resource
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: str) -> int:
    """Bytes that this process can still take on its device, those that torch holds unused among them."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    return min(int(psutil.virtual_memory().available), _room_in_the_container())


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
