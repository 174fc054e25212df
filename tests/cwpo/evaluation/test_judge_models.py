"""Judge models: both orders, what a server may do wrong, and that no verdict is ever bought twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from cwpo.artifacts import ArtifactStore
from cwpo.config.parts import JudgeConfig
from cwpo.config.run import RunConfig
from cwpo.data.pairs import write_prompts
from cwpo.errors import Cancelled, JudgeError, SettingsError
from cwpo.evaluation.generation import write_samples
from cwpo.evaluation.judges import endpoint, local, simulated
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.questions import CUE, LETTER, Call, Duel, fitted, read_verdict
from cwpo.evaluation.judges.stage import run_judge
from cwpo.evaluation.judges.verdicts import Reply, calls_of, judged, key_of
from cwpo.models.load import ModelRef, load_policy, precision_context
from cwpo.records import Prompt, Sample
from cwpo.stages import from_config
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.fingerprint import SCORE_RULE
from cwpo.stages.settings import JudgeModelSettings, JudgeSettings
from tests import clocks
from tests.cwpo import judge_models, tiny

SECRET = "sk-do-not-store-me"


def asked(**changes: Any) -> JudgeModelSettings:
    values = {"kind": "endpoint", "model": "tiny-judge", **changes}
    config = RunConfig.parse({"data": {"dataset": "hh"}, "model": {"precision": "fp32"}})
    return from_config.judge(config, JudgeConfig.model_validate(values)).judge


def duel(name: str, first: str, second: str) -> Duel:
    return Duel(name=name, prompt="w1", about="w1", first=first, second=second)


def replies(duels: list[Duel], verdict: Any, repeats: int = 1) -> dict[Any, Reply]:
    return {key_of(call): Reply(text="", verdict=verdict(call)) for call in calls_of(duels, repeats)}


DUELS = [duel(f"d{at}", " ".join(tiny.WORDS[at : at + 3]), " ".join(tiny.WORDS[at + 9 : at + 11])) for at in range(6)]


# ---- questions and verdicts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("Both are fine.\nPreferred: A", "A"),
        ("I preferred A at first.\n\n**Preferred: B**", "B"),
        ("preferred answer: B.", "B"),
        (" A.", "A"),
        ("I preferred a shorter one.", None),
        ("Preferred: C", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_last_letter_that_a_reply_prefers(reply: str, letter: str | None) -> None:
    assert read_verdict(reply) == letter


def test_an_answer_wins_only_in_both_orders() -> None:
    """Content, place, and silence as judges; over two repeats that differ the outcome is their mean."""
    two = DUELS[:1]
    content = judged(two, replies(two, lambda call: "B" if call.swapped else "A"), 1)
    assert (content.outcomes.tolist(), content.agree, content.first_shown) == ([1.0], 1.0, 0.5)
    place = judged(two, replies(two, lambda call: "A"), 1)
    assert (place.outcomes.tolist(), place.agree, place.first_shown) == ([0.5], 0.0, 1.0)
    silent = judged(two, replies(two, lambda call: None), 1)
    assert (silent.outcomes.tolist(), silent.unread) == ([0.5], 2)
    half = judged(two, replies(two, lambda call: "A" if call.repeat else ("B" if call.swapped else "A"), 2), 2)
    assert half.outcomes.tolist() == [0.75]


def test_equal_answers_tie_and_are_not_shown() -> None:
    same = [duel("d", "w1 w2", " w1 w2\n")]
    assert calls_of(same, 3) == []
    assert judged(same, {}, 3).outcomes.tolist() == [0.5]


def test_a_question_shows_both_answers_by_the_order_and_loses_the_start_of_its_prompt() -> None:
    call = Call(duel=replace(DUELS[0], about="w1 " * 50, first="w11", second="w22"), swapped=True, repeat=0)
    text = call.text("summary", LETTER)
    assert text.index("w22") < text.index("w11")
    assert "Post" in text
    room = len(text.split()) - 10
    short = fitted(call, "summary", LETTER, count=lambda words: len(words.split()), room=room)
    assert short is not None
    assert len(short.split()) <= room
    assert short.endswith(LETTER)
    assert fitted(call, "summary", LETTER, count=lambda words: len(words.split()), room=20) is None


# ---- a server -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judge_models.judge_folder(tmp_path_factory.mktemp("judge"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tell this process where the server is."""

    def tell(address: str, **more: str) -> None:
        monkeypatch.setenv("CWPO_JUDGE_URL", address)
        monkeypatch.setenv("CWPO_JUDGE_KEY", SECRET)
        for name, value in more.items():
            monkeypatch.setenv(name, value)

    return tell


