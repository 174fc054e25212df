"""Every screen, empty and over results that workers computed."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from app.charts import CHARTS
from app.components.form import configuration
from app.components.frame import tables
from app.components.frame.chart import show_chart
from app.components.runs import table as runs_table
from app.reads import compare, results
from app.reads.run import Once
from cwpo.compare.gra import DifferenceRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.compare.reference import PLANNED_PAIRS
from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.report import columns as report_columns
from cwpo.report.gra_terms import BASELINES, SEVERAL, baseline_of
from db import queries
from db.errors import DatabaseUnavailable, FinishedRun, UnknownRun
from db.models import Run
from db.records import RunGroup
from tests.app.visits import MAIN, Computed, visit, words
from tests.workers.judges import judge
from workers import api
from workers.api import keeping
from workers.machine.database import reading, writing

SCREENS = sorted(path.stem for path in (MAIN.parent / "screens").glob("*.py") if path.stem != "__init__")


def grid(page: AppTest) -> list[dict[str, str]]:
    return page.dataframe[0].value.to_dict("records")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_without_runs_offers_the_next_step(screen: str, empty: None) -> None:
    """Each says what would be here; nothing fails where there is nothing."""
    page = visit(screen)
    assert page.title[0].value
    if screen not in ("new_run", "system"):
        assert re.search("here|listed", words(page))


@pytest.mark.parametrize("screen", SCREENS)
def test_a_database_that_is_down_is_one_sentence(screen: str, empty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    said = words(visit(screen, run="1"))
    assert "check DATABASE_URL" in said
    assert "Traceback" not in said


DOWN = DatabaseUnavailable("The database does not answer; check DATABASE_URL.")


@pytest.mark.parametrize(
    ("screen", "module", "name"),
    [
        ("runs", results, "results_of"),
        ("run", queries, "run_stages"),
        ("run", queries, "answers"),
        ("compare", queries, "metrics_of_runs"),
        ("compare", queries, "shared_prompts"),
    ],
)
def test_a_database_that_fails_inside_a_part_of_a_page_is_one_sentence(
    screen: str, module: Any, name: str, computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is redrawn alone has its own guard; the rest of the page stands."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise DOWN

    monkeypatch.setattr(module, name, fail)
    tab = {"metrics_of_runs": "Curves", "shared_prompts": "Answers"}.get(name, "Configuration")
    page = visit(screen, run=str(computed.sweep[0]), further=tab)
    assert {"check DATABASE_URL" in element.value.replace("\\", "") for element in page.error} == {True}


def test_no_click_on_a_page_as_it_opens_deletes_a_run(computed: Computed) -> None:
    """The button stands behind another one, with what it would free; it says the same of no other run."""
    for run in computed.sweep[:2]:
        page = visit("run", run=str(run))
        assert [button.label for button in page.button if button.label.startswith("Delete")] == []
        assert not page.error


def test_what_a_run_that_ended_lacks_is_not_announced(computed: Computed) -> None:
    """Nothing more comes of a run that failed or was cancelled, and no weak label of one that asks for none."""
    failed, (human, weak) = str(computed.failed), (str(run) for run in (computed.sweep[0], computed.sweep[2]))
    assert "This run failed before the aligned and the baseline model had both answered." in words(
        visit("run", run=failed)
    )
    assert "None of these runs is evaluated: they failed or were cancelled before." in words(
        visit("compare", runs=failed)
    )
    assert "No annotator labels pairs for Human: there are no weak labels" in words(visit("examples", run=human))
    made = api.submit_run(RunConfig.parse(config_of(int(weak)) | {"seed": 7, "salt": "not computed yet"}))
    try:
        assert "the pairs appear once its annotator" in words(visit("examples", run=str(made.run_id)))
        assert "appear here once both have answered" in words(visit("run", run=str(made.run_id)))
        assert "appears here as soon as the first one is" in words(visit("compare", runs=f"{failed},{made.run_id}"))
        api.cancel_run(made.run_id)
        assert "This run was cancelled before its annotator" in words(visit("examples", run=str(made.run_id)))
    finally:
        with suppress(FinishedRun):
            api.cancel_run(made.run_id)
        api.delete_run(made.run_id)


def config_of(run: int) -> dict[str, Any]:
    with reading() as session:
        return dict(queries.get_run(session, run).config)


def test_a_run_that_is_deleted_while_it_is_watched_is_a_sentence(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there for the head of the page and gone for its progress."""
    real, seen = queries.get_run, []

    def once(session: Any, run_id: int) -> Any:
        if seen:
            raise UnknownRun("gone")
        seen.append(run_id)
        return real(session, run_id)

    monkeypatch.setattr(queries, "get_run", once)
    monkeypatch.setattr(Once, "take", lambda first: None)  # each part reads for itself, as when it is redrawn alone
    page = visit("run", run=str(computed.sweep[0]))
    assert "it may have been deleted" in words(page)
    assert not page.error


