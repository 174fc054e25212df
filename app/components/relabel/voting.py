"""Relabel, the pair before somebody's eyes: nothing is said of it before the vote, and what is saved is said after."""

import time

import streamlit as st

from app import untrusted
from app.components.frame import layout, text_blocks
from app.components.frame.formats import counted
from app.components.frame.relabel_address import RelabelView
from app.reads import results
from cwpo.errors import DataError
from db import queries
from db.errors import DatabaseError
from db.records import Shown, VotedText, VoteRow
from workers.api.people import votes
from workers.api.people.access import Role, why_not

STARTED, BACK, PROBLEM = "relabel_started", "relabel_back", "relabel_problem"
LOOKED_BACK = 30  # votes
WORDS = {"a": "A", "b": "B", "tie": "tie", "unsure": "unsure", "drop": "drop"}
KEYS = "The keys beside the words work while you type in no field."
BLIND = "Which response is better? Neither the annotator's label nor a human's is shown before your vote."
EMPTY = {
    "contradicted": "No pair is left that a human label, or another annotator of the same data, contradicts.",
    "disagree": "Nobody could disagree: one annotator labeled these pairs, once. Choose other pairs.",
}


def show_voting(view: RelabelView) -> None:
    """The next pair, or one of those before, with the votes that can be given."""
    if view.run is None:
        return
    if why := why_not(Role.ANNOTATOR):
        _may_not(why)
        return
    if not votes.voter(view.person).strip():
        layout.empty_state("Type your name first: it stands beside your votes, and nobody else gets your pairs.")
        return
    if problem := st.session_state.pop(PROBLEM, ""):
        layout.problem(problem)
    with results.reading() as session:
        newest = queries.newest_votes(session, view.run, votes.voter(view.person).strip(), limit=LOOKED_BACK)
    back = st.session_state[BACK] = min(int(st.session_state.get(BACK, 0)), len(newest))
    if back:
        _earlier(view, newest, back)
        return
    shown = votes.next_pair(view.run, view.person, view.queue, overlap=view.people)
    if shown is None:
        layout.empty_state(EMPTY.get(view.queue, "No pair is left: you have voted on all, or others have them."))
        _turning(view, None, newest, back)
        return
    first, second = _votes(shown)
    _turning(view, shown, newest, back)
    _saved(newest)
    _texts(shown.token, shown.prompt, first, second)


VOTES = (("a", "A", "1"), ("b", "B", "2"), ("tie", "Tie", "3"), ("unsure", "Unsure", "4"))


def _may_not(why: str) -> None:
    """The votes that there are, off, and why."""
    layout.note(why)
    with st.container(horizontal=True, key="relabel_votes"):
        for choice, label, _ in VOTES:
            st.button(label, key=f"relabel_{choice}", width=96, disabled=True, help=untrusted.label(why, 600))


def _votes(shown: Shown) -> tuple[str, str]:
    """The votes that can be given; both responses in the order in which this person sees them."""
    if st.session_state.get(STARTED, ("",))[0] != shown.token:
        st.session_state[STARTED] = (shown.token, time.monotonic())
    first, second = (shown.response_a, shown.response_b) if shown.left == "a" else (shown.response_b, shown.response_a)
    sides = {"a": shown.left, "b": "b" if shown.left == "a" else "a"}
    layout.note(BLIND)
    with st.container(horizontal=True, key="relabel_votes"):
        for choice, label, key in VOTES:
            st.button(label, key=f"relabel_{choice}", shortcut=key, on_click=_vote, width=96,
                      args=(shown, sides.get(choice, choice)))  # fmt: skip
        st.button("Drop the pair", key="relabel_drop", on_click=_vote, args=(shown, "drop"), type="tertiary",
                  help="Neither response should be learned from, or the prompt is broken.")  # fmt: skip
    return first, second


