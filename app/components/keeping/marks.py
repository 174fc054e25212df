"""Tags, note and name of runs: what is written on them, and the small forms that change it."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import text_blocks
from app.components.keeping.undo import act
from app.reads import results
from db import queries
from db.records.keeping import KeptRun
from workers.api import keeping

NOTE_SHOWN = 400  # characters beside a run
TRIED = "tags_tried"  # how often tags were changed here: each time the field is another one


def kept(run_ids: Sequence[int]) -> list[KeptRun]:
    """The runs with what is said of them."""
    with results.reading() as session:
        return queries.kept_runs(session, run_ids)


def show_tags(run: KeptRun) -> None:
    """Its tags as chips, in the middle of a line."""
    for tag in run.tags:
        st.badge(untrusted.label(tag, 40), color="gray")


def show_note(run: KeptRun) -> None:
    """What somebody wrote, as it was written: no Markdown, no HTML."""
    if run.note:
        text_blocks.show_text(run.note, key=f"note_of_{run.id}", limit=NOTE_SHOWN)


def edit_tags(runs: Sequence[KeptRun], place: str, why: str = "") -> None:
    """One field: the tags that all of these runs have. A new one is typed; what is taken out goes from all of them.
    `why` nothing can be changed, where that is so."""
    common = sorted(set.intersection(*(set(run.tags) for run in runs)))
    with results.reading() as session:
        known = [one.tag for one in queries.all_tags(session)]
    tried = st.session_state.get(TRIED, 0)
    key = f"{place}_tags_{_place_of(runs)}_{hash(tuple(common))}_{tried}"
    st.multiselect(
        "Tags", [*dict.fromkeys([*common, *known])], default=common, key=key, accept_new_options=True,
        on_change=_retag, args=(key, _ids(runs), tuple(common), tried), format_func=untrusted.plain,
        placeholder="Type a tag and press Enter", wrap=True, disabled=bool(why),
        help=why or "Tags are words of yours to find runs by; the list of runs can be filtered by them.",
    )  # fmt: skip


def edit_note(runs: Sequence[KeptRun], place: str, why: str = "") -> None:
    """Anything about these runs; it is kept as it is written, and once for each of them."""
    now, differ = _common([run.note for run in runs])
    key = f"{place}_note_{_place_of(runs)}_{hash((now, differ))}"
    st.text_area("Note", value=now, key=key, height=160, placeholder="What was tried here, and what came of it?",
                 disabled=bool(why), help=why or None)  # fmt: skip
    if differ:
        st.caption("Their notes differ: what is saved here replaces them.")
    st.button("Save note", key=f"{key}_save", on_click=_note, args=(key, _ids(runs)), disabled=bool(why))


def edit_name(runs: Sequence[KeptRun], place: str, why: str = "") -> None:
    """Another name for these runs."""
    now, differ = _common([run.name for run in runs])
    key = f"{place}_name_{_place_of(runs)}_{hash((now, differ))}"
    st.text_input("Name", value=now, key=key, max_chars=200, disabled=bool(why), help=why or None)
    if differ:
        st.caption("Their names differ: the one that is given here replaces them.")
    st.button("Rename", key=f"{key}_save", on_click=_rename, args=(key, _ids(runs)), disabled=bool(why))


def _common(texts: Sequence[str]) -> tuple[str, bool]:
    """What all of them say, nothing where they differ; whether they do."""
    differ = len(set(texts)) > 1
    return "" if differ else texts[0], differ


def _retag(key: str, run_ids: tuple[int, ...], before: tuple[str, ...], tried: int) -> None:
    """Once, although a change comes again where the drawing that it asked for was cut short. The field is another one
    afterwards: a tag that could not be kept is not shown as if it were."""
    if st.session_state.get(TRIED, 0) != tried:
        return
    now = list(dict.fromkeys(st.session_state[key]))
    add, remove = [tag for tag in now if tag not in before], [tag for tag in before if tag not in now]
    if add or remove:
        act(lambda: keeping.retag(run_ids, add, remove))
        st.session_state[TRIED] = tried + 1


def _note(key: str, run_ids: tuple[int, ...]) -> None:
    act(lambda: keeping.note(run_ids, st.session_state[key]))


def _rename(key: str, run_ids: tuple[int, ...]) -> None:
    act(lambda: keeping.rename(run_ids, st.session_state[key]))


def _ids(runs: Sequence[KeptRun]) -> tuple[int, ...]:
    return tuple(run.id for run in runs)


def _place_of(runs: Sequence[KeptRun]) -> int:
    return hash(_ids(runs))
