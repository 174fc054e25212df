"""The paper's sweeps: every one is valid, and every table that can be answered has one, also for the sandbox."""

import pytest

from cwpo.config.dotted import flat
from cwpo.config.presets import PRESETS, comparison
from cwpo.config.run import expand
from cwpo.paper import published
from cwpo.paper.presets import HUB_CONTROLS, PAPER_PRESETS, PaperPreset, all_presets, presets_of
from cwpo.paper.protocol import departures
from tools import departures_table


@pytest.mark.parametrize("preset", PAPER_PRESETS.values(), ids=lambda preset: preset.name)
def test_every_run_of_a_preset_is_valid_and_no_two_are_the_same(preset: PaperPreset) -> None:
    runs = expand(comparison(preset))
    assert len({run.hash() for run in runs}) == len(runs) <= 500
    assert all(run.is_sandbox == preset.sandbox for run in runs)
    assert {run.seed for run in runs} == set(preset.seeds)


@pytest.mark.parametrize("table", published.TABLES)
def test_every_table_has_a_sweep_and_a_small_one(table: str) -> None:
    assert presets_of(table, sandbox=False)
    assert presets_of(table, sandbox=True)


def test_presets_depart_from_the_protocol_where_the_experiment_is_another_one_and_nowhere_else() -> None:
    """The paper swaps chosen labels, of other pairs, and judges the sources of its mixes apart; of ws without SFT it
    has the accuracy alone."""
    attacked = (
        "data.dataset hh-harmless (helpful pairs, attacked harmless ones, and a random 30 % of the harmless pool in "
        "the unlabeled part)"
    )
    found: dict[tuple[str, str], set[str]] = {}
    for preset in PAPER_PRESETS.values():
        for run in expand({**comparison(preset), "seed": 0}) if not preset.sandbox else ():
            for metric in ("gra", "accuracy"):
                found.setdefault((preset.name, metric), set()).update(departures(run, metric))
    assert {name: words for name, words in found.items() if words} == {
        **{
            ("t25", metric): {
                f"data.swapped_labels {share} by chance (harmful pairs with large reward gaps)"
                for share in ("0.05", "0.1", "0.15", "0.2")
            }
            | {attacked}
            for metric in ("gra", "accuracy")
        },
        ("t24", "gra"): {"data.mix judged on all sources together (on harmless and helpful prompts apart)"},
        ("t6-alone", "gra"): {"sft.data none (pool)"},
    }
    assert len(found) > 50


def test_online_and_offline_are_told_apart_by_name_and_nothing_else_changes() -> None:
    """Table 22 needs both in one sweep; in the sandbox every method has stored and fresh pairs."""
    runs = [run for run in expand(comparison(PAPER_PRESETS["t21-sandbox"])) if run.seed == 0]
    assert [run.method_label for run in runs] == [
        f"{label}{words}" for label in ("WS", "Weak labels", "CW") for words in ("", " · online")
    ]
    fields = [dict(flat(run.canonical())) for run in runs[4:]]
    assert {name for name, value in fields[1].items() if fields[0].get(name) != value} == {"align.online.refresh_every"}
    assert {run.align.online is None for run in expand(comparison(PAPER_PRESETS["t22"]))} == {True, False}
    assert {run.align.online is None for run in expand(comparison(PAPER_PRESETS["t21"]))} == {False}


def test_new_run_can_start_from_all_of_them() -> None:
    assert list(all_presets()) == [*PRESETS, HUB_CONTROLS.name, *PAPER_PRESETS]
    assert all(name == preset.name for name, preset in all_presets().items())
    labels = [preset.label for preset in all_presets().values()]
    assert len(set(labels)) == len(labels)


def test_the_controls_can_be_had_in_the_sandbox_and_with_models_of_a_hub() -> None:
    """Half of the pairs by confidence, by chance, and the least confident half; shuffled and normalised weights."""
    wanted = {
        ("weak", None), ("cw", None), ("top", 50), ("random", 50), ("bottom", 50), ("shuffled", None),
        ("normalised", None),
    }  # fmt: skip
    for preset, sandbox in ((PRESETS["controls"], True), (HUB_CONTROLS, False)):
        runs = expand(comparison(preset))
        assert {(run.method, run.top_percent) for run in runs} == wanted
        assert len(runs) == len(wanted) * len(preset.seeds)
        assert {run.is_sandbox for run in runs} == {sandbox}


def test_the_page_about_methods_has_the_departures_of_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    """Every table has its preset there; poison departs in its rate and kind, the main comparison in nothing."""
    assert departures_table.main(write=False) == 0, capsys.readouterr().out
    lines = [line.strip("| ").split(" | ") for line in departures_table.table().splitlines()[2:]]
    assert [name.strip("`") for name, *_ in lines] == [
        name for name, preset in PAPER_PRESETS.items() if not preset.sandbox
    ]
    labels = {table.label.partition(" · ")[0] for table in published.TABLES.values()}
    assert {label for _, made_for, _ in lines for label in made_for.split(", ")} == labels
    words = {name.strip("`"): said for name, _, said in lines}
    assert words["t1-opt"] == "none"
    assert words["t25"].count("by chance (harmful pairs with large reward gaps)") == 4
    assert words["t25"].count("data.dataset hh-harmless (helpful pairs, attacked harmless ones, ") == 1
    for table in ("T25", "F8"):
        assert "harmless pairs alone" in published.TABLES[table].unanswered
        assert "a random 30 % of the harmless pool" in published.TABLES[table].unanswered
    assert "data.mix judged on all sources together" in words["t24"]
