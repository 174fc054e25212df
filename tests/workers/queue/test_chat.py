"""Chat beside real workers: answers are the sampler's, and every end is a sentence and leaves no process."""

import json
import signal
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
from db.queries import chats as chat_rows
from db.records import WorkerRow
from db.records.chats import ANSWERED, OPEN, ChatRow
from tests.workers.workplace import Workplace, lives, wait_for
from workers import api
from workers.api import chats
from workers.machine.database import reading, writing
from workers.machine.paths import store
from workers.queue.chat import hosting
from workers.queue.chat.hosting import NoRoom

ADAPTERS = {"model": {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}, "sft": {"data": "labeled", "epochs": 1}}


def seen(chat: int) -> ChatRow:
    with reading() as session:
        found = chat_rows.get(session, chat)
    assert found is not None
    return found


def opened(run: int) -> int:
    chat = chats.start(run)
    wait_for(lambda: seen(chat).state in (OPEN, "ended"), 90)
    assert seen(chat).state == OPEN, seen(chat).said
    return chat


def answered(chat: int) -> Any:
    wait_for(lambda: not seen(chat).turns[-1].is_live, 60)
    return seen(chat).turns[-1]


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


@pytest.mark.timeout(400)
def test_a_chat_from_its_start_to_each_of_its_ends(workplace: Workplace) -> None:
    """One run, whose three models share a base; then the process is killed, the page is gone, the workers are
    stopped."""
    run = api.submit_run(workplace.config(**ADAPTERS)).run_id
    with pytest.raises(ConfigError, match="has no trained model yet"):
        chats.start(run)
    with workplace.supervisor(1) as supervisor:
        workplace.wait_done(run)
        chat = opened(run)
        assert chats.start(run) == chat
        assert seen(chat).models == ("aligned", "sft", "base")
        for problem in ({"prompt": " "}, {"prompt": "w1", "temperature": 9}, {"prompt": "w1", "max_new_tokens": 0}):
            with pytest.raises(ConfigError):
                chats.ask(chat, **problem)  # type: ignore[arg-type]
        chats.ask(chat, "w3 w4 w5", max_new_tokens=10)
        turn = answered(chat)
        assert turn.state == ANSWERED
        slots = {"aligned": "align", "sft": "sft", "base": None}
        assert turn.answers == {name: greedy(workplace, run, slot, "w3 w4 w5", 10) for name, slot in slots.items()}
        chats.ask(chat, "w3", max_new_tokens=4000)
        assert answered(chat).said.startswith("Longest answer: the model reads 64 tokens in all")
        chats.ask(chat, "w7", temperature=1.0, seed=1, max_new_tokens=8)
        assert answered(chat).state == ANSWERED
        lines = [json.loads(line) for line in chats.as_jsonl(chat).splitlines()]
        assert [(line["turn"], line["state"]) for line in lines] == [(1, "done"), (2, "failed"), (3, "done")]
        assert lines[0]["answers"] == turn.answers

        process = psutil.Process(seen(chat).pid)
        process.kill()
        wait_for(lambda: not seen(chat).is_live, 20)
        assert seen(chat).said == hosting.KILLED
        chat = opened(run)
        process = psutil.Process(seen(chat).pid)
        with writing() as session:
            session.execute(update(Chat).where(Chat.id == chat).values(seen_at=now(session) - timedelta(seconds=200)))
        wait_for(lambda: not seen(chat).is_live, 20)
        assert seen(chat).said == "The page was closed."
        wait_for(lambda: not lives(process), 20)
        chat = opened(run)
        chats.end(chat)
        process = psutil.Process(seen(chat).pid)
        wait_for(lambda: not lives(process), 20)
        assert seen(chat).said == "It was ended."

        chat = opened(run)
        process = psutil.Process(seen(chat).pid)
        supervisor.send_signal(signal.SIGTERM)
        wait_for(lambda: not lives(process), 20)
        assert "workers of its machine were stopped" in seen(chat).said
    with pytest.raises(ConfigError, match="no worker is alive"):
        chats.start(run)


def test_a_killed_supervisor_takes_its_chats_along(workplace: Workplace) -> None:
    """Nothing is left that holds memory; the page says that the process is gone."""
    run = api.submit_run(workplace.config(**ADAPTERS)).run_id
    with workplace.supervisor(1) as supervisor:
        workplace.wait_done(run)
        chat = opened(run)
        process = psutil.Process(seen(chat).pid)
        supervisor.kill()
        wait_for(lambda: not lives(process), 20)
        with writing() as session:
            before = now(session) - timedelta(seconds=60)
            session.execute(update(Chat).where(Chat.id == chat).values(heartbeat_at=before))
        assert not seen(chat).is_live


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
    assert hosting.card_for(30, rows, free) == "2"
    with pytest.raises(
        NoRoom, match="the idle one with the most room has 40 B free: wait for stages to end, or chat on"
    ):
        hosting.card_for(50, rows, free)
    away = worker("1", "idle", host="elsewhere")
    with pytest.raises(NoRoom, match="Stages compute on every card of this machine"):
        hosting.card_for(1, [worker("0", "busy"), worker("1", "idle", alive=False), away], free)


def test_whole_models_need_as_much_memory_as_they_are(workplace: Workplace) -> None:
    """One set of weights under adapters, and three without."""
    known = {"policy": "facebook/opt-1.3b", "policy_revision": None}
    shared = hosting.needed(workplace.config(**{**ADAPTERS, "model": {**ADAPTERS["model"], **known}}), card=True)
    apart = hosting.needed(workplace.config(sft=ADAPTERS["sft"], model=known), card=True)
    assert apart == pytest.approx(3 * shared, rel=1e-6)
    assert 5e9 < shared < 8e9
