"""The allocator is tuned only when asked, and then freed blocks stay: the next large tensor faults no page."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
import cwpo.memory, cwpo.training
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 25)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
stock = faults()
done = cwpo.memory.tune_malloc_unless_off()
faults()
print(json.dumps([stock, done, faults()]))
"""


def ran(switch: str) -> tuple[int, bool, int]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, "CWPO_TUNE_MALLOC": switch}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("switch", ["0", "1"])
def test_tuned_memory_is_not_given_back(switch):
    """128 MB: 32,768 pages of 4 KB, or 64 of 2 MB where the kernel hands out huge ones."""
    stock, done, tuned = ran(switch)
    assert done == (switch == "1")
    assert stock >= 64
    assert (tuned < stock / 8) == (switch == "1")
