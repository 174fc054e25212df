"""The common shape that every dataset's `to_pair` gives, and the turn-boundary rules shared by them. Torch-free."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Message = dict[str, str]
ASSISTANT = "\n\nAssistant:"
SURROGATE = re.compile("[\ud800-\udfff]")
ROLE_NAMES = {"system": "System", "user": "Human", "assistant": "Assistant"}


@dataclass(frozen=True, kw_only=True)
class RowAt:
    """One row with its 1-based place in the file; `row` is None where it cannot be used. `rows`: how many it stands
    for, where several were brought together."""

    line: int
    row: Row | None
    problem: str = ""
    reason: str = "unparsable"
    rows: int = 1


# What reading a row of unknown make can raise: wrong kinds of values, numbers beyond all bounds
_ODD = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class BadRow(Exception):
    """A row that is no usable pair; `reason` is counted, `detail` stands beside the first examples."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, kw_only=True)
class RawPair:
    """One labeled row. `messages` is the chat form of the prompt, None for plain text; responses are plain text."""

    prompt: str
    messages: tuple[Message, ...] | None
    chosen: str
    rejected: str


def careful(to_pair: Callable[[Row], RawPair]) -> Callable[[Row], RawPair]:
    """The same reader, of which every row makes a pair or is bad, whatever its columns hold."""

    @functools.wraps(to_pair)
    def read(row: Row) -> RawPair:
        try:
            return to_pair(row)
        except _ODD as error:
            raise BadRow("unparsable", f"its columns hold something else ({type(error).__name__})") from error

    return read


def make_pair(*, prompt: str, messages: Sequence[Message] | None, chosen: str, rejected: str) -> RawPair:
    """The checks that hold for every dataset: nothing empty, nothing equal, valid Unicode."""
    for name, text in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
        if not isinstance(text, str):
            raise BadRow("unparsable", f"{name} is a {type(text).__name__}, not text")
        if SURROGATE.search(text):
            raise BadRow("unparsable", f"{name} holds half of a surrogate pair")
    if not prompt.strip():
        raise BadRow("no_prompt", "the prompt is empty")
    if not chosen.strip() or not rejected.strip():
        raise BadRow("empty", f"the {'rejected' if chosen.strip() else 'chosen'} response is empty")
    if chosen.strip() == rejected.strip():
        raise BadRow("equal", "both responses are the same")
    return RawPair(
        prompt=prompt, messages=tuple(messages) if messages is not None else None, chosen=chosen, rejected=rejected
    )


def render(messages: Sequence[Message]) -> str:
    """Chat messages as plain text, for models without a chat template: HH's turns, ending where the answer begins.

    The newline after the last mark is there because chat answers start without a space (our choice).
    """
    turns = [f"\n\n{ROLE_NAMES[message['role']]}: {message['content']}" for message in messages]
    return "".join(turns).lstrip("\n") + ASSISTANT + "\n"


def as_messages(value: Any, name: str) -> list[Message]:
    """A list of {role, content} with known roles and text contents; anything else is unparsable."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise BadRow("unparsable", f"{name} is not a list of messages")
    messages = []
    for message in value:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise BadRow("unparsable", f"a message of {name} has no text content")
        if not isinstance(message.get("role"), str) or message["role"] not in ROLE_NAMES:
            raise BadRow("unparsable", f"a message of {name} has the role {message.get('role')!r}")
        messages.append({"role": message["role"], "content": message["content"]})
    return messages


def chat_pair(prompt: Sequence[Message], chosen: Sequence[Message], rejected: Sequence[Message]) -> RawPair:
    """Chat messages to a pair: the prompt is given or the longest common run of messages; one answer turn is left."""
    prompt, chosen, rejected = list(prompt), list(chosen), list(rejected)
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    common, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    if common[: len(prompt)] == prompt or not prompt:
        prompt = common
    elif common:
        prompt = prompt + common
    if not prompt:
        raise BadRow("no_prompt", "the two conversations share no message")
    if len(chosen) != 1 or len(rejected) != 1 or chosen[0]["role"] != "assistant" or rejected[0]["role"] != "assistant":
        raise BadRow("unparsable", "the conversations differ in more than the last assistant message")
    return make_pair(
        prompt=render(prompt), messages=prompt, chosen=chosen[0]["content"], rejected=rejected[0]["content"]
    )


def split_turns(chosen: str, rejected: str) -> RawPair:
    """HH text: both conversations are cut after their last Assistant mark and must agree up to there."""
    cut = chosen.rfind(ASSISTANT) + len(ASSISTANT)
    prompt = chosen[:cut]
    if not rejected.startswith(prompt) or rejected.rfind(ASSISTANT) + len(ASSISTANT) != cut:
        raise BadRow("prompts_differ", "the two conversations differ before the last Assistant turn")
    return make_pair(prompt=prompt, messages=None, chosen=chosen[cut:], rejected=rejected[cut:])


def split_common(chosen: str, rejected: str) -> RawPair:
    """Text without turn marks: the longest common prefix, moved back to the last line end, else the last space."""
    shared = min(len(chosen), len(rejected))
    shared = next((at for at in range(shared) if chosen[at] != rejected[at]), shared)
    cut = chosen.rfind("\n", 0, shared) + 1 or max(chosen.rfind(" ", 0, shared), 0)
    if not chosen[:cut].strip():
        raise BadRow("no_prompt", "there is no prompt column and the two texts share no beginning")
    return make_pair(prompt=chosen[:cut], messages=None, chosen=chosen[cut:], rejected=rejected[cut:])
