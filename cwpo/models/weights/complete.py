"""Whether every weight of a model came from its file, and every weight of the file into the model."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from cwpo.errors import ModelError


def check_complete(model: PreTrainedModel, info: Mapping[str, Any], name: str, *, new_head: bool) -> None:
    """No weight may be left as initialised, and none in the file may go unused; a new scalar head is the exception."""
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    if new_head:  # whatever lies outside the backbone: the old head goes, the new one is drawn from the seed
        backbone = f"{model.base_model_prefix}."
        missing = {key for key in missing if key.startswith(backbone)}
        unexpected = {key for key in unexpected if key.startswith(backbone)}
    mismatched = {key if isinstance(key, str) else key[0] for key in info.get("mismatched_keys", ())}
    meta = {key for key, value in model.named_parameters() if value.is_meta}
    for keys, problem in (
        (missing | meta, "missing from the file and would stay random"),
        (mismatched, "of another shape than config.json says"),
        (unexpected, "in the file but not in the model"),
    ):
        if keys:
            others = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{name}: the weight {sorted(keys)[0]}{others} is {problem}: use a complete copy.")
