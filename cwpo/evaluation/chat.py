"""The models of one run answer the same prompts side by side, token by token, as its own sampler would.

Weights are read once: models that are adapters on one base, each on the adapters of the one before, are one model whose
adapters are switched. Others are loaded side by side. What a person writes is text: it cannot write control tokens.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwpo.artifacts import ArtifactStore
from cwpo.errors import ConfigError
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import NativeEngine, native
from cwpo.models.adapters import BELOW
from cwpo.models.load import ModelRef, context_length, lineage, load_policy
from cwpo.models.text.reader import reader_of
from cwpo.models.tokenization import cut_left
from cwpo.stages.settings import DecodingSettings, Quantization

GREEDY = 1e-12  # nucleus of the most likely token alone
_NAME = "chat"  # of the noise: the same seed has the same noise for every model


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One turn. `history`: earlier prompts with this model's own answers; read only where there is a chat template."""

    prompt: str
    history: Sequence[tuple[str, str]] = ()
    temperature: float = 0.0
    max_new_tokens: int = 256
    seed: int = 0
    plain: bool = False  # no chat template, though there is one


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A model with its tokenizer. `adapters`: how many of those that its weights carry are its own; None: of none."""

    model: Any
    tokenizer: Any
    adapters: int | None
    device: str
    precision: str

    @property
    def has_template(self) -> bool:
        """Whether several turns make a conversation."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def answer(self, asked: Asked) -> Iterator[str]:
        """The text so far, after every token. Between two of them other models may speak."""
        ids = self._prompt(asked)
        engine = self._engine(asked)
        tokens = engine.stream(Question(prompt_id=_NAME, sample=0, prompt_ids=ids))
        stops, written = set(engine.stops.tolist()), list[int]()
        while True:
            self._switch()
            try:
                token = next(tokens)
            except StopIteration:
                return
            written += [] if token in stops else [token]
            yield self.tokenizer.decode(written, skip_special_tokens=True)

    def _prompt(self, asked: Asked) -> list[int]:
        room = context_length(self.model) - asked.max_new_tokens
        if room < 1:
            context = context_length(self.model)
            raise ConfigError("Longest answer", f"the model reads {context:,} tokens in all; lower it below that.")
        messages = None
        if self.has_template and not asked.plain:
            turns = [("user", "assistant")[place % 2] for place in range(2 * len(asked.history))]
            texts = [text for turn in asked.history for text in turn]
            spoken = [{"role": role, "content": text} for role, text in zip(turns, texts, strict=True)]
            messages = json.dumps([*spoken, {"role": "user", "content": asked.prompt}])
        ids = reader_of(self.tokenizer).prompts([(asked.prompt, messages)])[0]
        return cut_left(ids, room, self.tokenizer)

    def _engine(self, asked: Asked) -> NativeEngine:
        greedy = asked.temperature == 0
        decoding = DecodingSettings(
            temperature=1.0 if greedy else asked.temperature, top_p=GREEDY if greedy else 1.0,
            max_new_tokens=asked.max_new_tokens, samples=1,
        )  # fmt: skip
        return native(
            self.model, self.tokenizer, decoding, asked.seed, device=self.device, precision=self.precision,
            tokens_per_batch=4096,
        )  # fmt: skip

    def _switch(self) -> None:
        """Its own adapters answer, and none above them."""
        if self.adapters is None:
            return
        tuner = self.model.base_model
        if self.adapters == 0:
            tuner.disable_adapter_layers()
        else:
            tuner.enable_adapter_layers()
            tuner.set_adapter([f"{BELOW}{place}" for place in range(self.adapters)])


def speakers(
    refs: Mapping[str, ModelRef],
    *,
    store: ArtifactStore,
    device: str,
    precision: str,
    quantization: Quantization = "none",
) -> dict[str, Speaker]:
    """The models under their names, weights shared where they can be."""
    chains = {name: lineage(ref, store=store) for name, ref in refs.items()}
    options: dict[str, Any] = {
        "store": store, "device": device, "precision": precision, "trainable": False, "lora": None, "seed": 0,
        "parents": "apart", "quantization": quantization,
    }  # fmt: skip
    found: dict[str, Speaker] = {}
    for names in shared(chains):
        longest = max(names, key=lambda name: len(chains[name][1]))
        policy = load_policy(refs[longest], **options)
        has_adapters = bool(chains[longest][1])
        for name in names:
            found[name] = Speaker(
                model=policy.model, tokenizer=policy.tokenizer, device=device, precision=precision,
                adapters=len(chains[name][1]) if has_adapters else None,
            )  # fmt: skip
    return {name: found[name] for name in refs}


def shared(chains: Mapping[str, tuple[Path, Sequence[Path]]]) -> list[list[str]]:
    """Names whose models are one set of weights: the same base, and of the adapters one chain is the start of the
    other."""
    groups: list[list[str]] = []
    for name in sorted(chains, key=lambda name: -len(chains[name][1])):
        base, adapters = chains[name]
        for group in groups:
            other, longest = chains[group[0]]
            if other.resolve() == base.resolve() and list(longest[: len(adapters)]) == list(adapters):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def together(streams: Mapping[str, Iterator[str]], at_once: int = 4) -> Iterator[dict[str, str]]:
    """All answers so far, again and again until all have ended; each model writes a few tokens, then the next."""
    texts, open_ones = dict.fromkeys(streams, ""), dict(streams)
    while open_ones:
        for name, stream in list(open_ones.items()):
            for _ in range(at_once):
                with suppress(StopIteration):
                    texts[name] = next(stream)
                    continue
                del open_ones[name]
                break
            yield dict(texts)