def test_redis_down_is_one_sentence_and_runs_can_still_be_queued(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert "Redis does not answer" in words(visit("runs"))
    page = visit("new_run")
    assert "queued runs start when it is back" in words(page)
    assert not page.button(key="queue").disabled


def test_runs_are_grouped_over_their_seeds(computed: Computed) -> None:
    """Four settings of two seeds each, and the failed one; GRA and interval only where there is a result."""
    page = visit("runs")
    assert "5 settings · 9 runs" in words(page)
    assert "9 runs · 5 settings" in words(visit("runs", group="none"))
    rows = grid(page)
    done = [row for row in rows if row["status"] == "done"]
    assert len(done) == 4
    assert all(re.fullmatch(r"\d+\.\d – \d+\.\d", row["95 %"]) and row["seeds"] == "2 (0, 1)" for row in done)
    failed = [row for row in rows if row["status"] == "failed"]
    assert [row["GRA, %"] for row in failed] == ["–"]


def test_filters_come_from_the_address(computed: Computed) -> None:
    page = visit("runs", method=["Top N %"], status=["done"])
    assert [row["setting"] for row in grid(page)] == ["Top 30 % · DPO"]
    assert page.multiselect(key="method").value == ["top"]
    nothing = visit("runs", q="no such run")
    assert "No run fits these filters." in words(nothing)
    nothing.button(key="show_all").click().run()
    assert nothing.query_params == {}  # the widgets follow it in a browser: tests/e2e/test_runs_page.py


def test_an_opened_setting_shows_its_seeds_and_a_click_opens_the_run(computed: Computed) -> None:
    group = next(row.group_key for row in computed.rows() if row.method == "cw")[:12]
    page = visit("runs", open=group)
    table = grid(page)
    place = next(place for place, row in enumerate(table) if row["open"] == runs_table.HIDE_SEEDS)
    assert [row["setting"].split("·")[0].strip() for row in table[place + 1 : place + 3]] == ["seed 0", "seed 1"]
    assert table[place + 1]["seeds"] == runs_table.ONE_SEED


def test_the_run_page_shows_stages_curves_answers_and_what_one_seed_allows(computed: Computed) -> None:
    run = next(row.id for row in computed.rows() if row.method == "cw")
    page = visit("run", run=str(run))
    said = words(page)
    assert "CW · DPO · seed" in page.title[0].value.replace("\\", "")
    assert "prompts only" in said
    assert re.search(r"Done: (\d+) of \1 stages done", said)
    assert "progress time note" in said
    assert all(name in said for name in ("Weak annotator", "Alignment", "Evaluation", "held-out prompts"))
    assert re.search(r"aligned · score −?\d+\.\d\d · \d+ tokens", said)
    assert len(page.get("plotly_chart")) >= 3
    assert "align.beta" not in said
    assert "align.beta 0.5" in words(visit("run", run=str(run), tab="Configuration"))
    assert "published" in words(visit("run", run=str(run), tab="Attempts"))
    said = words(visit("run", run=str(run), tab="Data"))
    assert re.search(r"rows read, [\d,]+ pairs and [\d,]+ test prompts kept; .*dropped: ", said)
    assert re.search(r"agrees with [\d.]+ % of [\d,]+ hidden human labels; length alone with [\d.]+ %", said)
    assert "What the context of each model cut" in said


def test_a_failed_run_says_why_and_offers_the_next_step(computed: Computed) -> None:
    page = visit("run", run=str(computed.failed))
    assert len(page.error) == 1
    assert "align" in page.error[0].value
    assert page.button(key="duplicate").label == "Duplicate & edit"
    assert page.button(key="run_retry").label == "Retry"


def test_an_unknown_run_is_a_sentence(computed: Computed) -> None:
    assert "There is no run 999" in words(visit("run", run="999"))


def test_compare_pairs_prompts_and_says_what_the_table_supports(computed: Computed) -> None:
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}")
    said = words(page)
    assert [metric.label.replace("\\", "") for metric in page.metric] == ["Human", "Weak labels", "CW", "Top 30 %"]
    for name in ("Weak labels", "CW", "Top 30 %"):
        assert f"{name} − Human" in said
    assert "the seed moved" in said
    assert "ties count half" in said
    assert len(page.get("plotly_chart")) == 3
    assert "method human weak cw (default) top" in said


