"""`make chaos-long`: many kills on each database, and every other kind of fault; counted, and resumed where it stopped.

Rounds of a fresh installation each: sieges, then full disks, wrong clocks and killed launchers, then job processes that
end at a write point or lose their connection at a statement. After each its counts and what was found are in
benchmarks/results/chaos.json. KILLS (500), EACH (20), SLOW (3) and POINTS (200) in the environment say how often:
processes killed, every other kind of fault, those in which a lease or a lock has to run out, and points.
CHAOS_RESULT names another file.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, machine
from cwpo.files import write_whole
from db.status import ATTEMPT_PUBLISHED
from tests import servers
from tests.amounts import amount
from tests.chaos.beside import BESIDE, at_points, beside_on, together, tried
from tests.chaos.invariants import Found
from tests.chaos.materials import materials
from tests.chaos.outcome import undisturbed
from tests.chaos.scene import DATABASES, USUAL, scene
from tests.chaos.siege import KILLS, KINDS, Siege, names_on

KILLED, EACH, SLOW, POINTS = amount("KILLS", 500), amount("EACH", 20), amount("SLOW", 3), amount("POINTS", 200)
IN_A_ROUND = 50  # kills, or points
COUNTS = ("lost", "published_twice", "stuck", "corrupt", "doctor", "orphans", "tracebacks")
AMOUNTS = ("runs", "stages", "resumed")


def main(arguments: Sequence[str]) -> int:
    """All rounds that are missing; 1 where something was found that has to be 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anew", action="store_true", help="forget what is stored")
    parser.add_argument("--table", action="store_true", help="only print what is stored, as docs/reliability.md has it")
    parser.add_argument("--only", default="", metavar="WORDS", help="of all kinds, those named so in part")
    options = parser.parse_args(arguments)
    path = Path(os.environ.get("CHAOS_RESULT", RESULTS / "chaos.json"))
    if options.anew:
        path.unlink(missing_ok=True)
    stored = json.loads(path.read_text()) if path.exists() else {"databases": {}}
    if not options.table:
        with tempfile.TemporaryDirectory(prefix="cwpo-chaos-") as folder, servers.redis() as redis:
            own = materials(Path(folder) / "materials")
            expected = undisturbed(Path(folder) / "undisturbed", redis, own)
            for database in DATABASES:
                all_rounds(database, own, expected, stored, path, options.only)
                all_beside(database, own, expected, stored, path, options.only)
    print(table(stored))
    return int(any(one[name] for one in stored["databases"].values() for name in COUNTS))


def all_rounds(
    database: str, own: dict[str, Any], expected: list[dict[str, str]], stored: dict[str, Any], path: Path,
    only: str = "",
) -> None:  # fmt: skip
    """Sieges on one database until every kind has happened as often as it should."""
    so_far = known_of(database, stored)
    while schedule := next_round(database, so_far, only):
        began = time.monotonic()
        with scene(database, own, seed=so_far["rounds"], times=USUAL) as place:
            siege = Siege(place)
            broken = ""
            try:
                siege.run(schedule)
            except AssertionError:
                broken = traceback.format_exc(limit=3)
            found = siege.end(expected, patience=600)
            if broken or found.wrong():
                (path.parent / f"chaos-{database}-{so_far['rounds']}.log").write_bytes(place.log.read_bytes())
        so_far["longest_without_holder"] = max(so_far.get("longest_without_holder", 0.0), round(siege.watch.longest, 1))
        so_far["rounds"] += 1
        found.words = ([broken] if broken else []) + found.words
        keep(so_far, siege.counts, found, time.monotonic() - began, stored, path)
        kills = sum(siege.counts[name] for name in siege.counts if KINDS[name].fault in KILLS)
        print(
            f"{database}: round {so_far['rounds']}, {kills} kills and {siege.counts.total() - kills} other faults in "
            f"{time.monotonic() - began:.0f} s, {found.runs} runs; wrong: {found.wrong() or 'nothing'}",
            flush=True,
        )
        if broken:
            sys.exit(broken)


