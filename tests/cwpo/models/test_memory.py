"""Free memory respects a container's limit."""

import psutil

from cwpo.models import memory
from cwpo.models.sizes import machine


def test_free_memory_is_what_the_container_leaves(tmp_path, monkeypatch):
    """A limit of 1,000 bytes, 700 used of which 250 are pages of files: 550 are left. No limit: the machine's."""
    for module in (memory, machine):
        monkeypatch.setattr(module, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 450\ninactive_file 250\n")
    assert memory.free_memory("cpu") == 550
    (tmp_path / "memory.max").write_text("max\n")
    assert 550 < memory.free_memory("cpu") <= psutil.virtual_memory().total
    assert 550 < machine.whole_memory("cpu") <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("1000\n")
    assert machine.whole_memory("cpu") == 1000