def test_settings_of_one_method_are_named_by_what_differs_wherever_compare_shows_them(computed: Computed) -> None:
    """The weak runs as CW at equal steps: cards, differences, configuration, answers and the choice of settings."""
    weak = [row for row in computed.rows() if row.method == "weak"]
    cw = next(row.group_key for row in computed.rows() if row.method == "cw")
    with reading() as session:
        configs = queries.configs(session, [row.id for row in weak])
    with writing() as session:
        for run, config in configs.items():
            other = {**config, "method": "cw", "align": {**config["align"], "steps": "pool"}}
            session.execute(update(Run).where(Run.id == run).values(method="cw", method_label="CW", config=other))
    try:
        page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", reference=cw[:12])
        names = [metric.label.replace("\\", "") for metric in page.metric]
        assert sorted(names) == ["CW", "CW · equal steps", "Human", "Top 30 %"]
        said = words(page)
        assert "CW · equal steps − CW" in said
        assert "field CW Human CW · equal steps Top 30 %" in said
        runs = f"{computed.sweep[0]}-{computed.sweep[-1]}"
        assert "CW · equal steps · seed 0" in words(visit("compare", runs=runs, further="Answers"))
        page.session_state["choose"] = True
        page.run()
        (settings,) = page.multiselect
        assert any(option.startswith("CW · equal steps · ") for option in settings.options)
    finally:
        with writing() as session:
            for run, config in configs.items():
                values = {"method": "weak", "method_label": "Weak labels", "config": config}
                session.execute(update(Run).where(Run.id == run).values(**values))


def test_a_configuration_of_another_version_is_a_sentence_beside_what_is_known(computed: Computed) -> None:
    """The figures stay: they come from outcomes. What the configuration would say of them is left out."""
    run = computed.sweep[0]
    with reading() as session:
        config = queries.get_run(session, run).config
    newer = {**config, "align": {**config["align"], "momentum": 0.9}}
    st.cache_data.clear()
    try:
        with writing() as session:
            session.execute(update(Run).where(Run.id == run).values(config=newer))
        said = words(visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}"))
        assert f"The configuration of run {run} was stored by another version of cwpo" in said
        assert "align.momentum" in said
        assert "CW − Human" in said
        for further in ("Cost", "Another gold reward"):
            visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", further=further)
        said = words(visit("run", run=str(run)))
        assert f"The configuration of run {run} was stored by another version of cwpo" in said
        assert "ties count half" in words(visit("runs"))
        visit("paper")
    finally:
        with writing() as session:
            session.execute(update(Run).where(Run.id == run).values(config=config))
        st.cache_data.clear()


