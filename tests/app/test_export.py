"""Files of what a page shows, over results that workers computed."""

import csv
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.components.compare import configurations, evidence, tables
from app.components.frame import export
from app.components.frame.export import ENDINGS, Exported, text_of
from app.components.run import timeline
from app.components.runs import table as runs_table
from app.reads import results
from cwpo.bundle import read
from cwpo.report import columns as report_columns
from cwpo.report.columns import Column
from cwpo.report.gra_terms import COLUMNS
from cwpo.report.listings import fields_of
from cwpo.report.tables import Table, to_csv, to_json
from cwpo.stages.graph import slot_name
from db import queries
from tests.app.visits import Computed, visit, words
from workers import api
from workers.cli import status

UNDER = "8 runs planned for these settings: as under the table of the page."


def compare_files(computed: Computed) -> dict[str, Exported]:
    rows = computed.rows()
    table = results.table_of(rows)
    differences = results.differences_of(rows, "", {row.group_key: "" for row in rows})
    files = tables.exports(table, differences, runs=rows, configs=results.configs_of(rows), under=UNDER)
    return {one.name: one for one in (*files, *configurations.exports(rows), *evidence.exports(rows))}


def run_files(computed: Computed) -> dict[str, Exported]:
    with results.reading() as session:
        stages = queries.run_stages(session, computed.sweep[-1])
        groups = queries.list_groups(session, limit=40).groups
    known = results.configs_of([group.rows[0] for group in groups])
    lines = runs_table.lines(groups, results.results_of(groups), [groups[-1].group_key[:12]], known)
    runs = runs_table.export(groups, lines, results.configs_of(runs_table.evaluated(groups)))
    return {"Stages": timeline.export(stages), "Runs": runs}


