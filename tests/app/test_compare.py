"""Compare over results that workers computed: the verdict on top, who is missing, few queries, words everywhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from app.components.compare import facts
from app.components.compare.answer import PER_LINE, _kept
from app.components.compare.tables import _short_names
from app.components.frame.address import compact
from app.components.judging.along import TITLE
from app.reads import along
from app.reads import run as run_reads
from cwpo.compare.gra import DifferenceRow
from cwpo.report import columns as report_columns
from cwpo.report import under_table
from cwpo.report.document.meanings import MEANINGS, glossary
from cwpo.report.judges import columns as judges
from cwpo.report.labels.spots import SPOTS, TRANSFER
from cwpo.report.under_table import LOSS_ALONE, OF_FIRST_TABLE
from db import queries
from db.models.work import Run
from tests.app.test_charts import ALONG, gra_row
from tests.app.visits import Computed, ageless, selects, visit, words
from workers import api
from workers.cli import main
from workers.machine.database import reading, writing


def test_the_verdict_is_the_first_heading_under_the_title_and_names_its_reference(computed: Computed) -> None:
    page = visit("compare", runs=compact(computed.sweep))
    (headline,) = page.header
    assert "Human" in headline.value
    assert "difference from Human can be told" in headline.value or "than Human" in headline.value
    against = next(row.group_key[:12] for row in computed.rows() if row.method == "weak")
    (headline,) = visit("compare", runs=compact(computed.sweep), reference=against).header
    assert "Weak labels" in headline.value


def test_runs_without_cw_have_differences_and_a_verdict(computed: Computed) -> None:
    kept = tuple(row.id for row in computed.rows() if row.method in ("weak", "top"))
    page = visit("compare", runs=compact(tuple(sorted(kept))))
    assert "Top 30 % − Weak labels" in words(page)
    assert "Weak labels" in page.header[0].value


def test_one_run_says_what_it_is_and_what_a_second_one_would_tell(computed: Computed) -> None:
    page = visit("compare", runs=str(computed.sweep[0]))
    assert "Human has a GRA of" in page.header[0].value.replace("\\", "")
    assert "choose a second setting" in words(page)
    assert len(page.metric) == 1


def test_runs_that_failed_or_were_deleted_are_named(computed: Computed) -> None:
    said = words(visit("compare", runs=f"{compact(computed.sweep)},{computed.failed},998-999"))
    assert f"Run {computed.failed}: failed and left out." in said
    assert (
        f"{len(computed.sweep) + 1} runs planned for these settings: {len(computed.sweep)} in the table, 1 failed"
        in said
    )
    assert "Runs 998-999: deleted, or never there." in said
    nothing = words(visit("compare", runs="998"))
    assert "Run 998: deleted, or never there." in nothing
    assert facts.absences((), ()) == []


@pytest.mark.parametrize("address", ["runs", "newest"])
def test_an_opened_page_asks_the_database_six_times_at_most_and_again_hardly_ever(
    computed: Computed, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of runs; what was read once is known by its content."""
    ageless(monkeypatch)
    params = {"runs": compact(computed.sweep)} if address == "runs" else {}
    visit("compare", **params)
    counts = []
    for _ in range(2):
        with selects() as said:
            visit("compare", **params)
        counts.append(len(said))
        if len(counts) == 1:
            assert counts[0] <= 2
    st.cache_data.clear()
    with selects() as said:
        visit("compare", **params)
    assert len(said) <= 6
    few = {"runs": compact(computed.sweep[:2])} if address == "runs" else {}
    st.cache_data.clear()
    with selects() as fewer:
        visit("compare", **few)
    assert len(fewer) == len(said)


def test_compared_runs_are_the_rows_of_the_list_without_their_progress(computed: Computed) -> None:
    with reading() as session:
        listed = {row.id: row for row in queries.list_runs(session, limit=50).rows}
        found = queries.compared_runs(session, run_ids=list(listed), limit=50)
    assert [row.id for row in found] == sorted(listed)
    for row in found:
        for name in ("group_key", "method", "seed", "status", "baseline", "judge", "evaluation", "name", "archived"):
            assert getattr(row, name) == getattr(listed[row.id], name), name


