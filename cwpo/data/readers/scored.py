"""One response and its score in a row, several rows to a prompt: the best against the worst of each. Torch-free."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cwpo.data.readers.ranked import TIED, number
from cwpo.data.rows import BadRow, RowAt

BETWEEN, ALONE = "between", "only_one"


@dataclass
class _Group:
    """What is kept of a prompt while its rows are read: two responses, however many there are."""

    line: int
    rest: dict[str, Any]
    best: tuple[float, Any]
    worst: tuple[float, Any]
    rows: int = 1


def paired(rows: Iterable[RowAt]) -> Iterator[RowAt]:
    """A row with chosen and rejected for each prompt, and one with its reason for each row that is not used."""
    groups: dict[str, _Group] = {}
    for at in rows:
        if at.row is None:
            yield at
            continue
        try:
            score = number(at.row.get("score"))
        except BadRow as bad:
            yield RowAt(line=at.line, row=None, problem=bad.detail, reason=bad.reason)
            continue
        rest = {name: value for name, value in at.row.items() if name not in ("response", "score")}
        scored = score, at.row.get("response")
        try:
            told = {name: value for name, value in rest.items() if name != "source"}
            key = json.dumps(told, sort_keys=True, default=str)
        except (TypeError, ValueError, RecursionError) as error:
            yield RowAt(line=at.line, row=None, problem=f"its columns hold something else ({type(error).__name__})")
            continue
        group = groups.get(key)
        if group is None:
            groups[key] = _Group(line=at.line, rest=rest, best=scored, worst=scored)
            continue
        group.rows += 1
        if group.rows > 2:
            yield RowAt(line=at.line, row=None, problem="neither the best nor the worst of its prompt", reason=BETWEEN)
        group.best = max(group.best, scored, key=lambda one: one[0])
        group.worst = min(group.worst, scored, key=lambda one: one[0])
    for group in groups.values():
        yield _pair(group)


def _pair(group: _Group) -> RowAt:
    if group.rows == 1:
        problem = "the prompt has one response, which makes no pair"
        return RowAt(line=group.line, row=None, problem=problem, reason=ALONE)
    used = min(group.rows, 2)
    if group.best[0] == group.worst[0]:
        problem = "all responses have the same score"
        return RowAt(line=group.line, row=None, problem=problem, reason=TIED, rows=used)
    row = {**group.rest, "chosen": group.best[1], "rejected": group.worst[1]}
    return RowAt(line=group.line, row=row, rows=used)
