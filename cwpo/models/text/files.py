"""The tokenizer of a folder, as its files say it."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from cwpo.bounds import json_text
from cwpo.errors import ModelError, brief
from cwpo.models.text.bounded import BoundedEnvironment
from cwpo.models.text.template import MOST_SETTINGS

# Where transformers renders the chat templates of anybody, which may never come to an end
chat_template_utils.ImmutableSandboxedEnvironment = BoundedEnvironment  # type: ignore[misc]


def read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer saved in the folder; ModelError, which calls it `name`, where none can be loaded."""
    try:
        loader: Any = PreTrainedTokenizerFast if _is_generic(folder) else AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        return tokenizer
    except MemoryError:
        raise
    except Exception as error:  # what tokenizers says of a file that it cannot read has no class of its own
        raise ModelError(
            f"{name} has no tokenizer that can be loaded ({brief(error)}): it needs tokenizer.json."
        ) from error


def _is_generic(folder: Path) -> bool:
    """Whether tokenizer.json must be taken as it is: AutoTokenizer would put the family's splitting in its place."""
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    kind = json_text.read_object(settings, most=MOST_SETTINGS).get("tokenizer_class")
    return kind in ("TokenizersBackend", "PreTrainedTokenizerFast")
