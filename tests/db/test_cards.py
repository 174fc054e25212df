"""Stages that want several cards of one host, or a large one: who gets them, who waits, when they are free again."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from db import status
from db.engine import Engines, now, read_scope, session_scope
from db.models import Stage, Worker
from db.records import ClaimedStage
from db.repositories import cards, leases, runs, stages, workers
from tests import clocks
from tests.db.cards import GB, add_host, claim_on, states, submit_on
from tests.db.make import LEASE, publish

LONGEST = 6  # ticks that a stage of the simulation takes at most


def finish(engines: Engines, claimed: ClaimedStage) -> None:
    with session_scope(engines) as session:
        publish(session, claimed)


def test_a_stage_of_two_cards_takes_an_idle_one_of_its_host_along(database: Engines) -> None:
    first, second = add_host(database, "a", 2)
    add_host(database, "b", 1)
    submit_on(database, "-x", 2)
    claimed = claim_on(database, second)
    assert claimed is not None
    assert claimed.cards == ("1", "0")
    assert states(database, [first, second]) == {first: "lent", second: "idle"}  # the job says busy, not the claim
    assert claim_on(database, first) is None
    assert states(database)[first] == "lent"


def test_a_stage_of_one_card_is_told_its_own(database: Engines) -> None:
    (worker,) = add_host(database, "a", 1)
    submit_on(database, "-x", 1)
    claimed = claim_on(database, worker)
    assert claimed is not None
    assert claimed.cards == ("0",)


def test_idle_cards_are_kept_for_the_most_urgent_stage_that_needs_several(database: Engines) -> None:
    """Otherwise one of the two cards would always be busy with one of the small stages, and the large one starve."""
    first, second = add_host(database, "a", 2)
    submit_on(database, "-running", 1)
    running = claim_on(database, first)
    assert running is not None
    submit_on(database, "-large", 2)
    for number in range(3):
        submit_on(database, f"-small-{number}", 1)
    assert claim_on(database, second) is None
    finish(database, running)
    large = claim_on(database, first)
    assert large is not None
    assert (large.fingerprint, large.cards) == ("data-large", ("0", "1"))


def test_cards_beyond_what_it_needs_and_those_of_other_hosts_are_free_for_less_urgent_stages(database: Engines) -> None:
    here, there = add_host(database, "a", 4), add_host(database, "b", 1)
    submit_on(database, "-running-0", 1)
    submit_on(database, "-running-1", 1)
    assert claim_on(database, here[0])
    assert claim_on(database, here[1])
    submit_on(database, "-large", 4)
    submit_on(database, "-small", 1)
    assert claim_on(database, here[2]) is None
    small = claim_on(database, there[0])
    assert small is not None
    assert small.fingerprint == "data-small"


def test_more_urgent_stages_of_one_card_go_before_a_stage_of_several(database: Engines) -> None:
    first, second = add_host(database, "a", 2)
    submit_on(database, "-large", 2)
    submit_on(database, "-urgent", 1, priority=5)
    urgent = claim_on(database, second)
    assert urgent is not None
    assert urgent.fingerprint == "data-urgent"
    assert claim_on(database, first) is None


def test_a_stage_that_no_host_has_enough_cards_for_holds_up_nobody(database: Engines) -> None:
    (worker,) = add_host(database, "a", 1)
    add_host(database, "b", 1)
    submit_on(database, "-large", 2, priority=5)
    submit_on(database, "-small", 1)
    claimed = claim_on(database, worker)
    assert claimed is not None
    assert claimed.fingerprint == "data-small"


@pytest.mark.parametrize(
    ("card", "need", "gets"), [(24, 41, False), (48, 41, True), (None, 41, True), (24, None, True)]
)
def test_a_stage_goes_to_cards_that_are_large_enough_and_what_is_unknown_fits(
    database: Engines, card: int | None, need: int | None, gets: bool
) -> None:
    (worker,) = add_host(database, "a", 1, gigabytes=card)
    submit_on(database, "-x", 1, gigabytes=need)
    assert (claim_on(database, worker) is not None) is gets


def test_a_small_card_is_neither_lent_nor_kept_for_a_stage_that_does_not_fit_it(database: Engines) -> None:
    small = add_host(database, "a", 2, gigabytes=24)
    with session_scope(database) as session:
        large = workers.register(session, name="a-2", host="a", pid=1, device="gpu", card="2", card_bytes=80 * GB)
    submit_on(database, "-x", 2, gigabytes=41)
    submit_on(database, "-y", 1, gigabytes=20)
    assert claim_on(database, large) is not None  # only one of three is large enough: it holds up nobody
    assert claim_on(database, small[0]) is None
    assert set(states(database).values()) == {"idle"}


@pytest.mark.parametrize(
    ("has", "need", "gets"), [(64, 94, False), (128, 94, True), (94, 94, True), (None, 94, True), (64, None, True)]
)
def test_a_stage_goes_to_a_machine_with_enough_memory_and_what_is_unknown_fits(
    database: Engines, has: int | None, need: int | None, gets: bool
) -> None:
    """Its card is large enough; the kernel would kill what takes more of the machine than there is."""
    (worker,) = add_host(database, "a", 1, gigabytes=80, memory=has)
    submit_on(database, "-x", 1, gigabytes=41, memory=need)
    assert (claim_on(database, worker) is not None) is gets
    with read_scope(database) as session:
        assert cards.startable_by_device(session) == {}


def test_cards_of_a_machine_with_too_little_memory_are_neither_lent_nor_kept(database: Engines) -> None:
    small = add_host(database, "a", 2, gigabytes=80, memory=64)
    large = add_host(database, "b", 2, gigabytes=80, memory=256)
    submit_on(database, "-x", 2, gigabytes=41, memory=94)
    submit_on(database, "-y", 1, gigabytes=20, memory=5)
    first = claim_on(database, small[1])
    assert first is not None
    assert first.fingerprint == "data-y"
    second = claim_on(database, large[1])
    assert second is not None
    assert (second.fingerprint, second.cards) == ("data-x", ("1", "0"))


def test_what_a_waiting_stage_needs_of_the_machine_is_what_the_newest_run_says(database: Engines) -> None:
    (worker,) = add_host(database, "a", 1, memory=64)
    submit_on(database, "-x", 1, memory=94)
    assert claim_on(database, worker) is None
    submit_on(database, "-x", 1, memory=12)
    assert claim_on(database, worker) is not None


def test_as_many_are_rung_as_could_start(database: Engines) -> None:
    """Four idle workers: one stage takes two of them, one of the small ones another; nobody else has anything to do."""
    ids = add_host(database, "a", 4, gigabytes=24)
    submit_on(database, "-pair", 2)
    submit_on(database, "-small", 1)
    submit_on(database, "-huge", 1, gigabytes=41)
    with read_scope(database) as session:
        assert cards.startable_by_device(session) == {"gpu": 2}
    assert claim_on(database, ids[0])
    with read_scope(database) as session:
        assert cards.startable_by_device(session) == {"gpu": 1}


def lent(engines: Engines) -> tuple[int, int, ClaimedStage]:
    """A worker whose stage has the card of another one."""
    borrower, lender = add_host(engines, "a", 2)
    submit_on(engines, "-x", 2)
    claimed = claim_on(engines, borrower)
    assert claimed is not None
    with session_scope(engines) as session:
        workers.beat(session, borrower, state="busy", stage_id=claimed.stage_id)
        workers.beat(session, lender, state="idle")  # its supervisor says that it lives
    assert states(engines) == {borrower: "busy", lender: "lent"}
    return borrower, lender, claimed


def test_cards_are_free_again_when_their_borrower_is_idle_or_takes_the_next_stage(database: Engines) -> None:
    borrower, lender, claimed = lent(database)
    finish(database, claimed)
    submit_on(database, "-next", 1)
    assert claim_on(database, borrower) is not None
    assert states(database)[lender] == "idle"


def test_cards_of_a_cancelled_stage_stay_lent_until_its_job_ended(database: Engines) -> None:
    """The job learns of it within seconds: until then its processes compute on all of the cards."""
    borrower, lender, _ = lent(database)
    with session_scope(database) as session:
        runs.cancel(session, 1)
    submit_on(database, "-next", 1)
    assert claim_on(database, lender) is None
    with session_scope(database) as session:
        workers.beat(session, borrower, state="idle")
    assert states(database) == {borrower: "idle", lender: "idle"}


def test_cards_are_free_again_when_the_job_of_their_borrower_died(database: Engines) -> None:
    borrower, lender, _ = lent(database)
    with session_scope(database) as session:
        assert leases.expire_worker(session, borrower) == 1
        stages.requeue_expired(session)
        workers.beat(session, borrower, state="idle")
    assert states(database)[lender] == "idle"


def test_cards_are_free_again_when_their_borrower_was_stopped(database: Engines) -> None:
    borrower, lender, _ = lent(database)
    with session_scope(database) as session:
        workers.stop(session, borrower)
    assert states(database) == {borrower: "stopped", lender: "idle"}


def test_cards_are_free_again_when_their_borrower_fell_silent(database: Engines) -> None:
    borrower, lender, _ = lent(database)
    with session_scope(database) as session:
        long_ago = now(session) - timedelta(seconds=status.SILENT_SECONDS + 1)
        session.execute(update(Worker).where(Worker.id == borrower).values(heartbeat_at=long_ago))
    with session_scope(database) as session:
        assert workers.stop_silent(session) == 1
    assert states(database) == {borrower: "stopped", lender: "idle"}


def test_an_idle_beat_that_crosses_a_claim_does_not_free_the_cards(database: Engines) -> None:
    """A supervisor looked before the job began to live, and writes after its claim."""
    borrower, lender, _ = lent(database)
    with session_scope(database) as session:
        workers.beat(session, borrower, state="idle")
    assert states(database)[lender] == "lent"
    submit_on(database, "-other", 2)
    assert claim_on(database, lender) is None


def test_a_lent_card_stays_lent_when_the_process_beside_it_starts_anew(database: Engines) -> None:
    borrower, lender, claimed = lent(database)
    with session_scope(database) as session:
        workers.stop(session, lender)
        again = workers.register(session, name="a-1-again", host="a", pid=2, device="gpu", card="1")
    submit_on(database, "-next", 1)
    assert claim_on(database, again) is None
    assert states(database) == {borrower: "busy", lender: "stopped", again: "lent"}
    finish(database, claimed)
    with session_scope(database) as session:
        workers.beat(session, borrower, state="idle")
    assert states(database) == {borrower: "idle", lender: "stopped", again: "idle"}
    assert claim_on(database, again) is not None


class Cluster:
    """Hosts of 4 and 8 cards that work off stages tick by tick; a card that is given twice is an error."""

    def __init__(self, engines: Engines, dice: random.Random) -> None:
        self.engines, self.dice = engines, dice
        self.hosts = {worker: host for host, size in (("a", 4), ("b", 8)) for worker in add_host(engines, host, size)}
        self.running: dict[int, tuple[ClaimedStage, int]] = {}  # worker -> what it does, and how long still
        self.used: dict[tuple[str, str], int] = {}
        self.done: list[int] = []

    def tick(self) -> list[int]:
        """One unit of time; the stages that were started in it."""
        for worker, (claimed, left) in list(self.running.items()):
            self.running[worker] = (claimed, left - 1)
            if left == 1:
                finish(self.engines, claimed)
                self.done.append(claimed.stage_id)
                self.used = {card: stage for card, stage in self.used.items() if stage != claimed.stage_id}
                del self.running[worker]
        started = []
        for worker in self.dice.sample(list(self.hosts), len(self.hosts)):
            if worker not in self.running and (claimed := claim_on(self.engines, worker)) is not None:
                for card in claimed.cards:
                    assert self.used.setdefault((self.hosts[worker], card), claimed.stage_id) == claimed.stage_id
                self.running[worker] = (claimed, self.dice.randint(1, LONGEST))
                started.append(claimed.stage_id)
        return started


def test_two_hundred_stages_of_one_two_and_four_cards_are_done_and_none_starves(database: Engines) -> None:
    """The first that waits for several cards waits no longer than the stages that run when it becomes the first, and
    no more than the cards of both hosts can start meanwhile go before it."""
    dice = random.Random(1)
    cluster = Cluster(database, dice)
    wants = {}
    for number in range(200):
        submit_on(database, f"-{number}", wanted := dice.choice((1, 1, 1, 2, 4)), priority=dice.choice((0, 0, 1)))
        wants[number + 1] = wanted
    with read_scope(database) as session:
        order = list(session.scalars(select(Stage.id).order_by(Stage.priority.desc(), Stage.id)))
    waiting = [stage for stage in order if wants[stage] > 1]
    waits, overtaken, most_overtaken, longest_wait = 0, 0, 0, 0
    while len(cluster.done) < 200:
        first = waiting[0] if waiting else None
        started = cluster.tick()
        waiting = [stage for stage in waiting if stage not in started]
        if first in waiting:
            waits += 1
            overtaken += sum(order.index(stage) > order.index(first) for stage in started)
            longest_wait, most_overtaken = max(longest_wait, waits), max(most_overtaken, overtaken)
        else:
            waits = overtaken = 0
    assert sorted(cluster.done) == list(range(1, 201))
    assert 0 < longest_wait <= LONGEST
    assert most_overtaken <= 12 * LONGEST
    assert set(states(database).values()) == {"idle"}


def test_no_card_is_given_twice_by_twelve_workers_that_claim_at_the_same_time(database: Engines) -> None:
    hosts = {worker: host for host in ("a", "b") for worker in add_host(database, host, 6)}
    for number in range(24):
        submit_on(database, f"-{number}", (1, 2, 4)[number % 3])
    used: dict[tuple[str, str], int] = {}
    guard, done, deadline = threading.Lock(), [], clocks.monotonic() + 300

    def work(worker: int) -> None:
        while len(done) < 24 and clocks.monotonic() < deadline:
            claimed = claim_on(database, worker)
            if claimed is None:
                continue
            with guard:
                for card in claimed.cards:
                    assert used.setdefault((hosts[worker], card), claimed.stage_id) == claimed.stage_id
            with session_scope(database) as session:
                stages.heartbeat(session, claimed.stage_id, claimed.token, LEASE)
            with guard:
                for card in claimed.cards:
                    del used[hosts[worker], card]
            finish(database, claimed)
            done.append(claimed.stage_id)
        with session_scope(database) as session:
            workers.beat(session, worker, state="idle")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, hosts))
    assert sorted(done) == list(range(1, 25))
    assert status.WORKER_LENT not in states(database).values()
