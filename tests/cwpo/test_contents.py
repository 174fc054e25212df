"""A local model is read once: by whichever process first hashes it, and again only where a file has changed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cwpo import contents
from cwpo.artifacts import ArtifactStore, content_hash, sha256_of
from cwpo.contents import MEMORY, UNREAD, content_of
from cwpo.errors import ModelError
from cwpo.models.load import ModelRef, load_tokenizer
from cwpo.stages.resolve import pin_model
from tests.cwpo import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, one after the other."""
    found: list[str] = []

    def counted(file: Path) -> str:
        found.append(file.name)
        return sha256_of(file)

    monkeypatch.setattr(contents, "sha256_of", counted)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What hashing sees of a model folder."""
    folder = tmp_path / "model"
    (folder / "part").mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "opt"}')
    for name in ("model.safetensors", "part/tokenizer.json"):
        (folder / name).write_bytes(b"{}" + name.encode())
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are younger than two seconds by the time of their last change, which nobody can set."""
    monkeypatch.setattr(contents, "SETTLED", 0.05)
    time.sleep(0.06)


def test_a_folder_is_read_once_and_its_hash_is_the_one_of_before(model: Path, tmp_path: Path, reads: list[str]) -> None:
    time.sleep(0.06)
    first = content_of(model, tmp_path / "home")
    assert first == content_hash(model)
    assert sorted(reads) == ["config.json", "model.safetensors", "tokenizer.json"]
    for _ in range(3):
        assert pin_model("model.policy", str(model), None, home=tmp_path / "home") == first
    assert len(reads) == 3


def test_the_next_process_does_not_read_it_again(model: Path, tmp_path: Path) -> None:
    time.sleep(0.06)
    first = content_of(model, tmp_path / "home")
    script = (
        "import sys\nfrom pathlib import Path\nfrom cwpo import contents\n"
        "contents.sha256_of = lambda file: sys.exit(f'read {file}')\n"
        "print(contents.content_of(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(model), str(tmp_path / "home")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == first, done.stderr


def test_a_changed_file_is_read_again_and_it_alone(model: Path, tmp_path: Path, reads: list[str]) -> None:
    """Also one of the same length, with its old time put back."""
    time.sleep(0.06)
    home = tmp_path / "home"
    first = content_of(model, home)
    file = model / "model.safetensors"
    times = file.stat()
    time.sleep(0.02)
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    reads.clear()
    changed = content_of(model, home)
    assert reads == ["model.safetensors"]
    assert changed == content_hash(model) != first
    (model / "new.json").write_text("1")
    reads.clear()
    assert content_of(model, home) == content_hash(model)
    assert "config.json" not in reads


def test_what_was_written_just_now_is_not_trusted(
    model: Path, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks of file systems tick in up to two seconds: a second change within one tick would not be seen."""
    monkeypatch.setattr(contents, "SETTLED", 3600.0)
    assert content_of(model, tmp_path / "home") == content_of(model, tmp_path / "home")
    assert len(reads) == 6


def test_a_plan_reads_nothing_large(model: Path, tmp_path: Path, reads: list[str]) -> None:
    time.sleep(0.06)
    home = tmp_path / "home"
    planned = content_of(model, home, read_at_most=10)
    assert planned.startswith(UNREAD)
    assert planned == content_of(model, home, read_at_most=10)
    assert reads == []
    submitted = content_of(model, home)
    assert content_of(model, home, read_at_most=10) == submitted
    assert len(reads) == 3


def test_the_memory_may_be_lost_or_damaged_and_forgets_what_is_gone(model: Path, tmp_path: Path) -> None:
    time.sleep(0.06)
    home = tmp_path / "home"
    first = content_of(model, home)
    (home / MEMORY).write_text("{not json")
    assert content_of(model, home) == first
    (model / "config.json").unlink()
    other = tmp_path / "other.jsonl"
    other.write_text("x")
    time.sleep(0.06)
    content_of(other, home)
    kept = json.loads((home / MEMORY).read_text())["files"]
    assert sorted(Path(name).name for name in kept) == ["model.safetensors", "other.jsonl", "tokenizer.json"]


def test_folders_inside_a_cache_have_their_own_content(tmp_path: Path) -> None:
    """A downloader's own .cache inside a folder is no content; a folder that lies in ~/.cache has all of it."""
    one, two = (tmp_path / ".cache" / name for name in ("one", "two"))
    for folder in (one, two):
        (folder / ".cache").mkdir(parents=True)
        (folder / "config.json").write_text(folder.name)
    assert content_hash(one) != content_hash(two)
    before = content_hash(one)
    (one / ".cache" / "metadata").write_text("x")
    assert content_hash(one) == before


def test_a_worker_refuses_a_model_that_was_changed_since_submission(tmp_path: Path, reads: list[str]) -> None:
    folder = tiny.save(tmp_path / "opt", "opt")
    time.sleep(0.06)
    store = ArtifactStore(tmp_path / "home" / "artifacts")
    pin = pin_model("model.policy", str(folder), None, home=tmp_path / "home")
    once = len(reads)
    ref = ModelRef(name=str(folder), revision=pin)
    load_tokenizer(ref, store=store)
    assert len(reads) == once
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(ModelError, match="has changed since the run was submitted"):
        load_tokenizer(ref, store=store)