def test_drift_and_length_stand_beside_gra_on_compare_and_run(computed: Computed) -> None:
    said = words(visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}"))
    assert "chosen, nats rejected, nats" in said
    assert "equal length, % equal length, 95 %" in said
    said = words(visit("run", run=str(computed.sweep[0])))
    assert re.search(r"log-ratios: chosen −?\d+\.\d\d, rejected −?\d+\.\d\d", said)
    even = r"GRA at equal length \d+\.\d %, 95 % \d+\.\d – \d+\.\d"
    assert re.search(rf"baseline \d+\.\d, ratio \d+\.\d\d; {even}", said)


def test_head_to_head_compares_two_settings_from_stored_answers(computed: Computed) -> None:
    """The pair of the address; the other way round the share is the rest of 100 %."""
    keys = {row.method: row.group_key[:12] for row in computed.rows()}
    runs = f"{computed.sweep[0]}-{computed.sweep[-1]}"
    shares = []
    for pair in (f"{keys['cw']},{keys['human']}", f"{keys['human']},{keys['cw']}"):
        said = words(visit("compare", runs=runs, further="Head to head", pair=pair))
        shares.append(float(re.findall(r"against (?:Human|CW) (\d+\.\d) ", said)[0]))
    assert sum(shares) == pytest.approx(100.0, abs=0.11)


def test_cost_per_setting_from_the_prices_of_the_address(computed: Computed) -> None:
    runs = f"{computed.sweep[0]}-{computed.sweep[-1]}"
    said = words(visit("compare", runs=runs, further="Cost"))
    assert "Set both prices" in said
    assert "time, shared once" in said
    said = words(visit("compare", runs=runs, further="Cost", label_price="0.5", hour_price="2"))
    assert "Set both prices" not in said


def test_compare_offers_to_score_the_answers_again(computed: Computed) -> None:
    """No run is judged by the sandbox's oracle outside the sandbox, nor twice by the same gold reward."""
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", further="Another gold reward")
    assert page.button(key="rescore").disabled
    offered = page.selectbox(key="further_gold").options
    assert "Sandbox oracle" not in offered
    assert "Trained here on all human labels" not in offered
    page.selectbox(key="further_gold").select("openassistant-deberta").run()
    assert page.button(key="rescore").label == "Score these answers with OpenAssistant DeBERTa v3 large v2"
    assert not page.button(key="rescore").disabled


