"""A small disk that can be filled: a tmpfs where mounting is allowed, else a fault in every sync of the workers."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK = 1 << 16


class SmallDisk:
    """`how`: tmpfs, or fault point."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
        self.how = "tmpfs" if mounted else "fault point"
        self.flag = folder.parent / f"{folder.name}-is-full"
        self._ballast = folder / "ballast"

    def variables(self) -> dict[str, str]:
        return {} if self.how == "tmpfs" else {"CHAOS_FULL": str(self.flag)}

    def fill(self) -> bool:
        """Until nothing more can be written; whether that was so."""
        if self.how != "tmpfs":
            self.flag.touch()
            return True
        try:
            with self._ballast.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(_BLOCK))
        except OSError:
            return True

    def free(self) -> None:
        self.flag.unlink(missing_ok=True)
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        self.free()
        if self.how == "tmpfs":
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted at the folder for as long as the block lasts."""
    disk = SmallDisk(folder, megabytes)
    try:
        yield disk
    finally:
        with suppress(subprocess.CalledProcessError):
            disk.remove()
