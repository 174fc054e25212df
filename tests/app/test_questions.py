"""Compare's questions beyond GRA, over a small sweep that this process computes: what C gains by annotator, labels from
one source or dataset to another, and β tuned for each method."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from app.components.frame.address import compact
from cwpo.config.run import RunConfig
from cwpo.report.numbers import percent
from db import queries
from tests.app.test_paper import lines_of
from tests.app.visits import visit, words
from tests.cwpo import tiny
from tests.workers.conftest import place, workplace
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading
from workers.queue import job

__all__ = ["place", "workplace"]  # the fixtures of these names
BETAS = [0.1, 0.5]
HELD_OUT = 24


def towns(folder: Path) -> str:
    """A file of random pairs, in turn from the north and from the south."""
    dice = random.Random(1)

    def text(count: int) -> str:
        return " ".join(dice.choice(tiny.WORDS) for _ in range(count))

    pairs = [
        {"prompt": text(5), "chosen": text(6), "rejected": text(4), "source": ("north", "south")[number % 2]}
        for number in range(160)
    ]
    file = folder / "towns.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return str(file)


def swept(place: Workplace, folder: Path) -> tuple[dict[int, RunConfig], int]:
    """Labels of the north at two β and of the south at one, each by weight 1 and by C; and one run on other pairs with
    the annotator of the north."""
    over: dict[str, Any] = {"method": ["weak", "cw"], "evaluation": {"baseline": "common"}}
    data = {"dataset": towns(folder), "test_prompts": HELD_OUT}
    configs = [
        *place.sweep(**over, data={**data, "labeled_sources": "north"}, align={"beta": BETAS}),
        *place.sweep(**over, data={**data, "labeled_sources": "south"}, align={"beta": BETAS[1]}),
    ]
    ids = [one.run_id for one in api.submit_sweep(configs, "towns")]
    job.work(0)
    use = place.stage(ids[0], "annotator").fingerprint
    elsewhere = api.submit_run(place.config(method="weak", annotator={"use": use})).run_id
    job.work(0)
    return dict(zip(ids, configs, strict=True)), elsewhere


def gra(place: Workplace, run_id: int) -> float:
    evaluation = place.run(run_id).evaluation
    assert evaluation is not None
    return evaluation.gra


def labels_met(*run_ids: int) -> list[str]:
    """How many of the labels of each run agree with people, in percent."""
    with reading() as session:
        found = queries.label_summaries(session, run_ids)
    human = [found[run_id].human for run_id in run_ids]
    return [percent(one.accuracy.estimate).removesuffix(" %") for one in human if one is not None]


def test_gains_transfer_and_tuned_beta_are_drawn_of_two_annotators_and_two_betas(
    place: Workplace, tmp_path: Path
) -> None:
    """Gains are differences of both weights' GRA on the same prompts; labels met are those of each labels stage."""
    configs, elsewhere = swept(place, tmp_path)
    page = visit("compare", runs=compact((*configs, elsewhere)), further="Annotators")
    said, drawn = words(page), {chart.proto.alt for chart in page.get("plotly_chart")}

    won = {(one.data.labeled_sources, one.align.beta, one.method): gra(place, run) for run, one in configs.items()}
    gained = [100 * (won[*where, "cw"] - won[*where, "weak"]) for where in {key[:2] for key in won}]
    lines = lines_of(page, "weighted", "ECE")
    shown = [float(line["points"].replace("−", "-")) for line in lines]
    assert sorted(shown) == pytest.approx(sorted(gained), abs=0.06)
    assert {f"What C gains, by annotator: {axis}" for axis in ("calibration", "sorting")} <= drawn
    assert "A rank correlation needs 5 annotators." in said

    north, *_, south = configs
    lines = lines_of(page, "learned from", "labels pairs of")
    assert [(line["learned from"], line["labels pairs of"]) for line in lines] == [
        ("towns.jsonl: north", "pairs.jsonl"),
        ("towns.jsonl: north", "towns.jsonl: all sources"),
        ("towns.jsonl: south", "towns.jsonl: all sources"),
    ]
    assert [line["labels met, %"] for line in lines] == labels_met(elsewhere, north, south)
    assert {f"From one source to another: {what}" for what in ("labels met", "AUROC of C")} <= drawn

    (tuned,) = lines_of(page, "difference at each one's β")
    assert {tuned["first's β"], tuned["second's β"]} <= {f"{beta:g}" for beta in BETAS}
    assert int(tuned["prompts that chose"]) + int(tuned["prompts"]) == HELD_OUT
    assert "All methods chose among β 0.1, 0.5." in said
