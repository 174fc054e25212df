"""Values under dotted names, such as `data.dataset`, in configurations that may be incomplete."""

from collections.abc import Mapping
from typing import Any


def value_at(values: Any, path: str) -> Any:
    """The value under a dotted name, in mappings or parts of a configuration; None where a piece is not there."""
    found = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
    return found
