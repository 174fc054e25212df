"""Chat beside real workers: answers are the sampler's, and every end is a sentence and leaves no process."""

import json
import socket
from datetime import timedelta
from typing import Any

import psutil
import pytest
from sqlalchemy import update

from cwpo.errors import ConfigError
from cwpo.evaluation.chat import GREEDY
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import native
from cwpo.models.load import ModelRef, load_policy
from cwpo.models.text.reader import reader_of
from cwpo.stages.settings import DecodingSettings
from db.engine import now
from db.models import Chat
from db.queries.people import chats as chat_rows
from db.records import WorkerRow
from db.records.chats import ANSWERED, OPEN, ChatRow
from db.repositories.people import chats as chat_writes
from tests.workers.workplace import Workplace, lives, wait_for
from workers import api
from workers.api.people import chats
from workers.machine.database import reading, writing
from workers.machine.paths import store
from workers.queue import job
from workers.queue.chat import hosting, process
from workers.queue.chat import place as place_of
from workers.queue.chat.place import NoRoom

ADAPTERS = {"model": {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}, "sft": {"data": "labeled", "epochs": 1}}


def seen(chat: int) -> ChatRow:
    with reading() as session:
        found = chat_rows.get(session, chat)
    assert found is not None
    return found


def opened(run: int) -> int:
    """A chat whose process has loaded its models."""
    chat = chats.start(run)

    def ready() -> bool:
        chats.look(chat)
        return seen(chat).state in (OPEN, "ended")

    wait_for(ready)
    assert seen(chat).state == OPEN, seen(chat).said
    return chat


def older(chat: int, column: str) -> None:
    """As if ten minutes had gone by."""
    with writing() as session:
        before = now(session) - timedelta(seconds=600)
        session.execute(update(Chat).where(Chat.id == chat).values({column: before}))


def greedy(place: Workplace, run: int, slot: str | None, prompt: str, tokens: int) -> str:
    """What the sampler of runs answers with that model."""
    own = place.materials["model"]["policy"]
    ref = ModelRef(artifact=store().find(place.stage(run, slot).fingerprint)) if slot else ModelRef(name=own)
    policy = load_policy(ref, store=store(), device="cpu", precision="fp32", trainable=False, lora=None, seed=0)
    decoding = DecodingSettings(temperature=1.0, top_p=GREEDY, max_new_tokens=tokens, samples=1)
    engine = native(policy.model, policy.tokenizer, decoding, 0, tokens_per_batch=4096)
    ids = reader_of(policy.tokenizer).prompts([(prompt, None)])[0]
    written = engine.answers([Question(prompt_id="x", sample=0, prompt_ids=ids)], lambda: False)[0]
    return str(policy.tokenizer.decode(written.ids, skip_special_tokens=True))


def test_answers_are_the_samplers_and_every_end_is_a_sentence(place: Workplace) -> None:
    """One run, whose three models share a base; this process is the chat's."""
    run = api.submit_run(place.config(**ADAPTERS)).run_id
    with pytest.raises(ConfigError, match="has no trained model yet"):
        chats.start(run)
    while place.run(run).status != "done":
        job.work()
    chat = chats.start(run)
    assert chats.start(run) == chat
    with writing() as session:
        chat_writes.claim(session, chat, host="here", pid=7, device="cpu")
    speakers = process._loaded(chat)
    assert list(speakers) == list(seen(chat).models) == ["aligned", "sft", "base"]
    for problem in ({"prompt": " "}, {"prompt": "w1", "temperature": 9}, {"prompt": "w1", "max_new_tokens": 0}):
        with pytest.raises(ConfigError):
            chats.ask(chat, **problem)  # type: ignore[arg-type]
    chats.ask(chat, "w3 w4 w5", max_new_tokens=10)
    process._one_turn(chat, speakers)
    slots = {"aligned": "align", "sft": "sft", "base": None}
    wanted = {name: greedy(place, run, slot, "w3 w4 w5", 10) for name, slot in slots.items()}
    assert seen(chat).turns[-1].answers == wanted
    chats.ask(chat, "w3", max_new_tokens=4000)
    process._one_turn(chat, speakers)
    assert seen(chat).turns[-1].said.startswith("Longest answer: the model reads 64 tokens in all")
    chats.ask(chat, "w7", temperature=1.0, seed=1, max_new_tokens=50)
    chats.stop(chat)
    process._one_turn(chat, speakers)
    lines = [json.loads(line) for line in chats.as_jsonl(chat).splitlines()]
    assert [(line["turn"], line["state"]) for line in lines] == [(1, "done"), (2, "failed"), (3, "stopped")]
    assert lines[0]["answers"] == wanted
    for column, said in (("seen_at", "The page was closed."), ("asked_at", "Nothing was asked for 5 minutes.")):
        older(chat, column)
        with pytest.raises(process._Stop, match=said):
            process._one_turn(chat, speakers)
    chats.end(chat)
    with pytest.raises(process._Stop, match="It was ended"):
        process._one_turn(chat, speakers)


