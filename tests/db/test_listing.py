"""The list of runs in any order and grouping is what sorting all of them by hand gives, page by page."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Engines, read_scope, session_scope
from db.errors import UnfitView
from db.models import RunValue, Stage
from db.queries.people import listing as queries
from db.records import RunFilters
from db.records.listing import EACH_RUN, SETTING, Line, LinePage, Listing, Place
from db.repositories import stages
from db.repositories.keeping import marks
from db.repositories.lists import saved_views
from tests.db.make import add_worker, claim, new_run, publish, submit, work_off
from tests.db.test_queries import counted
from tests.db.turning import there_and_back

METHODS = ("cw", "weak", "human")


@pytest.fixture
def filled(database: Engines) -> tuple[Engines, list[dict[str, Any]]]:
    """Thirty queued runs of twelve settings; some lack a field that others have."""
    pick, rows = random.Random(0), []
    for number in range(30):
        setting = pick.randrange(12)
        beta = None if setting % 5 == 0 else round(0.1 * (setting % 3), 2)
        config = {"align": {"beta": beta, "steps": "pool" if setting % 2 else None}, "seed": number}
        made = submit(
            database, "data",
            run=new_run(
                name=pick.choice(["alpha", "Beta", "ζ", ""]), config=config, group_key=f"{setting:064x}", seed=number,
                method=METHODS[setting % 3],
            ),
        )  # fmt: skip
        rows.append({"id": made.run_id, "setting": f"{setting:064x}", "beta": beta, "method": METHODS[setting % 3]})
    return database, rows


def pages(engines: Engines, listing: Listing, limit: int = 4) -> list[Line]:
    """Every line, page by page, each from the address of the one before."""
    found: list[Line] = []
    after: Place | None = None
    while True:
        with read_scope(engines) as session:
            page = queries.list_lines(session, listing, after=after, limit=limit)
        found += page.lines
        if page.next is None:
            assert page.total == len(found)
            return found
        after = Place.decode(page.next.encode())
        assert after == page.next


def by_hand(
    rows: Sequence[dict[str, Any]],
    line: Callable[[dict[str, Any]], Any],
    value: Callable[..., Any],
    *,
    descending: bool,
) -> list[Any]:
    """Lines by the value of their runs, those without last; of equal ones the newest first, or last."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(line(row), []).append(row)

    def key(members: list[dict[str, Any]]) -> tuple[Any, ...]:
        known, *values = value(members)
        return known if descending else not known, *values, max(row["id"] for row in members)

    return sorted(groups, key=lambda name: key(groups[name]), reverse=descending)


def mean_beta(members: list[dict[str, Any]]) -> tuple[bool, float]:
    known = [row["beta"] for row in members if row["beta"] is not None]
    return bool(known), round(sum(known) / len(known), 9) if known else 0


GROUPINGS: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
    (SETTING, lambda row: row["setting"]),
    (EACH_RUN, lambda row: str(row["id"])),
    ("align.steps", lambda row: "pool" if int(row["setting"], 16) % 2 else ""),
)


@pytest.mark.parametrize("descending", [True, False])
def test_lines_of_any_grouping_come_in_the_order_of_a_field(
    filled: tuple[Engines, list[dict[str, Any]]], descending: bool
) -> None:
    engines, rows = filled
    for grouping, line in GROUPINGS:
        listing = Listing(grouping=grouping, order="align.beta", descending=descending)
        assert [one.key for one in pages(engines, listing)] == by_hand(rows, line, mean_beta, descending=descending)


@pytest.mark.parametrize("descending", [True, False])
def test_pinned_lines_come_before_tagged_ones_and_these_by_their_first_tag(
    filled: tuple[Engines, list[dict[str, Any]]], descending: bool
) -> None:
    """The other way round with the order turned; lines without either are last both times."""
    engines, rows = filled
    ids = [row["id"] for row in rows]
    pinned, given = {ids[2], ids[9]}, {"bad": ids[4:8], "again": [ids[7], ids[9], ids[20]], "c": ids[19:22]}
    with session_scope(engines) as session:
        marks.pin(session, pinned)
        for word, those in given.items():
            marks.tag(session, those, word)

    def put(members: list[dict[str, Any]]) -> tuple[bool, int, str]:
        mine = {row["id"] for row in members}
        words = sorted(word for word, those in given.items() if mine & set(those))
        return bool(mine & pinned or words), int(bool(words) and not mine & pinned), words[0] if words else ""

    for grouping, line in GROUPINGS:
        listing = Listing(grouping=grouping, order="tags", descending=descending)
        assert [one.key for one in pages(engines, listing)] == by_hand(rows, line, put, descending=descending)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("grouping", [SETTING, EACH_RUN, "align.beta"])
def test_the_way_back_meets_the_same_pages(
    filled: tuple[Engines, list[dict[str, Any]]], grouping: str, descending: bool
) -> None:
    """Each page says where it stands, how many runs there are, and of how many settings where lines are runs."""
    engines, rows = filled
    listing = Listing(grouping=grouping, order="align.beta", descending=descending)

    def page_of(after: Place | None, before: Place | None) -> LinePage:
        with read_scope(engines) as session:
            page = queries.list_lines(session, listing, after=after, before=before, limit=2)
        settings = len({row["setting"] for row in rows}) if grouping == EACH_RUN else None
        assert (page.runs, page.settings) == (len(rows), settings)
        return page

    pages = there_and_back(page_of, Place.decode, lambda page: [line.key for line in page.lines])
    assert [first for _, first in pages] == list(range(1, sum(len(keys) for keys, _ in pages) + 1, 2))