def test_settings_that_differ_in_the_objective_alone_come_with_what_is_known_of_that(computed: Computed) -> None:
    """Two seeds of CW, of which one is stored as if it had been IPO's."""
    first, second = (row.id for row in computed.rows() if row.method == "cw")
    assert LOSS_ALONE not in words(visit("compare", runs=compact(computed.sweep)))
    stored = _config_stored(second)
    _store_config(second, {**stored, "objective": "ipo"})
    try:
        st.cache_data.clear()
        st.cache_resource.clear()
        assert LOSS_ALONE in words(visit("compare", runs=f"{first},{second}"))
    finally:
        _store_config(second, stored)


def test_over_optimisation_stands_on_compare_and_on_the_page_of_a_run(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Picture, what it says in words, and the table under both judges; of a run that has the stage."""
    watched = run_reads.watched

    def with_its_stage(run_id: int) -> run_reads.Watched:
        found = watched(run_id)
        return replace(found, stages=[*found.stages, replace(found.stages[-1], slot="along")])

    monkeypatch.setattr(run_reads, "watched", with_its_stage)
    monkeypatch.setattr(along, "along_of", lambda rows: ALONG)
    run = str(computed.sweep[0])
    for screen, params in (("compare", {"runs": run}), ("run", {"run": run})):
        page = visit(screen, **params)
        assert TITLE in [chart.proto.alt for chart in page.get("plotly_chart")]
        said = words(page)
        assert "No curve's second judge falls so far that its intervals" in said
        assert "baseline, best of n" in said


def test_how_far_intervals_over_several_seeds_hold_stands_under_gra(computed: Computed) -> None:
    several = tuple(sorted(row.id for row in computed.rows() if row.method == "cw"))
    said = "Simulated, 95 % intervals of GRA hold the truth in 94 to 100 % of cases with 2 seeds; in 83 %"
    assert said in words(visit("compare", runs=compact(several)))
    assert said not in words(visit("compare", runs=str(several[0])))


def test_what_became_of_the_runs_stands_under_every_table_of_differences(computed: Computed, tmp_path: Path) -> None:
    """Under the first the runs, in the report as on the page; under head to head that they are the same."""
    said = words(visit("compare", runs=compact(computed.sweep), further="Head to head"))
    under = "8 runs planned for these settings: 8 in the table, 0 failed or cancelled, 0 evaluated but left out."
    assert under in said
    assert f"{OF_FIRST_TABLE} One pair of 6: the interval holds for it alone" in said
    assert "related ones count as one" in said  # so few prompts tell of no difference that it is small
    runs = [str(run) for run in computed.sweep]
    assert main.main(["report", *runs, "--out", str(tmp_path / "r.html")]) == 0
    assert under in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_of_a_run_with_a_gra_near_an_end_the_page_says_how_far_its_interval_holds(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = str(computed.sweep[0])
    said = "with one seed and a GRA near 0 or 100 %."
    monkeypatch.setattr(under_table, "NEAR_AN_END", 1.1)
    assert said not in words(visit("run", run=run))
    monkeypatch.setattr(under_table, "NEAR_AN_END", 0.1)
    assert said in words(visit("run", run=run))


def _config_stored(run: int) -> dict[str, Any]:
    with reading() as session:
        return dict(session.get_one(Run, run).config)


def _store_config(run: int, config: dict[str, Any]) -> None:
    with writing() as session:
        session.get_one(Run, run).config = config


def test_an_archived_run_is_compared_where_it_is_named_and_in_no_sweep(computed: Computed) -> None:
    run = computed.sweep[0]
    api.archive_run(run)
    try:
        with reading() as session:
            sweep = queries.list_runs(session, limit=1).rows
            (row,) = queries.compared_runs(session, run_ids=[run], limit=1)
            assert row.archived
            assert run not in {one.id for one in queries.newest_evaluated(session, 50)}
            named = next(one.sweep_id for one in computed.rows() if one.sweep_id) or ""
            rows = queries.compared_runs(session, sweep_id=named, limit=50)
            assert {one.id for one in rows} == set(computed.sweep) - {run}
            assert sweep
    finally:
        api.archive_run(run, archived=False)


def test_every_shown_column_of_compare_has_its_meaning() -> None:
    tables = (
        report_columns.gra_columns(), report_columns.DIFFERENCE, report_columns.MATCHED, report_columns.GOLD,
        report_columns.HEAD_TO_HEAD, report_columns.COSTS, report_columns.STAGE_COSTS,
        report_columns.JUDGED, report_columns.CARD, report_columns.GAIN, report_columns.TUNED, SPOTS, TRANSFER,
        judges.ORDER, judges.ALONG,
    )  # fmt: skip
    shown = [column for table in tables for column in table if column.place in ("main", "distance", "text")]
    assert {column.heading for column in shown} - set(MEANINGS) == set()
    assert set(MEANINGS) - {column.heading for column in shown} == set()
    titles = [title for title, _ in glossary(report_columns.GRA, "main", "distance")]
    assert titles[:2] == ["setting", "GRA, %"]


def test_the_meanings_come_up_beside_the_title_of_each_table(computed: Computed) -> None:
    page = visit("compare", runs=compact(computed.sweep))
    helped = {one.value.replace("\\", ""): one.proto.help for one in page.markdown if one.proto.help}
    assert "Gold reward accuracy" in helped["#### GRA and what stands beside it"]
    assert "as clear as this" in helped["#### Differences, paired on prompts"]
    assert words(page).count("GRA is gold reward accuracy") == 1


def test_of_many_settings_the_reference_and_the_best_are_large() -> None:
    rows = [replace(gra_row("cw", 0.5 + place / 100), group_key=str(place)) for place in range(12)]
    kept = _kept(rows, rows[3].group_key)
    assert len(kept) == PER_LINE
    assert rows[3] in kept
    assert kept == [rows[3], *rows[6:]]


def test_a_long_name_of_the_reference_stands_once() -> None:
    names = {"first_method": "cw", "second_method": "human", "objective": "dpo"}
    long = "Human · β 0.1 · lr 0.0001"
    rows = [
        DifferenceRow(first=f"{n}", second="h", label=f"CW · β 0.{n} · lr 1 − {long}", first_label=f"CW · β 0.{n}",
                      second_label=long, **names)
        for n in range(2)
    ]  # fmt: skip
    columns, shown = _short_names(rows)
    assert (columns[0].title, [row.label for row in shown]) == ("setting − reference", ["CW · β 0.0", "CW · β 0.1"])
    short = [DifferenceRow(first="a", second="h", label="CW − Human", first_label="CW", second_label="Human", **names)]
    columns, shown = _short_names(short)
    assert (columns[0].title, shown[0].label) == ("difference", "CW − Human")


def test_a_table_can_be_copied_as_text(computed: Computed) -> None:
    page = visit("compare", runs=compact(computed.sweep))
    page.session_state["copy"] = True
    page.run()
    assert page.code[0].value.startswith("| setting | GRA, % |")
    page.selectbox(key="copy_table").select("Configuration").run()
    page.button_group(key="copy_format").set_value("LaTeX").run()
    assert page.code[0].value.startswith("\\begin{tabular}")


def test_the_report_of_the_terminal_says_what_the_page_says(
    computed: Computed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = visit("compare", runs=compact(computed.sweep))
    runs = [str(run) for run in (*computed.sweep, computed.failed)]
    assert main.main(["report", *runs, "--out", str(tmp_path / "r.html"), "--title", "Mine"]) == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.header[0].value.replace("\\", "").replace("\u2060", "") in text
    assert "<title>Mine</title>" in text
    assert f"Run {computed.failed} is failed and has no result." in text
    assert main.main(["report", runs[0], "--out", str(tmp_path / "r.txt")]) == 2
    assert main.main(["report", "998", "--out", str(tmp_path / "r.pdf")]) == 2
    assert main.main(["report", runs[0], "--reference", runs[2], "--out", str(tmp_path / "r.pdf")]) == 2
    said = capsys.readouterr().err
    assert "r.txt is neither .html nor .pdf" in said
    assert "there is no run 998" in said
    assert not (tmp_path / "r.pdf").exists()
