"""HuggingFaceH4/ultrafeedback_binarized: chat messages whose first turn repeats the prompt column. Torch-free."""

from typing import Any

from cwpo.data.readers import preference
from cwpo.data.rows import BadRow, RawPair


def to_pair(row: dict[str, Any]) -> RawPair:
    """One row of a prefs split. Equal rubric scores are kept, as in the paper's 61.1k pairs (order as published)."""
    if isinstance(row.get("messages"), list) and "chosen" not in row:
        raise BadRow("unparsable", "a row of an sft or gen split: choose the prefs splits")
    return preference.to_pair(row)
