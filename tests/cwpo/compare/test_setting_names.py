"""What settings are called: method, objective, β, and what else they differ in; a number only where nothing says it."""

import io
from typing import Any

import pytest
from rich.console import Console

from cwpo.compare import gra
from cwpo.compare.gra import differences, gra_table
from cwpo.compare.setting_names import told_apart
from cwpo.compare.two_judges import gold_table
from cwpo.config.run import RunConfig, merged
from tests.cwpo.compare.compared_runs import ALIKE, Run, outcomes_of
from workers.cli.console import show_table


def labels_of(*settings: dict[str, Any]) -> list[str]:
    """The labels of one run per setting, by the call that pages make."""
    configs = {place: RunConfig.parse(values) for place, values in enumerate(settings)}
    runs = [
        Run(id=place, group_key=config.group_key(), method=config.method, method_label=config.method_label,
            objective=config.objective, seed=config.seed, baseline="x")
        for place, config in configs.items()
    ]  # fmt: skip
    found = gra.labels_of(runs, configs)
    return [found[run.group_key] for run in runs]


TOP = {"method": "top:30"}


@pytest.mark.parametrize(
    ("second", "named"),
    [
        ({"align": {"steps": "pool"}}, ("Top 30 %", "Top 30 % · equal steps")),
        ({"data": {"label_fraction": 0.5}}, ("Top 30 % · 30 % labels", "Top 30 % · 50 % labels")),
        ({"data": {"swapped_labels": 0.1}}, ("Top 30 %", "Top 30 % · swapped 10 %")),
        ({"data": {"sandbox": {"noise": 3}}}, ("Top 30 % · noise 1.5", "Top 30 % · noise 3")),
        ({"annotator": {"kind": "joint"}}, ("Top 30 %", "Top 30 % · joint")),
        ({"annotator": {"members": 4}}, ("Top 30 %", "Top 30 % · 4 annotators")),
        (
            {"annotator": {"label_dropout": 0.2, "passes": 8}},
            ("Top 30 %", "Top 30 % · label dropout 0.2 · 8 passes"),
        ),
        ({"model": {"policy": "sandbox/opt-48"}}, ("Top 30 % · opt-64", "Top 30 % · opt-48")),
        ({"evaluation": {"gold_reward": "trained"}}, (
            "Top 30 % · gold reward oracle", "Top 30 % · gold reward trained",
        )),
        ({"align": {"lr": 1e-3}}, ("Top 30 % · lr 0.0003", "Top 30 % · lr 0.001")),
        ({"annotator": {"early_stopping": True}}, (
            "Top 30 % · annotator early stopping no", "Top 30 % · annotator early stopping yes",
        )),
        ({"align": {"warmup_steps": 5}}, ("Top 30 % · warmup steps 0", "Top 30 % · warmup steps 5")),
        ({"sft": {"warmup_steps": 5}}, ("Top 30 % · SFT warmup steps 0", "Top 30 % · SFT warmup steps 5")),
        ({"seeds": {"split": 3}}, ("Top 30 %", "Top 30 % · split seed 3")),
        ({"evaluation": {"samples": 3}}, ("Top 30 % · evaluation samples 2", "Top 30 % · evaluation samples 3")),
        ({"align": {"beta": 0.25}}, ("Top 30 % · β 0.5", "Top 30 % · β 0.25")),
    ],
)  # fmt: skip
def test_settings_of_one_name_say_what_they_differ_in(second: dict[str, Any], named: tuple[str, str]) -> None:
    assert tuple(labels_of(TOP, merged(TOP, second))) == named


def test_only_settings_of_one_name_are_told_apart() -> None:
    pool = {"align": {"steps": "pool"}}
    found = labels_of(
        {"method": "cw"}, {"method": "cw", **pool}, {"method": "human", **pool}, {"method": "human", "objective": "ipo"}
    )
    assert found == ["CW · DPO", "CW · DPO · equal steps", "Human · DPO", "Human · IPO"]


def test_a_name_says_no_more_than_it_takes_where_much_differs() -> None:
    """Another dataset brings another gold reward and five other fields; the dataset alone tells them apart."""
    hub = {"method": "cw", "data": {"dataset": "tldr"}}
    assert labels_of({"method": "cw"}, hub) == ["CW · Sandbox", "CW · Reddit TL;DR"]
    revisions = [merged(hub, {"data": {"revision": revision * 40}}) for revision in "ab"]
    assert labels_of(*revisions) == [f"CW · revision {revision * 24}" for revision in "ab"]


def test_what_nothing_says_is_numbered() -> None:
    """Without a configuration there is nothing to say."""
    assert told_apart([None, None]) == ["", ""]
    runs = [
        Run(id=i, group_key=str(i), method="cw", method_label="CW", objective="dpo", seed=0, baseline="x")
        for i in (1, 2)
    ]
    assert gra.labels_of(runs, {}) == {"1": "CW (1)", "2": "CW (2)"}
    rows = gra_table(runs, outcomes_of(runs, chance=ALIKE))
    assert [row.label for row in rows] == ["CW (1)", "CW (2)"]


def test_every_table_uses_these_names() -> None:
    """GRA, differences and two gold rewards, from the configurations beside them."""
    settings = [{"method": "cw"}, {"method": "cw", "align": {"steps": "pool"}}]
    configs = {place: RunConfig.parse(values) for place, values in enumerate(settings)}
    runs = [
        Run(id=i, group_key=str(i), method="cw", method_label="CW", objective="dpo", seed=0, baseline="x")
        for i in (0, 1)
    ]
    outcomes = outcomes_of(runs, chance=ALIKE)
    rows = gra_table(runs, outcomes, configs=configs)
    assert [(row.label, row.steps) for row in rows] == [("CW", "kept"), ("CW · equal steps", "pool")]
    assert rows[0].place == rows[1].place
    (pair,) = differences(runs, outcomes, pairs=[("1", "0")], configs=configs)
    assert pair.label == "CW · equal steps − CW"
    judged = outcomes.assign(score=1.0, baseline_score=0.0)
    assert [row.label for row in gold_table(runs, judged, judged, configs=configs)] == ["CW", "CW · equal steps"]


def test_a_name_with_brackets_reaches_the_terminal_as_it_is() -> None:
    """The folder of a dataset may be called anything; none of it is markup."""
    out = io.StringIO()
    show_table("GRA", ["method"], [["CW · pairs[/b][red]"]], Console(file=out, width=80))
    assert "CW · pairs[/b][red]" in out.getvalue()
