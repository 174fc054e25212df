"""The process of one chat: loads the models of a run, answers what pages ask through the database, ends by itself.

Heavy libraries are imported after the first sign of life. It ends when a page has not looked for a while, when nothing
was asked for five minutes, when somebody ends the chat, and with the supervisor that started it. All that it says is
in the database.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from cwpo.config.environment import set_here, settings
from cwpo.config.run import RunConfig
from cwpo.config.store import STORE_PATIENCE
from cwpo.errors import CwpoError, ModelError, sentence_of
from cwpo.redaction import without_secrets
from db import queries
from db.errors import DatabaseError
from db.queries.people import chats as chat_rows
from db.records.chats import ANSWERED, ENDED, GONE_SECONDS, STOPPED, TurnRow
from db.repositories.people import chats
from db.status import DONE
from workers.machine import logs, patience
from workers.machine.database import reading, writing, written
from workers.machine.paths import store
from workers.queue.chat.place import has_files, place_for

if TYPE_CHECKING:
    from cwpo.evaluation.chat import Asked, Speaker

log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
WRITE_EVERY = 0.2  # seconds between pieces of text in the database
LOOK_EVERY = 0.25
BEAT_EVERY = 5.0
ALIGNED, SFT, BASE = "aligned", "sft", "base"
SLOTS = {ALIGNED: "align", SFT: "sft", BASE: "base_policy"}


class _Stop(Exception):
    """The chat is to end, for this reason."""


def run_chat(chat_id: int) -> None:
    """From the models to the end; every end is a sentence in the database, but that of a kill."""
    logs.configure()
    signal.signal(signal.SIGTERM, _asked_to_stop)
    if not _claimed(chat_id):
        return
    threading.Thread(target=_pulse, args=(chat_id,), name="pulse", daemon=True).start()
    try:
        speakers = _loaded(chat_id)
        template = all(speaker.has_template for speaker in speakers.values())
        written(lambda session: chats.opened(session, chat_id, template=template))
        while True:
            _one_turn(chat_id, speakers)
    except _Stop as stop:
        said = str(stop)
    except Exception as error:
        log.error("chat %d: %s", chat_id, sentence_of(error))
        said = str(error) if isinstance(error, DatabaseError) else sentence_of(error)
    words = without_secrets(said)
    written(lambda session: chats.end(session, chat_id, words))


def _claimed(chat_id: int) -> bool:
    """Whether the chat is this process's. One whose files another machine has is left to that one."""
    with reading() as session:
        chat = chat_rows.get(session, chat_id, turns=1)
    if chat is None or not has_files(chat.run_id):
        return False
    try:
        card = place_for(chat.run_id, chat.wish)
    except (CwpoError, DatabaseError) as error:
        with writing() as session:
            chats.end(session, chat_id, without_secrets(str(error)))
        return False
    set_here(CUDA_VISIBLE_DEVICES=card, CWPO_DEVICE="gpu" if card else "cpu")  # before torch is imported
    device = f"card {card}" if card else "cpu"
    with writing() as session:
        return chats.claim(session, chat_id, host=socket.gethostname(), pid=os.getpid(), device=device)


def _asked_to_stop(number: int, frame: FrameType | None) -> None:
    raise _Stop("The workers of its machine were stopped.")


