"""The tree in README.md and on disk: `python tools/tree.py` compares them, `--write` brings the README up to date.

Phrases in the README are kept; a new file gets the first sentence of its docstring, to be shortened by hand.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEADING = "## The tree"
LINE = re.compile(r"^(?P<indent> *)(?P<name>\S+)(?:  +(?P<phrase>\S.*))?$")
COLUMN = 32  # where phrases begin


def listed(readme: str) -> dict[str, str]:
    """path -> phrase for the fenced block under the heading "The tree"; folders end with a slash."""
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in _block(readme).splitlines():
        match = LINE.match(line)
        if match is None:
            raise ValueError(f"README.md: this line of the tree cannot be read: {line!r}")
        indent = len(match["indent"])
        folders = [(depth, folder) for depth, folder in folders if depth < indent]
        path = (folders[-1][1] if folders else "") + match["name"]
        found[path] = match["phrase"] or ""
        if path.endswith("/"):
            folders.append((indent, path))
    return found


def on_disk(root: Path) -> list[str]:
    """Files that git tracks or would track, without the markers of packages."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in names if not name.endswith("__init__.py") and (root / name).exists()})


def missing_from(tree: dict[str, str], root: Path) -> list[str]:
    """Files that neither stand in the tree nor lie under a folder that stands there without files of its own."""
    parents = {_parent(path) for path in tree}
    whole = tuple(path for path in tree if path.endswith("/") and path not in parents)
    return [name for name in on_disk(root) if name not in tree and not name.startswith(whole)]


def rewritten(readme: str, root: Path) -> str:
    """The README with the tree of the disk: known entries in their order, new ones behind them."""
    tree = {path: phrase for path, phrase in listed(readme).items() if (root / path).exists()}
    for name in missing_from(tree, root):
        for folder in _parents(name):
            tree.setdefault(folder, "")
        tree[name] = _sentence(root / name)
    return readme.replace(_block(readme), "\n".join(_lines(tree, "", 0)))


def _block(readme: str) -> str:
    return readme.split(HEADING, 1)[1].split("```", 2)[1].strip("\n")


def _parent(path: str) -> str:
    return path[: path.rstrip("/").rfind("/") + 1]


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) + "/" for depth in range(len(parts))]


def _lines(tree: dict[str, str], folder: str, depth: int) -> Iterator[str]:
    for path in (path for path in tree if _parent(path) == folder):
        name = "  " * depth + path[len(folder) :]
        yield (
            f"{name:<{COLUMN - 1}} {tree[path]}".rstrip()
            if len(name) < COLUMN - 1
            else f"{name}  {tree[path]}".rstrip()
        )
        if path.endswith("/"):
            yield from _lines(tree, path, depth + 1)


def _sentence(path: Path) -> str:
    if path.suffix != ".py":
        return ""
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return re.split(r"\.(?:\s|$)", " ".join(text.split()))[0]


def main() -> int:
    """0 when README and disk agree."""
    root = Path(__file__).resolve().parent.parent
    readme = (root / "README.md").read_text(encoding="utf-8")
    if "--write" in sys.argv[1:]:
        readme = rewritten(readme, root)
        (root / "README.md").write_text(readme, encoding="utf-8")
    tree = listed(readme)
    problems = [f"not on disk: {path}" for path in tree if not (root / path).exists()]
    problems += [f"not in README.md: {name}" for name in missing_from(tree, root)]
    print("\n".join(problems) or "README.md shows the tree that is on disk.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
