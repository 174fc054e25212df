"""What memory this process can have, and how it gets it. Explicit: nothing here happens at import."""

import ctypes
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_NEVER = 2**31 - 1


SWITCH = "CWPO_TUNE_MALLOC"  # 0 leaves the allocator as it is


def free_memory(device: str) -> int:
    """Bytes that this process can still take on its device, those that torch holds unused among them."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    return min(int(psutil.virtual_memory().available), _room_in_the_container())


def _room_in_the_container() -> int:
    """What is left of the container's own limit; very much where there is none."""
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # not a container with cgroups v2, or its limit is the word max
        return sys.maxsize
    return max(0, limit - used + int(kept.get("inactive_file", 0)))  # pages of files are given back when asked for


def tune_malloc_unless_off() -> bool:
    """What `cwpo run` and job processes do before they compute on a CPU."""
    return os.environ.get(SWITCH, "1") != "0" and tune_malloc()


def tune_malloc() -> bool:
    """Ask glibc to keep freed blocks in this process, so that large tensors need not fault their pages in again.

    Paid for with memory that stays taken, and with a first step that is slower while the memory is gathered. It took
    effect under one Python 3.11 and not under another; the cause is not known. False where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