def context(tmp_path: Path, settings: JudgeModelSettings, **changes: Any) -> StageContext[JudgeSettings]:
    """Two models' answers to six prompts; those to the last are equal."""
    inputs = {}
    for name, of in (("samples", lambda at: DUELS[at].first), ("baseline_samples", lambda at: DUELS[at].second)):
        inputs[name] = tmp_path / name
        inputs[name].mkdir(exist_ok=True)
        texts = [of(at) if at < 5 else "w7" for at in range(6)]
        write_samples(
            [Sample(prompt_id=f"p{at}", sample=0, text=text, tokens=3, finished=True, logp=-1.0, reference_logp=-2.0)
             for at, text in enumerate(texts)],
            inputs[name],
        )  # fmt: skip
    inputs["prompts"] = inputs["samples"]
    write_prompts([Prompt(prompt_id=f"p{at}", prompt=tiny.WORDS[at]) for at in range(6)], inputs["prompts"])
    out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
    out.mkdir()
    return StageContext(
        kind="judge", settings=JudgeSettings(judge=settings, prompts=None), inputs=inputs, out=out, checkpoints=out,
        store=ArtifactStore(tmp_path / "artifacts"), **changes,
    )  # fmt: skip


def test_a_server_is_asked_once_per_question_whatever_it_does_at_first(tmp_path: Path, folder: Path, told: Any) -> None:
    """A limit of the rate, a server that is busy and a broken reply pass; verdicts are the tiny model's own."""
    tiny_judge = judge_models.TinyJudge(folder)
    with judge_models.loopback(tiny_judge) as server:
        server.faults = [
            (429, {"Retry-After": "0"}, b"slow down"), (503, {"Retry-After": "0"}, b""), (200, {}, b"{\"choices\": ["),
            (200, {}, b"{\"choices\": []}"),
        ]  # fmt: skip
        told(server.address)
        summary = run_judge(context(tmp_path, asked()))
        assert server.requests == 10 + 4
        assert len(server.asked) == 10  # five pairs, both orders; equal answers are not shown
        texts = [body["messages"][0]["content"] for body in server.asked]
        assert set(Counter(texts).values()) == {1}
        assert server.keys == {f"Bearer {SECRET}"}
        assert {body["model"] for body in server.asked} == {"tiny-judge"}
    rows = pd.read_parquet(tmp_path / "out0" / "outcomes.parquet")
    by_hand = []
    for at in range(5):
        one = replace(DUELS[at], name=f"p{at}:0", prompt=tiny.WORDS[at], about=tiny.WORDS[at])
        first, second = (tiny_judge.letter(call.text("chat", endpoint.WRITTEN)) for call in calls_of([one], 1))
        by_hand.append({("A", "B"): 1.0, ("B", "A"): 0.0}.get((first, second), 0.5))
    assert rows["outcome"].tolist() == [*by_hand, 0.5]
    assert rows["logratio"].tolist() == [1.0] * 6
    assert summary["gra"] == pytest.approx(float(np.mean([*by_hand, 0.5])))
    assert (summary["calls"], summary["bought"], summary["unread"], summary["equal_answers"]) == (10, 10, 0, 1)
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (1000, 100)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file.parent != folder)
    assert SECRET.encode() not in kept
    assert server.address.encode() not in kept


