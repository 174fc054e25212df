"""Which program this is: its version, and its commit where it runs out of a repository."""

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def program() -> str:
    """`cwpo 0.1.0, commit 1a2b3c4d5e6f, with changes of its own`."""
    commit = _git("rev-parse", "HEAD")
    changed = ", with changes of its own" if commit and _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"cwpo {metadata.version('cwpo')}{f', commit {commit[:12]}{changed}' if commit else ''}"


def _git(*words: str) -> str:
    """What git says; nothing where there is no repository or no git."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
