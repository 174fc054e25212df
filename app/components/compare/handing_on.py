"""The comparison for somebody who has no dashboard: one table as text to copy, or all of it as one file."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from app import untrusted
from app.components.compare.facts import absences
from app.components.frame import layout
from app.components.frame.downloads import of_what_is_shown
from app.components.frame.export import Exported, file_stem, text_of
from app.reads import judges, results
from app.reads.compare import ChosenRuns
from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.report.document.as_html import to_html
from cwpo.report.document.contents import Compared, document_of
from cwpo.report.document.parts import Document
from cwpo.report.judges.cards import cards_in_words
from cwpo.report.under_table import under_table
from cwpo.report.verdict import Verdict

LONGEST = 120  # characters of a title
FORMATS = ("Markdown", "LaTeX", "CSV")


@layout.fragment
def show_copy(exported: Sequence[Exported]) -> None:
    """Nothing is written before the list is opened; the icon on the text copies all of it."""
    folded = st.popover("Copy", key="copy", on_change="rerun", type="tertiary")
    if not folded.open:
        return
    with folded:
        names = [one.name for one in exported]
        name = st.selectbox("Table", names, key="copy_table", format_func=untrusted.plain) or names[0]
        kind = st.segmented_control("Format", FORMATS, default=FORMATS[0], key="copy_format", required=True)
        chosen = next(one for one in exported if one.name == name)
        st.code(untrusted.visible(text_of(chosen, kind or FORMATS[0])), language=None, height=260)


@layout.fragment
def show_report_buttons(
    shown: ChosenRuns,
    table: Sequence[GraRow],
    differences: Sequence[DifferenceRow],
    matched: Sequence[MatchedRow],
    found: Verdict,
    reference: str,
) -> None:
    """Both files say what this page says; nothing of them is written before a click."""
    folded = st.popover("Report", key="report", on_change="rerun", type="tertiary")
    if not folded.open:
        return
    evaluated = [row for row in shown.rows if row.evaluation is not None]
    cards = judges.cards_of(evaluated)
    compared = Compared(
        runs=shown.rows, configs=results.configs_of(shown.rows), table=table, differences=differences,
        matched=matched, verdict=found, reference=reference,
        left_out=[shown.left_out, *absences(shown.rows, shown.gone)],
        cards=judges.card_table_of(evaluated, table, cards),
        of_cards=cards_in_words(cards, {row.id: row.seed for row in evaluated}),
        under=under_table(shown.rows, shown.siblings, sum(row.estimate is not None for row in differences)),
    )  # fmt: skip
    with folded:
        title = st.text_input("Title of the report", key="report_title", max_chars=LONGEST, placeholder="from the runs")
        kinds: Mapping[str, tuple[str, str, Callable[[str], str | bytes]]] = {
            "HTML": ("html", "text/html", lambda words: to_html(_document(compared, words))),
            "PDF": ("pdf", "application/pdf", lambda words: _pdf(_document(compared, words))),
        }
        with st.container(horizontal=True, gap="small"):
            for label, (ending, mime, make) in kinds.items():
                file_name = f"{file_stem(title) or 'comparison'}.{ending}"
                st.download_button(
                    label,
                    of_what_is_shown(file_name, partial(make, title)),
                    file_name=file_name,
                    mime=mime,
                    key=f"report_{ending}",
                    on_click="ignore",
                )
        layout.note("One file with the verdict, tables, charts, terms and configuration; it opens without a network.")


def _document(compared: Compared, title: str) -> Document:
    return document_of(compared, title=title, made_at=datetime.now(UTC))


def _pdf(document: Document) -> bytes:
    from cwpo.report.document.as_pdf import to_pdf  # its library is large, and few visits ask for it

    return to_pdf(document, made_at=datetime.now(UTC))
