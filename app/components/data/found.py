"""Data page: what a profile found: the verdict, counts, problems with examples, lengths, near-duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app import untrusted
from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.data_address import LABELED, MOST_TEST_PROMPTS, DataView
from app.components.frame.formats import counted, share
from app.components.frame.leaving import tell
from app.components.frame.tables import Column
from cwpo.data.profile.lengths import BYTES_PER_TOKEN, EDGES, PARTS
from cwpo.report.dropped import cluster_sentence, reason_words
from cwpo.report.numbers import count
from cwpo.report.tables import Table

UNITS = ("characters", "tokens")
PROBLEMS = (
    Column(label="dropped rows", whole=True),
    Column(label="rows", figures=True),
    Column(label="of all", figures=True),
    Column(label="for example", limit=300),
)
OF_DROPPED = (
    ("rows", "Rows that make no pair, by their first reason."),
    ("of all", "Their share of the rows that were read."),
    ("for example", "The first of them, with their lines."),
)
OF_LENGTHS = (("median", "Half are shorter."), ("95 %", "95 of 100 are shorter."), ("longest", "The longest of all."))
LONG = (Column(label="", whole=True), *(Column(label=name, figures=True) for name in ("median", "95 %", "longest")))
FEW = 100  # pairs
LEANING = 0.1  # beyond one half


def verdict(found: Mapping[str, Any]) -> str:
    """Will it work, in one sentence."""
    rows, pairs = found["rows"], found["pairs"]
    split = found["split"]
    if not rows:
        return "No: there are no rows."
    if not pairs:
        worst = max(found["dropped"], key=lambda reason: found["dropped"][reason], default="unparsable")
        none = f"No: none of the {counted(rows, 'row')} makes a pair; most are {reason_words(worst)}."
        return f"{none} Say below which column holds what."
    if split["labeled"] + split["unlabeled"] < 2 or not split["test"]:
        return f"No: {counted(pairs, 'usable pair')} are too few to hold out test prompts and to train on the rest."
    words = "Yes" if pairs >= FEW else "It runs, but says little"
    return (
        f"{words}: {count(pairs)} of {counted(rows, 'row')} make pairs; a run as set below trains on "
        f"{count(split['labeled'])} labeled and {counted(split['unlabeled'], 'unlabeled pair')} "
        f"and answers {counted(split['test'], 'test prompt')}."
    )


def show_counts(found: Mapping[str, Any]) -> None:
    """Six figures in a row."""
    dropped = sum(found["dropped"].values())
    near = found["near"]["test"]
    figures = (
        ("Rows", count(found["rows"]), ""),
        ("Usable pairs", count(found["pairs"]), share(found["pairs"] / found["rows"], 1) if found["rows"] else ""),
        ("Prompts", count(found["prompts"]), ""),
        ("Dropped rows", count(dropped), ""),
        ("Chosen is longer", share(found["longer_wins"], 1) or "–", "equal lengths count one half"),
        ("Near-duplicate tests", count(near["count"]), f"of {near['of']:,} test prompts"),
    )
    with st.container(horizontal=True, gap="medium"):
        for name, figure, more in figures:
            st.metric(name, figure, width="content", help=more or None)


def show_facts(found: Mapping[str, Any]) -> None:
    """What a policy could learn from these pairs besides what people prefer."""
    words = []
    wins = found["longer_wins"]
    if wins is not None and abs(wins - 0.5) > LEANING:
        words.append(f"The longer response is preferred in {share(wins, 1)}: compare what you find with length alone.")
    if found["contradicted"]:
        words.append(f"{counted(found['contradicted'], 'pair')} came again with the other response preferred.")
    if found["clusters"]["largest"] > 1:
        words.append(cluster_sentence(found["clusters"]))
    if found["sources"]:
        words.append("Sources: " + ", ".join(f"{name} {count(n)}" for name, n in found["sources"].items()) + ".")
    if words:
        layout.note(" ".join(words))


def show_problems(found: Mapping[str, Any], files: list[tables.Drawn]) -> None:
    """Every dropped row is counted by its reason; the first of each stand beside it."""
    layout.small("What is dropped, and why?", meanings=OF_DROPPED if found["dropped"] else ())
    if not found["dropped"]:
        layout.note("Nothing: every row makes a pair.")
        return
    rows = []
    for reason, number in found["dropped"].items():
        shown = [f"line {one['line']:,}: {one['detail']}" for one in found["examples"] if one["reason"] == reason]
        rows.append([reason_words(reason), count(number), share(number / found["rows"], 1), " · ".join(shown)])
    plain = tuple(tuple(str(cell) for cell in row) for row in rows)
    table = Table(columns=tuple(column.label for column in PROBLEMS), rows=plain)
    tables.show_with_file(files, PROBLEMS, rows, alt="Dropped rows", numbers=lambda: table)


def show_lengths(found: Mapping[str, Any]) -> None:
    """Histograms of prompts and responses, and three figures of each."""
    layout.small("How long are they?", meanings=OF_LENGTHS)
    unit = st.segmented_control(
        "Lengths in", UNITS, default=UNITS[0], key="data_unit", required=True, label_visibility="collapsed"
    )
    parts = found["lengths"][unit or UNITS[0]]
    rows = [{"part": part, "unit": unit, "edges": list(EDGES), "counts": parts[part]["counts"]} for part in PARTS]
    estimate = f"Tokens are estimated: a token for every {BYTES_PER_TOKEN} bytes." if unit == "tokens" else ""
    show_chart("text_lengths", rows, key=f"data_lengths_{unit}", alt=f"Lengths in {unit}", caption=estimate)
    cells = [[part, *(count(round(parts[part][name])) for name in ("median", "most", "longest"))] for part in PARTS]
    tables.show(LONG, cells, alt=f"Lengths in {unit}")


def show_split(view: DataView, found: Mapping[str, Any]) -> None:
    """How a run would divide the prompts, changeable, and what is alike across the parts."""
    layout.section("Test prompts and training", "By prompt, as a new run divides them with seed 0.")
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    split, place = found["split"], abs(hash((view.source, view.split)))
    test = left.number_input("Test prompts", 1, MOST_TEST_PROMPTS, view.split.test_prompts, key=f"data_test_{place}")
    fraction = middle.number_input(
        "Labeled share", *LABELED, view.split.label_fraction, 0.05, key=f"data_share_{place}"
    )
    now = replace(view.split, test_prompts=int(test), label_fraction=round(float(fraction), 4))
    if right.button("Divide again", key="data_divide", disabled=now == view.split):
        tell(replace(view, split=now).to_params())
        st.rerun()
    if split["test"] < view.split.test_prompts:
        layout.note(
            f"Only {counted(split['test'], 'prompt')} can be held out: one in six, where fewer are there, and whole "
            "clusters of related prompts."
        )
    near = found["near"]
    for part, other, words in (
        ("test", "training", "test prompts have a near-duplicate among the prompts for training"),
        ("labeled", "unlabeled", "labeled prompts have one among the unlabeled"),
    ):
        one = near[part]
        st.text(f"{count(one['count'])} of {count(one['of'])} {words}.")
        _examples(one["examples"], part, other)
    layout.note(
        f"Nearly the same: of all runs of three words in two prompts, {share(near['threshold'])} or more stand in both."
    )


def _examples(examples: Sequence[Mapping[str, Any]], here: str, there: str) -> None:
    if not examples:
        return
    with st.expander(f"The most alike: {here} and {there}"):
        for one in examples:
            left, right = st.columns(2)
            left.caption(f"{here}, line {one['line']:,} · {share(one['similarity'])} alike")
            left.text(untrusted.visible(one["text"]))
            right.caption(f"{there}, line {one['other_line']:,}")
            right.text(untrusted.visible(one["other_text"]))
