"""A push over a loopback hub by the unpatched client, and the model that somebody else loads from there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cwpo.config.run import RunConfig
from cwpo.export import card as cards
from cwpo.export import folder, words
from tests.cwpo.export import chains
from tests.hub_server import Hub, Repo, serve

TOKEN = "hf_loopback_secret_token"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve([Repo("model", "someone/taken", {"main": {"old.safetensors": b"x", "notes.txt": b"mine"}})]) as hub:
        hub.uploads.token = TOKEN
        yield hub


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    """A merged model with its card, and the logits of the model that was trained."""
    ref, store = chains.chain(tmp_path, "opt", 2)
    trained = cards.Trained(run=3, config=RunConfig.parse({"method": "cw"}), stage="align", evaluation=None)
    folder.export(
        ref, tmp_path / "out", store=store, stage="align", fingerprint="a" * 64,
        card=lambda report: cards.card(trained, report),
    )  # fmt: skip
    return tmp_path / "out", chains.logits(chains.unmerged(ref, store).model)


def client(hub: Hub, home: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    return kept | own | {"PYTHONPATH": str(ROOT)} | changes


def pushed(hub: Hub, home: Path, *pushes: tuple[Path, str, dict[str, Any]], **changes: str) -> list[str]:
    given = json.dumps([(str(place), repo, options) for place, repo, options in pushes])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("pusher.py"))], input=given, text=True, capture_output=True,
        env=client(hub, home, **changes), timeout=400, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert TOKEN not in done.stdout + done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_a_pushed_model_is_loaded_back_with_the_trained_logits(
    hub: Hub, exported: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    """Private, in one commit, weights by LFS; and nothing that was sent holds the token or a path of this machine."""
    place, wanted = exported
    assert pushed(hub, tmp_path / "hf", (place, "me/aligned", {})) == [f"{hub.url}/me/aligned"]
    assert hub.uploads.private == {"me/aligned": True}
    assert len(hub.uploads.commits) == len(hub.uploads.stored) == 1
    repo = hub.find("model", "me/aligned")
    assert repo is not None
    files = repo.revisions["main"]
    assert set(files) == {file.name for file in place.iterdir()} | {".gitattributes"}
    assert "gold reward" in files["README.md"].decode() or "not evaluated" in files["README.md"].decode()
    for data in files.values():
        assert TOKEN.encode() not in data
        assert str(tmp_path).encode() not in data
    code = "\n".join(
        (
            words.loading("me/aligned"),
            "rows = torch.tensor([[1, 5, 9, 20, 7, 33], [1, 4, 4, 30, 12, 6]])",
            "with torch.no_grad(): print(model(input_ids=rows).logits.double().abs().sum().item())",
        )
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=client(hub, tmp_path / "other"), text=True, capture_output=True, timeout=400,
        check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr[-3000:]
    assert float(loaded.stdout.split()[-1]) == pytest.approx(wanted.double().abs().sum().item(), rel=1e-6)


def test_a_repository_that_exists_is_refused_unless_its_files_may_be_replaced(
    hub: Hub, exported: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    """Weights that are not this model's go then; what else lies there stays. An upload that failed can be repeated."""
    place, _ = exported
    hub.uploads.fails = 1
    answers = pushed(
        hub, tmp_path / "hf",
        (place, "someone/taken", {}), (place, "me/again", {}), (place, "me/again", {}), (place, "not a name", {}),
        (place, "someone/taken", {"existing": True}),
    )  # fmt: skip
    assert answers[0].startswith("refused: REPO: someone/taken exists already: give another name")
    assert answers[1].startswith("refused: The hub answered 500 for the model me/again")
    assert answers[2] == f"{hub.url}/me/again"
    assert answers[3] == "refused: REPO: 'not a name' is no name of a repository: write OWNER/NAME."
    assert answers[4] == f"{hub.url}/someone/taken"
    repo = hub.find("model", "someone/taken")
    assert repo is not None
    assert "old.safetensors" not in repo.revisions["main"]
    assert repo.revisions["main"]["notes.txt"] == b"mine"


def test_without_a_token_or_with_secrets_in_it_nothing_is_sent(
    hub: Hub, exported: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    place, _ = exported
    missing = pushed(hub, tmp_path / "hf", (place, "me/aligned", {}), HF_TOKEN="")
    assert missing[0].startswith("refused: There is no token for the hub: set HF_TOKEN")
    wrong = pushed(hub, tmp_path / "hf", (place, "me/aligned", {}), HF_TOKEN="hf_wrong")
    assert "check HF_TOKEN" in wrong[0] or "set HF_TOKEN" in wrong[0]
    (place / "README.md").write_text(f"see {TOKEN}")
    told = pushed(hub, tmp_path / "hf", (place, "me/aligned", {}))
    assert told == ["refused: README.md holds a path or token of this machine, so nothing was sent: export it again."]
    assert hub.find("model", "me/aligned") is None