def _loaded(chat_id: int) -> dict[str, "Speaker"]:
    """The models of the chat's run, in its order."""
    from cwpo.evaluation.chat import speakers
    from cwpo.models.load import ModelRef

    with reading() as session:
        chat = chat_rows.get(session, chat_id)
        if chat is None:
            raise _Stop("The run was deleted.")
        config = RunConfig.stored(queries.get_run(session, chat.run_id).config)
        stages = {row.slot: row for row in queries.run_stages(session, chat.run_id) if row.status == DONE}
    place = store(patience=STORE_PATIENCE)

    def ref(name: str) -> ModelRef:
        stage = stages.get(SLOTS[name])
        if stage is None:
            return ModelRef(name=config.model.policy, revision=config.model.policy_revision)
        folder = place.find(stage.fingerprint)
        if folder is None:
            raise ModelError(f"The files of the {name} model are not on this machine any more: retry the run.")
        return ModelRef(artifact=folder)

    on_card = settings.worker_device == "gpu"
    return speakers(
        {name: ref(name) for name in chat.models}, store=place, device="cuda:0" if on_card else "cpu",
        precision=config.model.precision if config.model.precision == "bf16" else "fp32",
        quantization=config.model.quantization if on_card else "none",
    )  # fmt: skip


def _one_turn(chat_id: int, speakers: dict[str, "Speaker"]) -> None:
    """Wait for a turn and answer it."""
    with reading() as session:
        turn = chat_rows.waiting_turn(session, chat_id)
        sign = chat_rows.life_sign(session, chat_id)
    if sign is None or sign.state == ENDED:
        raise _Stop("It was ended.")
    if turn is None:
        if sign.unasked > IDLE_SECONDS:
            raise _Stop("Nothing was asked for 5 minutes.")
        if sign.unseen > GONE_SECONDS:
            raise _Stop("The page was closed.")
        time.sleep(LOOK_EVERY)
        return
    with writing() as session:
        chats.take(session, turn.id)
        before = chat_rows.history(session, chat_id)
    try:
        stopped = _answer(chat_id, turn, before, speakers)
    except _Stop:
        raise
    except Exception as error:  # of one turn: the next one may be answered
        log.warning("chat %d, turn %d: %s", chat_id, turn.number, error)
        failed = sentence_of(error)
        written(lambda session: chats.finish(session, chat_id, turn.id, failed=failed))
        return
    written(lambda session: chats.finish(session, chat_id, turn.id, stopped=stopped))


def _answer(chat_id: int, turn: TurnRow, before: Sequence[TurnRow], speakers: dict[str, "Speaker"]) -> bool:
    """Write what the models say, five times a second; whether it was stopped."""
    from cwpo.evaluation.chat import together

    streams = {name: speaker.answer(_asked(turn, before, name)) for name, speaker in speakers.items()}
    texts, written = dict.fromkeys(streams, ""), 0.0
    for texts in together(streams):
        if time.monotonic() - written >= WRITE_EVERY:
            with writing() as session:
                if chats.write(session, chat_id, turn, texts):
                    return True
            written = time.monotonic()
    with writing() as session:
        chats.write(session, chat_id, turn, texts)
    return False


def _asked(turn: TurnRow, before: Sequence[TurnRow], name: str) -> "Asked":
    """The turn as one model hears it: with its own answers to the turns before."""
    from cwpo.evaluation.chat import Asked

    heard = [
        (one.prompt, one.answers[name])
        for one in before
        if one.number < turn.number and one.state in (ANSWERED, STOPPED) and one.answers.get(name) and not one.plain
    ]
    return Asked(
        prompt=turn.prompt, history=heard, temperature=turn.temperature, max_new_tokens=turn.max_new_tokens,
        seed=turn.seed, plain=turn.plain,
    )  # fmt: skip


def _pulse(chat_id: int) -> None:
    """Signs of life while models are loaded and answer; where the chat is over, so is its process."""
    while True:
        try:
            with writing() as session:
                chats.beat(session, chat_id)
                sign = chat_rows.life_sign(session, chat_id)
        except DatabaseError as error:  # it may be back in a moment
            if patience.passes(error):
                patience.say_away(log, "%s", error)
            else:
                log.warning("%s", error)
            time.sleep(BEAT_EVERY)
            continue
        if sign is None or sign.state == ENDED:
            time.sleep(BEAT_EVERY)  # for the thread that answers to end by itself
            os._exit(0)
        time.sleep(BEAT_EVERY)
