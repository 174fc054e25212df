"""New run: choose an existing annotator instead of training one."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import reads
from app.components import layout
from app.components.annotator_words import overlap, provenance
from app.components.config_fields import Fields
from db import queries
from db.records import NamedAnnotatorRow

PATH = "annotator.use"


def choose_existing(fields: Fields, key: str, dataset: str, default: Any = None) -> None:
    """A named annotator, or none; its provenance stands below it."""
    with reads.reading() as session:
        rows = [row for row in queries.named_annotators(session) if row.stored]
    first = _known_as(default, rows)
    options = list(dict.fromkeys([*(row.key for row in rows), *([first] if first else [])]))
    chosen = st.selectbox(
        "Use an existing annotator",
        options,
        index=options.index(first) if first else None,
        placeholder="train one here" if options else "none has a name yet; name one on the page of its run",
        disabled=not options,
        key=f"{key}{PATH}",
        bind="query-params",
        help="It labels in place of one trained by this run; the training settings below are then not used.",
    )
    fields.problem_line(PATH)
    if chosen != first:
        fields.changes[PATH] = chosen
    for row in rows:
        if row.key == chosen:
            layout.note(provenance(row))
            if warning := overlap(row, dataset):
                layout.note(warning)


def _known_as(default: Any, rows: Sequence[NamedAnnotatorRow]) -> str | None:
    """A stored configuration names a fingerprint; people read its name where it has one."""
    if not default:
        return None
    return next((row.key for row in rows if default in (row.fingerprint, row.key)), str(default))
