"""A judge whose errors are known, for the sandbox: the true utilities through noise, and a liking for what is shown
first. It stands for a language model where there is none, and shows what both orders are good for."""

import hashlib
import math
from collections.abc import Iterable

from cwpo.evaluation.judges.questions import Call
from cwpo.evaluation.judges.verdicts import Key, Reply, key_of
from cwpo.sandbox.oracle import utility
from cwpo.stages.settings import JudgeModelSettings


def ask_all(judge: JudgeModelSettings, calls: Iterable[Call]) -> dict[Key, Reply]:
    """P(A) = σ((U(A) − U(B)) / τ + b), with U the oracle's utility, τ the noise and b the liking for the first. What is
    drawn follows from the texts and the repeat alone."""
    return {key_of(call): _reply(judge, call) for call in calls}


def _reply(judge: JudgeModelSettings, call: Call) -> Reply:
    one, other = (utility(call.duel.prompt, answer) for answer in call.shown)
    logit = (one - other) / judge.noise + judge.first_bias
    chance = 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))
    drawn = hashlib.sha256(repr((judge.seed, call.duel.prompt, call.shown, call.repeat)).encode()).digest()
    letter = "A" if int.from_bytes(drawn[:8]) / 2**64 < chance else "B"
    return Reply(text=f"Preferred: {letter}", verdict="A" if letter == "A" else "B")
