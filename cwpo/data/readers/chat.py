"""Conversations and two ways on from there: ShareGPT, its preference form in LLaMA-Factory, messages. Torch-free."""

from typing import Any

from cwpo.data.readers.turns import ASSISTANT, SYSTEM, USER, is_conversation, text_of, turns_of
from cwpo.data.rows import BadRow, Message, RawPair, chat_pair

NO_QUESTION = "no_question"


def to_pair(row: dict[str, Any]) -> RawPair:
    """Turns before the responses, where they are given; else what both conversations share in front."""
    given = next((row[name] for name in ("conversations", "prompt") if row.get(name) not in (None, "", [])), None)
    turns = [] if given is None else turns_of(given, "the prompt") if is_conversation(given) else [_asked(given)]
    return pair_of(with_system(turns, row.get("system")), row.get("chosen"), row.get("rejected"))


def pair_of(turns: list[Message], chosen: Any, rejected: Any) -> RawPair:
    """A pair of these turns and two responses, each text, one message or a whole conversation."""
    pair = chat_pair(turns, _answer(chosen, "chosen"), _answer(rejected, "rejected"))
    if pair.messages and pair.messages[-1]["role"] != USER:
        raise BadRow(NO_QUESTION, f"the turn before the responses is the {pair.messages[-1]['role']}'s")
    return pair


def with_system(turns: list[Message], system: Any) -> list[Message]:
    """The system's turn in front, unless the conversation has one."""
    if system in (None, "") or (turns and turns[0]["role"] == SYSTEM):
        return turns
    return [{"role": SYSTEM, "content": text_of(system, "system")}, *turns]


def _asked(prompt: Any) -> Message:
    return {"role": USER, "content": text_of(prompt, "the prompt")}


def _answer(value: Any, name: str) -> list[Message]:
    if is_conversation(value):
        return turns_of(value, name)
    if value is None:
        raise BadRow("unparsable", f"no column {name}")
    return [{"role": ASSISTANT, "content": text_of(value, name)}]
