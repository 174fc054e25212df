"""A model exported and sent to the hub at the push of a button: processes of their own, which say how far they are."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cwpo.errors import ConfigError
from cwpo.export import words
from cwpo.models.load import ModelRef, load_policy
from tests.cwpo.export.chains import logits
from tests.hub_server import Hub, serve
from tests.workers.computed import finish
from tests.workers.workplace import Workplace, wait_for
from workers.api import models
from workers.api.submitting import submit_run
from workers.cli.main import main
from workers.machine.paths import store
from workers.queue import exports
from workers.queue.exports import DONE, FAILED, RUNNING, STOPPED, Export, Wanted

TOKEN = "hf_loopback_secret_token"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve([]) as hub:
        hub.uploads.token = TOKEN
        yield hub


@pytest.fixture
def run(place: Workplace, kept: Path) -> int:
    """A finished run with two adapters, one on another."""
    config = place.config(model={"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}, sft={"data": "labeled", "epochs": 1})
    run_id = submit_run(config).run_id
    finish(kept, run_id)
    return run_id


def wanted(run: int, **changes: object) -> Wanted:
    return Wanted(**{"run": run, "stage": "align", "form": words.MERGED, "dtype": "fp32", **changes})  # type: ignore[arg-type]


def ended(run: int) -> Export:
    wait_for(lambda: models.exports(run)[0].status != RUNNING)
    return models.exports(run)[0]


def test_a_run_s_models_are_exported_downloaded_and_sent_to_the_hub(
    run: int, place: Workplace, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The aligned model lies on the SFT model's adapter; its merged logits are those of both, and its card has the
    GRA; the token of the environment is in no file."""
    found = {model.stage: model.stored for model in models.models(run)}
    assert list(found) == ["align", "sft", "annotator"]
    assert [len(one.adapters) if one else None for one in found.values()] == [2, 1, 0]
    assert found["align"] is not None
    assert found["align"].chain == "model + adapter of SFT + adapter of Alignment"
    assert models.export_model(wanted(run)).status == RUNNING
    with pytest.raises(ConfigError, match="is being done already"):
        models.export_model(wanted(run))
    done = ended(run)
    assert (done.status, done.report is not None) == (DONE, True), done.said
    assert "Logits on 8 prompts differ" in done.said
    from transformers import AutoModelForCausalLM

    folder = store().find(found["align"].fingerprint)
    options = {"device": "cpu", "precision": "fp32", "trainable": False, "lora": None, "seed": 0}
    trained = load_policy(ModelRef(artifact=folder), store=store(), parents="apart", **options).model  # type: ignore[arg-type]
    got = logits(AutoModelForCausalLM.from_pretrained(done.folder).eval())
    assert (got - logits(trained)).abs().max() <= 1e-5 * got.abs().max()

    card = (done.folder / "README.md").read_text()
    assert "GRA (gold reward accuracy)" in card
    assert "12 held-out prompts" in card
    assert str(place.home) not in card

    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    models.push_model(wanted(run, repo="me/aligned"))
    sent = ended(run)
    assert (sent.status, sent.said) == (DONE, f"me/aligned is on the hub: {hub.url}/me/aligned")
    assert hub.uploads.private == {"me/aligned": True}
    repo = hub.find("model", "me/aligned")
    assert repo is not None
    assert repo.revisions["main"]["model.safetensors"] == (done.folder / "model.safetensors").read_bytes()
    for file in [*place.home.joinpath("exports").rglob("*"), *place.home.joinpath("logs").rglob("*")]:
        assert file.is_dir() or TOKEN.encode() not in file.read_bytes(), file
    models.push_model(wanted(run, repo="me/aligned"))
    assert ended(run).said.startswith("REPO: me/aligned exists already")

    assert main(["export", str(run), "--to", str(place.home / "adapters")]) == 0
    assert (place.home / "adapters" / "2" / "adapter_model.safetensors").is_file()
    assert main(["export", str(run), "--stage", "annotator"]) == 2
    assert "export it with --merged" in capsys.readouterr().err
    models.remove_export(wanted(run))
    assert not done.folder.exists()


def test_a_killed_export_is_a_sentence_and_leaves_nothing_half_made(run: int, place: Workplace) -> None:
    models.export_model(wanted(run, stage="sft"))
    record = json.loads((place.home / "exports" / f"run-{run}-sft-merged-fp32.json").read_text())
    psutil.Process(record["pid"]).kill()
    found = ended(run)
    assert (found.status, found.said) == (STOPPED, "It was stopped before its end; nothing of it is kept.")
    assert not found.folder.exists()
    models.export_model(wanted(run, stage="sft"))
    assert ended(run).status == DONE


def test_what_only_the_process_finds_is_its_sentence(run: int, place: Workplace) -> None:
    """As files that are gone from this machine."""
    fingerprint = next(model.fingerprint for model in models.models(run) if model.stage == "sft")
    store().delete(fingerprint)
    assert [model.problem for model in models.models(run) if model.stage == "sft"] != [""]
    models.export_model(wanted(run, stage="sft"))
    assert (ended(run).status, ended(run).said) == (
        FAILED, f"run: {run}: the files of its SFT model are not on this machine.",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="is not one of align, sft, annotator"):
        models.trained(run, "gold")
    exports.remove(wanted(run, stage="sft"))
    assert models.exports(run) == []
