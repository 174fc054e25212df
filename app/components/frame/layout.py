"""The frame of a page: title, caption, sections, empty states, problems. Text comes from us or through `untrusted`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import untrusted
from app.charts.frame import LOOKS, Look
from app.components.frame import leaving, text_blocks
from cwpo.errors import CwpoError
from cwpo.redaction import without_secrets
from db.errors import DatabaseError
from db.records import Cursor
from db.records.listing import Place
from workers import api

MIDDLE_DOT = " · "
P = ParamSpec("P")


def look() -> Look:
    """The inks of the theme that this browser shows."""
    return LOOKS.get(str(st.context.theme.type), LOOKS["light"])


def heading(title: str, *facts: object) -> None:
    """The page's title and one line that says what is being looked at; empty facts are left out."""
    st.title(untrusted.label(title, 120), anchor=False)
    line = MIDDLE_DOT.join(untrusted.label(fact, 120) for fact in facts if fact not in (None, ""))
    if line:
        st.caption(line)


def section(title: str, caption: str = "", meanings: Sequence[tuple[str, str]] = ()) -> None:
    """A section inside a page; what its headings mean comes up beside the title, on hover or tap."""
    st.subheader(title, anchor=False, help=_explained(meanings) or None)
    if caption:
        st.caption(untrusted.label(caption, 400))


def small(title: str, about: str = "", meanings: Sequence[tuple[str, str]] = ()) -> None:
    """The title of a chart or a table; what it and its headings mean comes up beside it, on hover or tap."""
    told = "\n".join(filter(None, (about, _explained(meanings))))
    st.markdown(f"#### {untrusted.label(title)}", help=told or None)


def _explained(meanings: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{untrusted.label(name)}**: {untrusted.label(text, 300)}" for name, text in meanings)


def note(sentence: str) -> None:
    """One sentence under a chart or a table: the answer, or the caveat."""
    st.caption(untrusted.label(sentence, 600))


def two_columns(least: int = 420) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two equal columns that stand below each other where each would be narrower than `least` px."""
    grid = st.grid(2, min_column_width=least, gap="medium")
    return grid.cell(), grid.cell()


def filters_and_list(width: int = 175) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Filters of a fixed width on the left; the list takes what is left."""
    row = st.container(horizontal=True, gap="medium", wrap=False, key="filters_and_list")
    return row.container(width=width), row.container(width="stretch")


def empty_state(what: str, next_step: str = "", page: str = "") -> None:
    """What would be here, and the one next step: another page."""
    with st.container(border=True):
        st.text(what)
        if next_step:
            st.page_link(page, label=next_step)


def nothing_fits(what: str, next_step: str, defaults: Mapping[str, Any]) -> None:
    """A list that its filters made empty; the next step puts every filter back to its default."""
    with st.container(border=True):
        st.text(what)
        if st.button(next_step, key="show_all", on_click=_reset, args=(defaults,)):
            st.rerun()  # the filters may stand outside of the part that is drawn here


def _reset(defaults: Mapping[str, Any]) -> None:
    """Widgets that are bound to the address follow it."""
    gone = (*defaults, "after", "before")
    leaving.readdress({name: value for name, value in leaving.parameters().items() if name not in gone}, instead=False)


def turn(label: str, key: str, **params: str) -> None:
    """A button that changes the place in a list: sets the parameters given, removes the empty ones."""
    st.button(label, key=key, on_click=set_params, kwargs=params)


def turns(
    following: Cursor | Place | None,
    previous: Cursor | Place | None,
    *,
    placed: bool,
    prefix: str = "",
    forward: str = "Next",
    **reset: str,
) -> None:
    """The buttons of a list that is read page by page: to its first page where it is `placed` elsewhere, back, and on.
    `prefix` stands before the names of its two parameters and of the buttons; `reset`: what else a turn sets."""
    after, before = f"{prefix}after", f"{prefix}before"
    if placed:
        turn("First page", f"{prefix}first", **{**reset, after: "", before: ""})
    if previous is not None:
        turn("Previous", f"{prefix}previous", **{**reset, after: "", before: previous.encode()})
    if following is not None:
        turn(forward, f"{prefix}next", **{**reset, after: following.encode(), before: ""})


def span(first: int, shown: int, total: str) -> str:
    """41–50 of 2,100 pairs."""
    return f"{first:,}–{first + shown - 1:,} of {total}"


def set_params(**params: str) -> None:
    """Set these parameters of the address; empty ones go. One message is one entry in the browser's list; where it
    takes several, the browser is asked for all of it."""
    leaving.catch_up()
    now = leaving.parameters()
    gone = [name for name, value in params.items() if not value and name in now]
    new = {name: value for name, value in params.items() if value and now.get(name) != [value]}
    if (new and gone) or len(gone) > 1:
        kept = {name: value for name, value in now.items() if name not in gone}
        leaving.readdress({**kept, **new}, instead=False)
    if new or gone:
        leaving.change(new, gone)


def key_of(name: str, chosen: Any) -> str:
    """The key of the widget that shows what is chosen, and holds it. It stays the same while the widget itself is used;
    where something else chose (a heading, Back, somebody else), it is another key, and so another widget."""
    number = st.session_state.get(f"{name}_number", 0)
    if st.session_state.get(f"{name}_{number}", chosen) != chosen:
        number += 1
    st.session_state[f"{name}_number"] = number
    st.session_state[f"{name}_{number}"] = chosen
    return f"{name}_{number}"


def chosen_in(key: str, shown: Any) -> Any:
    """What a person chose in the widget of that key; None where nobody did. A browser that has not got the next widget
    yet says again, whenever it asks for news, what this one has `shown` all along."""
    name, _, number = key.rpartition("_")
    held = st.session_state.get(key)
    return None if held == shown and int(number) != st.session_state.get(f"{name}_number") else held


def problem(sentence: object, technical: object = "") -> None:
    """One sentence with the cause and the next step; the technical text is folded away."""
    st.error(untrusted.label(without_secrets(str(sentence)), 600))
    if technical:
        with st.expander("Technical text"):
            text_blocks.show_block(without_secrets(str(technical)), key="technical")


@contextmanager
def guarded() -> Iterator[None]:
    """A database that is down is one plain sentence instead of a page."""
    try:
        yield
    except DatabaseError as error:
        problem(error)


def fragment(fn: Callable[P, None], *, run_every: str | None = None) -> Callable[P, None]:
    """A part of a page that is redrawn alone. Its errors never reach the page's own guard, so it has one of its own."""

    @wraps(fn)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        leaving.go_on()
        show_flash()  # of a click in this part, which draws nothing else
        with guarded():
            fn(*args, **kwargs)
        leaving.remember()

    return st.fragment(drawn, run_every=run_every)


def told(command: Callable[P, object]) -> Callable[P, None]:
    """A command for a click: where it cannot be done, the page says so when it is drawn next."""

    @wraps(command)
    def clicked(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (CwpoError, DatabaseError) as error:
            flash(str(error))

    return clicked


def flash(sentence: str) -> None:
    """Keep a sentence for the next page that is drawn."""
    st.session_state["flash"] = sentence


def show_flash() -> None:
    """Show the kept sentence once."""
    sentence = st.session_state.pop("flash", "")
    if sentence:
        st.toast(untrusted.label(without_secrets(sentence), 300))


def service_notice() -> None:
    """One sentence when runs can be queued but nobody will hear the bell."""
    sentence = _redis_sentence()
    if sentence:
        st.warning(untrusted.label(sentence, 400))


@st.cache_data(ttl=10, show_spinner=False)
def _redis_sentence() -> str:
    well, said = api.redis_health()
    return "" if well else said
