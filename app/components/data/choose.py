"""Data page: where the rows come from: a file that is given, one of this server, or a dataset of the hub."""

import streamlit as st

from app import allowed, untrusted
from app.components.data.hub_part import part_fields
from app.components.frame import layout, tables
from app.components.frame.data_address import DataView
from app.components.frame.formats import ago
from app.components.frame.leaving import tell
from app.components.frame.tables import Column
from cwpo import places
from cwpo.errors import CwpoError
from cwpo.report.numbers import size
from workers.api import data
from workers.api.people.access import Role

MEGABYTES = data.MOST_UPLOAD >> 20
GIGABYTES = data.MOST_UPLOAD >> 30
GIVEN = "data_uploads"  # how many files this session gave: each upload has a widget of its own
ENDINGS = ["jsonl", "json", "csv", "parquet", "gz"]
HINT = (
    f"JSONL, JSON, CSV (each also as .gz) or Parquet, up to {GIGABYTES} GB; it is kept on the server. "
    "Give the path of a larger one."
)
FORMS = (
    ("Prompt and two responses", '{"prompt": "…", "chosen": "…", "rejected": "…"}'),
    ("Chat messages", '{"chosen": [{"role": "user", …}, …], "rejected": […]}'),
    ("ShareGPT", '{"conversations": [{"from": "human", "value": "…"}], "chosen": {"from": "gpt", …}, …}'),
    ("LLaMA-Factory", '{"instruction": "…", "input": "…", "chosen": "…", "rejected": "…"}'),
    ("A list with scores or ranks", '{"prompt": "…", "responses": ["…", "…"], "scores": [4, 1]}'),
    ("One scored response a row", '{"prompt": "…", "text": "…", "score": 0.7}'),
)


def show_choice() -> None:
    """Three ways in, and what was looked at before."""
    left, right = layout.two_columns()
    with left:
        layout.small("Give a file")
        _upload()
    with right:
        layout.small("Or name one")
        _name()
        _before()
    _uploads()
    with st.expander("Forms of rows that are recognised"):
        tables.show((Column(label="form"), Column(label="a row", limit=120)), FORMS, alt="Forms of rows")
        layout.note("Columns with other names are said on the next page, and kept as a recipe.")


def open_source(source: str, subset: str = "", revision: str = "") -> None:
    """Look at this one, from the beginning."""
    tell(DataView(source=source, subset=subset, revision=revision).to_params())


def _upload() -> None:
    place = st.session_state.setdefault(GIVEN, 0)
    file = st.file_uploader(
        HINT, type=ENDINGS, key=f"data_file_{place}", max_upload_size=MEGABYTES,
        **allowed.only_for(Role.RUNNER, about="It never leaves this server."),
    )  # fmt: skip
    if file is None:
        return
    try:
        path = data.keep_upload(file.name, file)
    except CwpoError as error:
        layout.problem(error)
        return
    st.session_state[GIVEN] = place + 1
    open_source(path)
    st.rerun()


def _name() -> None:
    with st.form("data_name", border=False):
        text = st.text_input(
            "Path on the server, or a hub id",
            key="data_source",
            placeholder="/data/pairs.jsonl or owner/name",
            help="A path is one on the machine that runs this dashboard; workers elsewhere need it as well.",
        )
        layout.note(places.sentence())
        subset, revision = part_fields("data_named")
        if not st.form_submit_button("Look at it"):
            return
    try:
        source = data.check_source(text)
    except CwpoError as error:
        layout.problem(error)
        return
    open_source(source, subset.strip(), revision.strip())
    st.rerun()


def _before() -> None:
    found = data.looked_at()
    if not found:
        return
    st.caption("Looked at before")
    for place, job in enumerate(found):
        source, part = job.source, (job.subset or "", job.revision or "")
        short = source.rpartition("/")[2] if source.startswith("/") else source
        name = untrusted.label(" · ".join(filter(None, (short, *part))), 60)
        st.button(name, key=f"data_before_{place}", type="tertiary", on_click=open_source, args=(source, *part))


def _uploads() -> None:
    found = data.kept_uploads()
    if not found:
        return
    with st.expander(f"Files that were given ({len(found)})"):
        for place, one in enumerate(found[:50]):
            left, right = st.columns([8, 1], vertical_alignment="center")
            words = f"{one.name} · {size(one.bytes)} · {ago(one.at)}"
            left.button(
                untrusted.label(words, 120), key=f"data_given_{place}", type="tertiary",
                on_click=open_source, args=(str(one.path),),
            )  # fmt: skip
            with right.popover("Remove", type="tertiary"):
                st.caption("Queued runs on this file would fail.")
                st.button(
                    "Remove it", key=f"data_gone_{place}", on_click=_removed, args=(str(one.path),),
                    **allowed.only_for(Role.RUNNER),
                )  # fmt: skip


@layout.told
def _removed(path: str) -> None:
    data.remove_upload(path)
    layout.flash("The file is gone.")
