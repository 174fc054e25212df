"""A cluster without internet: `cwpo fetch` where the hub is in reach, then whole runs where it is not."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cwpo.bounds import yaml_text
from cwpo.config import catalog
from cwpo.config.run import merged
from tests.cwpo import byte_models
from tests.hub_server import Hub, Repo, serve
from workers.cli.main import main

ROOT = Path(__file__).parents[3]
QUICK = {"epochs": 1, "batch_size": 4, "lr": 1e-3}
TRAINING = {"annotator": QUICK, "sft": QUICK, "align": QUICK}
RUN = {**TRAINING, "method": "cw", "evaluation": {"max_new_tokens": 4}}
TLDR = {**RUN, "data": {"dataset": "tldr", "test_prompts": 4, "label_fraction": 0.5},
        "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-1.3b"}}  # fmt: skip
SHP = {**RUN, "data": {"dataset": "shp", "subset": "askbaking", "test_prompts": 4, "label_fraction": 0.5},
       "model": {"annotator": "facebook/opt-125m", "policy": "meta-llama/Llama-3.1-8B-Instruct"}}  # fmt: skip
OWN = {**RUN, "data": {"dataset": "tiny/prefs", "subset": "clean"}, "model": TLDR["model"],
       "evaluation": {"gold_reward": "trained"}}  # fmt: skip
WRONG = {**RUN, "data": {"dataset": "nobody/nothing"}, "evaluation": {"gold_reward": "trained"},
         "model": {"annotator": "facebook/opt-125m", "policy": "facebook/opt-6.7b"}}  # fmt: skip

LOGIN_NODE = """
import sys
from pathlib import Path
from workers.cli.main import main
good, wrong = sys.argv[1:4], sys.argv[4]
def fetch(*configs):
    code = main(["fetch", *configs])
    print(f"exit {code}", flush=True)
fetch(*good, wrong)
fetch(*good)
(weights,) = Path(sys.argv[5]).glob("models--OpenAssistant--*/snapshots/*/model.safetensors")
weights.resolve().unlink()
weights.unlink()
fetch(*good)
"""

COMPUTE_NODE = """
import json, os, sys, yaml
from pathlib import Path
from cwpo.config.run import RunConfig
from cwpo.errors import CwpoError
from db import queries
from db.engine import upgrade
from db.records import RunFilters
from workers import api
from workers.machine.database import reading
from workers.queue import job, lease
upgrade(os.environ["DATABASE_URL"])
def read(path):
    return RunConfig.parse(yaml.safe_load(Path(path).read_text()))
configs = [read(path) for path in sys.argv[1:3]]
api.plan(configs)
for config in configs:
    api.submit_run(config)
missing = []
for path in sys.argv[3:]:
    try:
        api.submit_run(read(path))
    except CwpoError as error:
        missing.append(str(error))
assert not [name for name in ("torch", "transformers", "datasets") if name in sys.modules]
os.environ["CWPO_WORKER_ID"] = str(lease.register_worker("compute", "cpu"))
os.environ["CWPO_DEVICE"] = "cpu"
job.work()
with reading() as session:
    ids = [row.id for row in queries.list_runs(session, filters=RunFilters(), after=None, limit=9).rows]
