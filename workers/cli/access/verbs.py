"""`cwpo people` and `cwpo audit`: who may do what, and what was done. Both are for whoever has the installation."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cwpo.errors import ConfigError

SHOWN = 40
DO = ("list", "role", "revoke")


def add_verbs(verbs: Any, verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the command line."""
    people = verb(verbs, "people", _people, "list who signs in, give roles, end sessions")
    people.add_argument("do", nargs="?", default="list", choices=DO, help="role NAME ROLE; revoke NAME: end sessions")
    people.add_argument("words", nargs="*", metavar="NAME", help="who, as the login names them; for role also the role")
    audit = verb(verbs, "audit", _audit, "show what was done, newest first, or verify that nothing of it was changed")
    audit.add_argument("--verify", action="store_true", help="read the whole chain; code 1 where it does not hold")
    audit.add_argument("--person", default="", metavar="NAME", help="only what this person did")
    audit.add_argument("--limit", type=int, default=SHOWN, metavar="N", help=f"how many are shown (default {SHOWN})")
    audit.add_argument("--out", metavar="FILE", type=Path, help="write all of it as JSON lines into a new file")


def _people(options: argparse.Namespace) -> int:
    from workers.api.people import access

    words: Sequence[str] = options.words
    if options.do == "role":
        if len(words) != 2:
            raise ConfigError("cwpo people", "role needs a name and a role: `cwpo people role a@example.org runner`.")
        print(access.set_role(*words))
        return 0
    if options.do == "revoke":
        if len(words) != 1:
            raise ConfigError("cwpo people", "revoke needs a name: `cwpo people revoke a@example.org`.")
        print(access.revoke(words[0]))
        return 0
    if words:
        raise ConfigError("cwpo people", "list takes no name.")
    return _list()


def _list() -> int:
    from cwpo.config.environment import settings
    from db import queries
    from workers.access import roles
    from workers.cli.console import make_console, show_notes, show_table
    from workers.machine.database import reading

    with reading() as session:
        found = queries.people(session)
    console = make_console()
    rows = [
        [one.name, "admin (CWPO_ADMINS)" if roles.is_named_admin(one.name) else one.role, _day(one.first_seen_at),
         _day(one.last_seen_at), _day(one.sessions_valid_from)]
        for one in found
    ]  # fmt: skip
    show_table("People", ["name", "role", "first here", "last here", "sessions ended"], rows, console)
    named = [name for name in settings.admins if name not in {one.name for one in found}]
    notes = [f"Named by CWPO_ADMINS, not here yet: {', '.join(named)}."] if named else []
    show_notes([*notes, *(f"{role}: {meaning}" for role, meaning in roles.MEANINGS.items())], console)
    return 0


def _audit(options: argparse.Namespace) -> int:
    from workers.api.people import access

    if options.verify:
        found = access.check_log()
        print(found.said, file=sys.stderr if found.problems else sys.stdout)
        return 1 if found.problems else 0
    if options.out is not None:
        return _write(options.out, options.person)
    return _show(options.person, options.limit)


def _write(target: Path, who: str) -> int:
    from workers.api.people import access

    try:
        with target.open("x", encoding="utf-8") as file:
            count = sum(file.write(line) > 0 for line in access.log_file(who))
    except FileExistsError as error:
        raise ConfigError("--out", f"{target} exists: give a name that is free.") from error
    except OSError as error:
        raise ConfigError("--out", f"{target} cannot be written ({error.strerror}).") from error
    print(f"{count:,} events: {target}")
    return 0


def _show(who: str, limit: int) -> int:
    from db import queries
    from workers.cli.console import make_console, show_table
    from workers.machine.database import reading

    if not 0 < limit <= 10_000:
        raise ConfigError("--limit", f"must be from 1 to 10,000, not {limit}.")
    with reading() as session:
        page = queries.audit_page(session, who=who, limit=limit)
    rows = [
        [str(one.number), f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.source, one.action, one.what, one.after or ""]
        for one in page.events
    ]
    show_table("What was done (UTC)", ["event", "at", "who", "by", "action", "on", "said"], rows, make_console())
    return 0


def _day(at: Any) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M}"