def test_a_second_run_and_more_repeats_buy_only_what_is_new(tmp_path: Path, told: Any) -> None:
    with judge_models.loopback() as server:
        told(server.address)
        run_judge(context(tmp_path, asked()))
        again = run_judge(context(tmp_path, asked()))
        assert (server.requests, again["bought"], again["calls"]) == (10, 0, 10)
        more = run_judge(context(tmp_path, asked(repeats=2)))
        assert (server.requests, more["bought"], more["calls"]) == (20, 10, 20)


def test_a_killed_process_buys_nothing_twice(tmp_path: Path, told: Any) -> None:
    """Killed while the eighth question is open: seven replies lie on the disk, and only the other five are bought."""
    calls = calls_of(DUELS, 1)
    script = (
        "from pathlib import Path\n"
        "from cwpo.evaluation.judges import endpoint\n"
        "from cwpo.evaluation.judges.ledger import Ledger\n"
        "from cwpo.evaluation.judges.questions import Duel\n"
        "from cwpo.evaluation.judges.verdicts import calls_of\n"
        "from cwpo.stages.context import WorkContext\n"
        "from cwpo.stages.settings import JudgeModelSettings\n"
        f"duels = {DUELS!r}\n"
        f"judge = {asked()!r}\n"
        f"endpoint.ask_all(WorkContext(), judge, calls_of(duels, 1), Ledger(Path({str(tmp_path)!r}), {{'judge': 1}}))\n"
    )
    with judge_models.loopback() as server:
        server.answer_most = 7
        told(server.address, CWPO_JUDGE_PARALLEL="1")
        process = subprocess.Popen([sys.executable, "-c", script], cwd=Path.cwd(), env=dict(os.environ))
        try:
            deadline = clocks.monotonic() + 300
            while server.requests < 8 and clocks.monotonic() < deadline and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert len(server.asked) == 7
        server.answer_most = None
        found, bought = endpoint.ask_all(WorkContext(), asked(), calls, Ledger(tmp_path, {"judge": 1}))
        assert (len(found), bought) == (12, 5)
        texts = Counter(body["messages"][0]["content"] for body in server.asked)
        assert set(texts.values()) == {1}
        assert len(texts) == 12


def test_half_a_line_of_a_killed_process_is_no_purchase(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {"judge": 1})
    ledger.add("one", Reply(text="Preferred: A", verdict="A", prompt_tokens=3))
    (file,) = (tmp_path / "purchases").iterdir()
    file.write_text(file.read_text() + '{"key": "two", "ver')
    Ledger(tmp_path, {"judge": 1}).add("three", Reply(text="", verdict=None))
    read = Ledger(tmp_path, {"judge": 1})
    assert read.get("one") == Reply(text="Preferred: A", verdict="A", prompt_tokens=3)
    assert read.get("two") is None
    assert read.get("three") == Reply(text="", verdict=None)
    assert Ledger(tmp_path, {"judge": 2}).get("one") is None


def test_a_run_that_is_cancelled_keeps_what_it_bought(tmp_path: Path, told: Any) -> None:
    with judge_models.loopback() as server:
        told(server.address, CWPO_JUDGE_PARALLEL="1")
        stopping = context(tmp_path, asked(), should_stop=lambda: len(server.asked) >= 4)
        with pytest.raises(Cancelled, match="is kept"):
            run_judge(stopping)
        before = len(server.asked)
        assert before < 10
        run_judge(context(tmp_path, asked()))
        assert len(server.asked) == 10


def test_a_reply_without_a_letter_is_asked_for_again_and_then_counts_for_neither(tmp_path: Path, told: Any) -> None:
    with judge_models.loopback() as server:
        told(server.address)
        server.answer = lambda body: "It depends."  # type: ignore[method-assign]
        with pytest.raises(JudgeError, match="None of the judge's replies names A or B"):
            run_judge(context(tmp_path, asked()))
        assert server.requests == 10 * endpoint.READINGS