def rows_in(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("files", [compare_files, run_files])
def test_every_table_comes_in_four_formats_with_the_same_rows(
    files: Callable[[Computed], dict[str, Exported]], computed: Computed
) -> None:
    found = files(computed)
    assert set(found) in ({"GRA", "Differences", "Configuration", "Annotators"}, {"Stages", "Runs"})
    for table in found.values():
        values: list[dict[str, Any]] = json.loads(text_of(table, "JSON"))
        assert len(values) == len(table.numbers().rows) > 0, table.name
        assert [list(row) for row in rows_in(text_of(table, "CSV"))] == [list(row) for row in values]
        lines, notes = 2 + len(table.cells().rows), table.cells().notes
        assert text_of(table, "Markdown").count("\n") == lines + 2 * len(notes)
        latex = text_of(table, "LaTeX")
        assert latex.count(r" \\") == latex.count(r"\begin{tabular}") * (1 + len(table.cells().rows))
        assert not re.search(r"(?<!\\)[%_#&](?! )", latex.replace(" & ", "")), latex


def test_exported_gra_is_what_the_table_shows_at_full_precision(computed: Computed) -> None:
    table = results.table_of(computed.rows())
    values = json.loads(text_of(compare_files(computed)["GRA"], "JSON"))
    assert [row["estimate"] for row in values] == [row.estimate for row in table]
    assert [float(row["low"]) for row in rows_in(text_of(compare_files(computed)["GRA"], "CSV"))] == [
        row.low for row in table
    ]


def test_one_declaration_brings_a_figure_to_page_terminal_and_every_file(
    computed: Computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a row knows already: one more column, and nothing else, is what it takes."""
    gap = Column(
        name="token_gap", heading="longer by", unit="tokens", value=lambda row: row.tokens - row.baseline_tokens,
        format=lambda value: f"{value:+.3f} more",
    )  # fmt: skip
    monkeypatch.setattr(report_columns, "GRA", (*report_columns.GRA, gap))
    table = results.table_of(computed.rows())
    wanted = [gap.cell(row) for row in table]
    file = compare_files(computed)["GRA"]
    assert [row["token_gap"] for row in json.loads(text_of(file, "JSON"))] == [gap.values(row)[0] for row in table]
    assert [float(row["token_gap"]) for row in rows_in(text_of(file, "CSV"))] == [gap.values(row)[0] for row in table]
    screen = words(visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}"))
    assert re.search(r"longer by [+-][\d.]+ more tokens", words(visit("run", run=str(computed.sweep[0]))))
    console = Console(file=io.StringIO(), width=200)
    status.print_comparison(computed.sweep, console)
    terminal = console.file.getvalue()
    for text in (text_of(file, "Markdown"), text_of(file, "LaTeX"), screen, terminal):
        assert "longer by, tokens" in text
        assert all(cell in text for cell in wanted)
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(api.reproduce_bundle([row.id for row in computed.rows()]))
    assert [row["token_gap"] for row in read.read(bundle).tables["gra"]] == [gap.values(row)[0] for row in table]


def test_a_figure_has_one_heading_on_the_page_in_the_terminal_and_in_files(computed: Computed) -> None:
    """Every shown column of the tables of Compare, by its heading with its unit."""
    screen = words(visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}"))
    console = Console(file=io.StringIO(), width=300)
    status.print_comparison(computed.sweep, console)
    files = compare_files(computed)
    assert UNDER in text_of(files["Differences"], "Markdown")
    assert UNDER in text_of(files["Differences"], "LaTeX")
    assert "8 runs planned for these settings: 8 in the table, 0 failed" in " ".join(console.file.getvalue().split())
    for name, columns in (("GRA", report_columns.GRA), ("Differences", report_columns.DIFFERENCE)):
        written = files[name].cells().columns
        for column in columns:
            if column.place in ("main", "distance"):
                assert column.title in written
                assert column.title in screen
                assert column.spare or column.title in console.file.getvalue()


def test_a_judge_that_cannot_be_told_from_a_coin_takes_no_room_from_the_figures(
    computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why there is no corrected GRA stands under the table of a terminal, once."""
    card = {"judge": "trained", "pairs": 52, "q": 0.54, "q_low": 0.28, "q_high": 0.80, "held_out": True}
    monkeypatch.setattr(status, "judge_cards", lambda *_, **__: dict.fromkeys(computed.sweep, card))
    console = Console(file=io.StringIO(), width=160)
    status.print_comparison(computed.sweep, console)
    terminal = console.file.getvalue().partition("Can the judge be believed?")[2]
    for column in report_columns.part(report_columns.CARD, "main", narrow=True):
        assert column.title in terminal
    assert terminal.count("28.0 – 80.0") == len(results.table_of(computed.rows()))
    assert terminal.count("cannot be told from a coin") == 1


def test_exported_gra_says_its_terms_and_what_the_seed_moved(computed: Computed) -> None:
    file = compare_files(computed)["GRA"]
    for row in json.loads(text_of(file, "JSON")):
        assert row["opponent"] == "the policy before alignment"
        assert re.fullmatch("a reward trained here on all human labels, from .+", row["gold_reward"])
        assert re.fullmatch("sha256:[0-9a-f]{64}", row["gold_revision"])
        assert row["decoding"] == "temperature 0.95, top-p 1, at most 6 tokens, 1 answer a prompt"
    for label in ("Markdown", "LaTeX"):
        assert "ties count half" in text_of(file, label)
        assert "2 seeds: the seed moved" in text_of(file, label)


def test_stages_come_with_their_seconds_and_annotators_with_their_deciles(computed: Computed) -> None:
    with results.reading() as session:
        stages = {stage.slot: stage for stage in queries.run_stages(session, computed.sweep[-1])}
    written = json.loads(text_of(run_files(computed)["Stages"], "JSON"))
    assert {row["slot"]: row["seconds"] for row in written} == {slot: one.seconds for slot, one in stages.items()}
    assert all(slot_name(slot) in text_of(run_files(computed)["Stages"], "Markdown") for slot in stages)
    deciles = json.loads(text_of(compare_files(computed)["Annotators"], "JSON"))
    assert {row["annotator"] for row in deciles} == {"seed 0", "seed 1"}
    for seed in ("seed 0", "seed 1"):
        own = [row for row in deciles if row["annotator"] == seed]
        assert sum(row["decile_n"] for row in own) == own[0]["n"]


def test_runs_are_exported_one_by_one_and_the_failed_one_has_no_result(computed: Computed) -> None:
    rows = {row["run"]: row for row in json.loads(text_of(run_files(computed)["Runs"], "JSON"))}
    assert set(rows) == {*computed.sweep, computed.failed}
    assert [number for number, row in rows.items() if row["gra"] is None] == [computed.failed]
    assert [number for number, row in rows.items() if row["gold_reward"] is None] == [computed.failed]
    shown = text_of(run_files(computed)["Runs"], "Markdown")
    assert "▸" not in shown
    assert "GRA: 12 prompts · against the policy before alignment · ties count half · judged by" in shown


def test_only_fields_that_differ_are_in_the_exported_configuration(computed: Computed) -> None:
    fields = {row["field"]: row for row in json.loads(text_of(compare_files(computed)["Configuration"], "JSON"))}
    assert set(fields) == {"method", "top_percent"}
    assert fields["top_percent"]["Top 30 %"] == 30.0
    shares = {row["label"]: row["top_percent"] for row in json.loads(text_of(compare_files(computed)["GRA"], "JSON"))}
    assert shares["Top 30 %"] == 30.0


def test_the_bundle_of_compare_states_the_table_that_compare_shows(computed: Computed, tmp_path: Path) -> None:
    """The same estimates whether a table is made for the page or for the bundle."""
    rows = computed.rows()
    human = next(row.group_key for row in rows if row.method == "human")
    file = tmp_path / "bundle.zip"
    file.write_bytes(api.reproduce_bundle([row.id for row in rows], reference=human))
    found = read.read(file)
    names = ("label", "estimate", "low", "high", "strict", "kl", "seeds", *COLUMNS)
    shown = json.loads(text_of(compare_files(computed)["GRA"], "JSON"))
    assert [[row[name] for name in names] for row in found.tables["gra"]] == [
        [row[name] for name in names] for row in shown
    ]
    against = json.loads(
        to_json(report_columns.numbers(report_columns.DIFFERENCE, results.differences_of(rows, human, {})))
    )
    stated = {row["label"]: (row["estimate"], row["p_corrected"]) for row in found.tables["differences"]}
    assert stated == {row["label"]: (row["estimate"], row["p_corrected"]) for row in against}
    assert str(Path(computed.environment["CWPO_HOME"]).parent) not in "".join(
        zipfile.ZipFile(file).read(name).decode() for name in zipfile.ZipFile(file).namelist()
    )


def test_pages_offer_export_and_bundle(computed: Computed) -> None:
    compare = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}")
    assert [button.proto.label for button in compare.get("download_button")] == ["Reproduce bundle"]
    run = visit("run", run=str(computed.failed))
    (button,) = run.get("download_button")
    assert button.proto.disabled
    assert "evaluated" in button.proto.help


def test_the_camera_saves_what_was_chosen(computed: Computed) -> None:
    page = visit("compare", runs=f"{computed.sweep[0]}-{computed.sweep[-1]}")

    def formats() -> set[str]:
        configs = [json.loads(chart.proto.config) for chart in page.get("plotly_chart")]
        return {config["toImageButtonOptions"]["format"] for config in configs}

    assert formats() == {"png"}
    page.session_state["export"] = True
    page.run()
    page.button_group(key=f"{export.CHART_FORMAT}_export").set_value("SVG").run()
    assert formats() == {"svg"}


@dataclass(frozen=True)
class Part:
    estimate: float
    low: float
    at: datetime | None = None


@dataclass(frozen=True)
class Row:
    name: str
    gain: Part | None
    parts: tuple[Part, ...] = ()


def test_a_file_of_records_has_the_columns_of_their_class() -> None:
    """Whether the first row has its part or not; the estimate under the part's own name, lists as JSON."""
    rows = [Row("a", None), Row("b", Part(0.5, 0.25, datetime(2026, 1, 2, tzinfo=UTC)), (Part(1.0, 0.5),))]
    assert json.loads(to_json(fields_of(rows))) == [
        {"name": "a", "gain": None, "gain_low": None, "gain_at": None, "parts": "[]"},
        {"name": "b", "gain": 0.5, "gain_low": 0.25, "gain_at": "2026-01-02T00:00:00+00:00",
         "parts": '[{"estimate": 1.0, "low": 0.5, "at": null}]'},
    ]  # fmt: skip
    assert fields_of(rows[:1]).columns == fields_of(rows).columns
    assert fields_of([]) == Table(columns=(), rows=())


def test_every_file_name_is_one_that_every_system_takes() -> None:
    assert export.file_stem("Plan by kind: to do, done") == "plan-by-kind-to-do-done"


def test_text_of_a_run_is_no_formula_in_a_spreadsheet() -> None:
    table = Table(columns=("name",), rows=(("=HYPERLINK(1)",),))
    one = Exported(name="Runs", numbers=lambda: table, cells=lambda: table)
    assert "'=HYPERLINK" in text_of(one, "CSV")
    assert set(ENDINGS) == {"CSV", "JSON", "Markdown", "LaTeX"}


@pytest.mark.parametrize("sign", [*"=+-@＝＋－＠"])
@pytest.mark.parametrize("before", ["", "x;", "x; ", "x\t", "x|", "x\n", "x\r\n"])
def test_no_cell_begins_a_formula_whatever_separates_cells_in_a_country(before: str, sign: str) -> None:
    """A spreadsheet that separates by semicolons does not see the quotes inside of a line."""
    table = Table(columns=("a", "b"), rows=((1, f"{before}{sign}1+1"), (-1.5, "plain"), (2, "x-1; y=2")))
    text = to_csv(table)
    for separator in ",;\t|":
        cells = [cell.strip(' "') for line in text.splitlines() for cell in line.split(separator)]
        assert [cell for cell in cells if cell.startswith(tuple("=+@＝＋－＠")) or cell.startswith("-1+")] == []
    assert "-1.5,plain" in text
    assert "x-1; y=2" in text


def test_grids_write_no_files_of_their_own() -> None:
    """Their download and their copy would hold cells as they are."""
    settings = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["client"]["disableDataExport"] is True


@pytest.mark.parametrize(
    ("screen", "key", "params"),
    [
        ("annotators", "export_annotators", {}),
        ("paper", "export_paper", {}),
        ("system", "export_system", {}),
        ("new_run", "export_plan", {}),
        ("run", "export_tab", {"tab": "Configuration"}),
        ("run", "export_tab", {"tab": "Attempts"}),
        ("run", "export_tab", {"tab": "Data"}),
    ],
)
def test_every_table_that_a_page_draws_can_be_had_as_a_file(
    screen: str, key: str, params: dict[str, str], computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many names in the opened list as tables on the page (of a run page its stages have a list of their own)."""
    if screen == "annotators":
        api.name_annotator(computed.sweep[-1], "to-export")
    shown: list[Exported] = []
    monkeypatch.setattr(export, "show_export", lambda found, key="": shown.extend(found))
    page = visit(screen, run=str(computed.sweep[-1]), **params)
    own = 1 if screen == "run" else 0
    assert len(shown) == len(page.table) > own
    assert len({one.name for one in shown}) == len(shown)
    for one in shown:
        values = json.loads(text_of(one, "JSON"))
        assert [list(row) for row in rows_in(text_of(one, "CSV"))] == [list(row) for row in values], one.name
        assert values, one.name
        assert not [cell for row in values for cell in row.values() if cell == "–"], one.name
        assert text_of(one, "Markdown").count("\n") >= 3, one.name
        assert text_of(one, "LaTeX").startswith("\\begin{tabular}"), one.name
    monkeypatch.undo()
    for name, value in computed.environment.items():
        monkeypatch.setenv(name, value)
    opened = visit(screen, run=str(computed.sweep[-1]), **params)
    opened.session_state[key] = True
    opened.run()
    assert not opened.exception
    if screen == "annotators":
        assert "Named annotators" in {one.name for one in shown}
        api.forget_annotator("to-export", 1)
    offered = [button.proto.label for button in opened.get("download_button")]
    assert [offered.count(label) for label in ENDINGS] == [len(shown) - own] * 4


def test_files_hold_what_the_rounded_cells_stand_for(computed: Computed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of labels that workers made: what the page hands out is the stored figure, not its rounded text."""
    shown: list[Exported] = []
    monkeypatch.setattr(export, "show_export", lambda found, key="": shown.extend(found))
    visit("annotators")
    with results.reading() as session:
        (row, *_) = queries.list_annotators(session)
        summary = queries.label_summary(session, row.run_id)
    assert summary is not None
    assert summary.human is not None
    files = {one.name: json.loads(text_of(one, "JSON")) for one in shown}
    values = {line["figure"]: line for line in files["Calibration by judge"]}
    assert values["accuracy"]["value"] == summary.human.accuracy.estimate
    assert (values["auroc"]["low"], values["auroc"]["high"]) == (summary.human.auroc_low, summary.human.auroc_high)
    assert values["ece"]["low"] is None
    groups = {line["value"]: line["accuracy"] for line in files["What confidence reweights"]}
    assert groups == {one.value: one.agree / one.humans if one.humans else None for one in summary.attributes}
    (own, *_) = files["Annotators"]
    assert own["accuracy_human"] == row.accuracy_human
