"""What every GRA comes with: opponent, tie rule, gold reward and revision, decoding, in one line and in every file."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cwpo.bundle import rerun
from cwpo.bundle.read import Rows
from cwpo.compare.gra import GraRow, gra_table
from cwpo.config import catalog
from cwpo.config.run import RunConfig, merged
from cwpo.report import columns, gra_terms
from cwpo.report.gra_terms import COLUMNS, Terms, table_notes, terms_by_setting
from cwpo.report.tables import to_csv, to_json, to_latex, to_markdown
from tests.cwpo.compare.compared_runs import ALIKE, Run, outcomes_of, runs_of

SANDBOX: Mapping[str, Any] = {"method": "cw"}
HUB: Mapping[str, Any] = {
    "method": "cw",
    "data": {"dataset": "hh-harmless"},
    "evaluation": {"gold_reward": "skywork-qwen3-0.6b", "gold_revision": "0123456789abcdef"},
}


def test_settings_of_different_seeds_say_how_many_each_has() -> None:
    six, two = runs_of("cw", seeds=6), [replace(run, group_key="other") for run in runs_of("weak", seeds=2)]
    assert gra_terms.seeds_each([]) == ""
    assert gra_terms.seeds_each(six) == "6 seeds"
    assert gra_terms.seeds_each(six[:1]) == "1 seed"
    assert gra_terms.seeds_each([*six, *two]) == "2–6 seeds a setting"


def config(base: Mapping[str, Any], *, seed: int = 0, **evaluation: Any) -> RunConfig:
    return RunConfig.parse(merged(base, {"seed": seed, "evaluation": evaluation}))


def of(*configs: RunConfig, baselines: str | None = None) -> Terms:
    """Terms of runs with these configurations, each a setting of its own under seed 0."""
    runs = [
        replace(run, id=place, group_key=str(place), baseline=baselines[place] if baselines else "p")
        for place, run in enumerate(runs_of("cw", seeds=1) * len(configs))
    ]
    return gra_terms.terms(runs, dict(enumerate(configs)))


def test_a_sandbox_run_says_its_terms_in_one_line() -> None:
    assert of(config(SANDBOX)).sentence == (
        "against the policy before alignment · ties count half · judged by the sandbox oracle · "
        "temperature 1, top-p 1, at most 48 tokens, 2 answers a prompt"
    )


def test_a_hub_run_names_the_judge_of_the_catalog_with_the_first_eight_of_its_revision() -> None:
    label = catalog.GOLD_REWARDS["skywork-qwen3-0.6b"].label
    assert of(config(HUB, samples=1)).sentence == (
        f"against each method's own SFT model · ties count half · judged by {label} @01234567 · "
        "temperature 0.95, top-p 1, at most 512 tokens, 1 answer a prompt"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gold_reward": "owner/judge", "gold_revision": "fedcba9876"}, "judged by owner/judge @fedcba98"),
        ({"gold_reward": "/home/me/judge", "gold_revision": f"sha256:{'ab' * 32}"}, "judged by judge @abababab"),
        ({"gold_reward": "./files/0f/judge", "gold_revision": None}, "judged by judge"),
        (
            {"gold_reward": "trained", "gold_model": "~/models/small"},
            "judged by a reward trained here on all human labels, from small",
        ),
    ],
)
def test_a_judge_outside_the_catalog_is_named_without_this_machines_paths(given: dict[str, Any], said: str) -> None:
    assert said in of(config(HUB, **{"gold_revision": None, **given})).words


def test_what_differs_is_called_several() -> None:
    one = config(HUB)
    assert "several gold rewards" in of(one, config(HUB, gold_reward="owner/judge")).words
    revised = of(one, config(HUB, gold_revision="ffff456789abcdef"))
    assert f"judged by {revised.gold_reward}, several revisions" in revised.words
    assert "several ways of decoding" in of(one, config(HUB, temperature=0.7)).words
    assert "several opponents" in of(one, config(HUB, baseline="common")).words
    common = config(HUB, baseline="common")
    assert "against one SFT model for all" in of(common, common, baselines="pp").words
    assert "several opponents" in of(common, common, baselines="pq").words
    assert of(one, one) == of(one)


def test_judges_trained_here_in_two_ways_are_two() -> None:
    given = merged(HUB, {"evaluation": {"gold_reward": "trained", "gold_revision": None}})
    assert of(config(given), config(given, gold_train={"epochs": 9})).gold_reward == "several gold rewards"


def table_of(configs: Mapping[int, RunConfig], runs: list[Run]) -> tuple[list[GraRow], dict[str, Terms]]:
    return gra_table(runs, outcomes_of(runs, chance=ALIKE)), terms_by_setting(runs, configs)


def test_files_of_a_gra_table_state_the_terms_of_every_row() -> None:
    """Run 1 is weak, run 2 cw; the second is judged by another gold reward."""
    runs = runs_of("weak", "cw", seeds=1)
    rows, by_setting = table_of({1: config(HUB), 2: config(HUB, gold_reward="owner/judge")}, runs)
    values = json.loads(to_json(columns.gra_numbers(rows, by_setting)))
    label = catalog.GOLD_REWARDS["skywork-qwen3-0.6b"].label
    assert [[row[name] for name in COLUMNS] for row in values] == [
        ["each method's own SFT model", "ties count half", judge, "0123456789abcdef",
         "temperature 0.95, top-p 1, at most 512 tokens, 1 answer a prompt"]
        for judge in (label, "owner/judge")
    ]  # fmt: skip
    written = csv.DictReader(io.StringIO(to_csv(columns.gra_numbers(rows, by_setting))))
    assert [row["gold_reward"] for row in written] == [label, "owner/judge"]
    cells = columns.gra_cells(rows, by_setting)
    assert set(cells.columns) & {"gold reward", "opponent", "decoding", "gold revision"} == {"gold reward"}
    assert [row[cells.columns.index("gold reward")] for row in cells.rows] == [label, "owner/judge"]


def test_what_all_rows_share_stands_under_the_table_where_people_read_it() -> None:
    runs = runs_of("weak", "cw", seeds=2)
    configs = {run.id: config(SANDBOX, seed=run.seed) for run in runs}
    rows, by_setting = table_of(configs, runs)
    cells = columns.gra_cells(rows, by_setting, table_notes(runs, configs))
    markdown, latex = to_markdown(cells), to_latex(cells)
    assert not {"opponent", "gold reward"} & set(cells.columns)
    for text in (markdown, latex):
        table, _, under = text.partition("GRA: against the policy before alignment")
        assert "Weak labels" in table
        assert "judged by the sandbox oracle" in under
        assert "2 seeds: the seed moved" in under
    assert markdown.splitlines()[4] == ""  # else it would be a row
    assert latex.count(r"\par{\footnotesize ") == latex.count(r"\par}") == 2
    assert "sandbox oracle" not in to_csv(cells)


def test_a_bundle_from_before_the_terms_is_compared_by_the_cells_it_has() -> None:
    """Nor by its β, which it left open, nor by a number where a setting has a name now; by all else it is."""
    gra_terms = dict.fromkeys(COLUMNS, "said")
    numbered: dict[str, Rows] = {"gra": [{"label": "CW (1)", "estimate": 0.5, "beta": None}]}
    named: dict[str, Rows] = {"gra": [{"label": "CW · joint", "estimate": 0.4, "beta": 0.5, **gra_terms}]}
    found, cells = rerun.compare(numbered, named)
    assert ([one.column for one in found], cells) == (["estimate"], 1)
    stated: dict[str, Rows] = {"gra": [{"label": "CW (1)", "estimate": 0.5, "beta": None, **gra_terms}]}
    assert [one.column for one in rerun.compare(stated, named)[0]] == ["label", "estimate", "beta"]
    old: dict[str, Rows] = {"gra": [{"label": "CW", "estimate": 0.5}]}
    new: dict[str, Rows] = {"gra": [{"label": "CW", "estimate": 0.5, **gra_terms}]}
    assert rerun.compare(old, new) == ([], 2)
    assert [one.column for one in rerun.compare(new, old)[0]] == list(COLUMNS)
    other: dict[str, Rows] = {"gra": [{"label": "CW", "estimate": 0.5, **gra_terms, "gold_reward": "another"}]}
    assert [one.column for one in rerun.compare(other, new)[0]] == ["gold_reward"]


def test_a_bundle_is_compared_by_the_columns_that_it_states() -> None:
    """A figure that was declared later is not held against it, nor is a share of pairs that it left open."""
    terms = dict.fromkeys(COLUMNS, "said")
    old: dict[str, Rows] = {"gra": [{"label": "Random 30 %", "estimate": 0.5, "top_percent": None, **terms}]}
    new: dict[str, Rows] = {"gra": [{"label": "Random 30 %", "estimate": 0.5, "top_percent": 30.0, "new": 1, **terms}]}
    assert rerun.compare(old, new) == ([], 2 + len(COLUMNS))
    assert [one.column for one in rerun.compare(new, old)[0]] == ["top_percent", "new"]