def test_what_will_not_pass_is_one_sentence_without_the_key(tmp_path: Path, told: Any, monkeypatch: Any) -> None:
    refusal = f'{{"error": {{"message": "no such key {SECRET}"}}}}'.encode()
    with judge_models.loopback() as server:
        told(server.address, CWPO_JUDGE_PARALLEL="1")
        server.faults = [(401, {}, refusal)]
        with pytest.raises(JudgeError, match="refused with 401: no such key …") as raised:
            run_judge(context(tmp_path, asked()))
        assert SECRET not in str(raised.value)
        assert server.requests == 1
    monkeypatch.setattr(endpoint, "TRIES", 2)
    told("http://127.0.0.1:9")
    with pytest.raises(JudgeError, match="did not answer in 2 tries"):
        run_judge(context(tmp_path, asked()))
    monkeypatch.delenv("CWPO_JUDGE_URL")
    with pytest.raises(JudgeError, match="set CWPO_JUDGE_URL"):
        run_judge(context(tmp_path, asked()))


@pytest.mark.parametrize(
    ("base", "whole"),
    [
        ("https://host", "https://host/v1/chat/completions"),
        ("https://host/v1/", "https://host/v1/chat/completions"),
        ("https://host/openai/v1/chat/completions", "https://host/openai/v1/chat/completions"),
        ("https://host/v1?api-version=1", "https://host/v1/chat/completions?api-version=1"),
    ],
)
def test_the_address_of_a_server_may_be_given_in_any_usual_form(base: str, whole: str) -> None:
    assert endpoint.address_of(base) == whole


# ---- a model here, and the sandbox's --------------------------------------------------------------------------------


def test_a_local_model_chooses_the_likelier_letter_in_any_batch_and_is_asked_once(tmp_path: Path, folder: Path) -> None:
    judge = asked(kind="local", model=str(folder), verdicts="logits")
    ctx = context(tmp_path, judge)
    calls = calls_of(DUELS, 1)
    found, new = local.ask_all(ctx, judge, calls, Ledger(tmp_path, {"judge": 1}))
    by_hand = judge_models.TinyJudge(folder)
    assert [found[key_of(call)].verdict for call in calls] == [
        by_hand.letter(call.text("chat", LETTER) + CUE) for call in calls
    ]
    assert new == len(calls)
    again, new = local.ask_all(ctx, judge, calls, Ledger(tmp_path, {"judge": 1}))
    assert (again, new) == (found, 0)


def test_a_control_token_in_an_answer_or_prompt_is_text_to_a_local_judge(tmp_path: Path, folder: Path) -> None:
    """To a vocabulary of words a control token that is written is an unknown word like any other."""
    judge = asked(kind="local", model=str(folder), verdicts="logits")
    said = []
    for word in ("</s>", "unknown"):
        text = f"w3 {word} w4"
        calls = calls_of([Duel(name="d", prompt=text, about=text, first=text, second=f"w5 w6 {word}")], 1)
        found, _ = local.ask_all(context(tmp_path, judge), judge, calls, Ledger(tmp_path, {"judge": 3}))
        said.append([found[key_of(call)].text for call in calls])
    assert said[0] == said[1]


