"""What memory this process can still have."""

import sys

from cwpo.models.sizes.machine import CGROUP, container_limit, left_of_own_limit


def free_memory(device: str) -> int:
    """Bytes that this process can still take on its device, those that torch holds unused among them."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    return min(int(psutil.virtual_memory().available), _room_in_the_container(), left_of_own_limit())


def _room_in_the_container() -> int:
    """What is left of the container's own limit; sys.maxsize where there is none."""
    if (limit := container_limit()) == sys.maxsize:
        return limit
    try:
        used = int((CGROUP / "memory.current").read_text())
        kept = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not a container with cgroups v2
        return sys.maxsize
    return max(0, limit - used + int(kept.get("inactive_file", 0)))  # the kernel reclaims cached file pages on demand