def test_one_click_scores_the_answers_again_and_cancelling_leaves_the_runs_done(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = catalog.GoldRewardRow(
        name="own-judge", label="Judge", kind="model", source="-", model=judge(tmp_path / "judge")
    )
    monkeypatch.setattr(catalog, "GOLD_REWARDS", {**catalog.GOLD_REWARDS, row.name: row})
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", further="Another gold reward")
    page.selectbox(key="further_gold").select("own-judge").run()
    page.button(key="rescore").click().run()
    try:
        assert {row.status for row in computed.rows()} == {"queued"}
        runs = f"{computed.sweep[0]}-{computed.sweep[-1]}"
        said = words(visit("compare", runs=runs, further="Another gold reward"))
        assert re.search("own-judge: queued for 8 of 8 runs", said)
        assert "CW − Human" in said
    finally:
        for run in computed.sweep:
            api.cancel_run(run)
    assert {row.status for row in computed.rows()} == {"done"}


def strong(columns: Sequence[report_columns.Column], row: Any) -> bool:
    """Whether any cell of the row on the page is emphasised."""
    cells = tables.report_row(columns, row, lambda one: one.is_real)
    return any(cell.strong for cell in cells)


def test_a_difference_at_matched_kl_that_covers_zero_is_never_strong() -> None:
    names = dict.fromkeys(("label", "first_label", "second_label", "first_method", "second_method", "objective"), "x")
    covers = MatchedRow(**names, estimate=0.05, low=-0.01, high=0.11, p=0.1, p_corrected=0.01)
    clear = MatchedRow(**names, estimate=0.05, low=0.01, high=0.09, p=0.01, p_corrected=0.02)
    assert not strong(report_columns.MATCHED, covers)
    assert strong(report_columns.MATCHED, clear)


def test_differences_at_matched_kl_are_drawn_along_it_beside_what_they_could_detect() -> None:
    """Both curves on the left; under the table the difference along KL, for the pairs that reach one in common."""

    def script() -> None:
        from app.components.compare.matched import show_matched
        from cwpo.compare.matched_kl import frontier_rows, frontiers, matched_differences
        from tests.cwpo.compare.beta_sweeps import outcomes_on_one_curve, swept

        runs, configs = swept("weak", "cw")
        found = frontiers(runs, outcomes_on_one_curve(runs, configs, gain=0.03), configs)
        show_matched(frontier_rows(found), matched_differences(found))

    page = AppTest.from_function(script, default_timeout=300).run()
    assert not page.exception
    assert [chart.proto.alt for chart in page.get("plotly_chart")] == [
        "Who gets further for the same distance?",
        "Differences along KL",
    ]
    assert (
        "difference at matched KL points 95 % p, corrected detectable, points verdict KL, nats CW − Weak labels +3.0"
        in words(page)
    )
    assert "counted under the first table of differences. 1 difference looked at." in words(page)


def test_a_difference_whose_interval_covers_zero_is_never_strong() -> None:
    names = dict.fromkeys(
        ("first", "second", "label", "first_label", "second_label", "first_method", "second_method", "objective"), "x"
    )
    covers = DifferenceRow(**names, estimate=0.05, low=-0.01, high=0.11, p=0.1, p_corrected=0.1)
    clear = DifferenceRow(**names, estimate=0.05, low=0.01, high=0.09, p=0.01, p_corrected=0.02)
    uncorrected = DifferenceRow(**names, estimate=0.05, low=0.01, high=0.09, p=0.04, p_corrected=0.08)
    assert not any(strong(report_columns.DIFFERENCE, row) for row in (covers, uncorrected))
    assert strong(report_columns.DIFFERENCE, clear)


def test_a_pinned_reference_holds_every_other_setting_against_it(computed: Computed) -> None:
    rows = computed.rows()
    human = next(row.group_key for row in rows if row.method == "human")[:12]
    said = words(visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", reference=human))
    assert all(f"{name} − Human" in said for name in ("Weak labels", "CW", "Top 30 %"))


def test_the_reference_shown_is_the_one_that_is_used(computed: Computed) -> None:
    """Chosen, then gone from the address: the choice follows, back to human labels."""
    keys = {row.method: row.group_key[:12] for row in computed.rows()}
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", reference=keys["human"])

    def shown() -> Any:
        return next(box for box in page.selectbox if box.label == "Held against")

    assert shown().value == keys["human"]
    shown().select(keys["weak"]).run()
    assert "CW − Weak labels" in words(page)
    assert page.query_params["reference"] == keys["weak"]
    del page.query_params["reference"]
    page.run()
    assert shown().value == keys["human"]
    assert "CW − Human" in words(page)
    shown().select(PLANNED_PAIRS).run()
    assert "CW − Weak labels" in words(page)
    assert "Top 30 % − " not in words(page)
    assert page.query_params["reference"] == PLANNED_PAIRS


@pytest.mark.parametrize(("left_out", "kept"), [("human", True), ("weak", False)])
def test_a_reference_outlives_another_choice_of_settings_that_has_it(
    left_out: str, kept: bool, computed: Computed
) -> None:
    keys = {row.method: row.group_key for row in computed.rows()}
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}", reference=keys["weak"][:12])
    page.session_state["choose"] = True
    page.run()
    (settings,) = page.multiselect
    settings.set_value([key for key in settings.value if key != keys[left_out]])
    next(button for button in page.button if button.label == "Compare these").click().run()
    assert len(page.metric) == 3
    assert page.query_params.get("reference", "") == (keys["weak"][:12] if kept else "")


def test_compare_opens_with_the_newest_sweep(computed: Computed) -> None:
    page = visit("compare")
    assert len(page.metric) == 4
    assert "choose others" not in words(page)


def test_runs_without_a_result_hide_none(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one run looked at is the failed one, and then the newest that is done."""
    monkeypatch.setattr(compare, "NEWEST", 1)
    assert len(visit("compare").metric) == 4


def test_compare_is_cut_by_whole_settings_and_says_so(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five runs hold two settings of two seeds, whether they are asked for, a sweep, or only the newest."""
    monkeypatch.setattr(compare, "MOST_RUNS", 5)
    for page in (visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}"), visit("compare")):
        assert len(page.metric) == 2
        assert "The first 2 of 4 settings, at most 5 runs; choose others." in words(page)
        assert "2 settings" in page.caption[0].value
        assert "2 seeds" in page.caption[0].value
    sweeps = {row.id: row.sweep_id for row in computed.rows()}
    with writing() as session:
        session.execute(update(Run).where(Run.id.in_(sweeps)).values(sweep_id=None))
    try:
        assert "The newest 2 settings with a result, at most 5 runs; choose others." in words(visit("compare"))
    finally:
        with writing() as session:
            for run, sweep in sweeps.items():
                session.execute(update(Run).where(Run.id == run).values(sweep_id=sweep))


def test_a_setting_is_shown_whole_or_not_at_all() -> None:
    """a b a b c with room for three: b's second run does not fit, so b is left out; the first one always stands."""
    rows: list[Any] = [SimpleNamespace(group_key=key) for key in "ababc"]
    assert [row.group_key for row in compare.whole_settings(rows, 3)] == ["a", "a"]
    assert [row.group_key for row in compare.whole_settings(rows, 4)] == ["a", "b", "a", "b"]
    assert [row.group_key for row in compare.whole_settings(rows, 1)] == ["a", "a"]


def test_the_terms_of_gra_stand_beside_it_on_every_page(computed: Computed) -> None:
    """Opponent, tie rule, gold reward with its revision, decoding."""
    terms = (
        r"against the policy before alignment · ties count half · judged by a reward trained here on all human labels, "
        r"from \S+ @[0-9a-f]{8} · temperature 0\.95, top-p 1, at most 6 tokens, 1 answer a prompt"
    )
    runs = f"{computed.sweep[0]}-{computed.sweep[-1]}"
    assert re.search(f"2 seeds · 12 prompts · {terms}", words(visit("compare", runs=runs)))
    assert re.search(f"12 prompts, 1 seed · {terms}", words(visit("run", run=str(computed.sweep[0]))))
    assert re.search(rf"GRA: 12 prompts · {terms}\. 95 % interval over seeds", words(visit("runs")))


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([("none", "common", "p")], BASELINES["none"]),
        ([("pool", "own", "p"), ("pool", "own", "q")], BASELINES["own"]),
        ([("pool", "common", "p"), ("pool", "common", "p")], BASELINES["common"]),
        ([("labeled", "own", "p"), ("pool", "common", None)], BASELINES["common"]),
        ([("pool", "common", "p"), ("pool", "common", "q")], SEVERAL),
        ([("pool", "common", "p"), ("pool", "own", "p")], SEVERAL),
        ([], ""),
    ],
)
def test_one_baseline_for_all_is_one_under_every_seed(runs: list[tuple[str, str, str | None]], said: str) -> None:
    """Training data of the SFT model, whose it is, and whose answers they were."""
    rows: list[Any] = [SimpleNamespace(id=place, seed=0, baseline=run[2]) for place, run in enumerate(runs)]
    configs = {
        place: RunConfig.parse({"sft": {"data": run[0]}, "evaluation": {"baseline": run[1]}})
        for place, run in enumerate(runs)
    }
    assert baseline_of(rows, configs) == said


