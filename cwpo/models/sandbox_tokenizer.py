"""The tokenizer of the sandbox: one token per word of the world, in a fixed order. Free of torch.

Nothing is trained, so the same vocabulary comes out of every process; it is still saved beside every model's weights.
Each family keeps the habit of its large relatives: OPT puts </s> in front of a text, Qwen2 puts nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cwpo.sandbox import lexicon

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN, PAD = "<unk>", "<pad>"
END = {"opt": "</s>", "qwen2": "<|endoftext|>"}
MAX_LENGTH = lexicon.MAX_LENGTH

_WORD = r"user:|assistant:|[a-z]+|\S"  # anything else is an unknown token, one per character


def vocabulary(family: str) -> dict[str, int]:
    """Special tokens, then the world's words in alphabetical order."""
    if family not in END:
        raise KeyError(f"unknown family {family!r}; choose one of {', '.join(END)}")
    return {token: number for number, token in enumerate((UNKNOWN, PAD, END[family], *lexicon.words()))}


def build(family: str) -> "Tokenizer":
    """Text to ids and back; decoding joins words by single spaces, which is how the world writes."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    words = vocabulary(family)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    tokenizer.add_special_tokens([UNKNOWN, PAD, END[family]])
    if family == "opt":
        end = END[family]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{end} $A", pair=f"{end} $A {end} $B", special_tokens=[(end, words[end])]
        )
    return tokenizer


def save(family: str, out: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json as transformers reads them."""
    from transformers import PreTrainedTokenizerFast

    end = END[family]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build(family),
        unk_token=UNKNOWN,
        pad_token=PAD,
        eos_token=end,
        bos_token=end if family == "opt" else None,
        model_max_length=MAX_LENGTH,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.save_pretrained(out)


def count_tokens(texts: list[str]) -> list[int]:
    """Tokens of each text, as the OPT-shaped models count them."""
    return [len(encoding.ids) for encoding in build("opt").encode_batch(texts)]
