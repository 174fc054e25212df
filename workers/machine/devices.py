"""Which devices this machine offers, found without importing torch."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from cwpo.config.environment import settings

_LISTED = re.compile(r"^GPU (\d+):", re.MULTILINE)  # parts of a card, MIG, stand indented below it
FIRST_WITH_BF16 = 8.0  # compute capability of Ampere


@functools.cache
def visible_gpus() -> tuple[str, ...]:
    """Identifiers for CUDA_VISIBLE_DEVICES, one per GPU; empty on a machine without one."""
    chosen = settings.gpus
    if chosen is not None:
        return chosen
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(_LISTED.findall(listed.stdout))


@dataclass(frozen=True, kw_only=True)
class CardMemory:
    """Bytes of one GPU."""

    total: int
    free: int


def card_memory() -> dict[str, CardMemory]:
    """The memory of each GPU that is offered, by the name that CUDA_VISIBLE_DEVICES has for it; those that nvidia-smi
    says nothing about (parts of a card, MIG) are left out."""
    program = shutil.which("nvidia-smi")
    if program is None or not visible_gpus():
        return {}
    asked = [program, "--query-gpu=index,uuid,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, CardMemory] = {}
    for index, uuid, total, free in (line.split(", ") for line in said.splitlines() if line.count(", ") == 3):
        if total.isdigit() and free.strip().isdigit():
            memory = CardMemory(total=int(total) * 2**20, free=int(free) * 2**20)
            found |= {name: memory for name in visible_gpus() if name == index or uuid.startswith(name)}
    return found


@functools.cache
def gpu_memory() -> int | None:
    """Bytes of the smallest GPU that is offered; None where nvidia-smi does not say."""
    return min((memory.total for memory in card_memory().values()), default=None)


@functools.cache
def compute_capability() -> float | None:
    """The lowest compute capability of the GPUs that are offered, as 8.0; None where nvidia-smi does not say."""
    program = shutil.which("nvidia-smi")
    if program is None or not visible_gpus():
        return None
    asked = [program, "--query-gpu=compute_cap", "--format=csv,noheader", "-i", ",".join(visible_gpus())]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return min((float(part) for part in said if part.replace(".", "", 1).isdigit()), default=None)


def has_bf16() -> bool:
    """Whether every GPU that is offered computes in bf16: compute capability 8.0 and up, so no V100 (7.0) and no
    T4 (7.5). Where nvidia-smi does not say, GPUs are taken to have it."""
    lowest = compute_capability()
    return bool(visible_gpus()) and (lowest is None or lowest >= FIRST_WITH_BF16)


def worker_count() -> int:
    """CPU workers: WORKERS, else one per core, else none beside GPUs, whose workers do the light stages too."""
    wanted = settings.workers
    if wanted is not None:
        return wanted
    if visible_gpus():
        return 0
    return cores()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
