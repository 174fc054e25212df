"""Any dataset with prompt/chosen/rejected: TRL's explicit and implicit prompt, plain or chat form. Torch-free."""

import json
from typing import Any

from cwpo.data.rows import ASSISTANT, BadRow, RawPair, as_messages, chat_pair, make_pair, split_common, split_turns


def to_pair(row: dict[str, Any]) -> RawPair:
    """One row to a pair; columns beyond prompt, chosen and rejected are ignored."""
    missing = [name for name in ("chosen", "rejected") if row.get(name) is None]
    if missing:
        raise BadRow("unparsable", f"no column {' and no column '.join(missing)}")
    prompt, chosen, rejected = (_chat_from_json(row.get(name)) for name in ("prompt", "chosen", "rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _text_pair(prompt, chosen, rejected)
    return chat_pair(_prompt_messages(prompt), as_messages(chosen, "chosen"), as_messages(rejected, "rejected"))


def _text_pair(prompt: Any, chosen: str, rejected: str) -> RawPair:
    if isinstance(prompt, str):
        return _explicit_text(prompt, chosen, rejected)
    if prompt is not None:
        messages = as_messages(prompt, "prompt")
        answers = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
        return chat_pair(messages, *answers)
    if ASSISTANT in chosen and ASSISTANT in rejected:
        return split_turns(chosen, rejected)
    return split_common(chosen, rejected)


def _explicit_text(prompt: str, chosen: str, rejected: str) -> RawPair:
    """A prompt column; where both texts repeat it in front, the repetition is cut off."""
    if prompt and chosen.startswith(prompt) and rejected.startswith(prompt):
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    return make_pair(prompt=prompt, messages=None, chosen=chosen, rejected=rejected)


def _prompt_messages(prompt: Any) -> list[dict[str, str]]:
    """The prompt of a chat row: messages, or one user text, or nothing (then the common messages are the prompt)."""
    if prompt is None or prompt == "":
        return []
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return as_messages(prompt, "prompt")


def _chat_from_json(value: Any) -> Any:
    """CSV cells can only hold text: a cell that is a JSON list of messages is read as one."""
    if isinstance(value, str) and value.lstrip().startswith('[{"'):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        turns = isinstance(parsed, list) and all(isinstance(item, dict) and "role" in item for item in parsed)
        return parsed if turns else value
    return value
