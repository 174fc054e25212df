"""Opens an engine that is not ours: the model as folders, its tokenizer, and the room for prompts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from transformers import AutoConfig

from cwpo.bounds import json_text
from cwpo.errors import ConfigError, ModelError
from cwpo.evaluation.engines.contract import Engine
from cwpo.evaluation.engines.native import stop_ids
from cwpo.evaluation.engines.vllm import Opening, VllmEngine
from cwpo.models import hub
from cwpo.models.load import ModelRef, context_length, lineage, load_tokenizer
from cwpo.stages.context import StageContext
from cwpo.stages.settings import SampleSettings

_MOST = 1 << 20  # bytes of generation_config.json


@contextmanager
def opened(ref: ModelRef, ctx: StageContext[SampleSettings]) -> Iterator[tuple[Engine, Any, int]]:
    """(engine, tokenizer, room for a prompt); what the engine holds is given back at the end."""
    settings, store = ctx.settings, ctx.store
    assert settings.engine is not None
    folder, adapters = lineage(ref, store=store)
    hub.check_config(folder, folder.name)
    hub.check_weights(folder, folder.name)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    room, tokenizer = prompt_room(config, settings), load_tokenizer(ref, store=store)
    opening = Opening(
        folder=folder,
        adapters=adapters,
        stops=stop_ids(SimpleNamespace(generation_config=_generation_config(folder)), tokenizer),
        context=room + settings.decoding.max_new_tokens,
        precision=settings.precision,
        device=ctx.device,
        decoding=settings.decoding,
        evaluation_seed=settings.evaluation_seed,
        scratch=ctx.checkpoints if ctx.execution.ranks.is_first() else ctx.out,  # a folder of each rank
    )
    with VllmEngine(opening=opening, settings=settings.engine) as engine:
        yield engine, tokenizer, room


def prompt_room(config: Any, settings: SampleSettings) -> int:
    """Tokens that a prompt may have: the context without the longest answer."""
    new_tokens = settings.decoding.max_new_tokens
    context = context_length(cast(Any, SimpleNamespace(config=config)), settings.max_length)
    if new_tokens >= context:
        raise ConfigError(
            "evaluation.max_new_tokens",
            f"{new_tokens} leaves no room for a prompt in a context of {context} tokens: lower it.",
        )
    return context - new_tokens


def _generation_config(folder: Path) -> Any:
    file = folder / "generation_config.json"
    try:
        values = json_text.read_object(file, most=_MOST) if file.is_file() else {}
    except json_text.JsonError as error:
        raise ModelError(f"{file.name} of the model {error}: download or save it again.") from error
    return SimpleNamespace(eos_token_id=values.get("eos_token_id"))
