"""Turns of a conversation in whatever form they are written, as messages of system, user and assistant. Torch-free.

Known forms: {role, content}, {from, value}, contents as lists of parts, a single message, a list in a cell as JSON.
What a tool was asked and what it answered becomes text: chat templates differ in what they make of such turns.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cwpo.data.rows import BadRow, Message

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter"), USER),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot"), ASSISTANT),
    **dict.fromkeys(("system", "developer"), SYSTEM),
}
CALLS = ("function_call", "tool_call")  # turns in which the assistant asks a tool
RESULTS = ("tool", "function", "observation", "ipython", "function_response", "tool_response")
CALL, RESULT = "Tool call: ", "Tool result: "
_KEYS = (("role", "content"), ("from", "value"))
NOT_TEXT = "not_text"


def turns_of(value: Any, name: str) -> list[Message]:
    """One message or a list of them, in any form that is known."""
    value = from_cell(value)
    given = [value] if isinstance(value, Mapping) else value
    if not isinstance(given, Sequence) or isinstance(given, str | bytes) or not given:
        raise BadRow("unparsable", f"{name} is not a list of messages")
    return [_turn(one, name) for one in given]


def is_conversation(value: Any) -> bool:
    """Whether this is meant as a message or a list of messages."""
    value = from_cell(value)
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value else value
    return isinstance(first, Mapping) and any(key in first for key, _ in _KEYS)


def text_of(value: Any, name: str) -> str:
    """Text, or parts of text; anything else is no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "".join(_part(part, name) for part in value)
    if isinstance(value, Mapping):
        return _part(value, name)
    raise BadRow(NOT_TEXT, f"{name} is a {type(value).__name__}, not text")


def from_cell(value: Any) -> Any:
    """CSV cells can only hold text: a cell that is a JSON list or message is read as one."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if isinstance(parsed, list) and parsed and all(isinstance(one, Mapping | str | int | float) for one in parsed):
        return parsed
    return parsed if isinstance(parsed, dict) and any(key in parsed for key, _ in _KEYS) else value


def _turn(message: Any, name: str) -> Message:
    if not isinstance(message, Mapping):
        raise BadRow("unparsable", f"a message of {name} is a {type(message).__name__}")
    who, what = next(((who, what) for who, what in _KEYS if who in message), ("role", "content"))
    speaker = str(message.get(who)).strip().lower()
    calls = message.get("tool_calls") or message.get("function_call")
    content = message.get(what)
    words = "" if content is None and calls else text_of(content, f"a message of {name}")
    if speaker in RESULTS:
        return {"role": USER, "content": f"{RESULT}{words}"}
    if speaker in CALLS:
        return {"role": ASSISTANT, "content": f"{CALL}{words}"}
    if speaker not in ROLES:
        raise BadRow("unparsable", f"a message of {name} has the role {speaker[:40]!r}")
    if calls:
        words = "\n".join([*([words] if words else []), f"{CALL}{json.dumps(calls, ensure_ascii=False, default=str)}"])
    return {"role": ROLES[speaker], "content": words}


def _part(part: Any, name: str) -> str:
    """The text of one part; images, sounds and files are no text."""
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
    if (
        isinstance(part, Mapping)
        and kind in ("text", "input_text", "output_text")
        and isinstance(part.get("text"), str)
    ):
        return str(part["text"])
    raise BadRow(NOT_TEXT, f"{name} holds a part of type {str(kind)[:40]}")
