"""Chat tab of a run: one prompt, answered side by side by the aligned model, the SFT model and the base."""

import time

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, text_blocks
from app.components.frame.formats import counted
from app.components.model.words import named
from app.reads import results
from cwpo.errors import CwpoError
from db.errors import DatabaseError
from db.queries.people import chats as rows
from db.records.chats import ANSWERED, LOADING, OPEN, STOPPED, WAITING, ChatRow, TurnRow
from workers.access.doing import bound
from workers.api.people import chats
from workers.api.people.access import Role

REFRESH = "0.6s"
LOOK_SECONDS = 5.0
NAMES = {"aligned": "Aligned", "sft": "SFT", "base": "Base"}
CHAT = "chat"  # in the address
WHAT = (
    "The aligned model, the SFT model and the base answer the same prompt beside each other. Their process runs beside "
    "the workers, holds no card that a stage computes on, and ends after five minutes without a question."
)
STATES = {WAITING: "waits for a machine", LOADING: "the models are being loaded", OPEN: "open"}


def show_chat(run_id: int) -> None:
    """The chat in the address, else the run's newest; where it has ended, a way to start one."""
    with results.reading() as session:
        newest, alive = rows.newest(session, run_id)
        chat_id = _chosen() or newest
        chat = rows.get(session, chat_id, run_id=run_id) if chat_id is not None else None
    problem = st.session_state.pop("chat_problem", "")
    if problem:
        layout.problem(problem)
    if chat is None or not chat.is_live:
        _start(run_id, chat, alive)
    else:
        _form(chat)
    if chat is not None:
        layout.fragment(_turns, run_every=REFRESH if chat.is_live else None)(chat.id, chat.is_live)


def _chosen() -> int | None:
    number = str(st.query_params.get(CHAT, ""))
    return int(number) if number.isdecimal() and len(number) < 10 else None


def _start(run_id: int, chat: ChatRow | None, alive: bool) -> None:
    """What a chat is, why the last one ended, and the button."""
    with st.container(border=True):
        st.text(WHAT)
        if chat is not None:
            why = "Its process is gone." if chat.silent else chat.said
            layout.note(f"The last chat has ended. {why}")
        if not alive:
            layout.note("No worker is alive, and a chat runs beside them: start the workers first.")
        with st.container(horizontal=True, vertical_alignment="center"):
            why = allowed.may_not(Role.RUNNER)
            st.button(
                "Start a chat", key="chat_start", type="primary", on_click=_open, args=(run_id,),
                disabled=not alive or bool(why), help=why or None,
            )  # fmt: skip
            st.checkbox("On the CPU, also where there are cards", key="chat_on_cpu")


def _open(run_id: int) -> None:
    try:
        chat_id = chats.start(run_id, on_cpu=bool(st.session_state.get("chat_on_cpu")))
    except (CwpoError, DatabaseError) as error:
        st.session_state["chat_problem"] = named(error)
        return
    layout.set_params(**{CHAT: str(chat_id)})


def _form(chat: ChatRow) -> None:
    """One box, and how it is answered. What was written stays where it cannot be asked."""
    with st.form("chat_form", border=False):
        st.text_area("Prompt", key="chat_prompt", height=90, placeholder="Ask all of them at once")
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            st.form_submit_button(
                "Ask", key="chat_ask", type="primary", on_click=_ask, args=(chat.id,), **allowed.only_for(Role.RUNNER)
            )
            st.number_input(
                "Temperature", 0.0, 5.0, 0.0, 0.05, key="chat_temperature", width=130,
                help="0 takes the most likely token.",
            )  # fmt: skip
            st.number_input(
                "Longest answer", 1, chats.MOST_TOKENS, 128, key="chat_tokens", width=150, help="In tokens."
            )
            st.number_input("Seed", 0, 2**31 - 1, 0, key="chat_seed", width=120, help="The same noise for every model.")
            if chat.template:
                st.checkbox("Without the chat template", key="chat_plain", help="The prompt alone, continued as text.")
    if chat.state == OPEN and not chat.template:
        layout.note("These models have no chat template: each prompt stands alone and is continued as text.")


