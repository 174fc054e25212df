"""Faults of every kind while runs are computed: nothing is lost, there twice, stuck, damaged, or left behind.

EACH: how many times every kind of fault happens on each database. SIEGE: the seed of the schedule.
`make chaos-long` does the same for hours.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db.status import ATTEMPT_PUBLISHED
from tests.amounts import COUNTED, amount
from tests.chaos import beside, campaign
from tests.chaos.invariants import Found
from tests.chaos.scene import DATABASES, scene
from tests.chaos.siege import KILLS, KINDS, MID_STAGE, Siege, names_on

EACH, SEED = amount("EACH", 1), amount("SIEGE", 0)


def schedule(database: str) -> list[str]:
    """Each kind as often as EACH says, in a random order; those of both databases once on one of the two."""
    dice = random.Random(f"{SEED} {database}")
    if EACH == 1:
        common = [name for name, kind in KINDS.items() if len(kind.databases) > 1 and kind.fault not in KILLS]
        mine = set(common[DATABASES.index(database) :: 2])
        names = [name for name in names_on(database) if name not in common or name in mine]
    else:
        names = names_on(database) * EACH
    dice.shuffle(names)
    return names


@pytest.mark.timeout(1_800 * EACH)
@pytest.mark.parametrize("database", DATABASES)
def test_nothing_is_lost_whatever_happens(
    database: str, chaos_materials: dict[str, Any], expected: list[dict[str, str]],
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    with scene(database, chaos_materials, seed=SEED) as place:
        siege = Siege(place)
        siege.run(schedule(database))
        found = siege.end(expected)
    lost = ", ".join(f"{getattr(found, name)} {name.replace('_', ' ')}" for name in campaign.COUNTS)
    record_property(COUNTED, f"{siege.report(found)}; {lost}")
    assert found.runs >= 2
    mid_stage = sum(number for name, number in siege.counts.items() if KINDS[name].fault in MID_STAGE)
    assert sum(found.attempts.values()) - found.attempts[ATTEMPT_PUBLISHED] >= mid_stage >= EACH
    assert found.wrong() == {}, "\n".join(found.words)


def test_a_long_siege_has_every_fault_as_often_as_asked_for_and_goes_on_where_it_was_stopped() -> None:
    for database in DATABASES:
        so_far: dict[str, Any] = {"faults": {}, "rounds": 0}
        while names := campaign.next_round(database, so_far):
            assert sum(KINDS[name].fault in KILLS for name in names) <= 1.2 * campaign.IN_A_ROUND
            so_far["faults"] = dict(Counter(so_far["faults"]) + Counter(names))
            so_far["rounds"] += 1
        assert so_far["rounds"] >= 10
        kills = sum(number for name, number in so_far["faults"].items() if KINDS[name].fault in KILLS)
        assert 500 <= kills < 550
        assert all(so_far["faults"][name] >= campaign.wanted(name) for name in names_on(database))


def test_every_kind_of_fault_happens_in_one_of_the_sieges() -> None:
    assert {*schedule("sqlite"), *schedule("postgres")} == set(KINDS)


def test_a_long_campaign_has_every_kind_of_fault_and_one_table_of_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Points of crash_points.py, full disks, clocks and launchers beside the sieges; what was found is added up, and
    what happened already is not done again."""
    done: list[tuple[str, str]] = []

    def tried(name: str, database: str, own: Any, expected: Any) -> Found:
        done.append((name, database))
        return Found(runs=2, stages=9, corrupt=int("disk of everything" in name))

    def at_points(name: str, database: str, number: int, *, seed: int) -> tuple[int, Found]:
        done.append((name, database))
        wrong = ["sqlite, data#1: files differ: x"] if seed == 0 and database == "sqlite" else []
        return beside.read_points({"tried": number, "not_reached": int(number > 1), "wrong": wrong})

    monkeypatch.setattr(campaign, "tried", tried)
    monkeypatch.setattr(campaign, "at_points", at_points)
    stored: dict[str, Any] = {"databases": {}}
    for _ in range(2):
        for database in DATABASES:
            campaign.all_beside(database, {}, [], stored, tmp_path / "chaos.json")
    faults = {database: stored["databases"][database]["faults"] for database in DATABASES}
    for database in DATABASES:
        assert set(faults[database]) == set(beside.beside_on(database))
        assert all(faults[database][name] == campaign.wanted_beside(name) for name in faults[database])
    assert {name for name, _ in done} == set(beside.BESIDE)
    assert stored["databases"]["sqlite"]["corrupt"] == campaign.EACH + 1
    assert json.loads((tmp_path / "chaos.json").read_text()) == stored
    table = campaign.table(stored)
    assert f"| disk of everything full for seconds | {campaign.EACH} | – |" in table
    assert f"| **corrupt** | {campaign.EACH + 1} | 0 |" in table
    assert f"| **processes killed, of these** | {campaign.POINTS} | {campaign.POINTS} |" in table