said = [api.export_run(run_id) for run_id in sorted(ids)]
from cwpo.data.remote import load_splits
own = load_splits("tiny/prefs", revision=None, subset="clean")
own = {split: [row["prompt"] for row in rows] for split, rows in own.items()}
print()
print(json.dumps({"runs": said, "own": own, "missing": missing}))
"""


def parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def comparisons(split: str, count: int) -> bytes:
    return parquet(
        [
            {
                "info": {"id": f"{split}{at}", "post": f"{split} post {at}", "title": "T", "subreddit": "tifu"},
                "summaries": [{"text": f" short {at}", "policy": "a"}, {"text": f" long {at}", "policy": "b"}],
                "choice": at % 2, "worker": "w",
            }
            for at in range(count)
        ]
    )  # fmt: skip


def posts(split: str, count: int) -> bytes:
    rows = [
        {
            "post_id": f"{split}{at}", "domain": "askbaking", "history": f"{split} {at}?", "labels": at % 2,
            "human_ref_A": f"first {at}", "human_ref_B": f"second {at}", "score_ratio": 2.5,
        }
        for at in range(count)
    ]  # fmt: skip
    return "\n".join(json.dumps(row) for row in rows).encode()


def pinned(name: str, files: dict[str, bytes], *, moved: bool = False) -> Repo:
    """The repository at the commit that the catalog knows; main has no safetensors where a pull request has them."""
    pin = catalog.MODEL_PINS[name]
    commit = ("f" if moved else "") + pin.commit
    where = pin.ref or "main"
    main = {"main": byte_models.as_bin(files)} if pin.ref else {}
    return Repo("model", name, {**main, where: files}, commits={where: commit.ljust(40, "0")[:40]})


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    opt = byte_models.opt(folder / "opt", seed=0)
    card = "---\nconfigs:\n- config_name: clean\n  data_files:\n  - split: train\n    path: clean/*.parquet\n---\n"
    own = [{"prompt": f"p{at}", "chosen": "yes", "rejected": "no"} for at in range(6)]
    repos = [
        pinned("facebook/opt-125m", opt),
        pinned("facebook/opt-1.3b", byte_models.opt(folder / "larger", seed=1)),
        pinned("facebook/opt-6.7b", opt, moved=True),
        pinned("meta-llama/Llama-3.1-8B-Instruct", byte_models.llama(folder / "llama", seed=2)),
        pinned("OpenAssistant/reward-model-deberta-v3-large-v2", byte_models.deberta(folder / "deberta", seed=3)),
        pinned("stanfordnlp/SteamSHP-flan-t5-large", byte_models.steamshp(folder / "steamshp", seed=4)),
        Repo(
            "dataset",
            "openai/summarize_from_feedback",
            {
                "main": {"summarize_from_feedback.py": b"raise SystemExit"},
                "refs/convert/parquet": {
                    "comparisons/train/0000.parquet": comparisons("train", 16),
                    "comparisons/validation/0000.parquet": comparisons("validation", 6),
                    "axis/test/0000.parquet": b"never fetched",
                },
            },
        ),
        Repo(
            "dataset",
            "stanfordnlp/SHP",
            {"main": {f"askbaking/{split}.json": posts(split, count) for split, count in (("train", 16), ("test", 6))}},
        ),
        Repo(
            "dataset",
            "tiny/prefs",
            {"main": {"README.md": card.encode(), "clean/rows.parquet": parquet(own), "raw/rows.parquet": b"never"}},
        ),
    ]
    with serve(repos) as running:
        yield running


def environment(home: Path, **own: str) -> dict[str, str]:
    hidden = ("hf_", "transformers_", "http_proxy", "https_proxy", "all_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith(hidden)}
    return {
        **kept, "HF_HOME": str(home / "hf"), "CWPO_HOME": str(home / "cwpo"), "OMP_NUM_THREADS": "1",
        "DATABASE_URL": f"sqlite:///{home / 'cwpo.sqlite'}", "REDIS_URL": "redis://127.0.0.1:9/0",
        "NO_PROXY": "127.0.0.1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **own,
    }  # fmt: skip


def written(path: Path, values: dict[str, Any]) -> str:
    path.write_text(yaml_text.written(values))
    return str(path)


def python(script: str, arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)


def test_what_is_fetched_runs_to_its_result_without_the_hub(hub: Hub, tmp_path: Path) -> None:
    paths = [written(tmp_path / f"run{at}.yaml", values) for at, values in enumerate((TLDR, SHP, OWN, WRONG))]
    cache = str(tmp_path / "hf" / "hub")
    fetched = python(LOGIN_NODE, [*paths, cache], environment(tmp_path, HF_ENDPOINT=hub.url))
    assert fetched.returncode == 0, fetched.stderr[-3000:]
    _fetching_says_what_came(fetched, hub)
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    other = [{"data": {"dataset": "hh"}}, {"model": {"policy": "Qwen/Qwen2.5-7B"}}]
    never = [written(tmp_path / f"never{at}.yaml", merged(TLDR, changes)) for at, changes in enumerate(other)]
    done = python(COMPUTE_NODE, [*paths[:2], *never], environment(tmp_path, **away))
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert [(run["status"], run["error"]) for run in said["runs"]] == [("done", None)] * 2
    tldr, shp = (run["config"] for run in said["runs"])
    for run in said["runs"]:
        evaluated = run["stages"]["evaluation"]["summary"]
        assert 0 <= evaluated["gra"] <= 1
        assert evaluated["prompts"] == 4
    assert tldr["model"]["policy_revision"].startswith("0d66fae")
    assert tldr["evaluation"]["gold_revision"].startswith("c4549779")
    assert shp["evaluation"]["gold_revision"].startswith("4f1c995")
    assert shp["model"]["policy_revision"] == catalog.MODEL_PINS["meta-llama/Llama-3.1-8B-Instruct"].commit
    assert said["own"] == {"train": [f"p{at}" for at in range(6)]}
    data, model = said["missing"]
    assert "data.dataset: The dataset Anthropic/hh-rlhf is not whole in the cache, and HF_HUB_OFFLINE is set" in data
    assert "model.policy: The model Qwen/Qwen2.5-7B@d149729" in model
    assert "run `cwpo fetch CONFIG.yaml`" in model


def test_a_model_that_cannot_be_had_is_a_sentence_and_a_name_is_for_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CWPO_HOME", str(tmp_path))
    assert main(["fetch", str(tmp_path / "none.gguf"), "--name", "mine"]) == 1
    assert "none.gguf does not exist: give the path of a GGUF file." in capsys.readouterr().err
    assert main(["fetch", "smollm2", "--name", "mine"]) == 2
    assert "--name: is for one FILE.gguf" in capsys.readouterr().err


def _fetching_says_what_came(fetched: subprocess.CompletedProcess[str], hub: Hub) -> None:
    """Six models and three datasets; of the wrong run one repository is moved and one is none."""
    first, second, third = (part.strip().splitlines() for part in fetched.stdout.split("exit ")[:3])
    codes = [part[0] for part in fetched.stdout.split("exit ")[1:]]
    assert codes == ["1", "0", "0"]
    assert sum("downloaded" in line for line in first) == 8
    assert first[-1].startswith("8 of 10 repositories are here, ")
    assert "openai/summarize_from_feedback (comparisons)@" in " ".join(first)
    moved, none = (line for line in fetched.stderr.splitlines() if line.startswith("cwpo: "))
    assert "nobody/nothing does not exist on the hub" in moved + none
    assert "facebook/opt-6.7b at refs/pr/31 is f3f007b40000 now and not 3f007b4" in moved + none
    assert "set model.policy_revision to a commit that you trust" in moved + none
    assert [("here already" in line) for line in second[1:-1]] == [True] * 8
    again = [line for line in third[1:-1] if "here already" not in line]
    assert len(again) == 1
    assert again[0].startswith("OpenAssistant/reward-model-deberta-v3-large-v2@c45497790000: ")
    gets = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert not [path for path in gets if path.endswith(".bin") or "axis" in path or "raw/" in path]
    weights = [path for path in gets if path.endswith("model.safetensors")]
    assert len(weights) == 6  # one of each model, and one again that was lost
