"""A run that waits for a card that no worker has says so wherever it is looked at."""

import pytest
from sqlalchemy import update

from cwpo.config.run import RunConfig
from db.models import Stage
from db.repositories import workers
from tests.app.visits import visit, words
from workers import api
from workers.machine.database import writing

SAID = "Run 1: Base policy waits for a card of 41 GB: the largest here has 24 GB."


@pytest.fixture
def waiting(empty: None) -> None:
    """A sandbox run whose base models claim to need 41 GB, and one worker with 24 GB."""
    with writing() as session:
        workers.register(
            session, name="small", host="a", pid=1, device="gpu", card="0", card_bytes=24 * 10**9,
            card_free_bytes=23 * 10**9,
        )  # fmt: skip
    api.submit_run(RunConfig.parse({"data": {"sandbox": {"pairs": 60}, "test_prompts": 10}}))
    with writing() as session:
        session.execute(update(Stage).where(Stage.kind == "base").values(card_bytes=41 * 10**9))


@pytest.mark.parametrize(("screen", "params"), [("runs", {}), ("run", {"run": 1})])
def test_lists_and_the_run_say_what_it_waits_for(screen: str, params: dict[str, int], waiting: None) -> None:
    assert SAID in words(visit(screen, **params))
    with writing() as session:
        workers.register(session, name="large", host="b", pid=1, device="gpu", card="0", card_bytes=48 * 10**9)
    assert "waits for a card" not in words(visit(screen, **params))


def test_system_shows_what_is_free_on_each_card(waiting: None) -> None:
    assert "23.0 GB of 24.0 GB" in words(visit("system"))
