"""Commands say what they need, and what they did is written down.

`@needs(Role.RUNNER)` stands over every command of workers.api, `@reads` over what only looks. A command whose change is
one transaction calls `record` at its end: the role is read again there, and the event is written with the change. For
the others, which change files or hand something out, the event is written when they went well.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from cwpo.redaction import without_secrets
from db.repositories.people import log, who
from workers.access import acting
from workers.access.acting import Person
from workers.access.roles import NotAllowed, Role, others_sentence, role_in, sentence
from workers.machine import patience
from workers.machine.database import reading, writing

P = ParamSpec("P")
T = TypeVar("T")

NEEDS = "__needs__"  # what the functions of workers.api declare
_LONGEST, _MOST, _DEEPEST = 300, 20, 4  # characters, entries and levels of what is said of a change


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a command declares: the role, whether it is written down, and what it is called there."""

    role: Role
    told: bool
    action: str


@dataclass(kw_only=True)
class _Doing:
    """A command that is being done."""

    person: Person
    need: Need
    outer: "_Doing | None" = None
    told: bool = False
    what: str = ""
    after: Mapping[str, Any] | None = None


_doing: ContextVar[_Doing | None] = ContextVar("doing", default=None)
_for: ContextVar[Person | None] = ContextVar("for", default=None)


def person() -> Person:
    """Who acts now: whoever `on_behalf_of` names, else as this process says."""
    return _for.get() or acting.acting()


@contextmanager
def on_behalf_of(somebody: Person) -> Iterator[None]:
    """What is done here was asked for by this person: where their browser is not at hand any more."""
    before = _for.set(somebody)
    try:
        yield
    finally:
        _for.reset(before)


def bound(function: Callable[P, T]) -> Callable[P, T]:
    """The function as whoever acts now, wherever and whenever it is called."""
    now = person()

    @functools.wraps(function)
    def as_they(*args: P.args, **values: P.kwargs) -> T:
        with on_behalf_of(now):
            return function(*args, **values)

    return as_they


def needs(role: Role, *, told: bool = True) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A command that people of this role may do; told: what it did is written down."""

    def declare(function: Callable[P, T]) -> Callable[P, T]:
        place = function.__module__.removeprefix("workers.").removeprefix("api.")
        need = Need(role=role, told=told, action=f"{place}.{function.__name__}")

        @functools.wraps(function)
        def allowed(*args: P.args, **values: P.kwargs) -> T:
            doing = _Doing(person=person(), need=need, outer=_doing.get())
            _check(doing)
            before = _doing.set(doing)
            try:
                result = function(*args, **values)
                if told and not doing.told:
                    _record_alone(doing)
                return result
            finally:
                _doing.reset(before)

        setattr(allowed, NEEDS, need)
        return allowed

    return declare


def reads(function: Callable[P, T]) -> Callable[P, T]:
    """A function that changes nothing and hands nothing out: everybody may call it."""
    setattr(function, NEEDS, None)
    return function


def part(function: Callable[P, T]) -> Callable[P, T]:
    """A part of commands, which is called by them alone."""

    @functools.wraps(function)
    def within(*args: P.args, **values: P.kwargs) -> T:
        if _doing.get() is None:
            raise RuntimeError(f"{function.__name__} is a part of commands: call one that says what it needs.")
        return function(*args, **values)

    setattr(within, NEEDS, None)
    return within


def record(
    session: Session, what: str, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> None:
    """Write what the command that is being done did, in the transaction of its change and as the last of it."""
    doing = _now()
    if not doing.person.owner:
        _check_in(session, doing.person, doing.need)
    log.append(
        session, who=doing.person.name, source=doing.person.source.value, action=doing.need.action,
        what=without_secrets(what), before=_short_values(before), after=_short_values(after),
    )  # fmt: skip
    _mark_told(doing)


def say(what: str, **after: Any) -> None:
    """What is written of the command that is being done, when it went well."""
    doing = _now()
    doing.what, doing.after = what, after


def nothing() -> None:
    """The command that is being done changed nothing: nothing is written."""
    _mark_told(_now())


def runs_of(run_ids: Collection[int]) -> str:
    """Run 3; runs 3–7, 9."""
    parts: list[list[int]] = []
    for run_id in sorted(run_ids):
        if parts and run_id == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], run_id]
        else:
            parts.append([run_id])
    words = ", ".join("–".join(map(str, one)) for one in parts)
    return f"run{'' if len(run_ids) == 1 else 's'} {words or 'none'}"


def mine(session: Session, run_ids: Collection[int]) -> tuple[list[int], list[str]]:
    """Those of the runs that whoever acts may change, and a sentence for each of the others."""
    somebody = person()
    if somebody.owner or role_in(session, somebody) is Role.ADMIN:
        return sorted(run_ids), []
    others = who.others_runs(session, run_ids, somebody.name)
    refused = [others_sentence(f"Run {run_id}", owner) for run_id, owner in others.items()]
    return sorted(set(run_ids) - set(others)), refused


def check_mine(session: Session, run_ids: Collection[int]) -> None:
    """Refuse all where one of the runs belongs to somebody else."""
    _, refused = mine(session, run_ids)
    if refused:
        raise NotAllowed(refused[0])


def check_owner(session: Session, owner: str | None, what: str) -> None:
    """Refuse to change what somebody else made; None: nobody, and it is everybody's."""
    somebody = person()
    if owner is None or somebody.owner or owner == somebody.name or role_in(session, somebody) is Role.ADMIN:
        return
    raise NotAllowed(others_sentence(what, owner))


def _now() -> _Doing:
    doing = _doing.get()
    if doing is None:
        raise RuntimeError("Nothing is being done: a command says what it needs by @needs.")
    return doing


def _check(doing: _Doing) -> None:
    """By the database as it is now."""
    if doing.person.owner:
        return
    with reading() as session:
        _check_in(session, doing.person, doing.need)


def _check_in(session: Session, somebody: Person, need: Need) -> None:
    has = role_in(session, somebody)
    if not has.covers(need.role):
        raise NotAllowed(sentence(somebody.name, has, need.role))


@patience.patient()
def _record_alone(doing: _Doing) -> None:
    with writing() as session:
        record(session, doing.what, after=doing.after)


def _mark_told(doing: _Doing) -> None:
    """A command that others are part of has nothing more to say."""
    one: _Doing | None = doing
    while one is not None:
        one.told, one = True, one.outer


def _short_values(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {str(key): _short(value, 1) for key, value in values.items()}


def _short(value: Any, depth: int) -> Any:
    """A summary: long texts and lists are cut, and nothing secret is in it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        few = list(value.items())[:_MOST]
        more = {"…": f"{len(value) - _MOST:,} more"} if len(value) > _MOST else {}
        return {without_secrets(str(key)): _short(one, depth + 1) for key, one in few} | more
    if depth < _DEEPEST and isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        shortened = [_short(one, depth + 1) for one in list(value)[:_MOST]]
        return shortened + ([f"{len(value) - _MOST:,} more"] if len(value) > _MOST else [])
    text = without_secrets(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
