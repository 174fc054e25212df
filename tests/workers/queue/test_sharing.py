"""Runs share stages: counted in attempts, over real workers."""

import yaml

from cwpo.bounds import yaml_text
from cwpo.stages.graph import build
from db import queries
from tests.workers.workplace import Workplace
from workers import api
from workers.cli import main
from workers.machine.database import reading
from workers.machine.paths import store


def test_sweep_trains_one_annotator_and_cwpo_run_reuses_all(both_workplaces: Workplace) -> None:
    """4 methods × 3 objectives: 12 runs, one annotator, one labeling, 12 alignments."""
    place = both_workplaces
    configs = place.sweep(method=["human", "weak", "cw", "top:30"], objective=["dpo", "ipo", "rdpo"])
    planned = api.plan(configs)
    assert (planned.runs, planned.stages_done, planned.seconds) == (12, 0, None)
    submitted = api.submit_sweep(configs, "methods × objectives")
    again = api.plan(configs)
    assert (again.stages_new, again.stages_shared) == (0, planned.stages_shared + planned.stages_new)
    ids = [one.run_id for one in submitted]
    with place.supervisor(workers=2):
        place.wait_done(*ids)
    with reading() as session:
        counts = {count.slot: count for count in queries.attempt_counts(session, ids)}
        attempts = {slot: (count.runs, count.stages, count.attempts) for slot, count in counts.items()}
    assert attempts["annotator"] == attempts["labels"] == (9, 1, 1)
    assert attempts["data"] == attempts["baseline_samples"] == (12, 1, 1)
    assert attempts["align"] == attempts["evaluation"] == (12, 12, 12)
    assert sum(one.reused for one in submitted) == planned.stages_shared
    assert sum(count.attempts for count in counts.values()) >= planned.stages_new

    specs = build(place.config())
    before = {spec.fingerprint: store().info(spec.fingerprint).sha256 for spec in specs.values() if
              store().find(spec.fingerprint)}  # fmt: skip
    config = place.home / "run.yaml"
    config.write_text(yaml_text.written({**place.materials, "method": "cw"}))
    assert main.main(["run", str(config), "--json", str(place.home / "out.json")]) == 0
    written = yaml.safe_load((place.home / "out.json").read_text())
    assert [slot for slot, stage in written["stages"].items() if stage["computed"]] == []
    assert (
        before.items()
        <= {
            stage["fingerprint"]: store().info(stage["fingerprint"]).sha256 for stage in written["stages"].values()
        }.items()
    )

    third = api.submit_missing(configs, "again")
    assert third == ids
    assert api.plan(configs).stages_done == planned.stages_new
    assert api.delete_run(ids[0]).artifacts > 0
