"""The door for commands: what is checked, what is shared, what is deleted, and what is said when a server is down."""

import pytest

from cwpo.errors import ConfigError
from cwpo.stages.graph import build
from db.errors import FinishedRun, UnknownRun
from tests.workers.conftest import Workplace
from workers import api, devices, doctor, scheduler
from workers.places import store


def test_submit_checks_that_files_exist(workplace: Workplace) -> None:
    with pytest.raises(ConfigError, match=r"data\.dataset: /nowhere\.jsonl does not exist"):
        api.submit_run(workplace.config(data={"dataset": "/nowhere.jsonl"}))


def test_submit_pins_the_content_of_local_files(workplace: Workplace) -> None:
    run_id = api.submit_run(workplace.config()).run_id
    config = api.export_run(run_id)["config"]
    assert config["data"]["revision"].startswith("sha256:")
    assert config["model"]["policy_revision"] == config["model"]["annotator_revision"]


def test_sweep_with_a_bad_run_submits_none(workplace: Workplace) -> None:
    good, bad = workplace.config(), workplace.config(model={"policy": "/no/model"})
    with pytest.raises(ConfigError, match=r"model\.policy"):
        api.submit_sweep([good, bad], "mixed")
    assert api.plan([good]).stages_new == len(build(good))


def test_cancel_stops_only_what_no_other_run_wants(workplace: Workplace) -> None:
    cw, weak = (api.submit_run(workplace.config(method=method)).run_id for method in ("cw", "weak"))
    api.cancel_run(cw)
    assert workplace.stage(cw, "align").status == "cancelled"
    assert workplace.stage(weak, "annotator").status == "queued"
    with pytest.raises(FinishedRun):
        api.cancel_run(cw)
    assert api.retry_run(cw).run_ids == (cw,)
    assert workplace.stage(cw, "align").status == "queued"


def test_priority_of_a_run_reaches_the_stages_it_shares(workplace: Workplace) -> None:
    low, high = (api.submit_run(workplace.config(method=method)).run_id for method in ("cw", "weak"))
    api.reprioritise(high, 5)
    assert workplace.stage(low, "annotator").priority == 5
    assert workplace.stage(low, "align").priority == 0


def test_delete_removes_artifacts_no_other_run_uses(workplace: Workplace) -> None:
    kept, gone = (api.submit_run(workplace.config(method=method)).run_id for method in ("cw", "weak"))
    own, shared = workplace.stage(gone, "align").fingerprint, workplace.stage(gone, "annotator").fingerprint
    for fingerprint in (own, shared):
        with store().build(fingerprint) as folder:
            (folder / "summary.json").write_text("{}")
    api.cancel_run(gone)
    assert api.delete_run(gone).artifacts == 4  # align, samples, scores, evaluation
    assert store().find(own) is None
    assert store().find(shared) is not None
    assert workplace.run(kept).status == "queued"
    with pytest.raises(UnknownRun):
        api.delete_run(gone)


def test_health_names_what_is_down(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = api.health()
    assert (healthy.redis_ok, healthy.database_ok, healthy.storage_ok) == (True, True, True)
    monkeypatch.setenv("REDIS_URL", "unix:///nonexistent/redis.sock")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    down = api.health()
    assert (down.redis_ok, down.database_ok) == (False, False)
    assert "queued runs start when it is back" in down.redis_detail
    bad = {finding.about for finding in doctor.examine() if not finding.ok}
    assert {"redis", "database"} <= bad


def test_doctor_names_a_damaged_artifact(workplace: Workplace) -> None:
    fingerprint = "ab" * 32
    with store().build(fingerprint) as folder:
        (folder / "summary.json").write_text("{}")
    (store().path(fingerprint) / "summary.json").write_text('{"forged": 1}')
    bad = [finding.text for finding in doctor.examine() if not finding.ok]
    assert bad[0].startswith("abababababab: summary.json has changed")


@pytest.mark.parametrize(
    ("wish", "gpu", "expected"),
    [("auto", False, "any"), ("auto", True, "gpu"), ("cpu", True, "cpu"), ("gpu", False, "gpu")],
)
def test_models_go_to_the_device_that_is_wished_for(workplace: Workplace, wish: str, gpu: bool, expected: str) -> None:
    config = workplace.config(execution={"device": wish})
    placed = {stage.slot: stage.device for stage in scheduler.new_stages(config, build(config), gpu=gpu)}
    assert (placed["align"], placed["data"], placed["evaluation"]) == (expected, "any", "any")


@pytest.mark.parametrize(("value", "expected"), [("", ()), ("-1", ()), ("0,2", ("0", "2")), ("GPU-ab", ("GPU-ab",))])
def test_visible_gpus_follow_cuda_visible_devices(
    value: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices.visible_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.visible_gpus() == expected
    devices.visible_gpus.cache_clear()