def all_beside(
    database: str, own: dict[str, Any], expected: list[dict[str, str]], stored: dict[str, Any], path: Path,
    only: str = "",
) -> None:  # fmt: skip
    """Kinds of faults with an installation of their own, until each has happened as often as it should."""
    so_far = known_of(database, stored)
    for name in (one for one in beside_on(database) if only in one):
        while (left := wanted_beside(name) - so_far["faults"].get(name, 0)) > 0:
            began = time.monotonic()
            if BESIDE[name].trial is None:
                number, found = at_points(name, database, min(left, IN_A_ROUND), seed=so_far["faults"].get(name, 0))
            else:
                number, found = 1, tried(name, database, own, expected)
            seconds = time.monotonic() - began
            keep(so_far, Counter({name: number}), found, seconds, stored, path)
            print(f"{database}: {name}, {number} in {seconds:.0f} s; wrong: {found.wrong() or 'nothing'}", flush=True)
            if not number:
                sys.exit(f"{name}: none of the points that were drawn was reached")


def known_of(database: str, stored: dict[str, Any]) -> dict[str, Any]:
    """What is stored of a database, with every count."""
    so_far: dict[str, Any] = stored["databases"].setdefault(
        database, {"faults": {}, "rounds": 0, "seconds": 0.0, "words": []}
    )
    for name in (*COUNTS, *AMOUNTS):
        so_far.setdefault(name, 0)
    return so_far


def keep(
    so_far: dict[str, Any], happened: Counter[str], found: Found, seconds: float, stored: dict[str, Any], path: Path
) -> None:
    """Add what happened and what was found, and write all of it."""
    for name in (*COUNTS, *AMOUNTS):
        so_far[name] += getattr(found, name)
    so_far["faults"] = dict(Counter(so_far["faults"]) + happened)
    so_far["attempts"] = dict(Counter(so_far.get("attempts", {})) + Counter(found.attempts))
    so_far["words"] += [word[:2000] for word in found.words]
    so_far["seconds"] = round(so_far["seconds"] + seconds, 1)
    stored |= {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    write_whole(path, json.dumps(stored, indent=1) + "\n")


def next_round(database: str, so_far: dict[str, Any], only: str = "") -> list[str]:
    """The faults of the next round, in a random order; none where all have happened."""
    left = {name: wanted(name) - so_far["faults"].get(name, 0) for name in names_on(database) if only in name}
    kills = sum(left[name] for name in left if KINDS[name].fault in KILLS and left[name] > 0)
    rounds = max(1, -(-kills // IN_A_ROUND))
    names = [name for name, number in left.items() for _ in range(-(-max(0, number) // rounds))]
    random.Random(f"{database} {so_far['rounds']}").shuffle(names)
    return names


def wanted(name: str) -> int:
    """How often this fault is to happen on a database."""
    kind = KINDS[name]
    if kind.fault not in KILLS:
        return min(EACH, SLOW) if kind.slow else EACH
    parts = [one.weight for one in KINDS.values() if one.fault in KILLS]
    return -(-KILLED * kind.weight // sum(parts))


def wanted_beside(name: str) -> int:
    """How often a kind with an installation of its own is to happen on a database."""
    return EACH if BESIDE[name].trial is not None else POINTS


def table(stored: dict[str, Any]) -> str:
    """What happened how often on each database, and what was found, as Markdown."""
    databases = stored["databases"]
    if not databases:
        return "Nothing is stored."
    names = [name for name in (*KINDS, *BESIDE) if any(name in one["faults"] for one in databases.values())]
    kills = {key: sum(one["faults"].get(name, 0) for name in together(names))
             for key, one in databases.items()}  # fmt: skip
    rows = [("fault", [f"on {'SQLite' if one == 'sqlite' else 'Postgres'}" for one in databases])]
    rows += [(name, [str(one["faults"].get(name, "–")) for one in databases.values()]) for name in names]
    rows += [("**processes killed, of these**", [str(kills[one]) for one in databases])]
    ended = [sum(one.get("attempts", {}).values()) - one.get("attempts", {}).get(ATTEMPT_PUBLISHED, 0)
             for one in databases.values()]  # fmt: skip
    rows += [("**attempts that a fault ended**", [f"{number:,}" for number in ended])]
    for name in (*AMOUNTS, *COUNTS):
        rows.append((f"**{name.replace('_', ' ')}**", [f"{one[name]:,}" for one in databases.values()]))
    rows += [("minutes", [f"{one['seconds'] / 60:.0f}" for one in databases.values()])]
    lines = [f"| {head} | {' | '.join(cells)} |" for head, cells in rows]
    lines.insert(1, "|---|" + "---:|" * len(databases))
    of = stored["machine"]
    return "\n".join([*lines, "", f"{stored['date']}, {of['processor']}, {of['cores']} cores, Python {of['python']}."])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
