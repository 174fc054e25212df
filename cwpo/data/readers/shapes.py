"""Which `to_pair` reads a row. Torch-free: the form checks the first rows of a file with it."""

from collections.abc import Callable
from typing import Any

from cwpo.data.readers import hh, preference, shp, tldr, ultrafeedback
from cwpo.data.rows import BadRow, RawPair, careful

ToPair = Callable[[dict[str, Any]], RawPair]


def to_pair(row: dict[str, Any]) -> RawPair:
    """Any hub id or file: the reader follows from the columns."""
    if "summaries" in row or all(name in row for name in tldr.QUERY_COLUMNS):
        return tldr.to_pair(row)
    if all(name in row for name in shp.COLUMNS):
        return shp.to_pair(row)
    if row.get("response_a") is not None and row.get("response_b") is not None:
        return _labeled_candidates(row)
    return preference.to_pair(row)


def _labeled_candidates(row: dict[str, Any]) -> RawPair:
    """The program's own export: response_a, response_b and human_label."""
    label = row.get("human_label")
    if label not in ("a", "b"):
        raise BadRow("no_label", "human_label is neither a nor b")
    other = "b" if label == "a" else "a"
    chosen, rejected = row[f"response_{label}"], row[f"response_{other}"]
    return preference.to_pair({"prompt": row.get("prompt"), "chosen": chosen, "rejected": rejected})


READERS: dict[str, ToPair] = {  # names as in the dataset rows of cwpo/config/catalog_data.py
    "hh": hh.to_pair,
    "tldr": tldr.to_pair,
    "ultrafeedback": ultrafeedback.to_pair,
    "shp": shp.to_pair,
    "any": to_pair,
}


def reader_named(name: str) -> ToPair:
    """The reader of a dataset row; an unknown name lists the valid ones."""
    if name not in READERS:
        raise KeyError(f"unknown reader {name!r}; choose one of {', '.join(READERS)}")
    return careful(READERS[name])
