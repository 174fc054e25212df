"""The first rows of one's own file: how many are pairs, what is dropped and why, and three of them to look at."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from app import untrusted
from app.components.frame import layout, text_blocks
from app.components.frame.formats import counted
from cwpo.bounds import paths
from cwpo.data.profile.first_rows import TOKEN, FirstRows, first_rows, quantile
from cwpo.errors import ConfigError, DataError
from cwpo.models.hub import is_local
from cwpo.places import may_use

SHOWN = 3  # pairs
LONGEST = 400  # characters of a text at first
MOST_REASONS = 8


def show_first_rows(dataset: str, columns: Mapping[str, str] | None) -> None:
    """Under the form, for a file of this machine that can be read; its problems stand beside the plan."""
    if not is_local(dataset) or not may_use(found := paths.local(dataset)) or not paths.is_file(found):
        return
    try:
        rows = first_rows(Path(dataset), columns=columns)
    except (DataError, ConfigError):
        return
    if rows is None:
        return
    folded = st.expander(untrusted.label(headline(rows), 160), key="new_run.rows", on_change="rerun")
    if folded.open:
        with folded:
            _dropped(rows)
            _lengths(rows)
            for at, pair in enumerate(rows.shown[:SHOWN]):
                layout.note(f"Line {pair.line}, the prompt:")
                text_blocks.show_block(pair.prompt, key=f"new_run.row_{at}_prompt", limit=LONGEST)
                for column, (label, text) in zip(
                    layout.two_columns(200), (("chosen", pair.chosen), ("rejected", pair.rejected)), strict=True
                ):
                    with column:
                        st.caption(label)
                        text_blocks.show_block(text, key=f"new_run.row_{at}_{label}", limit=LONGEST)


def headline(rows: FirstRows) -> str:
    """171 rows of own.jsonl: 168 pairs, 3 dropped."""
    dropped = sum(rows.dropped.values())
    which = f"All {counted(rows.rows, 'row')}" if rows.whole else f"The first {rows.rows:,}{_of(rows)} rows"
    return f"{which} of {rows.name}: {counted(rows.pairs, 'pair')}, {dropped:,} dropped"


def _of(rows: FirstRows) -> str:
    return "" if rows.total is None else f" of {rows.total:,}"


def _dropped(rows: FirstRows) -> None:
    """Reasons, the most frequent first, each with a row that shows it."""
    for reason, count in list(rows.dropped.items())[:MOST_REASONS]:
        one = next(example for example in rows.examples if example["reason"] == reason)
        layout.note(f"{counted(count, 'row')} dropped, {reason}: line {one['line']}, {one['detail']}")


def _lengths(rows: FirstRows) -> None:
    """Half and 95 % of the pairs are no longer than this."""
    if not rows.lengths:
        return
    prompts = [length.prompt // TOKEN for length in rows.lengths]
    longer = [length.longer // TOKEN for length in rows.lengths]
    words = (
        f"{name} {quantile(values, 0.5):,} and {quantile(values, 0.95):,}"
        for name, values in (("prompts", prompts), ("the longer responses", longer))
    )
    layout.note(
        f"Tokens, estimated at {TOKEN} characters each; half and 95 % are no longer than: {', '.join(words)}. "
        f"{counted(rows.prompts, 'distinct prompt')}."
    )
