"""LLaMA-Factory's Alpaca form and its kin: instruction, input, system and history, and two responses. Torch-free."""

from collections.abc import Sequence
from typing import Any

from cwpo.data.readers import chat
from cwpo.data.readers.turns import ASSISTANT, USER, from_cell, text_of
from cwpo.data.rows import BadRow, Message, RawPair


def to_pair(row: dict[str, Any]) -> RawPair:
    """The instruction, with the input on the next line, is the last turn of the user."""
    return chat.pair_of(turns_before(row), row.get("chosen"), row.get("rejected"))


def turns_before(row: dict[str, Any]) -> list[Message]:
    """System, history and the question."""
    asked = [text_of(row[name], name) for name in ("instruction", "input") if row.get(name) not in (None, "")]
    if not asked or not "".join(asked).strip():
        raise BadRow("no_prompt", "the instruction is empty")
    return chat.with_system(
        [*_history(row.get("history")), {"role": USER, "content": "\n".join(asked)}], row.get("system")
    )


def _history(value: Any) -> list[Message]:
    rounds = from_cell(value)
    if rounds in (None, "", []):
        return []
    turns: list[Message] = []
    for one in rounds if isinstance(rounds, Sequence) and not isinstance(rounds, str) else [rounds]:
        if not isinstance(one, Sequence) or isinstance(one, str) or len(one) != 2:
            raise BadRow("unparsable", "history is not a list of pairs of question and answer")
        turns += [
            {"role": role, "content": text_of(text, "history")}
            for role, text in zip((USER, ASSISTANT), one, strict=True)
        ]
    return turns
