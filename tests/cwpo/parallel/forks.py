"""Ranks as forks of this process, which start at once, over a real gloo group."""

import json
import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from cwpo.parallel.group import Group
from cwpo.parallel.ranks import Ranks

PATIENCE = 300  # seconds; a rank that asks alone fails instead of hanging


def on_ranks(size: int, folder: Path, work: Callable[[Ranks], Any]) -> list[Any]:
    """What each of `size` ranks returns: values that JSON can hold."""
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_be_rank, args=(rank, size, folder, work)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(2 * PATIENCE)
        process.kill()
    return [json.loads((folder / str(rank)).read_text()) for rank in range(size)]


def _be_rank(rank: int, size: int, folder: Path, work: Callable[[Ranks], Any]) -> None:
    torch.set_num_threads(1)  # the threads of this process are not forked
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size,
        timeout=timedelta(seconds=PATIENCE),
    )  # fmt: skip
    (folder / str(rank)).write_text(json.dumps(work(Group.current())))