def test_every_order_shows_every_line_once(filled: tuple[Engines, list[dict[str, Any]]]) -> None:
    engines, rows = filled
    for order in (*queries.PLAIN_ORDERS, "align.steps", "no such field"):
        for descending in (True, False):
            found = pages(engines, Listing(grouping=EACH_RUN, order=order, descending=descending), limit=7)
            assert sorted(one.newest for one in found) == sorted(row["id"] for row in rows)


def test_filters_hold_for_lines_and_their_runs(filled: tuple[Engines, list[dict[str, Any]]]) -> None:
    engines, rows = filled
    wanted = {row["id"] for row in rows if row["method"] == "cw"}
    for grouping in (SETTING, EACH_RUN, "align.beta"):
        found = pages(engines, Listing(filters=RunFilters(method=("cw",)), grouping=grouping))
        assert {run_id for line in found for run_id in line.run_ids} == wanted


def test_a_page_takes_a_handful_of_queries(filled: tuple[Engines, list[dict[str, Any]]]) -> None:
    engines, _ = filled
    for grouping in (SETTING, EACH_RUN, "align.beta"):
        listing = Listing(grouping=grouping, order="align.beta")
        with counted(engines) as sent, read_scope(engines) as session:
            queries.list_lines(session, listing, after=None, limit=40, keys=["align.beta", "seed"])
        assert 0 < len(sent) <= 4


def test_the_fields_of_a_line_are_those_of_its_runs(filled: tuple[Engines, list[dict[str, Any]]]) -> None:
    engines, rows = filled
    with read_scope(engines) as session:
        page = queries.list_lines(session, Listing(grouping="align.beta"), after=None, limit=40, keys=["seed"])
        keys = queries.value_keys(session)
    assert keys == ["align.beta", "align.steps", "seed"]
    for line in page.lines:
        mine = [row for row in rows if ("" if row["beta"] is None else f"{row['beta']:.10g}") == line.key]
        seeds = [rows.index(row) for row in mine]
        figure = line.figures["seed"]
        assert (figure.runs, figure.numbers, figure.mean) == (
            len(mine),
            len(mine),
            pytest.approx(sum(seeds) / len(mine)),
        )


def test_figures_of_a_stage_belong_to_every_run_that_has_it_until_it_is_computed_again(database: Engines) -> None:
    first, second = submit(database, "data").run_id, submit(database, "data", "align", align="-2").run_id
    worker = add_worker(database)
    with session_scope(database) as session:
        publish(session, claim(database, worker), kept=7, note="words", share=0.5, broken=float("nan"))
    work_off(database, worker)
    third = submit(database, "data").run_id

    def values() -> dict[tuple[int, str], float | None]:
        with read_scope(database) as session:
            rows = session.scalars(select(RunValue).where(RunValue.key != "seed"))
            return {(row.run_id, row.key): row.number for row in rows}

    shared = {(run_id, f"data:{name}"): value for run_id in (first, second, third) for name, value in
              (("kept", 7.0), ("share", 0.5))}  # fmt: skip
    assert values() == shared | {(first, "seconds"): 2.0, (second, "seconds"): 4.0, (third, "seconds"): 2.0}
    with session_scope(database) as session:
        assert stages.reopen(session, session.scalars(select(Stage.fingerprint).where(Stage.kind == "data")).all()) == 1
    assert not [key for _, key in values() if key.startswith("data:")]


def test_a_saved_view_is_found_under_its_name_alone(database: Engines) -> None:
    with session_scope(database) as session:
        first = saved_views.save(session, " best  CW ", {"sort": "-gra", "method": ["CW"]})
        other = saved_views.save(session, "Other", {})
    with session_scope(database) as session:
        saved_views.set_default(session, other)
        saved_views.set_default(session, first)
        saved_views.rename(session, other, "another")
    for name in ("best CW", "", "x" * 81):
        with pytest.raises(UnfitView), session_scope(database) as session:
            saved_views.save(session, name, {})
    with read_scope(database) as session:
        rows = queries.saved_views(session)
    assert [(row.name, row.is_default) for row in rows] == [("another", False), ("best CW", True)]
    assert rows[1].params == {"sort": "-gra", "method": ["CW"]}
    with session_scope(database) as session:
        saved_views.delete(session, other)
        saved_views.set_default(session, None)
    with read_scope(database) as session:
        assert [row.is_default for row in queries.saved_views(session)] == [False]


@pytest.mark.parametrize(
    "text",
    ["", "[1]", '[2,0,"",1]', '[1,NaN,"",1]', '[1,0,"\\u0000",1]', '[1,0,"a",-1]', '[true,0,"",1]', "[" * 100_000],
)
def test_a_place_that_somebody_edited_is_the_first_page(text: str) -> None:
    assert Place.decode(text) is None
