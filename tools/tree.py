"""The folders and import rules as the docs show them and as they are, and the program's sizes in numbers.

`python tools/tree.py` compares and counts; `--write` brings README.md and docs/architecture.md up to date.
A folder's sentence is the first of the docstring in its `__init__.py`; a folder without one keeps its phrase.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "workers", "cwpo", "db")
# The page -> its heading, and how many folders deep it shows the packages. Other folders are shown one deep.
PAGES: Mapping[str, tuple[str, int]] = {"README.md": ("## The tree", 2), "docs/architecture.md": ("## The house", 3)}
RULES_PAGE, RULES_HEADING = "docs/architecture.md", "## Who may import whom"
LINE = re.compile(r"^(?P<indent> *)(?P<name>\S+/)(?:  *(?P<phrase>\S.*))?$")
COLUMN = 18  # where phrases begin

MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 14, 400, 60
# One file per chart and one per change of the schema: these folders may hold any number.
ANY_NUMBER = ("app/charts", "db/migrations", "db/migrations/versions")


# --- The trees


def listed(page: str, heading: str) -> dict[str, str]:
    """folder -> phrase for the fenced block under the heading."""
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in _block(page, heading).splitlines():
        match = LINE.match(line)
        if match is None:
            raise ValueError(f"This line of the tree names no folder: {line!r}")
        indent = len(match["indent"])
        folders = [(depth, folder) for depth, folder in folders if depth < indent]
        path = (folders[-1][1] if folders else "") + match["name"]
        found[path] = match["phrase"] or ""
        folders.append((indent, path))
    return found


def on_disk(root: Path, depth: int) -> list[str]:
    """Folders with files that git tracks or would track: of our packages down to the depth, of others the top."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    found = set()
    for name in names:
        parts = name.split("/")[:-1] if (root / name).exists() else []
        most = depth if parts and parts[0] in PACKAGES else 1
        found |= {"/".join(parts[:count]) + "/" for count in range(1, min(len(parts), most) + 1)}
    return sorted(found)


def sentence(folder: Path) -> str:
    """The first sentence of the docstring of a folder's `__init__.py`, without its full stop."""
    init = folder / "__init__.py"
    text = (ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or "") if init.exists() else ""
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def problems(root: Path) -> list[str]:
    """What the trees say and the disk does not, and the reverse."""
    found = []
    for name, (heading, depth) in PAGES.items():
        shown, there = listed((root / name).read_text(encoding="utf-8"), heading), on_disk(root, depth)
        found += [f"{name}: {path} is not on disk" for path in shown if path not in there]
        found += [f"{name}: {path} is missing" for path in there if path not in shown]
        for path in (path for path in there if path in shown):
            said = sentence(root / path)
            if not (said or shown[path]):
                found.append(f"{name}: {path} has no phrase")
            elif said and said != shown[path]:
                found.append(f"{name}: {path} is {shown[path]!r}, its __init__.py says {said!r}")
    if _block((root / RULES_PAGE).read_text(encoding="utf-8"), RULES_HEADING) != rules(root):
        found.append(f"{RULES_PAGE}: the import rules are not those of pyproject.toml")
    return found


