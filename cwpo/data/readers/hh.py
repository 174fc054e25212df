"""Anthropic/hh-rlhf: two whole conversations in HH's text form, without a prompt column. Torch-free."""

from typing import Any

from cwpo.data.readers import preference
from cwpo.data.rows import ASSISTANT, BadRow, RawPair


def to_pair(row: dict[str, Any]) -> RawPair:
    """Cut both conversations after the last Assistant mark; a copy with a prompt column is read as it is."""
    if row.get("prompt") is None and not all(ASSISTANT in str(row.get(name)) for name in ("chosen", "rejected")):
        raise BadRow("unparsable", "no Assistant turn in chosen or rejected")
    return preference.to_pair(row)
