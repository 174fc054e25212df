"""The mailbox between pages and a chat's process: taken once, answered in order, over when nobody is there."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from db.engine import Engines, now, read_scope, session_scope
from db.errors import ChatEnded, UnknownRun
from db.models import Chat, Run
from db.queries.people import chats as queries
from db.records.chats import ANSWERED, ENDED, FAILED, LOADING, OPEN, STOPPED, WAITING, ChatRow
from db.repositories.people import chats
from tests.db.make import submit

HOW = {"temperature": 0.5, "max_new_tokens": 16, "seed": 3, "plain": False}


def opened(engines: Engines) -> int:
    run = submit(engines, "data").run_id
    with session_scope(engines) as session:
        chat = chats.create(session, run, ["aligned", "base"], "auto")
        assert chats.claim(session, chat, host="here", pid=7, device="cpu")
        chats.opened(session, chat, template=True)
    return chat


def seen(engines: Engines, chat: int) -> ChatRow:
    with read_scope(engines) as session:
        found = queries.get(session, chat)
    assert found is not None
    return found


def older(engines: Engines, chat: int, *columns: str, seconds: float) -> None:
    """As if so much time had gone by."""
    with session_scope(engines) as session:
        at = now(session) - timedelta(seconds=seconds)
        session.execute(update(Chat).where(Chat.id == chat).values(dict.fromkeys(columns, at)))


def test_one_host_takes_a_chat_and_a_run_has_one_that_lives(database: Engines) -> None:
    run = submit(database, "data").run_id
    with session_scope(database) as session:
        chat = chats.create(session, run, ["aligned", "sft", "base"], "cpu")
        assert chats.create(session, run, ["aligned", "sft", "base"], "auto") == chat
        assert chats.waiting(session) == [chat]
        assert [chats.claim(session, chat, host=host, pid=7, device="cpu") for host in ("one", "two")] == [True, False]
        assert chats.waiting(session) == []
    found = seen(database, chat)
    assert (found.state, found.host, found.models) == (LOADING, "one", ("aligned", "sft", "base"))
    with session_scope(database) as session:
        assert not chats.lost(session, chat, 8, "of another process")
        assert chats.lost(session, chat, 7, "It was ended.")
        assert not chats.end(session, chat, "again")
        other = chats.create(session, run, ["base"], "auto")
        assert queries.newest(session, run)[0] == other != chat
        with pytest.raises(UnknownRun, match="There is no run 99"):
            chats.create(session, 99, ["base"], "auto")
    assert (seen(database, chat).state, seen(database, chat).said) == (ENDED, "It was ended.")


def test_turns_are_answered_one_after_the_other_and_keep_what_was_written(database: Engines) -> None:
    """A stop is heard at the next piece of text; NUL and lone surrogates are storable."""
    chat = opened(database)
    with session_scope(database) as session:
        assert chats.ask(session, chat, "hello \x00", **HOW) == 1
        with pytest.raises(ChatEnded, match="answering still"):
            chats.ask(session, chat, "more", **HOW)
    with session_scope(database) as session:
        turn = queries.waiting_turn(session, chat)
        assert turn is not None
        assert (turn.prompt, turn.temperature, turn.seed) == ("hello \N{REPLACEMENT CHARACTER}", 0.5, 3)
        chats.take(session, turn.id)
        assert queries.waiting_turn(session, chat) is None
        assert not chats.write(session, chat, turn, {"aligned": "a", "base": "b\ud800"})
        chats.stop(session, chat)
        assert chats.write(session, chat, turn, {"aligned": "a w", "base": "b"})
        chats.finish(session, chat, turn.id, stopped=True)
        chats.ask(session, chat, "next", **HOW)
    with session_scope(database) as session:
        second = queries.waiting_turn(session, chat)
        assert second is not None
        chats.finish(session, chat, second.id, failed="Too long.")
        chats.ask(session, chat, "third", **HOW)
    with session_scope(database) as session:
        third = queries.waiting_turn(session, chat)
        assert third is not None
        chats.write(session, chat, third, {"aligned": "x", "base": "y"})
        chats.finish(session, chat, third.id)
    turns = seen(database, chat).turns
    assert [(one.number, one.state) for one in turns] == [(1, STOPPED), (2, FAILED), (3, ANSWERED)]
    assert turns[0].answers == {"aligned": "a w", "base": "b"}
    assert turns[1].said == "Too long."
    with read_scope(database) as session:
        assert [one.number for one in queries.history(session, chat)] == [1, 2, 3]
        assert [one.number for one in queries.get(session, chat, turns=1).turns] == [3]  # type: ignore[union-attr]


def test_the_end_of_a_chat_stops_its_turn_and_refuses_the_next(database: Engines) -> None:
    chat = opened(database)
    with session_scope(database) as session:
        chats.ask(session, chat, "hello", **HOW)
        chats.end(session, chat, "The page was closed.")
    assert [turn.state for turn in seen(database, chat).turns] == [STOPPED]
    with session_scope(database) as session, pytest.raises(ChatEnded, match="has ended: start a new one"):
        chats.ask(session, chat, "more", **HOW)


def test_a_process_that_is_silent_and_a_page_that_is_gone_are_noticed(database: Engines) -> None:
    chat = opened(database)
    with session_scope(database) as session:
        assert not chats.are_silent(session)
        assert chats.bury(session) == 0
    older(database, chat, "heartbeat_at", seconds=40)
    found = seen(database, chat)
    assert (found.state, found.silent, found.is_live) == (OPEN, True, False)
    with session_scope(database) as session:
        assert chats.are_silent(session)
        assert chats.bury(session) == 1
    assert "Its process is gone" in seen(database, chat).said
    waiting = submit(database, "data", data="x").run_id
    with session_scope(database) as session:
        chat = chats.create(session, waiting, ["base"], "auto")
    older(database, chat, "created_at", "heartbeat_at", "seen_at", seconds=100)
    assert (seen(database, chat).state, seen(database, chat).unclaimed) == (WAITING, True)
    with session_scope(database) as session:
        assert chats.bury(session) == 1
    assert seen(database, chat).said == "No worker took it while the page was open."


def test_a_chat_goes_with_its_run(database: Engines) -> None:
    chat = opened(database)
    with session_scope(database) as session:
        chats.ask(session, chat, "hello", **HOW)
        sign = queries.life_sign(session, chat)
        assert sign is not None
        assert sign.unseen < 60 > sign.unasked
        run = session.get(Chat, chat).run_id  # type: ignore[union-attr]
        assert queries.get(session, chat, run_id=run + 1) is None
        session.delete(session.get(Run, run))
    with session_scope(database) as session:
        assert queries.life_sign(session, chat) is None
        assert queries.get(session, chat) is None
