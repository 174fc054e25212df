"""Reads the sandbox's texts: a prompt into its task, a response into its sentences. Reads text only, keeps no state."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cwpo.errors import GoldRewardError
from cwpo.sandbox import lexicon

TaskKind = Literal["facts", "ask", "math", "sum", "harm", "mood"]
ENDINGS = (".", "?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a prompt asks for. Fields that its kind does not use keep their defaults."""

    kind: TaskKind
    brief: bool = False
    polite: bool = False
    subject: str = ""  # facts, ask
    count: int = 0  # facts
    relation: str = ""  # ask
    operands: tuple[int, str, int] = (0, "plus", 0)  # math
    events: tuple[str, ...] = ()  # sum
    harm: str = ""  # harm
    mood: str = ""  # mood


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """One sentence of a response; kind "unparsable" when no rule of the world reads it."""

    kind: str
    text: str
    subject: str = ""
    relation: str = ""
    value: str = ""
    events: tuple[str, ...] = ()
    operands: tuple[int, str, int] = (0, "plus", 0)
    result: int = 0


def arithmetic(a: int, operator: str, b: int) -> int:
    """a plus b, or a minus b."""
    return a + b if operator == "plus" else a - b


@lru_cache(maxsize=200_000)
def read_prompt(prompt: str) -> Task:
    """The task of a prompt of the world; a text from elsewhere has no utility here and is refused."""
    body = prompt.strip().removeprefix(lexicon.USER).removesuffix(lexicon.ASSISTANT).strip()
    body = _without(body, lexicon.GREETINGS, at_end=False)[0]
    body, brief = _without(body, lexicon.BRIEF_WISHES, at_end=True)
    body, polite = _without(body, lexicon.POLITE_WISHES, at_end=True)
    for kind, pattern in _prompt_patterns():
        if match := pattern.fullmatch(body):
            return _task(kind, match, brief=brief, polite=polite)
    raise GoldRewardError(
        f"The sandbox oracle cannot read the prompt {prompt[:80]!r}: it scores prompts of the sandbox only; "
        "choose another evaluation.gold_reward for other data."
    )


def read_response(response: str) -> tuple[Sentence, ...]:
    """The sentences of a response, in order; words after the last full stop are one unparsable sentence."""
    return tuple(_read_sentence(text) for text in split_sentences(response))


def split_sentences(text: str) -> Iterator[str]:
    """Word sequences up to and including "." or "?", joined by single spaces."""
    current: list[str] = []
    for word in text.split():
        current.append(word)
        if word in ENDINGS:
            yield " ".join(current)
            current = []
    if current:
        yield " ".join(current)


def _without(text: str, phrases: tuple[str, ...], *, at_end: bool) -> tuple[str, bool]:
    """The text without the first of the phrases that it starts (or ends) with, and whether there was one."""
    for phrase in phrases:
        if at_end and text.endswith(f" {phrase}"):
            return text.removesuffix(phrase).strip(), True
        if not at_end and text.startswith(f"{phrase} "):
            return text.removeprefix(phrase).strip(), True
    return text, False


def _choice(values: Iterable[str]) -> str:
    return "|".join(re.escape(value) for value in values)


def _form(form: str, **groups: str) -> re.Pattern[str]:
    """A phrasing with its gaps as named groups."""
    pattern = re.escape(form)
    for name, values in groups.items():
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>{values})")
    return re.compile(pattern)


@lru_cache(maxsize=1)
def _prompt_patterns() -> list[tuple[TaskKind, re.Pattern[str]]]:
    numbers, operators = _choice(lexicon.NUMBERS), _choice(lexicon.OPERATORS)
    total = f"(?:{numbers}) (?:{operators}) (?:{numbers})"
    post = " ".join([rf"i (?:{_choice(lexicon.ALL_EVENTS)}) \."] * 3)
    subjects, counts = _choice(lexicon.FACTS), _choice(lexicon.COUNTS.values())
    patterns: list[tuple[TaskKind, re.Pattern[str]]] = []
    patterns += [("facts", _form(form, count=counts, x=subjects)) for form in lexicon.FACTS_FORMS]
    patterns += [("math", _form(form, sum=total)) for form in lexicon.MATH_FORMS]
    patterns += [("sum", _form(form, post=post)) for form in lexicon.POST_FORMS]
    patterns += [("harm", _form(form, harm=_choice(lexicon.HARMS))) for form in lexicon.HARM_FORMS]
    patterns += [("mood", _form(form, mood=_choice(lexicon.ADVICE))) for form in lexicon.MOOD_FORMS]
    questions = "|".join(question.replace("{x}", f"(?:{subjects})") for question, _ in lexicon.QUESTIONS.values())
    clauses = "|".join(clause.replace("{x}", f"(?:{subjects})") for _, clause in lexicon.QUESTIONS.values())
    patterns += [("ask", _form(form, question=questions, clause=clauses)) for form in lexicon.ASK_FORMS]
    return patterns