@pytest.mark.parametrize(
    ("screen", "params"),
    [
        ("run", {}),
        ("compare", {}),
        ("compare", {"further": "Curves", "metric": "rewards/accuracies"}),
        ("examples", {}),
        ("annotators", {}),
    ],
)
def test_every_chart_is_announced_in_words(screen: str, params: dict[str, str], computed: Computed) -> None:
    names = [chart.proto.alt for chart in visit(screen, run=str(computed.sweep[-1]), **params).get("plotly_chart")]
    assert names
    assert not set(names) & {"", *CHARTS}
    assert not params or "Alignment curves: reward accuracy" in names


def test_a_chart_without_title_and_alt_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a title"):
        show_chart("reweighting", [], key="chart")


def test_examples_start_with_the_least_confident_pair(computed: Computed) -> None:
    run = next(row.id for row in computed.rows() if row.method == "cw")
    page = visit("examples", run=str(run))
    headlines = [
        found for element in page.markdown if (found := re.search(r"C (\d\.\d+) · Δ .* · P (\d\.\d+)", element.value))
    ]
    confidences = [float(found[1]) for found in headlines]
    assert confidences == sorted(confidences)
    assert [float(found[2]) for found in headlines] == pytest.approx([(1 + c) / 2 for c in confidences], abs=1e-3)
    assert "human chose" not in words(page)


