"""The tree in README.md and the tree on disk. `python tools/tree.py` prints what the README lacks or has too much."""

import re
import subprocess
from pathlib import Path

LINE = re.compile(r"^(?P<indent> *)(?P<names>\S+(?: · \S+)*)(?:  +(?P<phrase>\S.*))?$")


def listed(readme: str) -> dict[str, str]:
    """path -> phrase for the fenced block that follows the heading "The tree"; folders end with a slash."""
    block = readme.split("## The tree", 1)[1].split("```", 2)[1].strip("\n")
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in block.splitlines():
        match = LINE.match(line)
        if match is None:
            raise ValueError(f"README.md: this line of the tree cannot be read: {line!r}")
        indent = len(match["indent"])
        folders = [(depth, folder) for depth, folder in folders if depth < indent]
        parent = folders[-1][1] if folders else ""
        for name in match["names"].split(" · "):
            found[parent + name] = match["phrase"] or ""
        if name.endswith("/"):
            folders.append((indent, parent + name))
    return found


def on_disk(root: Path) -> list[str]:
    """Files that git tracks or would track, but for package markers and pictures."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in names if not name.endswith("/__init__.py") and (root / name).exists()})


def missing_from(tree: dict[str, str], root: Path) -> list[str]:
    """Files that neither stand in the tree nor lie under a folder that stands there without files of its own."""
    parents = {path[: path.rstrip("/").rfind("/") + 1] for path in tree}
    whole = tuple(path for path in tree if path.endswith("/") and path not in parents)
    return [name for name in on_disk(root) if name not in tree and not name.startswith(whole)]


if __name__ == "__main__":
    top = Path(__file__).resolve().parent.parent
    tree_in_readme = listed((top / "README.md").read_text(encoding="utf-8"))
    for gone in (path for path in tree_in_readme if not (top / path).exists()):
        print(f"not on disk: {gone}")
    for new in missing_from(tree_in_readme, top):
        print(f"not in README.md: {new}")
