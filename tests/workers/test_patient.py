"""Whatever people change waits for a database that is locked or away for a moment: every write of the door."""

import ast
from collections.abc import Iterator
from pathlib import Path

import workers.api

DOOR = Path(workers.api.__file__).parent
LEAST = 45  # writes; fewer would mean that the walk does not find them
WAYS = ("writing", "session_scope", "_changing", "_switch_queue")  # to a transaction for writing


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions that open a transaction for writing themselves, not by a function inside of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(_writes(inner) for inner in _own(node)):
            yield node


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def _writes(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in WAYS


def test_every_write_is_patient() -> None:
    found: dict[str, list[str]] = {}
    for file in sorted(DOOR.rglob("*.py")):
        for function in functions(ast.parse(file.read_text())):
            if function.name in WAYS:
                continue
            name = f"{file.relative_to(DOOR)}:{function.name}"
            found[name] = [ast.unparse(decorator) for decorator in function.decorator_list]
    assert len(found) >= LEAST
    hasty = [name for name, marks in found.items() if not any(mark.startswith("patience.patient(") for mark in marks)]
    assert not hasty, f"decorate with @patience.patient(): {hasty}"
