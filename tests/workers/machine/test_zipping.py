"""A folder handed out as a zip: whole, as long as was said, and never in memory."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

from workers.machine.zipping import zipped, zipped_bytes


def test_a_zip_on_the_way_holds_every_file_and_is_as_long_as_was_said(tmp_path: Path) -> None:
    folder = tmp_path / "run-1-align"
    (folder / "1").mkdir(parents=True)
    files = {"model.safetensors": os.urandom(3 << 20), "README.md": "Überschrift".encode(), "1/empty.json": b""}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    whole = b"".join(zipped(folder))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(f"run-1-align/{name}") for name in files} == files
    assert len(whole) == zipped_bytes(folder)


def test_a_large_file_passes_through_little_memory(tmp_path: Path) -> None:
    """64 MB, of which a reader sees 1 MB at a time; a file with holes takes no room on the disk."""
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    handed = sum(len(part) for part in zipped(tmp_path))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert handed > 64 << 20
    assert most < 8 << 20


def test_the_length_of_a_very_large_zip_is_not_promised(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(3 << 30)
    assert zipped_bytes(tmp_path) is None
