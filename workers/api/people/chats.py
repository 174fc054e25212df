"""Chats with the models of a run: opened, asked, stopped, ended, looked at. Their processes run beside the workers."""

import json

from cwpo.errors import ConfigError
from db import queries
from db.queries.people import chats as chat_rows
from db.repositories.people import chats
from db.status import DONE
from workers.access.doing import needs, record, say
from workers.access.roles import Role
from workers.machine import patience
from workers.machine.database import reading, writing

LONGEST_PROMPT = 20_000  # characters
MOST_TOKENS = 4_096
SLOTS = {"aligned": "align", "sft": "sft"}  # beside the base, which every run has


@needs(Role.RUNNER)
@patience.patient()
def start(run_id: int, *, on_cpu: bool = False) -> int:
    """A chat with the models that a run has so far; its number. The run's own one where it is open already."""
    with reading() as session:
        queries.get_run(session, run_id)
        done = {stage.slot for stage in queries.run_stages(session, run_id) if stage.status == DONE}
        alive = any(worker.alive for worker in queries.workers(session))
    names = [name for name, slot in SLOTS.items() if slot in done]
    if not names:
        raise ConfigError("run", f"{run_id} has no trained model yet: chat with it when SFT or alignment is done.")
    if not alive:
        raise ConfigError("run", f"{run_id}: no worker is alive, and a chat runs beside them: start the workers first.")
    with writing() as session:
        chat_id = chats.create(session, run_id, [*names, "base"], "cpu" if on_cpu else "auto")
        record(session, f"chat {chat_id}", after={"run": run_id})
    return chat_id


@needs(Role.RUNNER)
@patience.patient()
def ask(
    chat_id: int,
    prompt: str,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 128,
    seed: int = 0,
    plain: bool = False,
) -> int:
    """One more turn; its number. At temperature 0 the most likely token is taken."""
    if not prompt.strip():
        raise ConfigError("Prompt", "write something first.")
    if len(prompt) > LONGEST_PROMPT:
        raise ConfigError("Prompt", f"it has {len(prompt):,} characters; {LONGEST_PROMPT:,} are read.")
    if not 0 <= temperature <= 5:
        raise ConfigError("Temperature", "must be from 0 to 5.")
    if not 1 <= max_new_tokens <= MOST_TOKENS:
        raise ConfigError("Longest answer", f"must be from 1 to {MOST_TOKENS:,} tokens.")
    if not 0 <= seed < 2**31:
        raise ConfigError("Seed", "must be a whole number from 0.")
    with writing() as session:
        turn = chats.ask(
            session, chat_id, prompt, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed, plain=plain
        )
        record(session, f"chat {chat_id}", after={"turn": turn, "characters": len(prompt)})
    return turn


@needs(Role.RUNNER)
@patience.patient()
def stop(chat_id: int) -> None:
    """Stop what is being answered; the text so far stays."""
    with writing() as session:
        chats.stop(session, chat_id)
        record(session, f"chat {chat_id}")


@needs(Role.RUNNER)
@patience.patient()
def end(chat_id: int) -> None:
    """End the chat; its models are given back within seconds."""
    with writing() as session:
        chats.end(session, chat_id, "It was ended.")
        record(session, f"chat {chat_id}")


@needs(Role.VIEWER, told=False)
@patience.patient()
def look(chat_id: int) -> None:
    """A page is looking: called every few seconds, because a chat that nobody looks at ends."""
    with writing() as session:
        chats.look(session, chat_id)


@needs(Role.RUNNER)
def as_jsonl(chat_id: int) -> bytes:
    """All turns, one a line: the prompt, how it was asked, and what each model answered."""
    say(f"chat {chat_id}")
    with reading() as session:
        chat = chat_rows.get(session, chat_id, turns=1)
        turns = chat_rows.history(session, chat_id)
    lines = [
        {
            "run": chat.run_id if chat else None, "chat": chat_id, "turn": turn.number, "prompt": turn.prompt,
            "temperature": turn.temperature, "max_new_tokens": turn.max_new_tokens, "seed": turn.seed,
            "chat_template": bool(chat and chat.template and not turn.plain), "state": turn.state,
            "answers": dict(turn.answers),
        }
        for turn in turns
    ]  # fmt: skip
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
