"""The tokenizer of a folder, as its files say it."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from cwpo.errors import ModelError, brief


def read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer saved in the folder; ModelError, which calls it `name`, where none can be loaded."""
    loader: Any = PreTrainedTokenizerFast if _is_generic(folder) else AutoTokenizer
    try:
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        return tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name} has no tokenizer that can be loaded ({brief(error)}): it needs tokenizer.json."
        ) from error


def _is_generic(folder: Path) -> bool:
    """Whether tokenizer.json must be taken as it is: AutoTokenizer would put the family's splitting in its place."""
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    return json.loads(settings.read_text()).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