def _texts(key: str, prompt: str, first: str, second: str) -> None:
    with st.container(border=True, key=f"pairs-{key[:8]}"):
        text_blocks.show_text(prompt, key=f"relabel_prompt_{key}")
        for column, name, response in zip(st.columns(2, gap="small"), "AB", (first, second), strict=True):
            with column:
                st.caption(f"{name} · {len(response):,} characters")
                text_blocks.show_block(response, key=f"relabel_{name}_{key}")


def _earlier(view: RelabelView, newest: list[VoteRow], back: int) -> None:
    """A pair that this person voted on, with all that is known of it."""
    vote = newest[back - 1]
    with results.reading() as session:
        text: VotedText = queries.voted_texts(session, [vote.pair_id])[vote.pair_id]
    layout.note(
        f"Your vote before {back - 1} others: {_said(vote)}" if back > 1 else f"Your newest vote: {_said(vote)}"
    )
    _turning(view, None, newest, back)
    swapped = vote.shown_left == "b"
    responses = (text.response_b, text.response_a) if swapped else (text.response_a, text.response_b)
    _texts(f"{vote.id}_back", text.prompt, *responses)


def _turning(view: RelabelView, shown: Shown | None, newest: list[VoteRow], back: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="relabel_turns"):
        st.button("Undo", key="relabel_undo", shortcut="u", on_click=_undo, args=(view,), type="tertiary",
                  disabled=all(vote.undone for vote in newest), help="Take your newest vote back.")  # fmt: skip
        st.button("Previous", key="relabel_previous", shortcut="p", on_click=_turn, args=(1,), type="tertiary",
                  disabled=back >= len(newest))  # fmt: skip
        st.button("Next", key="relabel_next", shortcut="n", on_click=_next, args=(shown,), type="tertiary",
                  disabled=not back and shown is None, help="Leave this pair; it comes back later.")  # fmt: skip
        st.caption(KEYS, width="content")


def _saved(newest: list[VoteRow]) -> None:
    """Read from the database: what is said here was committed."""
    if not newest:
        return
    layout.note(f"Saved: {_said(newest[0])}")


def _said(vote: VoteRow) -> str:
    """pair 1a2b3c4d, you chose A; the annotator chose B with C 0.12; the human label is A."""
    other = {"a": "b", "b": "a"}
    letters = {vote.shown_left: "A", other[vote.shown_left]: "B"}
    words = [f"pair {vote.pair_id[:8]}, you said {letters.get(vote.vote, WORDS.get(vote.vote, vote.vote))}"]
    if vote.undone:
        words[0] += ", and took it back"
        return f"{words[0]}."
    if vote.weak_label and vote.confidence is not None:
        words.append(f"the annotator chose {letters[vote.weak_label]} with C {vote.confidence:.2f}")
    if vote.human_label:
        words.append(f"the human label is {letters[vote.human_label]}")
    return "; ".join(words) + "."


def _vote(shown: Shown, choice: str) -> None:
    token, started = st.session_state.get(STARTED, ("", 0.0))
    seconds = time.monotonic() - started if token == shown.token else None
    with Told():
        votes.cast_vote(shown, choice, seconds)


def _undo(view: RelabelView) -> None:
    st.session_state[BACK] = 0
    if view.run is not None:
        with Told():
            votes.undo_vote(view.run, view.person, view.queue)


def _next(shown: Shown | None) -> None:
    """A key may come while the page is still drawn: where it stands is in the session, not in the button."""
    if st.session_state.get(BACK, 0):
        _turn(-1)
    elif shown is not None:
        with Told():
            votes.put_aside(shown)


def _turn(steps: int) -> None:
    st.session_state[BACK] = max(0, int(st.session_state.get(BACK, 0)) + steps)


class Told:
    """A problem of a click is said when the page is drawn."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, DatabaseError | DataError):
            st.session_state[PROBLEM] = str(error)
            return True
        return False


def progress(view: RelabelView, people: dict[str, int]) -> None:
    """Who has voted how often, under the filters."""
    if not people:
        layout.note("Nobody has voted on this run yet.")
        return
    for person, count in sorted(people.items(), key=lambda item: -item[1])[:8]:
        st.caption(f"{untrusted.label(person, 40)} · {counted(count, 'vote')}")
