"""From a judge's letters to outcomes: both orders, k times, and a tie where the orders disagree. Pure.

A judge that prefers whatever stands first chooses both answers once, and the pair is a tie. Equal answers tie without
being shown. A reply that names no letter chooses neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cwpo.evaluation.judges.questions import Call, Duel, Letter


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back for one call. Tokens as the server counted them; 0 where nobody counts."""

    text: str
    verdict: Letter | None
    prompt_tokens: int = 0
    completion_tokens: int = 0


Key = tuple[str, bool, int]  # duel, swapped, repeat
Replies = Mapping[Key, Reply]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The outcomes of duels in their order: 1 where the first answer won, ½ for a tie, 0 where it lost, averaged over
    repeats; and how the judge behaved. Shares are None where nothing was asked."""

    outcomes: NDArray[np.float64]
    asked: int  # calls
    unread: int  # replies that name no letter
    equal: int  # duels of equal answers, which were not shown
    agree: float | None  # share of the pairs of orders that chose the same answer
    first_shown: float | None  # share of the letters that are A: ½ for a judge without a preference for a place


def is_equal(duel: Duel) -> bool:
    """Equal answers tie, whatever a judge would say."""
    return duel.first.strip() == duel.second.strip()


def calls_of(duels: Iterable[Duel], repeats: int) -> list[Call]:
    """Both orders of each duel, as often as asked; none of equal answers."""
    return [
        Call(duel=duel, swapped=swapped, repeat=repeat)
        for duel in duels
        if not is_equal(duel)
        for repeat in range(repeats)
        for swapped in (False, True)
    ]


def key_of(call: Call) -> Key:
    return call.duel.name, call.swapped, call.repeat


def judged(duels: Sequence[Duel], replies: Replies, repeats: int) -> Judged:
    """The outcomes of all duels; `replies` has both orders of each that was shown."""
    outcomes = np.full(len(duels), 0.5)
    same: list[bool] = []
    for place, duel in enumerate(duels):
        if is_equal(duel):
            continue
        found = [_outcome(*(replies[duel.name, swapped, repeat].verdict for swapped in (False, True)))
                 for repeat in range(repeats)]  # fmt: skip
        outcomes[place] = float(np.mean(found))
        same += [value != 0.5 for value in found]
    letters = [reply.verdict for reply in replies.values() if reply.verdict is not None]
    return Judged(
        outcomes=outcomes,
        asked=len(replies),
        unread=len(replies) - len(letters),
        equal=sum(map(is_equal, duels)),
        agree=float(np.mean(same)) if same else None,
        first_shown=float(np.mean([letter == "A" for letter in letters])) if letters else None,
    )


def _outcome(straight: Letter | None, swapped: Letter | None) -> float:
    """Of one pair of orders: only an answer that wins in both has won."""
    return {("A", "B"): 1.0, ("B", "A"): 0.0}.get((straight or "", swapped or ""), 0.5)
