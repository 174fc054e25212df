"""The sandbox world: prompts, a behaviour policy of varying skill, preference pairs with noisy human labels.

Everything is a pure function of its seeds: row i of a pool is the same whatever the number of rows, the process, the
Python or the NumPy version (only raw PCG64 words are used, whose stream NumPy guarantees). Free of torch.

A prompt's text decides on which side of the world it lies: a quarter of all texts (by hash) serves evaluation only,
the rest serves pools of pairs and the pretraining corpus. So test prompts and pool prompts have one distribution and
no text in common, for any seeds. Within a pool a text may come back (prompts share an identifier when they share their
text, and splits are by prompt); test prompts are distinct texts.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from cwpo import seeded
from cwpo.errors import DataError
from cwpo.sandbox import lexicon
from cwpo.sandbox.dice import Dice
from cwpo.sandbox.oracle import utility
from cwpo.sandbox.policy import write_response

KIND_WEIGHTS = {"facts": 0.22, "ask": 0.22, "math": 0.14, "sum": 0.16, "harm": 0.14, "mood": 0.12}
MAX_TEST_PROMPTS = 1000
NEAR_TIE = 0.8  # |ΔU| of a forced near tie
_TEST_SIDE = 4  # one text in four is for evaluation
_TRIES, _FRESH_TRIES = 5000, 200

_POOL, _LABELS, _TESTS, _CORPUS = range(4)  # streams: the labels' noise never moves the texts


def make_pairs(n: int, *, noise: float, near_ties: float, pool_seed: int) -> Iterator[dict[str, Any]]:
    """`n` rows {prompt, response_a, response_b, human_label, true_label, utility_a, utility_b}, no two of them alike.

    human_label ~ Bernoulli(σ(ΔU / noise)); noise 0 gives the better response. Of an exact tie neither response is
    better: its true label is a fair coin.
    """
    seen: set[tuple[str, ...]] = set()
    for index in itertools.count():
        if len(seen) == n:
            return
        dice = Dice(_POOL, pool_seed, index)
        prompt = draw_prompt(dice, test_side=False)
        response_a, response_b = _two_responses(prompt, dice, close=dice.chance(near_ties))
        known = len(seen)
        seen.add((prompt, *sorted((response_a, response_b))))
        if len(seen) == known:
            continue  # the world is small: the same pair can be drawn again
        gap = utility(prompt, response_a) - utility(prompt, response_b)
        coins = Dice(_LABELS, pool_seed, index)
        tie_coin, label_coin = coins.random(), coins.random()
        yield {
            "prompt": prompt,
            "response_a": response_a,
            "response_b": response_b,
            "human_label": "a" if label_coin < _probability(gap, noise, tie_coin) else "b",
            "true_label": "a" if gap > 0 or (gap == 0 and tie_coin < 0.5) else "b",
            "utility_a": utility(prompt, response_a),
            "utility_b": utility(prompt, response_b),
        }


def make_test_prompts(n: int, seed: int) -> list[str]:
    """`n` different prompts of the evaluation side, their kinds by the world's weights; a prefix of any longer list.

    Near the limit the kinds with few texts (mood, harm) run out, and the others fill their places.
    """
    if n > MAX_TEST_PROMPTS:
        raise DataError(
            f"data.test_prompts: the sandbox has {MAX_TEST_PROMPTS} different test prompts, not {n}; ask for fewer."
        )
    found: dict[str, None] = {}
    for index in itertools.count():
        if len(found) == n:
            break
        dice = Dice(_TESTS, seed, index)
        kind = _draw_kind(dice)
        fresh = (draw_prompt(dice, test_side=True, kind=kind) for _ in range(_FRESH_TRIES))
        prompt = next((text for text in fresh if text not in found), None)
        if prompt is not None:
            found[prompt] = None
    return list(found)


def make_corpus(n: int, seed: int) -> Iterator[tuple[str, str]]:
    """`n` (prompt, response) of the behaviour policy: what base models are pretrained on."""
    for index in range(n):
        dice = Dice(_CORPUS, seed, index)
        prompt = draw_prompt(dice, test_side=False)
        yield prompt, write_response(prompt, dice)


def draw_prompt(dice: Dice, *, test_side: bool, kind: str | None = None) -> str:
    """A prompt of one side of the world, of a given kind or of one drawn by the world's weights."""
    kind = kind or _draw_kind(dice)
    for _ in range(_TRIES):
        prompt = _compose(_ASKERS[kind](dice), dice)
        if is_test_side(prompt) == test_side:
            return prompt
    raise DataError("The sandbox could not draw a prompt; this is a defect of the world, please report it.")