def test_human_labels_come_on_demand_and_a_link_shows_one_pair(computed: Computed) -> None:
    run = next(row.id for row in computed.rows() if row.method == "cw")
    page = visit("examples", run=str(run), human="true")
    assert "human chose" in words(page)
    pair = re.findall(r"pair=([0-9a-f]+)", "\n".join(element.value for element in page.caption))[0]
    one = visit("examples", run=str(run), pair=pair)
    assert len(one.code) == 2


def test_examples_open_with_the_newest_annotator_and_filter_by_confidence(computed: Computed) -> None:
    page = visit("examples", c=["0.0", "0.0"])
    assert re.search(r"No pair fits these filters|of \d+ pairs?", words(page))


def test_the_form_counts_what_is_reused(computed: Computed) -> None:
    """Duplicating a finished run asks for nothing new, and says which run it is; to queue it again comes second."""
    page = visit("new_run", **{"from": str(computed.sweep[0])})
    figures = {metric.label: metric.value for metric in page.metric}
    assert figures["runs"] == "1"
    assert figures["stages to do"] == "0"
    assert f"This run exists already: run {computed.sweep[0]}, done." in words(page)
    kinds = {button.label: button.proto.type for button in page.button if button.key.startswith("queue")}
    assert kinds == {"Open it": "primary", "Queue it again": "secondary"}


def test_a_form_that_would_compute_nothing_says_so_and_does_not_press_for_it(computed: Computed) -> None:
    """Of a run that was deleted a moment ago all is there still, and no run is like it."""
    first, second = (row for row in computed.rows() if row.method == "cw")
    gone = keeping.delete([second.id])
    try:
        page = visit("new_run", **{"from": str(first.id)}, seeds=str(second.seed))
        assert "Nothing new would be computed" in words(page)
        button = page.button(key="queue")
        assert (button.label, button.proto.type, button.disabled) == ("Queue 1 run", "secondary", False)
    finally:
        assert gone.undo is not None
        keeping.undo(gone.undo)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("s.align.beta", "0.0", "β must be greater than 0"),
        ("s.data.label_fraction", "1.0", "Label fraction must lie between 0 and 1"),
        ("s.data.label_fraction", "-0.3", "Label fraction must be greater than 0"),
        ("s.evaluation.temperature", "0.0", "Temperature must be greater than 0"),
        ("seeds", "none", "seed 'none' is not a whole number"),
    ],
)
def test_a_wrong_field_is_a_sentence_and_nothing_can_be_queued(
    field: str, value: str, sentence: str, empty: None
) -> None:
    page = visit("new_run", **{field: value})
    assert sentence in words(page)
    assert page.button(key="queue").disabled