def test_a_killed_chat_says_so_and_a_killed_supervisor_takes_its_chats_along(workplace: Workplace) -> None:
    """Nothing is left that holds memory."""
    run = api.submit_run(workplace.config(sft={"data": "none"})).run_id
    with workplace.supervisor(1) as supervisor:
        workplace.wait_done(run)
        chat = opened(run)
        chats.ask(chat, "w3 w4 w5", max_new_tokens=10)
        wait_for(lambda: not seen(chat).turns[-1].is_live)
        assert (seen(chat).turns[-1].state, set(seen(chat).turns[-1].answers)) == (ANSWERED, {"aligned", "base"})
        psutil.Process(seen(chat).pid).kill()
        wait_for(lambda: not seen(chat).is_live)
        assert seen(chat).said == hosting.KILLED
        chat = chats.start(run)
        wait_for(lambda: seen(chat).pid)
        left = psutil.Process(seen(chat).pid)
        supervisor.kill()
        wait_for(lambda: not lives(left), 120)
        older(chat, "heartbeat_at")
        assert not seen(chat).is_live
        with writing() as session:
            assert chat_writes.bury(session) == 1
        assert seen(chat).said.startswith("Its process is gone")


def worker(card: str, state: str, **changes: Any) -> WorkerRow:
    values: dict[str, Any] = {
        "id": 1, "name": "w", "host": socket.gethostname(), "pid": 1, "device": "gpu", "state": state, "stage_id": None,
        "stage_kind": None, "heartbeat_at": None, "started_at": None, "rss_mb": None, "card": card, "card_bytes": None,
        "card_free_bytes": None, "host_bytes": None, "alive": True,
    }  # fmt: skip
    return WorkerRow(**{**values, **changes})


def test_a_card_that_a_stage_holds_or_that_is_too_small_is_not_taken() -> None:
    """The idle card with the most room; else a sentence that says what to do."""
    rows = [worker("0", "busy"), worker("1", "idle"), worker("2", "idle"), worker("3", "lent")]
    free = {"0": 90, "1": 20, "2": 40, "3": 90}
    assert place_of.card_for(30, rows, free) == "2"
    with pytest.raises(
        NoRoom, match="the idle one with the most room has 40 B free: wait for stages to end, or chat on"
    ):
        place_of.card_for(50, rows, free)
    away = worker("1", "idle", host="elsewhere")
    with pytest.raises(NoRoom, match="Stages compute on every card of this machine"):
        place_of.card_for(1, [worker("0", "busy"), worker("1", "idle", alive=False), away], free)


def test_whole_models_need_as_much_memory_as_they_are(workplace: Workplace) -> None:
    """One set of weights under adapters, and three without."""
    known = {"policy": "facebook/opt-1.3b", "policy_revision": None}
    shared = place_of.needed(workplace.config(**{**ADAPTERS, "model": {**ADAPTERS["model"], **known}}), card=True)
    apart = place_of.needed(workplace.config(sft=ADAPTERS["sft"], model=known), card=True)
    assert apart == pytest.approx(3 * shared, rel=1e-6)
    assert 5e9 < shared < 8e9
