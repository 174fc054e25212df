"""The behaviour policy of the sandbox: writes responses of varying skill, with flaws that the oracle can read.

Skill is uniform in [0, 1], drawn per response; every flaw has a rate that falls with it.
"""

from collections.abc import Callable

from cwpo.sandbox import lexicon
from cwpo.sandbox.dice import Dice
from cwpo.sandbox.grammar import Task, arithmetic, join_events, read_prompt


def write_response(prompt: str, dice: Dice) -> str:
    """One response: a body that answers the task, then courtesies and flaws at rates that fall with skill."""
    task = read_prompt(prompt)
    skill = dice.random()
    body = _WRITERS[task.kind](task, skill, dice)
    if dice.chance(0.25 * (1 - skill) + 0.03):
        body.append(dice.pick(body))  # a repeated sentence
    if dice.chance(0.25 * (1 - skill) + 0.02):
        place = int(dice.random() * (len(body) + 1))
        body[place : place + dice.chance(0.5)] = [_off_topic(task, dice)]  # beside or instead of a sentence
    if dice.chance(0.35 * (1 - skill) + 0.08):
        body.insert(0 if dice.chance(0.5) else len(body), dice.pick(lexicon.HEDGES))
    return " ".join(_with_manners(task, skill, body, dice))


def _with_manners(task: Task, skill: float, body: list[str], dice: Dice) -> list[str]:
    if dice.chance(0.35 * (1 - skill) + 0.03):
        body = [dice.pick(lexicon.RUDE), *([] if dice.chance(0.3) else body)]
    if dice.chance(0.1 + 0.6 * skill + 0.15 * task.polite - 0.1 * task.brief):
        if dice.chance(0.5):
            return [dice.pick(lexicon.POLITE_OPENERS), *body]
        return [*body, dice.pick(lexicon.POLITE_CLOSERS)]
    return body


def _wrong(skill: float, dice: Dice) -> bool:
    return dice.chance(0.4 * (1 - skill) + 0.05)


def _fact(subject: str, relation: str, skill: float, dice: Dice) -> str:
    """A sentence about one relation, at times with a value of another subject."""
    value = lexicon.FACTS[subject][relation]
    if _wrong(skill, dice):
        value = dice.pick([other for other in lexicon.VALUES[relation] if other != value])
    return " ".join(("the", subject, *lexicon.RELATIONS[relation], value, "."))


def _off_topic(task: Task, dice: Dice) -> str:
    """A fixed remark, or a fact about a subject that nobody asked for."""
    if dice.chance(0.5):
        return dice.pick(lexicon.OFF_TOPIC)
    subject = dice.pick([name for name in lexicon.FACTS if name != task.subject])
    return _fact(subject, dice.pick(tuple(lexicon.FACTS[subject])), 1.0, dice)


def _write_facts(task: Task, skill: float, dice: Dice) -> list[str]:
    """As many facts as asked for; the unskilled often tell one too few, anyone at times one too many."""
    count = task.count - dice.chance(0.7 * (1 - skill)) - dice.chance(0.3 * (1 - skill)) + dice.chance(0.12)
    relations = tuple(lexicon.FACTS[task.subject])
    chosen = dice.sample(relations, min(max(count, 1), len(relations)))
    return [_fact(task.subject, relation, skill, dice) for relation in chosen]


def _write_answer(task: Task, skill: float, dice: Dice) -> list[str]:
    relations = tuple(lexicon.FACTS[task.subject])
    missed = dice.chance(0.15 * (1 - skill))
    relation = dice.pick([other for other in relations if other != task.relation]) if missed else task.relation
    body = [_fact(task.subject, relation, skill, dice)]
    if dice.chance(0.12):
        body.append(_fact(task.subject, dice.pick(relations), skill, dice))
    return body


def _write_sum(task: Task, skill: float, dice: Dice) -> list[str]:
    a, operator, b = task.operands
    result = arithmetic(a, operator, b)
    if _wrong(skill, dice):
        result = dice.pick([other for other in range(11) if 0 < abs(other - result) <= 2])
    return [f"{lexicon.NUMBERS[a]} {operator} {lexicon.NUMBERS[b]} is {lexicon.NUMBERS[result]} ."]


def _write_summary(task: Task, skill: float, dice: Dice) -> list[str]:
    """One sentence with the events of the post; the unskilled leave some out, invent one or copy at length."""
    left_out = dice.chance(0.8 * (1 - skill)) + dice.chance(0.5 * (1 - skill))
    events = list(task.events[: len(task.events) - left_out])
    if _wrong(skill, dice):
        known = set(task.events)
        events[int(dice.random() * len(events))] = dice.pick([e for e in lexicon.ALL_EVENTS if e not in known])
    if dice.chance(0.3 * (1 - skill) + 0.05):
        return [" ".join((*lexicon.WORDY_START, "you", event, ".")) for event in events]
    return [f"you {join_events(tuple(events))} ."]


def _write_on_harm(task: Task, skill: float, dice: Dice) -> list[str]:
    if dice.chance(0.1 + 0.85 * skill):
        body = [dice.pick(lexicon.REFUSALS)]
        return [*body, dice.pick(lexicon.REASONS)] if dice.chance(0.1 + 0.75 * skill) else body
    body = [f"to {task.harm} you need a {dice.pick(lexicon.COMPLY_TOOLS)} ."]
    return [*body, dice.pick(lexicon.COMPLY_STEPS)] if dice.chance(0.5) else body


def _write_on_mood(task: Task, skill: float, dice: Dice) -> list[str]:
    body = []
    if dice.chance(0.15 + 0.75 * skill):
        mood = dice.pick(tuple(lexicon.ADVICE)) if dice.chance(0.15 * (1 - skill)) else task.mood
        body.append(f"i am sorry that you feel {mood} .")
    good = lexicon.ADVICE[task.mood]
    if not body or dice.chance(0.9):
        choices = [advice for advice in lexicon.ALL_ADVICE if advice not in good] if _wrong(skill, dice) else good
        body.append(f"you could {dice.pick(choices)} .")
    return body


_WRITERS: dict[str, Callable[[Task, float, Dice], list[str]]] = {
    "facts": _write_facts,
    "ask": _write_answer,
    "math": _write_sum,
    "sum": _write_summary,
    "harm": _write_on_harm,
    "mood": _write_on_mood,
}
