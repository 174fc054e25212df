"""Model tab of a run: where its models lie and how they are loaded, exports of them, and the way to the hub."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.components.frame.downloads import show_download
from app.components.frame.formats import ago
from app.components.model.words import named
from cwpo.errors import CwpoError
from cwpo.export import words
from cwpo.report.numbers import size
from cwpo.stages.online import FRESH_FILE
from db.errors import DatabaseError
from db.records import StageRow
from workers.api import models
from workers.api.models import EXPORTED, RUNNING, Export, TrainedModel, Wanted
from workers.api.people.access import Role

REFRESH = "1s"
FORMS = {words.MERGED: "Merged, one folder", words.ADAPTERS: "Adapters alone, for peft"}
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
TITLES = {name: f"{title[:1].upper()}{title[1:]}" for name, title in words.STAGES.items()}
ABOUT = (
    "An export is a plain folder of transformers with tokenizer, chat template and model card. It is compared with the "
    "model as it was trained before it is called done, and made behind everything else on this machine."
)
WHERE = "Paths are those of the machine that runs this dashboard."
HUB = (
    "The token is read from HF_TOKEN where the dashboard was started; it is neither stored nor shown. The model card "
    "goes along; the licence in it is yours to choose."
)


def show_models(run_id: int, stages: Sequence[StageRow]) -> None:
    """Everything that can be taken along."""
    try:
        found = models.models(run_id, stages)
    except CwpoError as error:
        layout.problem(named(error))
        return
    if not found:
        layout.empty_state("The models of the run can be taken along from here as soon as one is trained.")
        return
    layout.note(WHERE)
    for model in found:
        _stored(run_id, model)
    _form(run_id, [model for model in found if model.stored is not None])
    live = any(one.status == RUNNING for one in models.exports(run_id))
    layout.fragment(_exports, run_every=REFRESH if live else None)(run_id, live)


def _stored(run_id: int, model: TrainedModel) -> None:
    """One model as it lies in the store."""
    layout.small(TITLES[model.stage])
    if model.stored is None:
        layout.note(model.problem)
        return
    pinned = f" @ {model.stored.revision[:12]}" if model.stored.revision else ""
    layout.note(f"{model.stored.chain}{pinned} · {size(model.stored.bytes)}")
    st.code(untrusted.visible(model.stored.folder or "not on this machine"), language=None, wrap_lines=True)
    fresh = None if model.stored.folder is None else model.stored.folder / FRESH_FILE
    if fresh is not None and fresh.is_file():
        show_download(
            f"Download its fresh pairs, {size(fresh.stat().st_size)}", fresh, f"fresh-pairs-{run_id}.parquet",
            key="fresh_pairs", about="Every pair that the policy sampled while it trained, with label, C and weight.",
        )  # fmt: skip
    with st.expander("Load it as it is stored"):
        st.code(words.loading_stored(model.stage, model.fingerprint), language="python")


def _form(run_id: int, found: list[TrainedModel]) -> None:
    """Which model, in which form."""
    if not found:
        return
    layout.section("Export", ABOUT)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        stage = st.segmented_control(
            "Model", [model.stage for model in found], default=found[0].stage, key="export_stage", required=True,
            format_func=lambda name: TITLES[name],
        )  # fmt: skip
        form = st.segmented_control(
            "Form", list(FORMS), default=words.MERGED, key="export_form", required=True,
            format_func=lambda name: FORMS[name],
        )  # fmt: skip
        dtype = st.segmented_control(
            "Weights", list(DTYPES), default="fp32", key="export_dtype", required=True,
            format_func=lambda name: DTYPES[name], help="Merged in float32, and rounded once where it is bfloat16.",
        )  # fmt: skip
        chosen = next((model for model in found if model.stage == stage), found[0])
        whole = form == words.ADAPTERS and not (chosen.stored and chosen.stored.adapters)
        about = "This model is whole: it has no adapters." if whole else None
        if st.button(
            "Export", key="export_model", type="primary", **allowed.only_for(Role.RUNNER, disabled=whole, about=about)
        ):
            wanted = Wanted(run=run_id, stage=chosen.stage, form=form or words.MERGED, dtype=dtype or "fp32")
            _act(lambda: models.export_model(wanted), f"Exporting the {words.STAGES[chosen.stage]}.")


def _act(act: Callable[[], object], done: str) -> None:
    """Do it and draw the page anew, or say why it cannot be done."""
    try:
        act()
    except (CwpoError, DatabaseError) as error:
        layout.problem(named(error))
        return
    layout.flash(done)
    st.rerun()


def _exports(run_id: int, was_live: bool) -> None:
    """Redrawn every second while one is at work, then the whole page once more."""
    found = models.exports(run_id)
    if was_live and not any(one.status == RUNNING for one in found):
        st.rerun()
    for place, one in enumerate(found):
        with st.container(border=True):
            _export(one, place)


def _export(one: Export, place: int) -> None:
    """What it is, how it stands, and what can be done with it."""
    wanted = one.wanted
    title = f"{TITLES.get(wanted.stage, wanted.stage)} · {FORMS.get(wanted.form, wanted.form)} · {DTYPES[wanted.dtype]}"
    if wanted.repo:
        title = f"{TITLES.get(wanted.stage, wanted.stage)} to {wanted.repo}"
    left, right = st.columns([5, 2], vertical_alignment="center")
    left.markdown(f"**{untrusted.label(title, 200)}**")
    with right.container(horizontal=True, horizontal_alignment="right"):
        _buttons(one, place)
    if one.status == RUNNING:
        layout.note(f"{one.said}, started {ago(one.started_at)}")
    elif one.status == EXPORTED:
        layout.note(f"{one.said.removeprefix(f'{one.folder}: ')} {ago(one.started_at)}")
    else:
        layout.problem(named(CwpoError(one.said)))
    if one.status == EXPORTED and one.report is not None and not wanted.repo:
        _use(one)
        _hub(one, place)


def _buttons(one: Export, place: int) -> None:
    if one.status == RUNNING:
        if st.button("Stop", key=f"export_stop_{place}", type="tertiary", **allowed.only_for(Role.RUNNER)):
            _act(lambda: models.stop_export(one.wanted), "Stopped; nothing half-made is left.")
        return
    if one.status != EXPORTED and st.button(
        "Try again", key=f"export_again_{place}", type="tertiary", **allowed.only_for(Role.RUNNER)
    ):
        start = models.push_model if one.wanted.repo else models.export_model
        _act(lambda: start(one.wanted), "Started again.")
    if one.status == EXPORTED and not one.wanted.repo and one.report is not None:
        show_download(
            f"Download {size(one.bytes)}", one.folder, f"{one.wanted.name}.zip", key=f"export_zip_{place}",
            about="The folder as one file.",
        )  # fmt: skip
    about = allowed.only_for(Role.RUNNER, about=_what_goes(one))
    if st.button("Remove", key=f"export_remove_{place}", type="tertiary", **about):
        _act(lambda: models.remove_export(one.wanted), "Removed.")


def _what_goes(one: Export) -> str:
    return (
        "This line; what is on the hub stays." if one.wanted.repo else "The exported folder; the run keeps its model."
    )


def _use(one: Export) -> None:
    assert one.report is not None
    place = str(one.folder)
    st.code(untrusted.visible(place), language=None, wrap_lines=True)
    with st.expander("Load it"):
        if one.report.form == words.ADAPTERS:
            layout.note("BASE is the model that the card names, or its folder on this machine.")
            code = words.loading_adapters(place, "BASE", None, one.report.adapters, tokenizer=one.report.tokenizer)
        else:
            code = words.loading(
                place, scalar=one.report.scalar, dtype=one.report.dtype, tokenizer=one.report.tokenizer
            )
        st.code(untrusted.visible(code), language="python")


def _hub(one: Export, place: int) -> None:
    """A merged model can be sent away; private unless somebody says otherwise."""
    if one.report is None or one.report.form != words.MERGED:
        return
    with st.expander("Push to the hub"):
        layout.note(HUB)
        with st.form(f"push_{place}", border=False):
            repo = st.text_input("Repository", placeholder="owner/name", key=f"push_repo_{place}")
            private = st.checkbox("Private", value=True, key=f"push_private_{place}")
            existing = st.checkbox(
                "It may exist already: its weights and card are replaced", key=f"push_existing_{place}"
            )
            if not st.form_submit_button("Push", key=f"push_it_{place}", **allowed.only_for(Role.RUNNER)):
                return
        wanted = Wanted(
            run=one.wanted.run, stage=one.wanted.stage, form=one.wanted.form, dtype=one.wanted.dtype,
            repo=repo.strip(), private=private, existing=existing,
        )  # fmt: skip
        _act(lambda: models.push_model(wanted), f"Sending it to {repo.strip()}.")
