"""Values under dotted names, such as `data.dataset`, in configurations that may be incomplete."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def value_at(values: Any, path: str) -> Any:
    """The value under a dotted name, in mappings or parts of a configuration; None where a piece is not there."""
    found = values
    for name in path.split("."):
        if isinstance(found, BaseModel):
            found = getattr(found, name, None)
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found