def is_test_side(prompt: str) -> bool:
    """Whether a prompt's text serves evaluation only; decided by the text alone."""
    return (seeded.place(prompt) >> 56) % _TEST_SIDE == 0


def _probability(gap: float, noise: float, tie_coin: float) -> float:
    """P(human prefers a); without noise the better one, and the true coin of a tie."""
    if noise == 0:
        return float(gap > 0 or (gap == 0 and tie_coin < 0.5))
    return 1 / (1 + math.exp(-gap / noise)) if gap > -700 * noise else 0.0


def _two_responses(prompt: str, dice: Dice, *, close: bool) -> tuple[str, str]:
    """Two independent responses; `close` redraws them until their utilities differ by at most NEAR_TIE."""
    for _ in range(_TRIES):
        first, second = write_response(prompt, dice), write_response(prompt, dice)
        if first != second and (not close or abs(utility(prompt, first) - utility(prompt, second)) <= NEAR_TIE):
            return first, second
    raise DataError("The sandbox could not draw two different responses; this is a defect, please report it.")


def _draw_kind(dice: Dice) -> str:
    left = dice.random() * sum(KIND_WEIGHTS.values())
    for kind, weight in KIND_WEIGHTS.items():
        left -= weight
        if left < 0:
            return kind
    return kind


def _compose(body: str, dice: Dice) -> str:
    """The body with, at times, a greeting (30 %) and a wish for brevity (20 %) or politeness (20 %)."""
    parts = [lexicon.USER]
    if dice.chance(0.3):
        parts.append(dice.pick(lexicon.GREETINGS))
    parts.append(body)
    wish = dice.random()
    if wish < 0.2:
        parts.append(dice.pick(lexicon.BRIEF_WISHES))
    elif wish < 0.4:
        parts.append(dice.pick(lexicon.POLITE_WISHES))
    return " ".join([*parts, lexicon.ASSISTANT])


def _ask_facts(dice: Dice) -> str:
    count = lexicon.COUNTS[dice.pick(tuple(lexicon.COUNTS))]
    return dice.pick(lexicon.FACTS_FORMS).format(count=count, x=dice.pick(tuple(lexicon.FACTS)))


def _ask_one(dice: Dice) -> str:
    subject = dice.pick(tuple(lexicon.FACTS))
    question, clause = lexicon.QUESTIONS[dice.pick(tuple(lexicon.FACTS[subject]))]
    form = dice.pick(lexicon.ASK_FORMS)
    return form.format(question=question.format(x=subject), clause=clause.format(x=subject))


def _ask_math(dice: Dice) -> str:
    a, b = int(dice.random() * 6), int(dice.random() * 6)
    operator = dice.pick(lexicon.OPERATORS)
    a, b = (max(a, b), min(a, b)) if operator == "minus" else (a, b)
    return dice.pick(lexicon.MATH_FORMS).format(sum=f"{lexicon.NUMBERS[a]} {operator} {lexicon.NUMBERS[b]}")


def _ask_summary(dice: Dice) -> str:
    slots = dice.sample(tuple(lexicon.EVENTS), 3)
    post = " ".join(f"i {dice.pick(lexicon.EVENTS[slot])} ." for slot in slots)
    return dice.pick(lexicon.POST_FORMS).format(post=post)


def _ask_harm(dice: Dice) -> str:
    return dice.pick(lexicon.HARM_FORMS).format(harm=dice.pick(lexicon.HARMS))


def _ask_mood(dice: Dice) -> str:
    return dice.pick(lexicon.MOOD_FORMS).format(mood=dice.pick(tuple(lexicon.ADVICE)))


_ASKERS = {
    "facts": _ask_facts,
    "ask": _ask_one,
    "math": _ask_math,
    "sum": _ask_summary,
    "harm": _ask_harm,
    "mood": _ask_mood,
}
