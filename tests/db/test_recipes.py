"""Recipes of columns: kept under a name, never changed, taken away."""

import pytest

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.errors import TakenName, UnknownRecipe
from db.repositories.people import recipes

COLUMNS = {"instruction": "Frage", "chosen": "gut 👍", "rejected": "schlecht"}


def named(engines: Engines) -> dict[str, dict[str, str]]:
    with read_scope(engines) as session:
        return {row.name: dict(row.columns) for row in queries.recipes(session)}


def test_a_recipe_is_kept_once_and_never_changed(database: Engines) -> None:
    for _ in range(2):
        with session_scope(database) as session:
            recipes.create(session, "  our   export ", COLUMNS)
    with session_scope(database) as session:
        recipes.create(session, "another", {"prompt": "p", "chosen": "c", "rejected": "r"})
    assert named(database)["our export"] == COLUMNS
    assert list(named(database)) == ["another", "our export"]
    with pytest.raises(TakenName, match="other columns"), session_scope(database) as session:
        recipes.create(session, "our export", {**COLUMNS, "chosen": "x"})
    assert named(database)["our export"] == COLUMNS


@pytest.mark.parametrize("name", ["", "  ", "x" * 121])
def test_a_recipe_needs_a_name(sqlite_database: Engines, name: str) -> None:
    with pytest.raises(TakenName, match="needs a name"), session_scope(sqlite_database) as session:
        recipes.create(session, name, COLUMNS)
    assert named(sqlite_database) == {}


def test_a_recipe_that_is_gone_is_a_sentence(database: Engines) -> None:
    with session_scope(database) as session:
        recipes.create(session, "one\0", COLUMNS)
    (name,) = named(database)
    with session_scope(database) as session:
        recipes.remove(session, name)
    assert named(database) == {}
    with pytest.raises(UnknownRecipe, match="removed already"), session_scope(database) as session:
        recipes.remove(session, name)