def test_the_form_queues_what_it_says(empty: None) -> None:
    """Two methods × two seeds: four runs in the database, named, in one sweep."""
    page = visit("new_run", name="from the form", seeds="0-1")
    assert page.button(key="queue").label == "Queue 4 runs"
    figures = {metric.label: metric.value for metric in page.metric}
    assert figures["stages reused"] == "0"  # these runs share stages, and nothing was there before
    page.button(key="queue").click().run()
    with reading() as session:
        rows = queries.list_runs(session).rows
        assert not any(stage.reused for row in rows for stage in queries.run_stages(session, row.id))
    again = {metric.label: metric.value for metric in visit("new_run", name="again", seeds="0-1").metric}
    assert (again["stages to do"], again["stages reused"]) == ("0", figures["stages to do"])
    assert {(row.name, row.method, row.seed, row.status) for row in rows} == {
        ("from the form", method, seed, "queued") for method in ("weak", "cw") for seed in (0, 1)
    }


def test_what_is_expected_is_a_column_while_something_waits(empty: None) -> None:
    """Of a run that ended it would say nothing."""
    said = words(visit("run", run=str(api.submit_run(RunConfig(method="cw")).run_id)))
    assert "progress time expected note" in said


def test_system_shows_services_queue_and_disk(computed: Computed) -> None:
    said = words(visit("system"))
    assert "Redis answers." in said
    assert "SQLite" in said
    assert "workers alive" in said
    assert "free of" in said


@pytest.mark.parametrize("dataset", ["/data/own.jsonl", "someone/pairs", "hh-harmless", "sandbox"])
def test_the_form_submits_the_gold_reward_that_it_shows(dataset: str) -> None:
    """One's own file has no gold reward in the catalog: what the form starts with counts although nobody chose it."""
    base = configuration.base_of(dataset, None)
    shown = configuration.defaults_of(base)["evaluation"]["gold_reward"]
    assert RunConfig.parse(base).evaluation.gold_reward == shown


def test_a_dataset_that_nobody_knows_is_said_under_its_field(computed: Computed) -> None:
    page = visit("new_run", dataset="nosuch")
    said = words(page).replace("\\", "")
    assert "data.dataset 'nosuch' is not known; choose one of sandbox" in said
    assert page.button(key="queue").disabled


def test_lines_of_one_method_say_what_tells_them_apart(computed: Computed) -> None:
    row = next(row for row in computed.rows() if row.method == "cw")
    config = results.configs_of([row])[row.id]
    other = replace(row, id=row.id + 10_000, name="second try")
    groups = [RunGroup(group_key=key * 12, rows=(one,)) for key, one in (("a", row), ("b", other))]
    changed = {"align": {"beta": 0.05}, "sft": {"data": "labeled"}}
    configs = {row.id: config, other.id: RunConfig.parse(merged(config.canonical(), changed))}
    first, second = runs_table.lines(groups, {}, [], configs)
    assert first.cells["setting"].startswith(f"CW · DPO · β {config.align.beta:g}")
    assert second.cells["setting"] == "CW · DPO · β 0.05 · SFT on labeled"
    assert (second.cells["runs"], second.cells["name"]) == (str(other.id), "second try")
    alone = runs_table.lines(groups[:1], {}, [], configs)
    assert alone[0].cells["setting"] == "CW · DPO"
