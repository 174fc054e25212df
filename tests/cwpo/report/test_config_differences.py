"""Only what differs, over exactly what is shown; missing, none and the default are told apart."""

import random
from typing import Any

from cwpo.config.run import RunConfig
from cwpo.report.config_differences import ABSENT, as_text, cells, differences_between, differing, numbers

VALUES = (None, True, False, 0, 1, 1.0, 0.5, "", "absent", "none", "x", [1, 2], [])


def some_config(dice: random.Random, depth: int = 0) -> dict[str, Any]:
    """Fields that may be missing, none, equal across types, or parts with fields of their own."""
    made: dict[str, Any] = {}
    for name in "abcde":
        kind = dice.random()
        if kind < 0.25:
            continue
        made[name] = some_config(dice, depth + 1) if kind < 0.45 and depth < 2 else dice.choice(VALUES)
    return made


def leaf(config: dict[str, Any], path: tuple[str, ...]) -> tuple[bool, Any]:
    """Whether the field is there, and its value; walked by hand."""
    value: Any = config
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False, None
        value = value[name]
    return (False, None) if isinstance(value, dict) and value else (True, value)


def paths(config: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, value in config.items():
        found |= paths(value, (*above, name)) if isinstance(value, dict) and value else {(*above, name)}
    return found


def test_200_random_sets_of_configurations_against_a_walk_by_hand() -> None:
    for number in range(200):
        dice = random.Random(number)
        configs = [some_config(dice) for _ in range(dice.randint(2, 6))]
        wanted: dict[str, list[tuple[bool, str]]] = {}
        for path in set().union(*(paths(config) for config in configs)):
            seen = [leaf(config, path) for config in configs]
            marks = [
                (there, "" if not there else f"{isinstance(value, bool)} {float(value)}")
                if there and isinstance(value, int | float)
                else (there, f"{type(value).__name__} {value!r}" if there else "")
                for there, value in seen
            ]
            if len(set(marks)) > 1:
                wanted[".".join(path)] = seen
        found = differing(configs)
        assert set(found) == set(wanted), number
        for name, values in found.items():
            assert [value is not ABSENT for value in values] == [there for there, _ in wanted[name]], number
            there = [value for value in values if value is not ABSENT]
            assert there == [value for is_there, value in wanted[name] if is_there], number


def test_missing_none_and_the_default_read_differently() -> None:
    """Of a run in the sandbox β is 0.5 where nobody says anything."""
    default = RunConfig().align.beta
    configs: list[dict[str, Any]] = [
        {"align": {"beta": default}, "sft": {"lr": None}},
        {"align": {"beta": 0.125}, "sft": {}},
        {"align": {"beta": None}, "sft": {"lr": "absent"}},
    ]
    found = differences_between(["a", "b", "c"], configs)
    lines = {name: [cell.text for cell in line] for name, line in found.rows()}
    assert lines["align.beta"] == [f"{default:g} (default)", "0.125", "none"]
    assert lines["sft.lr"] == ["none", "absent", "absent"]
    same = {name: [cell.same for cell in line] for name, line in found.rows()}
    assert same["sft.lr"] == [False, False, False]
    assert numbers(found).rows[0] == ("align.beta", default, 0.125, None)


def test_many_settings_are_lines_and_few_are_columns() -> None:
    configs = [{"align": {"beta": 0.1 * n}} for n in range(1, 6)]
    few, many = (differences_between([f"s{n}" for n in range(k)], configs[:k]) for k in (4, 5))
    assert cells(few).columns == ("field", "s0", "s1", "s2", "s3")
    assert cells(many).columns == ("setting", "align.beta")
    assert [row[0] for row in cells(many).rows] == ["s0", "s1", "s2", "s3", "s4"]
    assert as_text(1e-6) == "1e−6"
