"""Data page: which column holds what, found by itself and changeable, and recipes that keep it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.components.frame.data_address import DataView
from app.components.frame.leaving import tell
from app.reads import results
from cwpo.config.columns import ROLES, checked
from cwpo.errors import CwpoError
from db import queries
from db.errors import DatabaseError
from db.records import RecipeRow
from workers.api import data
from workers.api.people.access import Role

NOTHING = "–"
PER_LINE = 4
FIRST = ("prompt", "instruction", "conversations", "chosen", "rejected")
SAID = (
    "One of prompt, instruction and conversations is what is answered. The two responses are chosen and rejected, or "
    "come out of a list with scores or ranks, or out of rows with one scored response each: the best and the worst."
)
FOUND = "Found by the names of the columns."
NOT_FOUND = "The names of the columns do not say what they hold: choose it here."
TOLD = "As they were said here."
GONE = "data_recipe_gone"  # the recipe that was removed last


def show_mapping(
    view: DataView, names: Sequence[str], used: Mapping[str, str] | None, guess: Mapping[str, str]
) -> None:
    """The columns, the recipes, and what to do with them. `used`: by which the rows are read now."""
    found = FOUND if used or guess else NOT_FOUND
    layout.section("Columns", TOLD if view.columns is not None else found)
    recipes = _recipes()
    _show_gone()
    _take_recipe(view, recipes)
    _form(view, names, used or guess)
    _keep(view, used or guess, recipes)


def show_recipes() -> None:
    """All that are kept, to be read and removed."""
    recipes = _recipes()
    _show_gone()
    if not recipes:
        return
    with st.expander(f"Recipes ({len(recipes)})"):
        for place, row in enumerate(recipes):
            left, right = st.columns([8, 1], vertical_alignment="center")
            columns = ", ".join(f"{role}: {name}" for role, name in row.columns.items())
            left.markdown(f"{untrusted.label(row.name, 60)} · {untrusted.label(columns, 200)}")
            right.button(
                "Remove", key=f"data_recipe_{place}", type="tertiary", on_click=_removed, args=(row,),
                **allowed.only_for(Role.RUNNER),
            )  # fmt: skip


def look_by(view: DataView, columns: Mapping[str, str] | None) -> None:
    """Read the rows by these columns."""
    tell(replace(view, columns=columns).to_params())


def _recipes() -> list[RecipeRow]:
    with results.reading() as session:
        return queries.recipes(session)


def _take_recipe(view: DataView, recipes: Sequence[RecipeRow]) -> None:
    """A recipe is used when it is chosen."""
    if not recipes:
        return
    named = {row.name: row for row in recipes}
    chosen = next((row.name for row in recipes if row.columns == view.columns), None)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    key = _key(view, "recipe")
    left.selectbox(
        "Recipe",
        list(named),
        index=None if chosen is None else list(named).index(chosen),
        placeholder="none is used",
        key=key,
        format_func=lambda name: untrusted.plain(name, 60),
        on_change=lambda: look_by(view, named[taken].columns if (taken := st.session_state[key]) in named else None),
    )
    if chosen is not None:
        right.button(
            "Remove recipe", key="data_forget", type="tertiary", on_click=_removed, args=(named[chosen],),
            **allowed.only_for(Role.RUNNER),
        )  # fmt: skip


def _form(view: DataView, names: Sequence[str], now: Mapping[str, str]) -> None:
    """One choice for each thing that a column can hold."""
    options = [NOTHING, *dict.fromkeys([*names, *now.values()])]
    with st.form(_key(view, "columns"), border=True):
        told = _line(view, FIRST, options, now)
        more = [role for role in ROLES if role not in FIRST]
        with st.expander("More", expanded=any(role in now for role in more if role != "source")):
            for start in range(0, len(more), PER_LINE):
                told |= _line(view, more[start : start + PER_LINE], options, now)
        layout.note(SAID)
        with st.container(horizontal=True):
            taken = st.form_submit_button("Read by these columns")
            freed = st.form_submit_button("As found", type="tertiary", disabled=view.columns is None)
    if freed:
        look_by(view, None)
        st.rerun()
    if not taken:
        return
    columns = {role: name for role, name in told.items() if name != NOTHING}
    try:
        columns = checked(columns)
    except ValueError as error:
        layout.problem(f"These columns {str(error) if str(error).startswith('m') else f'do not fit: {error}'}.")
        return
    look_by(view, columns)
    st.rerun()


def _line(view: DataView, roles: Sequence[str], options: list[str], now: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for column, role in zip(st.columns(len(roles)), roles, strict=True):
        held = now.get(role, NOTHING)
        found[role] = column.selectbox(
            role, options, index=options.index(held), key=_key(view, f"column_{role}_{held}"), help=ROLES[role],
            format_func=lambda name: "no column" if name == NOTHING else untrusted.plain(name, 40),
        )  # fmt: skip
    return found


def _keep(view: DataView, now: Mapping[str, str], recipes: Sequence[RecipeRow]) -> None:
    """A name for what is used now."""
    if not now or any(row.columns == now for row in recipes):
        return
    with st.form(_key(view, "save"), border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        name = left.text_input("Keep these columns as a recipe", placeholder="its name", max_chars=120)
        if not right.form_submit_button("Save recipe", **allowed.only_for(Role.RUNNER)):
            return
    try:
        data.save_recipe(name, now)
    except (CwpoError, DatabaseError) as error:
        layout.problem(error)
        return
    layout.flash(f"The recipe {name} is kept.")
    look_by(view, now)
    st.rerun()


def _removed(row: RecipeRow) -> None:
    try:
        data.remove_recipe(row.name)
    except (CwpoError, DatabaseError) as error:
        layout.flash(str(error))
    else:
        st.session_state[GONE] = row


def _show_gone() -> None:
    """The way back, as long as the session lasts."""
    row: RecipeRow | None = st.session_state.get(GONE)
    if row is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(untrusted.label(f"The recipe {row.name} is gone.", 160), width="content")
        st.button(
            "Put it back", key="data_recipe_back", type="tertiary", on_click=_put_back, args=(row,),
            **allowed.only_for(Role.RUNNER),
        )  # fmt: skip


def _put_back(row: RecipeRow) -> None:
    try:
        data.save_recipe(row.name, row.columns)
    except (CwpoError, DatabaseError) as error:
        layout.flash(str(error))
    else:
        st.session_state.pop(GONE, None)


def _key(view: DataView, name: str) -> str:
    """Widgets of another dataset are others."""
    return f"data_{name}_{abs(hash((view.source, view.subset, view.revision))) % 10**8}"
