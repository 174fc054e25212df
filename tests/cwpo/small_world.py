"""A data artifact of word-salad pairs and model artifacts with a word tokenizer, for running stages on."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cwpo.data.pairs import write_pairs
from cwpo.models.load import save_model
from cwpo.records import CandidatePair
from tests.cwpo import random_models

PART = {"label_fraction": 0.4, "split_seed": 0}
MODEL = {"model": "none", "revision": None, "precision": "fp32", "max_length": None}


def word_tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{n}": n for n in range(3, random_models.VOCABULARY)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="</s>", eos_token="</s>", pad_token="<pad>")


def word_pairs(count: int, seed: int = 0) -> list[CandidatePair]:
    """Pairs in which the human prefers the response with the larger words; prompts of different length."""
    rng = np.random.default_rng(seed)

    def words(longest: int) -> list[int]:
        return rng.integers(3, random_models.VOCABULARY, int(rng.integers(1, longest))).tolist()

    rows = []
    for index in range(count):
        prompt, a, b = words(12), words(9), words(9)
        label = "a" if np.mean(a) > np.mean(b) else "b"
        text = [" ".join(f"w{word}" for word in part) for part in (prompt, a, b)]
        rows.append(
            CandidatePair(
                pair_id=f"{index:016x}", prompt_id=f"{index // 2:016x}", prompt=text[0], response_a=text[1],
                response_b=text[2], human_label=label, true_label="b" if index % 5 == 0 else label,
            )
        )  # fmt: skip
    return rows


def data_artifact(folder: Path, pairs: list[CandidatePair]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_pairs(pairs, folder)
    return folder


def policy_artifact(folder: Path, architecture: str = "opt", seed: int = 0) -> Path:
    save_model(random_models.policy(architecture, seed=seed), word_tokenizer(), folder, form="full", parent=None)
    return folder


def annotator_artifact(folder: Path, architecture: str = "opt", dropout: float = 0.0) -> Path:
    torch.manual_seed(0)
    model = random_models.scorer(architecture)
    model.config.dropout = dropout
    save_model(model, word_tokenizer(), folder, form="annotator", parent=None)
    return folder
