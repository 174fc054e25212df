"""The hub over a loopback server, asked by the unpatched clients: what loads, and the sentence for what does not."""

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from cwpo.models import hub as cache
from tests.cwpo import gguf_files, tiny
from tests.hub_server import Hub, Repo, commit_of, serve

Ask = Callable[..., list[dict[str, Any]]]
CLIENT = Path(__file__).parents[1] / "hub_client.py"
ROOT = Path(__file__).parents[3]
TOKEN = "hf_loopback_test_token"


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def as_bin(files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """The same model with pytorch_model.bin in place of safetensors, its output layer sharing the embedding."""
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.decoder.embed_tokens.weight"]
    stream = io.BytesIO()
    torch.save(weights, stream)
    rest = {name: data for name, data in files.items() if name != "model.safetensors"}
    return {**rest, "pytorch_model.bin": stream.getvalue()}


def without(folder: Path, weight: str) -> dict[str, bytes]:
    weights = load_file(folder / "model.safetensors")
    del weights[weight]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return files_of(folder)


def hh_rows(name: str, count: int) -> bytes:
    rows = []
    for at in range(count):
        head = f"\n\nHuman: {name} {at}?\n\nAssistant:"
        rows.append(json.dumps({"chosen": f"{head} yes {at}", "rejected": f"{head} no {at}"}))
    return gzip.compress("\n".join(rows).encode())


def posts(name: str, count: int) -> bytes:
    """SHP's rows: A is preferred where labels is 1."""
    rows = [
        {
            "post_id": f"{name}{at}", "domain": name, "history": f"{name} {at}?", "human_ref_A": f"first {at}",
            "human_ref_B": f"second {at}", "labels": at % 2, "score_ratio": 2.5,
        }
        for at in range(count)
    ]  # fmt: skip
    return "\n".join(json.dumps(row) for row in rows).encode()


def comparisons(split: str, count: int) -> bytes:
    rows = [
        {
            "info": {"id": f"{split}{at}", "post": f"{split} post {at}", "title": "T", "subreddit": "tifu"},
            "summaries": [{"text": f" short {at}", "policy": "a"}, {"text": f" long {at}", "policy": "b"}],
            "choice": at % 2,
            "worker": "w",
        }
        for at in range(count)
    ]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("models")
    opt, qwen2 = tiny.save(folder / "opt", "opt"), tiny.save(folder / "qwen2", "qwen2")
    opt_files, qwen2_files = files_of(opt), files_of(qwen2)
    half = without(tiny.save(folder / "half", "qwen2"), "model.norm.weight")
    code = json.loads(qwen2_files["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    coded = {**qwen2_files, "config.json": json.dumps(code).encode(), "modeling_x.py": b"raise SystemExit"}
    evil = {**as_bin(opt_files, opt), "pytorch_model.bin": EVIL}
    hh = {
        f"{part}/{split}.jsonl.gz": hh_rows(f"{part} {split}", count)
        for part in ("harmless-base", "helpful-base")
        for split, count in (("train", 12), ("test", 6))
    }
    script = {"summarize_from_feedback.py": b"import datasets\n", "README.md": b"---\nlicense: mit\n---\n"}
    parquet = {f"comparisons/{split}/0000.parquet": comparisons(split, 9) for split in ("train", "validation")}
    axis = {"axis/test/0000.parquet": comparisons("axis", 3)}
    prefs = {
        f"data/{split}-00000-of-00001.parquet": chats(split) for split in ("train_prefs", "test_prefs", "train_sft")
    }
    shp = {
        f"{part}/{split}.json": posts(f"{part} {split}", count)
        for part in ("askacademia", "askbaking", "askengineers", "askphilosophy", "legaladvice")
        for split, count in (("train", 6), ("validation", 2), ("test", 2))
    }
    repos = [
        Repo("model", "tiny/opt", {"main": as_bin(opt_files, opt), "refs/pr/1": opt_files}),
        Repo("model", "tiny/qwen2", {"main": qwen2_files}),
        Repo("model", "tiny/half", {"main": half}),
        Repo("model", "tiny/code", {"main": coded}),
        Repo("model", "tiny/evil", {"main": evil}),
        Repo(
            "model",
            "tiny/gguf",
            {"main": {"q8/x.gguf": gguf_files.write(folder / "x.gguf", gguf_files.llama()).read_bytes()}},
        ),
        Repo("model", "tiny/gated", {"main": qwen2_files}, gated=True),
        Repo("dataset", "Anthropic/hh-rlhf", {"main": {**hh, "red-team-attempts/red_team_attempts.jsonl.gz": b"x"}}),
        Repo("dataset", "openai/summarize_from_feedback", {"main": script, "refs/convert/parquet": parquet | axis}),
        Repo("dataset", "stanfordnlp/SHP", {"main": shp}),
        Repo("dataset", "HuggingFaceH4/ultrafeedback_binarized", {"main": prefs}),
    ]
    with serve(repos) as running:
        yield running


# Unpickling this would create a file; torch.load(weights_only=True) must refuse it.
EVIL = b"cos\nsystem\n(S'touch /tmp/cwpo-test-was-run'\ntR."


def chats(split: str) -> bytes:
    rows = []
    for at in range(8):
        prompt = {"role": "user", "content": f"{split} {at}"}
        sides = {side: [prompt, {"role": "assistant", "content": f"{side} {at}"}] for side in ("chosen", "rejected")}
        rows.append({"prompt": prompt["content"], **sides, "score_chosen": 8.0, "score_rejected": 4.0})
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    """Put questions to hub_client.py in a new process with an empty cache and the hub's address."""

    def run(*questions: tuple[str, Any], token: str = "", url: str | None = None) -> list[dict[str, Any]]:
        hidden = ("HF_", "TRANSFORMERS_", "http_proxy", "https_proxy", "all_proxy")
        kept = {
            key: value for key, value in os.environ.items() if not key.lower().startswith(hidden) and key[:3] != "HF_"
        }
        environment = {
            **kept,
            "HF_ENDPOINT": url or hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
            **({"HF_TOKEN": token} if token else {}),
        }
        done = subprocess.run(
            [sys.executable, str(CLIENT), str(tmp_path / "home")],
            input=json.dumps(questions),
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def weighed(family: str) -> float:
    with torch.no_grad():
        return float(tiny.causal_lm(family).eval()(input_ids=torch.tensor([[1, 5, 9]])).logits.double().abs().sum())


def test_models_load_or_say_why_not(ask: Ask, hub: Hub) -> None:
    main, pinned = (commit_of(hub.find("model", "tiny/opt").revisions[name]) for name in ("main", "refs/pr/1"))  # type: ignore[union-attr]
    good, again, pin, half, code, gated, missing, branch, bins = ask(
        ("policy", ["tiny/qwen2", None]),
        ("policy", ["tiny/qwen2", commit_of(hub.find("model", "tiny/qwen2").revisions["main"])]),  # type: ignore[union-attr]
        ("policy", ["tiny/opt", "refs/pr/1"]),
        ("policy", ["tiny/half", None]),
        ("policy", ["tiny/code", None]),
        ("policy", ["tiny/gated", None]),
        ("policy", ["tiny/nothing", None]),
        ("policy", ["tiny/qwen2", "v9"]),
        ("policy", ["tiny/opt", None]),
    )
    assert good["value"] == {"sum": pytest.approx(weighed("qwen2"), rel=1e-5), "ids": [6, 7]}
    assert again == good
    assert pin["value"] == {"sum": pytest.approx(weighed("opt"), rel=1e-5), "ids": [1, 6, 7]}
    assert "model.norm.weight is missing from the file" in half["sentence"]
    assert "needs its own Python code (auto_map in config.json), which is never run here" in code["sentence"]
    assert "is gated: accept its terms on the hub and set HF_TOKEN" in gated["sentence"]
    assert "The model tiny/nothing does not exist on the hub" in missing["sentence"]
    assert "tiny/qwen2 has no revision v9" in branch["sentence"]
    assert f"run `cwpo convert tiny/opt@{main}`" in bins["sentence"]
    assert "pin a revision" in bins["sentence"]
    assert main != pinned


def test_convert_reads_a_bin_once_without_the_token_and_the_copy_loads(ask: Ask, hub: Hub) -> None:
    commit = commit_of(hub.find("model", "tiny/opt").revisions["main"])  # type: ignore[union-attr]
    made, loaded, checked, safe, evil, evil_still, packed, unpacked, missing = ask(
        ("convert", [f"tiny/opt@{commit}"]),
        ("policy", ["tiny/opt", commit]),
        ("check", ["tiny/opt", None]),
        ("convert", ["tiny/qwen2"]),
        ("convert", ["tiny/evil@main"]),
        ("check", ["tiny/evil", None]),
        ("check", ["tiny/gguf", None]),
        ("convert", ["tiny/gguf@main:q8/x.gguf"]),
        ("convert", ["tiny/gguf@main:y.gguf"]),
        token=TOKEN,
    )
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(made["value"]["files"])
    assert not any(name.endswith(".bin") for name in made["value"]["files"])
    assert "no sockets" in json.loads(made["value"]["about"])["confinement"]
    assert loaded["value"] == {"sum": pytest.approx(weighed("opt"), rel=1e-5), "ids": [1, 6, 7]}
    assert checked["value"] == commit
    assert "has safetensors weights: it loads as it is" in safe["sentence"]
    assert "could run code; it is refused" in evil["sentence"]
    assert "run `cwpo convert tiny/evil@" in evil_still["sentence"]
    assert not Path("/tmp/cwpo-test-was-run").exists()
    packed_at = commit_of(hub.find("model", "tiny/gguf").revisions["main"])  # type: ignore[union-attr]
    assert f"has GGUF files alone: run `cwpo convert tiny/gguf@{packed_at}:q8/x.gguf`" in packed["sentence"]
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(unpacked["value"]["files"])
    about = json.loads(unpacked["value"]["about"])
    assert (about["repo"], about["commit"], about["dequantized_to"]) == ("tiny/gguf", packed_at, "float32")
    assert "has no file y.gguf" in missing["sentence"]


def test_datasets_load_in_their_published_shapes(ask: Ask) -> None:
    common = {"revision": None, "test_prompts": 5}
    harmless, both, tldr, script, prefs, generic, missing, subset = ask(
        ("data", {**common, "dataset": "hh-harmless", "subset": None}),
        ("data", {**common, "dataset": "hh", "subset": None}),
        ("data", {**common, "dataset": "tldr", "subset": None}),
        ("data", {**common, "dataset": "openai/summarize_from_feedback", "subset": None}),
        ("data", {**common, "dataset": "ultrafeedback", "subset": None}),
        ("data", {**common, "dataset": "Anthropic/hh-rlhf", "subset": "helpful-base"}),
        ("data", {**common, "dataset": "nobody/nothing", "subset": None}),
        ("data", {**common, "dataset": "hh", "subset": "nowhere"}),
    )
    assert harmless["value"]["summary"]["train_pairs"] == 12
    assert harmless["value"]["first"].startswith("\n\nHuman: harmless-base train")
    assert all("harmless-base test" in prompt for prompt in harmless["value"]["prompts"])
    assert both["value"]["summary"]["train_pairs"] == 24
    assert tldr["value"]["first"] == "SUBREDDIT: r/tifu\n\nTITLE: T\n\nPOST: train post 0\n\nTL;DR:"
    assert all("validation post" in prompt for prompt in tldr["value"]["prompts"])
    assert "set data.revision to refs/convert/parquet" in script["sentence"]
    assert prefs["value"]["first"].startswith("Human: train_prefs")
    assert all("test_prefs" in prompt for prompt in prefs["value"]["prompts"])
    assert generic["value"]["first"].startswith("\n\nHuman: helpful-base train")
    assert "The dataset nobody/nothing does not exist on the hub" in missing["sentence"]
    which = "harmless-base, helpful-base, red-team-attempts"
    assert f"has no subset 'nowhere': check data.subset, which is one of {which}." in subset["sentence"]


def test_parts_of_a_dataset_are_joined_and_name_their_source(ask: Ask) -> None:
    common = {"revision": None, "test_prompts": 3, "subset": None}
    both, shp, one = ask(
        ("data", {**common, "dataset": "hh", "parts": {"harmless": "harmless-base", "helpful": "helpful-base"}}),
        ("data", {**common, "dataset": "shp", "parts": {name: name for name in ("askbaking", "askacademia")}}),
        ("data", {**common, "dataset": "shp", "subset": "askengineers", "test_prompts": 1}),
    )
    assert both["value"]["summary"]["sources"] == {"harmless": 12, "helpful": 12}
    assert both["value"]["first"].startswith("\n\nHuman: harmless-base train")
    assert shp["value"]["summary"]["sources"] == {"askacademia": 6, "askbaking": 6}
    assert shp["value"]["first"] == "Human: askacademia train 0?\n\nAssistant:\n"
    assert all(" test " in prompt for prompt in shp["value"]["prompts"])
    assert one["value"]["summary"]["train_pairs"] == 6
    assert "sources" not in one["value"]["summary"]


def test_submission_pins_commits_and_checks_without_torch(ask: Ask, hub: Hub) -> None:
    convert = "refs/convert/parquet"
    model, data, none, id_, code, bins, heavy = ask(
        ("revision", ["model", "tiny/qwen2", None]),
        ("revision", ["dataset", "openai/summarize_from_feedback", convert]),
        ("revision", ["dataset", "nobody/nothing", None]),
        ("revision", ["model", "http://169.254.169.254/x", None]),
        ("check", ["tiny/code", None]),
        ("check", ["tiny/opt", None]),
        ("heavy", []),
        token=TOKEN,
    )
    assert model["value"] == commit_of(hub.find("model", "tiny/qwen2").revisions["main"])  # type: ignore[union-attr]
    found = hub.find("dataset", "openai/summarize_from_feedback")
    assert data["value"] == commit_of(found.revisions[convert])  # type: ignore[union-attr]
    assert none["error"] == "ConfigError"
    assert none["sentence"].startswith("the.field: The dataset nobody/nothing does not exist")
    assert "neither a folder nor a hub id" in id_["sentence"]
    assert "its own Python code" in code["sentence"]
    assert "cwpo convert" in bins["sentence"]
    assert heavy["value"] == []
    assert ("GET", "/api/models/tiny/qwen2", f"Bearer {TOKEN}") in hub.asked


def test_without_a_hub_the_sentence_names_the_endpoint(ask: Ask) -> None:
    (gone,) = ask(("revision", ["model", "tiny/qwen2", None]), url="http://127.0.0.1:9")
    assert (
        "The hub could not be reached for the model tiny/qwen2: check the network and HF_ENDPOINT" in gone["sentence"]
    )


# What stands at the hub's address: a page of a proxy, or JSON that is no answer of a hub, by the repository's name.
ODD = {
    "page": b"<html><body>Sign in to the network</body></html>", "empty": b"", "cut": b'{"id": "odd/cut", "sha": "aa',
    "latin": b"\xff\xfe\x00", "null": b"null", "list": b"[]", "text": b'"main"', "bare": b"{}",
    "number": b'{"id": "odd/number", "sha": 7}', "path": b'{"id": "odd/path", "sha": "../../../../etc"}',
    "files": b'{"id": "odd/files", "sha": "%s", "siblings": 3}' % (b"a" * 40),
    "file": b'{"id": "odd/file", "sha": "%s", "siblings": ["a"]}' % (b"a" * 40),
}  # fmt: skip


@contextmanager
def odd_hub() -> Iterator[str]:
    """An address that answers everything with 200 and one of these bodies."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = next((data for name, data in ODD.items() if f"/odd/{name}" in self.path), b"<html>")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_no_answer_of_a_hub_is_a_sentence(ask: Ask) -> None:
    with odd_hub() as url:
        questions = [(kind, name) for name in ODD for kind in ("model", "dataset")]
        answers = ask(*(("revision", [kind, f"odd/{name}", None]) for kind, name in questions), url=url)
        checked = ask(*(("check", [f"odd/{name}", None]) for name in ODD), url=url)
    asked = [*questions, *(("model", name) for name in ODD)]
    for (kind, name), answer in zip(asked, [*answers, *checked], strict=True):
        said = f"the.field: What the hub answered for the {kind} odd/{name} cannot be read: check HF_ENDPOINT, or try "
        assert answer.get("sentence", "").startswith(said), (name, answer)
        assert answer["error"] == "ConfigError"


def test_a_download_that_lacks_a_weight_file_is_no_model_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short between two files, as caches of older clients show it: without a list of what should be there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    commit = "a" * 40
    folder = cache.snapshot_folder("model", "owner/name", commit)
    folder.mkdir(parents=True)
    files = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    index = {"weight_map": {"one": files[0], "two": files[1]}}
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / files[0]).write_bytes(b"1")
    assert cache.kept_model("owner/name", commit, home=tmp_path) is None
    (folder / files[1]).write_bytes(b"2")
    assert cache.kept_model("owner/name", commit, home=tmp_path) == folder