def _task(kind: TaskKind, match: re.Match[str], *, brief: bool, polite: bool) -> Task:
    found = match.groupdict()
    if kind == "facts":
        count = next(n for n, words in lexicon.COUNTS.items() if words == found["count"])
        return Task(kind=kind, brief=brief, polite=polite, subject=found["x"], count=count)
    if kind == "math":
        a, operator, b = found["sum"].split()
        operands = (lexicon.NUMBERS.index(a), operator, lexicon.NUMBERS.index(b))
        return Task(kind=kind, brief=brief, polite=polite, operands=operands)
    if kind == "sum":
        events = tuple(text.removeprefix("i ").removesuffix(" .") for text in split_sentences(found["post"]))
        return Task(kind=kind, brief=brief, polite=polite, events=events)
    if kind == "mood":
        return Task(kind=kind, brief=brief, polite=polite, mood=found["mood"])
    if kind == "ask":
        asked = found.get("question") or found.get("clause") or ""
        subject = next(word for word in asked.split() if word in lexicon.FACTS)
        shape = asked.replace(subject, "{x}", 1)
        relation = next(name for name, shapes in lexicon.QUESTIONS.items() if shape in shapes)
        return Task(kind=kind, brief=brief, polite=polite, subject=subject, relation=relation)
    return Task(kind=kind, brief=brief, polite=polite, harm=found["harm"])


@lru_cache(maxsize=100_000)
def _read_sentence(text: str) -> Sentence:
    if text in lexicon.FIXED:
        return Sentence(kind=lexicon.FIXED[text], text=text)
    words = tuple(text.split())
    if words[-1] != ".":
        return Sentence(kind="unparsable", text=text)
    for reader in (_read_fact, _read_math, _read_events, _read_mood, _read_comply):
        if (sentence := reader(words[:-1], text)) is not None:
            return sentence
    return Sentence(kind="unparsable", text=text)


def _read_fact(words: tuple[str, ...], text: str) -> Sentence | None:
    """ "the bee lives in a hive" """
    if len(words) < 4 or words[0] != "the" or words[1] not in lexicon.FACTS:
        return None
    for relation in lexicon.FACTS[words[1]]:
        if words[2:-1] == lexicon.RELATIONS[relation] and words[-1] in lexicon.VALUES[relation]:
            return Sentence(kind="fact", text=text, subject=words[1], relation=relation, value=words[-1])
    return None


def _read_math(words: tuple[str, ...], text: str) -> Sentence | None:
    """ "two plus one is three" """
    if len(words) != 5 or words[3] != "is" or words[1] not in lexicon.OPERATORS:
        return None
    if not all(word in lexicon.NUMBERS for word in (words[0], words[2], words[4])):
        return None
    a, b, result = (lexicon.NUMBERS.index(word) for word in (words[0], words[2], words[4]))
    return Sentence(kind="math", text=text, operands=(a, words[1], b), result=result)


def _read_events(words: tuple[str, ...], text: str) -> Sentence | None:
    """ "you met a friend , lost a key and felt tired", also behind "the post says that" """
    start = lexicon.WORDY_START
    rest = words[len(start) :] if words[: len(start)] == start else words
    if len(rest) < 3 or rest[0] != "you":
        return None
    parts = " ".join(rest[1:]).replace(" and ", " , ").split(" , ")
    if len(parts) > 3 or not all(part in lexicon.ALL_EVENTS for part in parts):
        return None
    well_joined = " ".join(rest[1:]) == join_events(tuple(parts))
    return Sentence(kind="events", text=text, events=tuple(parts)) if well_joined else None


def join_events(events: tuple[str, ...]) -> str:
    """ "a", "a and b", "a , b and c" """
    return events[0] if len(events) == 1 else f"{' , '.join(events[:-1])} and {events[-1]}"


def _read_mood(words: tuple[str, ...], text: str) -> Sentence | None:
    """ "i am sorry that you feel sad" or "you could listen to music" """
    if words[:-1] == ("i", "am", "sorry", "that", "you", "feel") and words[-1] in lexicon.ADVICE:
        return Sentence(kind="empathy", text=text, value=words[-1])
    if words[:2] == ("you", "could") and " ".join(words[2:]) in lexicon.ALL_ADVICE:
        return Sentence(kind="advice", text=text, value=" ".join(words[2:]))
    return None


def _read_comply(words: tuple[str, ...], text: str) -> Sentence | None:
    """ "to steal a car you need a rope" """
    if len(words) < 7 or words[0] != "to" or words[-4:-1] != ("you", "need", "a"):
        return None
    known = " ".join(words[1:-4]) in lexicon.HARMS and words[-1] in lexicon.COMPLY_TOOLS
    return Sentence(kind="comply", text=text) if known else None
