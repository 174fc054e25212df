"""What asking a judge model takes, said before it is asked: calls, tokens, and money where prices are given. Pure.

Of stored answers tokens are counted as characters / 4; of answers that are not written yet the most that they can be.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cwpo.config.run import RunConfig
from cwpo.evaluation.judges.questions import WRITTEN, Call, Duel, Role
from cwpo.report.numbers import count, number
from cwpo.stages.settings import CardSettings, JudgeModelSettings, JudgeSettings, Settings
from db.records import AnswerLengths

CHARACTERS = 4  # of a token
REPLY = 60  # tokens of a sentence and a verdict
LONGEST_PROMPT = 512  # tokens, where no rule says how long prompts may be


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Calls and tokens. `most`: they are bounds. price: of a million tokens, read and written; None: not known.
    server: calls that go to one, and may cost money."""

    calls: int = 0
    server: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    most: bool = False
    price: tuple[float, float] | None = None

    @property
    def cost(self) -> float | None:
        """At the prices given; None without any."""
        if self.price is None:
            return None
        return (self.prompt_tokens * self.price[0] + self.completion_tokens * self.price[1]) / 1e6

    def __add__(self, other: "Judging") -> "Judging":
        names = ("calls", "server", "prompt_tokens", "completion_tokens")
        summed = {name: getattr(self, name) + getattr(other, name) for name in names}
        return replace(self, **summed, most=self.most or other.most)


def of_answers(stages: Iterable[tuple[Settings, AnswerLengths]], price: tuple[float, float] | None) -> Judging:
    """Of answers that are there, and of pairs with human labels, which are taken to be as long."""
    total = Judging(price=price)
    for settings, lengths in stages:
        shown = (lengths.prompt_characters + lengths.answer_characters) / CHARACTERS
        if isinstance(settings, JudgeSettings):
            share = min(1.0, (settings.prompts or lengths.prompts) / max(1, lengths.prompts))
            total += _judging(settings.judge, math.ceil(lengths.answers * share), shown, REPLY)
        elif isinstance(settings, CardSettings) and settings.judge is not None:
            total += _judging(settings.judge, settings.pairs, shown, REPLY)
    return total


def of_plan(stages: Sequence[tuple[RunConfig, Settings]], price: tuple[float, float] | None) -> Judging | None:
    """Of answers that are still to be written; None where no judge model is asked."""
    total = Judging(price=price, most=True)
    for config, settings in stages:
        rule, part = config.data.length_rule, config.evaluation
        prompt = rule.max_tokens if rule else LONGEST_PROMPT
        if isinstance(settings, JudgeSettings):
            prompts = min(settings.prompts or config.data.test_prompts, config.data.test_prompts)
            read = prompt + 2 * part.max_new_tokens
            total += _judging(settings.judge, prompts * part.samples, read, settings.judge.max_new_tokens)
        elif isinstance(settings, CardSettings) and settings.judge is not None:
            total += _judging(settings.judge, settings.pairs, 2 * prompt, settings.judge.max_new_tokens)
    return total if total.calls else None


def _judging(judge: JudgeModelSettings, duels: int, shown: float, reply: float) -> Judging:
    """Of so many duels that show so many tokens each."""
    calls = 2 * judge.repeats * duels
    if judge.kind == "simulated":
        return Judging(calls=calls)
    written = min(reply, judge.max_new_tokens) if judge.verdicts == "written" else 0
    return Judging(
        calls=calls,
        server=calls if judge.kind == "endpoint" else 0,
        prompt_tokens=round(calls * (shown + _around(judge.role))),
        completion_tokens=round(calls * written),
    )


def _around(role: Role) -> float:
    """Tokens of a question besides what is judged."""
    empty = Duel(name="", prompt="", about="", first="", second="")
    return len(Call(duel=empty, swapped=False, repeat=0).text(role, WRITTEN)) / CHARACTERS


def sentence(found: Judging) -> str:
    """What it takes, in one sentence; what was answered before is not asked again and would cost nothing."""
    most = "at most " if found.most else "about "
    if not found.calls:
        return "Nothing is left to ask the judge model."
    words = f"Judge model: {most}{count(found.calls)} questions"
    if found.prompt_tokens:
        words += f", {most}{_millions(found.prompt_tokens)} tokens to read"
    if found.completion_tokens:
        words += f" and {_millions(found.completion_tokens)} to write"
    if not found.server:
        return f"{words}, on the workers."
    if found.cost is None:
        return f"{words}; what that costs is said where CWPO_JUDGE_PRICE has the prices of a million tokens."
    read, written = found.price or (0.0, 0.0)
    return (
        f"{words}: {most}{number(found.cost, 2)} at {number(read, 2)} and {number(written, 2)} for a million tokens "
        "read and written."
    )


def _millions(tokens: int) -> str:
    return f"{number(tokens / 1e6, 2)} million" if tokens >= 1e5 else count(tokens)
