"""What the columns of a dataset can hold, and which of them make pairs. Free of torch."""

import re
from collections.abc import Mapping
from typing import Any

# What a column can hold -> its sentence, in the order in which people are asked.
ROLES: Mapping[str, str] = {
    "prompt": "the text that both responses continue, or chat messages",
    "instruction": "what a user asks, as one turn of a conversation",
    "input": "what stands below the instruction",
    "system": "a system turn in front of everything",
    "history": "earlier turns, as pairs of question and answer",
    "conversations": "the turns before the responses",
    "chosen": "the preferred response: text, a message, or a whole conversation",
    "rejected": "the other response",
    "responses": "a list of responses to the prompt",
    "scores": "a list of scores, higher is better",
    "ranks": "a list of ranks, 1 is best",
    "response": "one response of several, each in a row of its own",
    "score": "the score of that response, higher is better",
    "source": "where the pair is from",
}
PROMPTS = ("prompt", "instruction", "conversations")
# Each of these sets gives pairs; the first that is there decides how rows are read.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "ranked": ("responses",),
    "scored": ("response", "score"),
    "pairs": ("chosen", "rejected"),
}
LONGEST = 200  # characters of a column's name
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair, which no file and no database holds


def checked(columns: Any) -> dict[str, str]:
    """The columns, if rows can be read by them; a ValueError with the next step otherwise."""
    if not isinstance(columns, Mapping) or not columns:
        raise ValueError("must say which column holds what, like {prompt: question, chosen: best, rejected: worst}")
    for role, name in columns.items():
        if role not in ROLES:
            raise ValueError(f"{str(role)[:40]!r} is not what a column can hold; choose among {', '.join(ROLES)}")
        if not isinstance(name, str) or not name or len(name) > LONGEST or _HALF.search(name):
            raise ValueError(f"{role} must name a column, not {str(name)[:40]!r}")
    shape_of(columns)
    if len({role for role in PROMPTS if role in columns}) > 1:
        raise ValueError("one of prompt, instruction and conversations is the prompt, not several")
    if not any(role in columns for role in PROMPTS) and shape_of(columns) != "pairs":
        raise ValueError("responses need a prompt: name the column of prompt, instruction or conversations")
    return {str(role): str(name) for role, name in columns.items()}


def shape_of(columns: Mapping[str, str]) -> str:
    """How rows with such columns are read."""
    for shape, needed in SHAPES.items():
        if all(role in columns for role in needed):
            return shape
    raise ValueError("make no pairs: name chosen and rejected, or responses, or response and score")
