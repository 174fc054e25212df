"""A judge model behind transformers' own server, which speaks the protocol of chat completions on the loopback."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import LlamaForCausalLM

from cwpo.evaluation.judges.endpoint import WRITTEN
from cwpo.evaluation.judges.questions import read_verdict
from cwpo.evaluation.judges.stage import run_judge
from cwpo.evaluation.judges.verdicts import calls_of
from tests import clocks
from tests.cwpo import judge_models, tiny
from tests.cwpo.evaluation.test_judge_models import DUELS, asked, context
from tests.servers import free_port

PAIRS = [replace(DUELS[at], name=f"p{at}:0", prompt=tiny.WORDS[at], about=tiny.WORDS[at]) for at in range(5)]
TEXTS = [call.text("chat", WRITTEN) for call in calls_of(PAIRS, 1)]


@contextmanager
def transformers_serve(folder: Path, home: Path) -> Iterator[str]:
    """`transformers serve` over a model of this machine; its address."""
    port, log = free_port(), home / "serve.log"
    command = [
        sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1",
        "--port", str(port), "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip
    own = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=out)
    try:
        deadline = clocks.monotonic() + 300
        while not _answers(port):
            assert process.poll() is None, log.read_text()[-3000:]
            assert clocks.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30):
            return True
    except OSError:
        return False


def by_hand(folder: Path, text: str) -> tuple[str, int, int]:
    """The reply to one question, its tokens and those of the question, one forward pass at a time."""
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder).eval(), judge_models.words()
    ids = tokenizer(text)["input_ids"]
    said: list[int] = []
    while len(said) < 16 and said[-1:] != [tokenizer.eos_token_id]:
        with torch.no_grad():
            said.append(int(model(torch.tensor([ids + said])).logits[0, -1].argmax()))
    return tokenizer.decode(said, skip_special_tokens=True), len(said), len(ids)


def test_the_server_of_transformers_judges_as_its_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question is asked once in both orders; outcomes and tokens are those of the model's own greedy replies; a
    second time nothing is bought."""
    folder = judge_models.writer_folder(tmp_path / "judge", TEXTS)
    replies = [by_hand(folder, text) for text in TEXTS]
    letters = [read_verdict(reply) for reply, _, _ in replies]
    assert set(letters) == {"A", "B"}
    (tmp_path / "home").mkdir()
    with transformers_serve(folder, tmp_path / "home") as address:
        monkeypatch.setenv("CWPO_JUDGE_URL", address)
        monkeypatch.setenv("CWPO_JUDGE_PARALLEL", "2")
        judge = asked(model=str(folder), max_new_tokens=16)
        summary = run_judge(context(tmp_path, judge))
        again = run_judge(context(tmp_path, judge))
    assert (summary["calls"], summary["bought"], summary["unread"], again["bought"]) == (10, 10, 0, 0)
    assert summary["completion_tokens"] == sum(tokens for _, tokens, _ in replies)
    assert summary["prompt_tokens"] == sum(tokens for _, _, tokens in replies)
    both = list(zip(letters[::2], letters[1::2], strict=True))
    outcomes = [{("A", "B"): 1.0, ("B", "A"): 0.0}.get(said, 0.5) for said in both]
    rows = pd.read_parquet(tmp_path / "out0" / "outcomes.parquet")
    assert rows["outcome"].tolist() == [*outcomes, 0.5]  # the last pair of answers is equal
    assert summary["gra"] == pytest.approx(sum([*outcomes, 0.5]) / 6)
