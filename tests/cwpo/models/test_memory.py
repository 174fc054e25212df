"""Free memory respects a container's limit; the allocator is tuned only when asked, never at import."""

import os
import subprocess
import sys

import psutil
import pytest

from cwpo.models import memory

SCRIPT = """
import ctypes
calls = []
class Libc:
    def mallopt(self, *values):
        calls.append(values)
        return 1
ctypes.CDLL = lambda name: Libc()
import cwpo.models.memory
assert calls == []
print(cwpo.models.memory.tune_malloc_unless_off(), calls)
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


def test_free_memory_is_what_the_container_leaves(tmp_path, monkeypatch):
    """A limit of 1,000 bytes, 700 used of which 250 are pages of files: 550 are left. No limit: the machine's."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 450\ninactive_file 250\n")
    assert memory.free_memory("cpu") == 550
    (tmp_path / "memory.max").write_text("max\n")
    assert 550 < memory.free_memory("cpu") <= psutil.virtual_memory().total
