"""Rows read by what their columns hold, and what that is where nobody said so. Torch-free.

Without columns rows are read as ever, by the names of their columns (`shapes`). A file is given columns when it is
submitted, where its first rows would otherwise be read differently.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cwpo.config.columns import shape_of
from cwpo.data.readers import chat, instruction, preference, ranked, scored, shapes, shp, tldr
from cwpo.data.readers.turns import from_cell, is_conversation, text_of
from cwpo.data.rows import ASSISTANT, BadRow, RawPair, Row, RowAt, careful

HEAD = 200  # rows that are looked at

CHOSEN = ("chosen", "chosen_response", "response_chosen", "chosen_answer", "preferred", "accepted", "better", "winner")
REJECTED = ("rejected", "rejected_response", "response_rejected", "rejected_answer", "dispreferred", "worse", "loser")
RESPONSES = ("responses", "completions", "generations", "answers", "candidates", "outputs")
SCORES = ("scores", "score", "ratings", "rating", "rewards", "overall_scores")
RANKS = ("ranks", "rank", "ranking", "rankings")
RESPONSE = ("response", "text", "completion", "output", "answer")
SCORE = ("score", "rating", "reward", "overall_score")
CONVERSATIONS = ("conversations", "conversation", "messages")
INSTRUCTION = ("instruction", "question", "query")
SYSTEM = ("system", "system_prompt")


def shaped(rows: Iterable[RowAt], columns: Mapping[str, str] | None) -> Iterable[RowAt]:
    """Rows as `reader_by` takes them: columns under the names of what they hold, scored rows brought together."""
    if columns is None:
        return rows
    named = (_renamed(at, columns) for at in rows)
    return scored.paired(named) if shape_of(columns) == "scored" else named


def reader_by(columns: Mapping[str, str] | None) -> shapes.ToPair:
    """Who reads the rows that `shaped` gives."""
    return careful(shapes.to_pair if columns is None else to_pair)


def to_pair(row: dict[str, Any]) -> RawPair:
    """A row whose columns are named by what they hold."""
    if "responses" in row:
        row = ranked.best_and_worst(row)
    missing = [name for name in ("chosen", "rejected") if row.get(name) is None]
    if missing:
        raise BadRow("unparsable", f"no column {' and no column '.join(missing)}")
    if "instruction" in row:
        return instruction.to_pair(row)
    told = [row.get(name) for name in ("prompt", "chosen", "rejected", "conversations")]
    plain = row.get("system") in (None, "") and "conversations" not in row
    if plain and not any(is_conversation(value) for value in told):
        return preference.to_pair(
            {**row, **{name: _joined(row.get(name)) for name in ("prompt", "chosen", "rejected")}}
        )
    return chat.to_pair(row)


def columns_needed(head: Sequence[RowAt]) -> dict[str, str] | None:
    """The columns that must be told of a file with these first rows: None where they read the same without."""
    found = detected([at.row for at in head if at.row is not None])
    if found is None or _read(head, None) == _read(head, found):
        return None
    return found


def names_of(head: Iterable[RowAt]) -> tuple[str, ...]:
    """The names of the columns in these rows, in order of appearance."""
    return tuple(dict.fromkeys(str(name) for at in head for name in at.row or ()))


def detected(rows: Sequence[Row]) -> dict[str, str] | None:
    """What each column seems to hold; None where rows are read by a form of their own, or make no pairs."""
    names = list(dict.fromkeys(str(name) for row in rows for name, value in row.items() if value is not None))
    row = {name: next(row[name] for row in rows if row.get(name) is not None) for name in names}
    own = "summaries" in row or all(name in row for name in tldr.QUERY_COLUMNS)
    if own or all(name in row for name in shp.COLUMNS[:3]) or ("response_a" in row and "response_b" in row):
        return None
    found = _pairs(row) or _ranked(row) or _scored(row)
    if found is not None and "source" in row:
        found["source"] = "source"
    return found


def guessed(rows: Sequence[Row]) -> dict[str, str]:
    """What some columns seem to hold, also where that makes no pairs yet: a beginning for whoever says the rest."""
    row = {str(name): value for one in reversed(rows) for name, value in one.items() if value is not None}
    told = {"chosen": _first(row, CHOSEN), "rejected": _first(row, REJECTED)}
    return _prompt(row) | {role: name for role, name in told.items() if name is not None}


def _ranked(row: Mapping[str, Any]) -> dict[str, str] | None:
    responses = next((name for name in RESPONSES if isinstance(from_cell(row.get(name)), list)), None)
    prompt = _prompt(row)
    if responses is None or not prompt:
        return None
    for role, names in (("scores", SCORES), ("ranks", RANKS)):
        held = next((name for name in names if isinstance(from_cell(row.get(name)), list)), None)
        if held is not None:
            return {**prompt, "responses": responses, role: held}
    first = (from_cell(row[responses]) or [None])[0]
    scored_inside = isinstance(first, Mapping) and any(key in first for key in ranked.FIGURES)
    return {**prompt, "responses": responses} if scored_inside else None


def _pairs(row: Mapping[str, Any]) -> dict[str, str] | None:
    chosen, rejected = _first(row, CHOSEN), _first(row, REJECTED)
    if chosen is None or rejected is None:
        return None
    prompt = {} if _holds_prompt(row[chosen]) and "prompt" not in row else _prompt(row)
    return {**prompt, "chosen": chosen, "rejected": rejected}


def _holds_prompt(chosen: Any) -> bool:
    """Whether a response is a whole conversation: what else is asked beside it stands in it already."""
    turns = from_cell(chosen)
    return isinstance(turns, list) and len(turns) > 1 if is_conversation(turns) else ASSISTANT in str(chosen)


def _scored(row: Mapping[str, Any]) -> dict[str, str] | None:
    response, score = _first(row, RESPONSE), _first(row, SCORE)
    prompt = _prompt(row)
    if response is None or score is None or not prompt:
        return None
    return {**prompt, "response": response, "score": score}


def _prompt(row: Mapping[str, Any]) -> dict[str, str]:
    """A column named prompt is what it was always; a system's turn is looked for only beside turns of a user."""
    if "prompt" in row:
        return {"prompt": "prompt"}
    system = _first(row, SYSTEM)
    beside = {} if system is None else {"system": system}
    turns = next((name for name in CONVERSATIONS if is_conversation(row.get(name))), None)
    if turns is not None:
        return {**beside, "conversations": turns}
    asked = _first(row, INSTRUCTION)
    if asked is not None:
        more = {name: name for name in ("input", "history") if name in row}
        return {**beside, "instruction": asked, **more}
    return {**beside, "instruction": "input"} if "input" in row else {}


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _renamed(at: RowAt, columns: Mapping[str, str]) -> RowAt:
    if at.row is None:
        return at
    row = {role: at.row.get(name) for role, name in columns.items() if name in at.row}
    return replace(at, row={**({"source": at.row["source"]} if "source" in at.row else {}), **row})


def _joined(value: Any) -> Any:
    """Parts of text as text; anything else stays what it is, for the reader to refuse."""
    return text_of(value, "a text") if isinstance(value, list) and value else value


def _read(head: Sequence[RowAt], columns: Mapping[str, str] | None) -> list[RawPair | None]:
    return list(_pairs_of(shaped(head, columns), reader_by(columns)))


def _pairs_of(rows: Iterable[RowAt], to_pair: shapes.ToPair) -> Iterator[RawPair | None]:
    for at in rows:
        try:
            yield None if at.row is None else to_pair(at.row)
        except BadRow:
            yield None
