"""The allocator is tuned only when asked, never at import. What that is worth is measured in benchmarks/."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes
calls = []
class Libc:
    def mallopt(self, *values):
        calls.append(values)
        return 1
ctypes.CDLL = lambda name: Libc()
import cwpo.memory
assert calls == []
print(cwpo.memory.tune_malloc_unless_off(), calls)
"""


@pytest.mark.parametrize(
    ("switch", "said"), [("0", "False []"), ("1", "True [(-4, 0), (-1, 2147483647)]")], ids=["off", "on"]
)
def test_the_allocator_is_tuned_when_asked(switch, said):
    """M_MMAP_MAX is -4 and M_TRIM_THRESHOLD is -1 in glibc's malloc.h."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, "CWPO_TUNE_MALLOC": switch}
    )
    assert done.stdout.strip() == said, done.stderr[-2000:]