def _ask(chat_id: int) -> None:
    state = st.session_state
    try:
        chats.ask(
            chat_id, str(state.get("chat_prompt", "")), temperature=float(state.get("chat_temperature", 0.0)),
            max_new_tokens=int(state.get("chat_tokens", 128)), seed=int(state.get("chat_seed", 0)),
            plain=bool(state.get("chat_plain")),
        )  # fmt: skip
    except (CwpoError, DatabaseError) as error:
        state["chat_problem"] = named(error)
        return
    state["chat_prompt"] = ""


def _turns(chat_id: int, was_live: bool) -> None:
    """The newest turn first; redrawn while the chat lives, then the whole page once more."""
    with results.reading() as session:
        chat = rows.get(session, chat_id)
    if chat is None or was_live != chat.is_live:
        st.rerun()
    if chat.is_live:
        _look(chat_id)
        _head(chat)
    for turn in reversed(chat.turns):
        _turn(chat, turn)
    if chat.turns:
        why = allowed.may_not(Role.RUNNER)
        st.download_button(
            "Turns as JSONL", bound(lambda: chats.as_jsonl(chat_id)), file_name=f"chat-{chat_id}.jsonl",
            mime="application/x-ndjson", key="chat_jsonl", type="tertiary", on_click="ignore",
            disabled=bool(why), help=why or None,
        )  # fmt: skip


def _look(chat_id: int) -> None:
    """A chat that no page looks at ends: say now and then that this one does."""
    if time.monotonic() - st.session_state.get("chat_looked", 0.0) > LOOK_SECONDS:
        st.session_state["chat_looked"] = time.monotonic()
        chats.look(chat_id)


def _head(chat: ChatRow) -> None:
    """How the chat stands, and the two ways to stop."""
    left, right = st.columns([4, 2], vertical_alignment="center")
    where = f" on {chat.host}, {chat.device}" if chat.host else ""
    said = f"Chat {chat.id}: {STATES.get(chat.state, chat.state)}{where}"
    if chat.unclaimed:
        said += ". No machine has taken it yet: workers that run there may not have this run's files"
    with left:
        layout.note(f"{said}.")
    with right.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "Stop", key="chat_stop", type="tertiary", on_click=layout.told(chats.stop), args=(chat.id,),
            **allowed.only_for(
                Role.RUNNER, disabled=not chat.answers, about=None if chat.answers else "Nothing is being answered."
            ),
        )  # fmt: skip
        st.button(
            "End chat", key="chat_end", type="tertiary", on_click=layout.told(chats.end), args=(chat.id,),
            **allowed.only_for(Role.RUNNER),
        )  # fmt: skip


def _turn(chat: ChatRow, turn: TurnRow) -> None:
    """The prompt, and the answers side by side."""
    with st.container(border=True):
        text_blocks.show_text(turn.prompt, key=f"chat_prompt_{turn.id}")
        grid = st.grid(len(chat.models), min_column_width=220, gap="small")
        for name in chat.models:
            with grid.cell():
                text = turn.answers.get(name, "")
                st.caption(untrusted.label(NAMES.get(name, name)))
                text_blocks.show_block(text or ("…" if turn.is_live else ""), key=f"chat_{turn.id}_{name}")
        layout.note(_facts(chat, turn))
    if turn.said:
        layout.problem(turn.said)


def _facts(chat: ChatRow, turn: TurnRow) -> str:
    how = "most likely tokens" if turn.temperature == 0 else f"temperature {turn.temperature:g}, seed {turn.seed}"
    form = "" if not chat.template else " · without the chat template" if turn.plain else ""
    end = {ANSWERED: "", STOPPED: " · stopped"}.get(turn.state, " · answering" if turn.is_live else "")
    return f"{how} · at most {counted(turn.max_new_tokens, 'token')}{form}{end}"
