"""How texts of data become ids: what they say is text, and only a chat template has control tokens. Free of torch."""

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from cwpo.errors import DataError, brief
from cwpo.models.text.control import Names, control_tokens, plain_backend, with_backend
from cwpo.models.text.template import Messages, refusal

_KEPT = "_cwpo_reader"  # attribute of a tokenizer
# What a template raises that does with a conversation what cannot be done
_ODD = (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RecursionError)
RULE = 1  # of how texts become ids; stored ids of another rule are not read


class TextReader:
    """One tokenizer as it reads data. `plain` is its twin that knows no control token by its usual name."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.control: Mapping[str, int] = control_tokens(tokenizer)
        self._names = Names(self.control)

    @cached_property
    def plain(self) -> Any:
        """For whole texts with the special tokens that the tokenizer itself puts around them."""
        if not self._is_fast:
            twin = copy.copy(self._tokenizer)
            twin.split_special_tokens = True
            return twin
        backend = plain_backend(self._tokenizer.backend_tokenizer, self._names.marker)
        return with_backend(self._tokenizer, backend)

    @property
    def _is_fast(self) -> bool:
        return getattr(self._tokenizer, "backend_tokenizer", None) is not None

    @cached_property
    def start(self) -> list[int]:
        """The token that starts a text, once: what the tokenizer adds itself (OPT `</s>`), else its own BOS (Llama)."""
        added, bos = self._tokenizer("")["input_ids"][:1], self._tokenizer.bos_token_id
        if added and added[0] == bos:
            return list(added)
        return [bos] if bos is not None and bos != self._tokenizer.eos_token_id else []

    @property
    def end(self) -> int:
        """The token that ends a response."""
        return int(self._tokenizer.eos_token_id)

    def holds_control(self, text: str) -> bool:
        """Whether a control token is written in the text."""
        return self._names.inside(text)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts of data, nothing in front and nothing behind; several at once on several cores."""
        if not self._is_fast:
            return [self._spelled_out(text) for text in texts]
        backend = self.plain.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _spelled_out(self, text: str) -> list[int]:
        """Ids by a tokenizer written in Python: markers by their secret names, and the text between them."""
        ids: list[int] = []
        for part, marker in self._names.parts(text):
            ids += self.plain(part, add_special_tokens=False)["input_ids"] if part else []
            ids += [self.control[marker]] if marker else []
        return ids

    def prompts(self, rows: Sequence[tuple[str, str | None]]) -> list[list[int]]:
        """Ids of prompts as the policy continues them: (text, JSON of chat messages where the data have them)."""
        templated = bool(getattr(self._tokenizer, "chat_template", None))
        texts, starts = [], []
        for prompt, messages in rows:
            chat = templated and messages
            texts.append(self._rendered(json.loads(messages or "[]"), answering=True) if chat else prompt)
            starts.append([] if chat else self.start)
        ids = (start + found for start, found in zip(starts, self.ids(texts), strict=True))
        return [prompt or [self.end] for prompt in ids]  # something must predict the first token

    def conversation(self, messages: Messages) -> list[int]:
        """Ids of a whole conversation in the chat template, as the template writes it."""
        return self.ids([self._rendered(messages, answering=False)])[0]

    def _rendered(self, messages: Messages, *, answering: bool) -> str:
        """The template's text for `plain`: contents cannot write its markers."""
        from jinja2 import TemplateError

        quoted = [{**message, "content": self._names.quote(message["content"])} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(quoted, add_generation_prompt=answering, tokenize=False)
        except (TemplateError, *_ODD) as error:
            raise DataError(refusal(brief(error), messages)) from error
        return self._names.mark(text)


def reader_of(tokenizer: Any) -> TextReader:
    """The reader of a tokenizer, made once and kept with it."""
    known = vars(tokenizer)
    if _KEPT not in known:
        known[_KEPT] = TextReader(tokenizer)
    reader: TextReader = known[_KEPT]
    return reader
