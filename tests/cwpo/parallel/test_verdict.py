"""What is told of ranks that did not finish: memory that ran out is a cause, and it is said whose it was."""

import errno
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cwpo.errors import ModelError, NoRoom, OutOfMemory, is_disk_full, is_of_a_card, sentence_of
from cwpo.parallel.rank import described
from cwpo.parallel.verdict import error_of
from workers.queue.ends.memory import Where, where_of

OF_A_CARD = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
OF_NCCL = torch.distributed.DistBackendError(
    "NCCL error in: ProcessGroupNCCL.cpp:77, unhandled cuda error, NCCL version 2.27.3\n"
    "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'"
)
GONE = torch.distributed.DistBackendError("NCCL communicator was aborted on rank 0.")


def rank(error: Exception) -> Any:
    """One that ended with this error, as the process that started it hears of it."""
    told = json.loads(json.dumps(described(error)))
    return SimpleNamespace(name="Rank 0 of 2", error=told, killed=False, done=None, code=1, last_words=lambda: "none")


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OF_A_CARD, Where.CARD),
        (OF_NCCL, Where.CARD),
        (caused(ModelError("The weights do not load."), OF_A_CARD), Where.CARD),
        (MemoryError(), Where.MACHINE),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), Where.MACHINE),
        (OutOfMemory("Rank 1 of 2 was ended by SIGKILL, because the machine had no memory left."), Where.MACHINE),
    ],
    ids=["card", "NCCL", "card, in a sentence", "Python", "torch on the CPU", "kernel"],
)
def test_memory_that_ran_out_in_a_rank_is_a_cause_and_stays_the_cards_or_the_machines(
    error: Exception, where: Where
) -> None:
    assert where_of(error) is where
    found = error_of([rank(GONE), rank(error)])
    assert isinstance(found, OutOfMemory)
    assert where_of(found) is where


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), NoRoom("2 GB are free.", needs=9)])
def test_a_disk_that_was_full_in_a_rank_is_worth_another_try(error: Exception) -> None:
    found = error_of([rank(GONE), rank(error)])
    assert isinstance(found, NoRoom)
    assert is_disk_full(found)
    assert str(found) == sentence_of(error)
    assert not is_disk_full(error_of([rank(NoRoom("The stage is larger than the disk."))]))  # type: ignore[arg-type]


def test_that_another_rank_is_gone_is_no_cause() -> None:
    assert error_of([rank(GONE), rank(GONE)]) is None
    assert not is_of_a_card(OutOfMemory("Out of memory."))