def rules(root: Path) -> str:
    """What import-linter checks, by name, one a line."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return "\n".join(contract["name"] for contract in project["tool"]["importlinter"]["contracts"])


def write(root: Path) -> None:
    """Bring the trees and the import rules in the docs up to date."""
    for name, (heading, depth) in PAGES.items():
        page = (root / name).read_text(encoding="utf-8")
        (root / name).write_text(rewritten(page, heading, root, depth), encoding="utf-8")
    page = (root / RULES_PAGE).read_text(encoding="utf-8")
    (root / RULES_PAGE).write_text(_with_block(page, RULES_HEADING, rules(root)), encoding="utf-8")


def rewritten(page: str, heading: str, root: Path, depth: int) -> str:
    """The page with the folders of the disk: known ones in their order, new ones behind them."""
    shown, there = listed(page, heading), on_disk(root, depth)
    order = [*(path for path in shown if path in there), *(path for path in there if path not in shown)]
    phrases = {path: sentence(root / path) or shown.get(path, "") for path in order}
    return _with_block(page, heading, "\n".join(_lines(phrases, "", 0)))


def _block(page: str, heading: str) -> str:
    return page.split(f"{heading}\n", 1)[1].split("```", 2)[1].strip("\n")


def _with_block(page: str, heading: str, text: str) -> str:
    before, after = page.split(f"{heading}\n", 1)
    introduction, _, rest = after.split("```", 2)
    return f"{before}{heading}\n{introduction}```\n{text}\n```{rest}"


def _lines(phrases: Mapping[str, str], folder: str, depth: int) -> Iterator[str]:
    for path in (path for path in phrases if path[: path.rstrip("/").rfind("/") + 1] == folder):
        yield f"{'  ' * depth + path[len(folder) :]:<{COLUMN - 1}} {phrases[path]}".rstrip()
        yield from _lines(phrases, path, depth + 1)


# --- The sizes


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The program in numbers, each with the place of the largest."""

    folders: Mapping[str, int]  # folder -> Python files in it
    files: Mapping[str, int]  # file -> lines
    functions: Mapping[str, int]  # file:line name -> lines
    circles: list[list[str]]  # modules that import each other

    def over(self) -> list[str]:
        """What is larger than it may be."""
        folders = {folder: count for folder, count in self.folders.items() if folder not in ANY_NUMBER}
        return [
            *(f"{name}: {count} files, at most {MOST_FILES}" for name, count in folders.items() if count > MOST_FILES),
            *(
                f"{name}: {lines} lines, at most {MOST_LINES}"
                for name, lines in self.files.items()
                if lines > MOST_LINES
            ),
            *(
                f"{name}: {lines} lines, at most {MOST_LINES_OF_A_FUNCTION}"
                for name, lines in self.functions.items()
                if lines > MOST_LINES_OF_A_FUNCTION
            ),
            *(f"these import each other: {', '.join(circle)}" for circle in self.circles),
        ]

    def __str__(self) -> str:
        fullest = _largest({name: count for name, count in self.folders.items() if name not in ANY_NUMBER})
        return "\n".join(
            [
                f"{len(self.folders)} folders, {len(self.files)} files, {len(self.functions)} functions",
                f"most files in a folder: {fullest}, charts and migrations left out",
                f"longest file:           {_largest(self.files)}",
                f"longest function:       {_largest(self.functions)}",
                f"import circles:         {len(self.circles)}, lazy and typing-only imports counted, by module",
            ]
        )


def sizes(root: Path, packages: Iterable[str] = PACKAGES) -> Sizes:
    """Count folders, files, functions and import circles of the packages."""
    trees = {}
    folders: dict[str, int] = {}
    files: dict[str, int] = {}
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        folder = path.parent.relative_to(root).as_posix()
        folders[folder] = folders.get(folder, 0) + 1
        files[name], trees[name] = len(text.splitlines()), ast.parse(text)
    functions = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return Sizes(folders=folders, files=files, functions=functions, circles=circles(_imports(trees)))


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module: each reaches every other along imports."""
    reached = {module: _reached(imports, module) for module in imports}
    found = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in imports
        if module in reached[module]
    }
    return sorted(list(circle) for circle in found)


def _imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """module -> the modules that it imports anywhere: at the top, inside functions, for types only.

    That importing `a.b` loads `a` first is not counted: a package may show what its modules hold.
    """
    modules = {_module(name): tree for name, tree in trees.items()}
    return {
        module: {found for node in ast.walk(tree) for found in _imported(node, modules) if found != module}
        for module, tree in modules.items()
    }


def _imported(node: ast.AST, modules: Mapping[str, object]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for name in (f"{node.module}.{alias.name}" for alias in node.names):
            if name in modules or node.module in modules:
                yield name if name in modules else node.module


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _reached(imports: Mapping[str, set[str]], module: str) -> set[str]:
    found: set[str] = set()
    ahead = list(imports[module])
    while ahead:
        if (other := ahead.pop()) not in found:
            found.add(other)
            ahead += imports[other]
    return found


def _largest(counted: Mapping[str, int]) -> str:
    name = max(counted, key=lambda name: counted[name])
    return f"{counted[name]} ({name})"


def main() -> int:
    """0 when docs and disk agree and nothing is larger than it may be."""
    if "--write" in sys.argv[1:]:
        write(ROOT)
    counted = sizes(ROOT)
    found = problems(ROOT) + counted.over()
    print(counted)
    print("\n".join(found) or "The docs show the folders that are on disk.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
