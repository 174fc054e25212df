"""Small tokenizers in the manner of six families: how they cut texts, and what they call special. Trained here."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' "
    "+ m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim "
    "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
DEBERTA = "{% for m in messages %}{{ m.role + ': ' + m.content + ' [SEP] ' }}{% endfor %}"
_LETTERS = "".join(chr(code) for code in range(32, 127)) + "\n\té"
_CORPUS = [
    "The answer to your question is that nothing here is special, and so it goes.",
    "Write a short story about a start of turn, the end of it, and im and eot and inst and header id.",
    "user assistant system model s bos eos pad end of text begin of text sep cls mask",
    "def f(x):\n    return x + 1\n\n\n* one\n* two",
    *(letter * 3 + " " + letter for letter in _LETTERS),
]


def special(*texts: str) -> list[AddedToken]:
    return [AddedToken(text, special=True, normalized=False) for text in texts]


def _bytes(specials: list[AddedToken], *, words: tuple[str, ...] = (), **named: Any) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(_CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet))
    core.add_tokens(specials)
    core.add_tokens([AddedToken(word, special=False, normalized=False) for word in words])
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **named)


def opt() -> PreTrainedTokenizerFast:
    """Byte pairs whose vocabulary itself holds </s>, which starts every text and ends it."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(text, special=True) for text in ("<s>", "<pad>", "</s>", "<unk>")],
    )  # fmt: skip
    core.train_from_iterator(_CORPUS, trainer)
    core.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="</s>"
    )


def qwen() -> PreTrainedTokenizerFast:
    """ChatML, with barred tokens that are not called special and words such as <think> among the added tokens."""
    specials = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = _bytes(
        specials, words=("<|fim_prefix|>", "<think>", "</think>"), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def llama3() -> PreTrainedTokenizerFast:
    specials = special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    tokenizer = _bytes(specials, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    tokenizer.chat_template = LLAMA3
    return tokenizer


def _pieces(names: tuple[str, ...]) -> Tokenizer:
    """Byte pairs over ▁ words; merges lead to the names themselves, as in files converted from sentencepiece."""
    core = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    core.train_from_iterator(
        [f"▁{line.replace(' ', '▁')}" for line in _CORPUS] + [name for name in names for _ in range(60)],
        trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", *fallback]),
    )
    assert all(core.token_to_id(name) for name in names)
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.add_tokens(special("<unk>", *names))
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return core


def mistral() -> PreTrainedTokenizerFast:
    """Llama 2's way of words, with [INST] as a control token as later Mistrals have it."""
    core = _pieces(("<s>", "</s>", "[INST]", "[/INST]"))
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = MISTRAL
    return tokenizer


def gemma() -> PreTrainedTokenizerFast:
    """Turn marks that the file does not call special, and runs of newlines among the added tokens."""
    core = _pieces(("<bos>", "<eos>", "<pad>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    core.add_tokens([AddedToken(text, special=False, normalized=False) for text in
                     ("<start_of_turn>", "<end_of_turn>", "\n\n", "\n\n\n", "<table>")])  # fmt: skip
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", core.token_to_id("<bos>"))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = GEMMA
    return tokenizer


def deberta() -> PreTrainedTokenizerFast:
    """Unigrams as T5 and deberta have them: the vocabulary's best pieces are its control tokens."""
    names = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "</s>", "<extra_id_0>")
    pieces = [(name, 0.0) for name in ("[UNK]", *names)]
    words = sorted({f"▁{word}" for line in _CORPUS for word in line.split()})
    pieces += [
        ("▁", -3.0),
        *((letter, -8.0) for letter in _LETTERS if letter.strip()),
        *((word, -6.0) for word in words),
    ]
    unique = list(dict(reversed(pieces)).items())[::-1]
    core = Tokenizer(models.Unigram(unique, unk_id=0))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.add_tokens(special("[UNK]", *names))
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]",
        mask_token="[MASK]", eos_token="[SEP]", extra_special_tokens=["</s>", "<extra_id_0>"],
    )  # fmt: skip
    tokenizer.chat_template = DEBERTA
    return tokenizer


_MAKERS: Mapping[str, Callable[[], PreTrainedTokenizerFast]] = {
    "opt": opt, "qwen": qwen, "llama3": llama3, "mistral": mistral, "gemma": gemma, "deberta": deberta,
}  # fmt: skip
NAMES = tuple(_MAKERS)


@cache
def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """The family's tokenizer, made once."""
    return _MAKERS[family]()
