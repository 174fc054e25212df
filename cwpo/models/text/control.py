"""Control tokens of a tokenizer, and a twin of it for which they are ordinary text. Free of torch.

The twin has the same vocabulary with the same ids, but its control tokens are called by secret names: `</s>` in a text
is then four characters like any others, whatever the family, and a template's marker is written by its secret name.
"""

import copy
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cwpo.errors import ModelError

_SECRET = secrets.token_hex(8)  # of this process; it stands in no data, and no id depends on it
_BARRED = re.compile(
    r"<\|.+\|>|<｜.+｜>"
)  # how families write control tokens, also where a file does not call them special
_PROBE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"})


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """Text -> id of what steers a model: special tokens, tokens like <|…|>, and the markers of the chat template.

    Other added tokens (runs of spaces, <table>, <think>) are words of the vocabulary and are read as such.
    """
    added = {token.content: (int(number), token.special) for number, token in tokenizer.added_tokens_decoder.items()}
    named = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    found = {text: int(number) for text, number in named.items() if number is not None}
    markers = _template_markers(tokenizer)
    for text, (number, special) in added.items():
        if special or _BARRED.fullmatch(text) or (text[:1] in "<[" and text in markers):
            found[text] = number
    # One character that fills rows ("!") is a letter all the same: without it, texts could not be spelled.
    return {text: number for text, number in found.items() if len(text.strip()) > 1}


def _template_markers(tokenizer: Any) -> str:
    """What the chat template writes between three turns; empty without one, or where it wants other turns."""
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        return ""
    try:
        return str(tokenizer.apply_chat_template(list(_PROBE), add_generation_prompt=True, tokenize=False))
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError):
        return ""


class Names:
    """Control tokens by the two names that stand for them: as a marker that is obeyed, and as text that is not."""

    def __init__(self, control: Mapping[str, int]) -> None:
        order = sorted(control, key=lambda text: (-len(text), text))  # the longest first, as tokenizers match
        self.marker = {text: f"<~{_SECRET}m{at}~>" for at, text in enumerate(order)}
        self._quoted = {text: f"<~{_SECRET}q{at}~>" for at, text in enumerate(order)}
        self._text = {quoted: text for text, quoted in self._quoted.items()}
        self._any = re.compile("|".join(map(re.escape, order)) or r"(?!)")
        self._any_marker = re.compile(rf"(<~{_SECRET}m\d+~>)")
        self._any_quoted = re.compile(rf"<~{_SECRET}q\d+~>")

    def inside(self, text: str) -> bool:
        """Whether the text holds a control token."""
        return self._any.search(text) is not None

    def quote(self, text: str) -> str:
        """The text with inert words in place of its control tokens."""
        return self._any.sub(lambda found: self._quoted[found[0]], text)

    def mark(self, rendered: str) -> str:
        """A template's output: its own control tokens by their secret names, the quoted ones as they were written."""
        marked = self._any.sub(lambda found: self.marker[found[0]], rendered)
        return self._any_quoted.sub(lambda found: self._text[found[0]], marked)

    def parts(self, marked: str) -> Iterator[tuple[str, str]]:
        """A marked text as (text, the control token behind it); the last has none behind it."""
        texts = {name: text for text, name in self.marker.items()}
        pieces = self._any_marker.split(marked)
        for at in range(0, len(pieces), 2):
            yield pieces[at], texts[pieces[at + 1]] if at + 1 < len(pieces) else ""


def plain_backend(backend: Any, names: Mapping[str, str]) -> Any:
    """The same fast tokenizer with other names for these tokens; every id stays."""
    from tokenizers import Tokenizer

    state = json.loads(backend.to_str())
    state["truncation"] = state["padding"] = None
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = state["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(piece, piece): number for piece, number in vocabulary.items()}
    else:  # unigram: pieces with their scores
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _makes(merge, names)]
    plain = Tokenizer.from_str(json.dumps(state))
    for text, name in names.items():
        if plain.token_to_id(name) != backend.token_to_id(text):
            raise ModelError(f"The tokenizer cannot tell its control token {text} from text: choose another model.")
    return plain


def _makes(merge: str | Sequence[str], names: Mapping[str, str]) -> bool:
    """Whether a merge of byte pairs has to do with a control token."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names


def with_backend(tokenizer: Any, backend: Any) -> Any:
    """The tokenizer of transformers over another fast tokenizer."""
    twin = copy.copy(tokenizer)
    twin._tokenizer = backend
    return twin