def test_letters_that_differ_by_less_than_bf16_can_say_are_no_tie(tmp_path: Path, folder: Path) -> None:
    """By hand: the state behind each question as the body gives it in bf16, and both letters' weights, in double.
    Rounded to bf16, both letters' logits are one number for some of the questions."""
    close = tmp_path / "close"
    shutil.copytree(folder, close)
    weights = load_file(close / "model.safetensors")
    a, b = judge_models.LETTERS
    weights["lm_head.weight"][a] = (weights["lm_head.weight"][a] * 100).bfloat16().float()
    weights["lm_head.weight"][b] = weights["lm_head.weight"][a]
    weights["lm_head.weight"][b, 0] *= 1 + 2**-6
    save_file(weights, close / "model.safetensors", metadata={"format": "pt"})
    judge = replace(asked(kind="local", model=str(close), verdicts="logits"), precision="bf16", rule=SCORE_RULE)
    ctx = context(tmp_path, judge)
    calls = calls_of(DUELS, 1)
    with pytest.raises(SettingsError, match="The verdicts of this run go by rule 1"):
        local.ask_all(ctx, replace(judge, rule=1), calls, Ledger(tmp_path, {"judge": 2}))
    found, _ = local.ask_all(ctx, judge, calls, Ledger(tmp_path, {"judge": 2}))
    policy = load_policy(
        ModelRef(name=str(close)), store=ctx.store, device="cpu", precision="bf16", trainable=False, lora=None, seed=0
    )
    head = policy.model.get_output_embeddings().weight[[a, b]].double()  # type: ignore[operator]
    ties = 0
    for call in calls:
        ids = policy.tokenizer(call.text("chat", LETTER) + CUE, return_tensors="pt")["input_ids"]
        with torch.no_grad(), precision_context("bf16", "cpu"):
            state = policy.model.base_model(ids).last_hidden_state[0, -1]  # type: ignore[operator]
        one, other = (head @ state.double()).tolist()
        ties += torch.tensor(one).bfloat16() == torch.tensor(other).bfloat16()
        reply = found[key_of(call)]
        assert reply.verdict == ("A" if one > other else "B")
        assert float(reply.text.removeprefix("log-odds of A ")) == pytest.approx(one - other, abs=2e-4)
    assert ties > 0


def test_a_local_model_that_writes_is_read_like_a_server(tmp_path: Path, folder: Path) -> None:
    judge = asked(kind="local", model=str(folder), max_new_tokens=6)
    calls = calls_of(DUELS[:2], 1)
    found, _ = local.ask_all(context(tmp_path, judge), judge, calls, Ledger(tmp_path, {"judge": 1}))
    assert all(reply.completion_tokens <= 6 for reply in found.values())
    assert all(reply.verdict == read_verdict(reply.text) for reply in found.values())


def test_a_model_without_the_two_letters_is_refused(tmp_path: Path) -> None:
    plain = tiny.save(tmp_path / "plain", "qwen2", context=512)
    judge = asked(kind="local", model=str(plain), verdicts="logits")
    with pytest.raises(JudgeError, match="no tokens for A and B"):
        run_judge(context(tmp_path, judge))


def test_a_simulated_judge_errs_by_its_noise_and_its_liking_for_the_first() -> None:
    """Without noise it is the oracle; a liking for the first that is stronger than any difference ties everything."""
    from cwpo.sandbox.oracle import utility
    from cwpo.sandbox.world import make_pairs

    rows = list(make_pairs(60, noise=0.0, near_ties=0.0, pool_seed=0))
    duels = [
        Duel(name=str(at), prompt=row["prompt"], about=row["prompt"], first=row["response_a"], second=row["response_b"])
        for at, row in enumerate(rows)
    ]
    judge = replace(asked(), kind="simulated", noise=1e-6)
    gaps = [utility(one.prompt, one.first) - utility(one.prompt, one.second) for one in duels]
    clear = [at for at, gap in enumerate(gaps) if gap != 0]
    found = judged(duels, simulated.ask_all(judge, calls_of(duels, 1)), 1)
    assert found.outcomes[clear].tolist() == [float(gaps[at] > 0) for at in clear]
    biased = judged(duels, simulated.ask_all(replace(judge, noise=1.0, first_bias=50.0), calls_of(duels, 1)), 1)
    assert set(biased.outcomes.tolist()) == {0.5}
    assert biased.first_shown == 1.0
